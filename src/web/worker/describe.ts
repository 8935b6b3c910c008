/** Describes the data for the page. */
import { type FoundNames, findColumns, findKeys, sampleKeys } from "../../data/columns.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { dataFormat } from "../../data/dialect.ts";
import type { LoadedTexts, TrainingData } from "../../data/texts.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import { type Block, makeTable, messageColumns, type Table } from "../../document/blocks.ts";
import { cellLine } from "../../document/cells.ts";
import { LowrankError } from "../../errors.ts";
import type { BaseModel } from "../../io/hf.ts";
import { excerpt } from "../../pair.ts";
import type { ClassWeights } from "../../train/class-weights.ts";
import { DEFAULTS } from "../../train/options.ts";
import { dataBlocks } from "../../views/data.ts";
import type { ColumnReport, DataReport } from "../protocol.ts";
import { withoutFolders } from "./errors.ts";

const PREVIEW_ROWS = 6;
/** Characters of a message shown in the preview, and of a text; and the blocks that surely have those. */
const PREVIEW_CHARACTERS = 240;
const PREVIEW_TEXT = 400;
const PREVIEW_BLOCKS = 8;

/** The columns of a file, and the recognised text and label columns. */
export function describeColumns(sample: string[][], file: string): ColumnReport {
  const json = dataFormat(file) === "jsonl";
  try {
    if (json) {
      return { columns: sampleKeys(sample), ...columnNames(findKeys(sample, {}, file)) };
    }
    const found = findColumns(sample, {}, file);
    return { columns: found.header ? sample[0]! : [], ...columnNames(found) };
  } catch (error) {
    const columns = json ? sampleKeys(sample) : (sample[0] ?? []);
    // With two or more columns the visitor can choose them.
    if (error instanceof LowrankError && columns.length >= 2) return { columns, text: null, label: null };
    throw error;
  }
}

const columnNames = ({ textName, secondName, labelName }: FoundNames) => {
  return { text: textName, second: secondName, label: labelName };
};

/** What was read, laid out as in the terminal, with the beginning of the training set. */
export async function describeData(
  data: TrainingData,
  model: BaseModel,
  weights: ClassWeights = DEFAULTS.classWeights,
): Promise<DataReport> {
  const [, ...blocks] = dataBlocks(data, "", weights);
  const isLm = data.objective === "lm";
  const preview: Block = isLm ? { kind: "text", text: await beginning(data, model) } : messageTable(data);
  const details: Block = { kind: "details", title: `Look at the ${isLm ? "text" : "messages"}`, blocks: [preview] };
  return { trainRows: data.stats.train.rows, blocks: [...blocks, details].map(plainBlock) };
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

function messageTable({ train, pairs }: LoadedDataset): Table {
  const rows = Array.from({ length: Math.min(PREVIEW_ROWS, train.size) }, (_, i) => i);
  return makeTable(
    "messages",
    "The first messages of the training set",
    [{ title: "Label", key: null, value: ({ label }) => label }, ...messageColumns(pairs)],
    rows.map((i) => ({ text: excerpt(train.text(i), PREVIEW_CHARACTERS), label: train.labels[train.label(i)]! })),
  );
}

async function beginning({ train }: LoadedTexts, model: BaseModel): Promise<string> {
  const { ids } = train.batch(train.positions().subarray(0, PREVIEW_BLOCKS));
  const tokenizer = await Tokenizer.load({ model });
  const { end, begin } = model.vocabulary;
  const text = tokenizer.decode(begin === null ? ids : ids.filter((id) => id !== begin.id));
  return `${text.replaceAll(end.text, " ").replaceAll(/\s+/g, " ").trim().slice(0, PREVIEW_TEXT)} …`;
}
