/** Describes the data for the page. */

import { isXlsx } from "../../data/source.ts";
import { findColumns, findKeys, sampleKeys } from "../../data/table/columns.ts";
import { dataFormat } from "../../data/table/dialect.ts";
import { isLabelled, type TrainingData } from "../../data/training-data.ts";
import { type Block, details, note } from "../../document/blocks.ts";
import { cellLine } from "../../document/cells.ts";
import { LowrankError } from "../../errors.ts";
import type { BaseModel } from "../../io/hf.ts";
import type { ClassWeights } from "../../train/class-weights.ts";
import { DEFAULTS } from "../../train/options.ts";
import { dataBlocks, dataPreview } from "../../views/data.ts";
import type { ColumnReport, DataReport } from "../protocol.ts";
import { withoutFolders } from "./errors.ts";

/** The columns of a file, and the recognised text and label columns. */
export async function describeColumns(sample: string[][], file: string): Promise<ColumnReport> {
  const isJson = dataFormat(file) === "jsonl" && !isXlsx(file);
  const columns = isJson ? sampleKeys(sample) : (sample[0] ?? []);
  try {
    const found = isJson
      ? { header: true, ...(await findKeys(sample, {}, file)) }
      : await findColumns(sample, {}, file);
    const { header, textName: text, secondName: second, labelName: label } = found;
    return { columns: header ? columns : [], text, second, label };
  } catch (error) {
    // With two or more columns the visitor can choose them.
    if (error instanceof LowrankError && columns.length >= 2) return { columns, text: null, label: null };
    throw error;
  }
}

/** What was read, laid out as in the terminal, with the beginning of the training set. */
export async function describeData(
  data: TrainingData,
  model: BaseModel,
  weights: ClassWeights = DEFAULTS.classWeights,
): Promise<DataReport> {
  const [, ...blocks] = dataBlocks(data, "", weights);
  return {
    trainRows: data.stats.train.rows,
    blocks: [...blocks, ...(await problemBlocks(data)), await dataPreview(data, model)].map(plainBlock),
  };
}

/** What may be wrong with a file of the visitor's, besides. */
async function problemBlocks(data: TrainingData): Promise<Block[]> {
  if (!isLabelled(data) || !("file" in data.origin)) return [];
  const { findMore } = await import("../../data/problems.ts");
  return findMore(data).flatMap(({ text: what, examples }) => [
    note(what),
    ...(examples.length > 0 ? [details("Which texts", examples.map(note))] : []),
  ]);
}

/** With cells as texts, and without the page's folders. */
function plainBlock(block: Block): Block {
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
