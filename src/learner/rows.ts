/** The rows that a model learns of, from wherever they come, and those that it has learned of. */
import { exists, joinPath, modelAddress } from "#platform";
import { checkKinds, type FieldKind, inRange, isText, type Kind, optional } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import type { DatasetOptions } from "../data/dataset-options.ts";
import type { LabelledRow } from "../data/sets/memory-rows.ts";
import { isBundled } from "../data/sets/named.ts";
import type { TaggedRow } from "../data/text/tagged.ts";
import type { TextRow, TextsOptions } from "../data/text/texts.ts";
import { matchData, type TrainingData } from "../data/training-data.ts";
import { readJson } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import type { AdapterMeta } from "../io/peft/adapter-meta.ts";
import { FILE_SOURCE, type FileSource, openSource } from "../platform/files.ts";
import type { FileReader } from "../platform/reader.ts";
import { loadData } from "../run/load-data.ts";
import type { Splits } from "../tasks/evaluation.ts";
import { DEFAULT_OBJECTIVE, type Objective, readsTokens } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";

/** Rows of one kind: messages, each with its label, labels or score; sentences with a tag for each word; or texts. */
export type Rows = readonly LabelledRow[] | readonly TaggedRow[] | readonly TextRow[];

/** Where rows come from: themselves; an opened file, a Blob or a URL; a path, or the name of a data set. */
export type RowSource = Rows | FileSource | string;

export const ROW_SOURCE: Kind = [
  "an array of rows, a path or a name, a File or a URL",
  (value) => Array.isArray(value) || isText(value) || FILE_SOURCE[1](value),
];

/** Those of a model, of which it learns the first. */
export type RowSets = Record<"train" | "val" | "test", readonly unknown[]>;

/** The file of a saved model that has them. */
export const ROWS_FILE = "rows.json";

/** The contents of that file. Throws FormatError unless they are sets of rows; each row is checked when it is read. */
export function checkSets(json: unknown, where: string): RowSets {
  const rows: Kind = ["an array of rows", Array.isArray];
  checkKinds({ rows: json }, { rows: "object" }, where);
  checkKinds(json as object, { train: rows, val: rows, test: rows }, where);
  return json as RowSets;
}

/** The rows that a model was saved with; null: without rows. */
export async function savedRows(place: string): Promise<RowSets | null> {
  const file = joinPath(place, ROWS_FILE);
  return (await exists(file)) ? checkSets(await readJson(file, LIMITS.ownJson), file) : null;
}

/** Options of `loadDataset` and `loadTexts`. */
const NAMES = [
  ...["split", "seed", "dedupe", "balance", "sheet", "textColumn", "labelColumn", "labelSeparator", "labels"],
  ...["encoding", "trainRows", "padding", "skipFaulty", "maxLength", "stride"],
] as const;

/** How rows are read. */
export interface ReadRows extends Pick<DatasetOptions & TextsOptions, (typeof NAMES)[number] | "signal"> {
  /** The task. Default: that of the first of rows in memory; of others "classification". */
  objective?: Objective;
  /**
   * The share of the rows that measures what was learned, at most 0.5; half as many choose the moment that is kept. 0:
   * all rows are learned. Default: 0 of fewer than 50 rows in memory, 0.2 of others; of a data set its own.
   */
  test?: number;
}

/** They are checked where they are used. */
export const READ_OPTIONS: Record<string, FieldKind> = {
  ...Object.fromEntries(["objective", ...NAMES].map((name) => [name, "any?"])),
  test: optional(inRange({ min: 0, max: 0.5 })),
  signal: "signal?",
};

/** Of fewer rows none are kept to measure with: a fifth of them would say nothing. */
const FEW_ROWS = 50;

/** The task of rows, by the first one; of a file or a data set, classes. */
export function objectiveOf(source: RowSource): Objective {
  if (!Array.isArray(source)) return DEFAULT_OBJECTIVE;
  const [first] = source as readonly (string | Partial<LabelledRow & TaggedRow>)[];
  if (isText(first) || ["messages", "conversations", "prompt", "instruction"].some((key) => key in (first ?? {})))
    return "lm";
  if (first?.tags) return "tokens";
  return Array.isArray(first?.label) ? "multi-label" : DEFAULT_OBJECTIVE;
}

/** The options of data, with the model that it is read for. */
type Reading = { model: BaseModel; signal?: AbortSignal | undefined } & Record<string, unknown>;

export async function readRows(source: RowSource, model: BaseModel, options: ReadRows): Promise<TrainingData> {
  const isHere = Array.isArray(source);
  const { objective = objectiveOf(source), test, ...rest } = options;
  const share = test ?? (isHere && source.length < FEW_ROWS ? 0 : undefined);
  const fractions = share === undefined ? {} : { fractions: [1 - 1.5 * share, share / 2, share] as const };
  const read = { ...rest, ...fractions, model };
  if (isHere) return load(objective, { rows: source }, read);
  const given = isText(source) || source instanceof URL ? String(source) : undefined;
  const path = given !== undefined && /^file:/i.test(given) ? modelAddress(given) : given;
  if (path !== undefined && !/^\w+:\/\//.test(path))
    return load(objective, (await isPath(path)) ? { file: path } : { name: path }, read);
  const file = await openRows(path === undefined ? (source as FileSource) : new URL(path));
  try {
    return await load(objective, { file }, read);
  } finally {
    await file.close();
  }
}

/** Whether a text is a path, not the name of a data set: by its form, or as there is such a file or folder. */
const isPath = async (text: string) =>
  /\.[a-z]\w*$|^[./~]|\\/i.test(text) || (!isBundled(text) && (await exists(text)));

/** The rows of a model with an adapter, read as those that it was trained with. */
export function readSets(
  { train, val, test }: RowSets,
  model: BaseModel,
  { task, labels, settings }: AdapterMeta,
): Promise<TrainingData> {
  const { maxLength, padTo } = settings as { maxLength?: number; padTo?: number };
  const rows = [...train, ...val, ...test];
  const [shareOfVal, shareOfTest] = [val.length / rows.length, test.length / rows.length];
  return load(
    task.objective,
    { rows },
    {
      ...{ model, maxLength, fractions: [1 - shareOfVal - shareOfTest, shareOfVal, shareOfTest] },
      ...TRAINING[task.objective].labels.rereads?.(labels),
      ...(padTo ? { padding: padTo } : {}),
    },
  );
}

/** Loads data; only that of messages has an objective among its options. */
function load(objective: Objective, data: object, { model, signal, ...options }: Reading): Promise<TrainingData> {
  const named = readsTokens({ objective }) ? {} : { objective };
  return loadData({ objective, data: { ...data, ...options, ...named } }, model, signal ? { signal } : {});
}

/** A file of rows, by a name whose ending says how it is written. */
async function openRows(source: FileSource): Promise<FileReader> {
  const { name, url, pathname } = source as { name?: string; url?: string; pathname?: string };
  const path = name ?? pathname ?? (url && new URL(url).pathname);
  if (!path)
    throw new ConfigError("invalid-argument", "rows: a file without a name", {
      expected: 'a name that says how it is written, as of new File([blob], "rows.csv")',
    });
  return openSource(path.split("/").at(-1)!, source);
}

/** Further rows for a model with an adapter, as an array. */
export async function listRows(source: RowSource, model: BaseModel, meta: AdapterMeta): Promise<readonly unknown[]> {
  if (Array.isArray(source)) return source;
  const { objective } = meta.task;
  const all = rowsOf(await readRows(source, model, { objective, labels: meta.labels, test: 0 }), source);
  if (all) return all.train;
  throw new ConfigError("invalid-argument", "rows: a file of texts", { expected: "an array of texts" });
}

/** The rows of data, as they are given; null of texts that were not given as rows: they are in blocks. */
export function rowsOf(data: TrainingData, source: RowSource): RowSets | null {
  const { labels } = data;
  const { answerOf } = TRAINING[data.objective].labels;
  return matchData<RowSets | null>(data, {
    text: (sets) => eachRow(sets, (set, i) => ({ text: set.text(i), label: answerOf!(set, i, labels) })),
    word: (sets) => eachRow(sets, (set, i) => ({ words: set.words(i), tags: set.tags(i).map((tag) => labels[tag]!) })),
    nothing: () => (Array.isArray(source) ? { train: source, val: [], test: [] } : null),
  });
}

function eachRow<S extends { size: number }>({ train, val, test }: Splits<S>, row: (set: S, i: number) => object) {
  const list = (set: S) => Array.from({ length: set.size }, (_, i) => row(set, i));
  return { train: list(train), val: list(val), test: list(test) };
}
