/** Describes the data for the page. */

import { groupBy } from "../../core/group-by.ts";
import type { TextOrPair } from "../../core/pair.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { type Block, details } from "../../document/blocks.ts";
import { cellLine } from "../../document/cells.ts";
import type { BaseModel } from "../../io/hf.ts";
import { TRAINING } from "../../tasks/training.ts";
import type { ClassWeights } from "../../train/class-weights.ts";
import { DEFAULTS, knownData } from "../../train/options.ts";
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
  const messages = TRAINING[data.objective].labels.answerOf && (data as LoadedDataset);
  return {
    known: knownData(data),
    testRows: data.stats.test.rows,
    blocks: [...(messages ? rowsFirst(blocks) : blocks), await dataPreview(data, model)].map(plainBlock),
    ...{ columns: [], rows: [], needs: {}, problems: [], error: null, labels: [] },
    samples: messages ? testSamples(messages) : [],
  };
}

/** The line of how many rows there are, which is above the first table. */
export function rowsFirst(blocks: Block[]): Block[] {
  const at = blocks.findIndex(({ kind }) => kind === "table") - 1;
  const others = blocks.filter((_, i) => i !== at);
  return [blocks[at]!, details("More about these rows", others)];
}

/** Test messages that are shown, and the characters of one that is read at a glance. */
const SAMPLES = { count: 6, shortest: 24, longest: 110 };

/** The first test messages of each label, in turn. */
function testSamples({ test }: LoadedDataset): DataReport["samples"] {
  const { count, shortest, longest } = SAMPLES;
  const all = Array.from(test.positions(), (i) => ({ text: test.text(i), label: test.labels[test.label(i)]! }));
  const isShort = ({ text: [...characters] }: { text: TextOrPair }) =>
    characters.length >= shortest && characters.length <= longest;
  const each = [...groupBy(all.filter(isShort), ({ label }) => label).values()];
  return Array.from({ length: count }, (_, i) => each[i % each.length]?.[Math.floor(i / each.length)] ?? []).flat();
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
