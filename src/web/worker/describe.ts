/** Describes the data for the page. */

import type { TrainingData } from "../../data/training-data.ts";
import type { Block } from "../../document/blocks.ts";
import { cellLine } from "../../document/cells.ts";
import type { BaseModel } from "../../io/hf.ts";
import type { ClassWeights } from "../../train/class-weights.ts";
import { DEFAULTS } from "../../train/options.ts";
import { dataBlocks, dataPreview } from "../../views/data.ts";
import type { DataReport } from "../protocol.ts";
import { withoutFolders } from "./errors.ts";

/** What was read, laid out as in the terminal, with the beginning of the training set. */
export async function describeData(
  data: TrainingData,
  model: BaseModel,
  weights: ClassWeights = DEFAULTS.classWeights,
): Promise<DataReport> {
  const [, ...blocks] = dataBlocks(data, "", weights);
  return {
    trainRows: data.stats.train.rows,
    blocks: [...blocks, await dataPreview(data, model)].map(plainBlock),
    ...{ columns: [], rows: [], needs: {}, problems: [], error: null },
  };
}

/** With cells as texts, and without the page's folders. */
export function plainBlock(block: Block): Block {
  if (block.kind === "details") return { ...block, blocks: block.blocks.map(plainBlock) };
  if (block.kind === "text" || block.kind === "note") return { ...block, text: withoutFolders(block.text) };
  if (block.kind !== "table") return block;
  const { columns, rows } = block;
  return {
    ...block,
    columns: columns.map(({ title }) => ({ title })),
    rows: rows.map((row) => row.map((cell, i) => cellLine(cell, columns[i]!))),
  };
}
