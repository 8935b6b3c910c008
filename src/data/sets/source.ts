/** The rows of a set: reads its files, checks its labels and counts. */

import { exists, listDirectory, openFile } from "#platform";
import { ConfigError, DataError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import type { FileReader } from "../../platform/reader.ts";
import type { Corpus, ReadOptions } from "../corpus.ts";
import { addClasses, Dataset } from "../dataset.ts";
import { dropCopies, type Groups } from "../duplicates.ts";
import type { CellRows } from "../table/cell-writer.ts";
import { chooseCells } from "../table/columns.ts";
import { ENDINGS, knownFormat, tableFormat } from "../table/dialect.ts";
import { dropSingles } from "../table/label-faults.ts";
import { folderRows } from "./folder.ts";
import { type Parts, type Split, splitDataset } from "./split.ts";

/** A file by its path, or opened (then its owner closes it). */
export type DataSource = string | FileReader;

/** Also rows in memory. */
export type Source = DataSource | CellRows;

/** How many labels were corrected, how many rows left out, and which labels are new. */
export interface Corrected {
  labels: number;
  dropped: number;
  added: readonly string[];
}

/** Three sets that were read, and what to report about them. */
export interface Loaded {
  parts: Parts;
  testParts: readonly { name: string; positions: Uint32Array }[];
  rowsRead: number;
  classesRead: Record<string, number>;
  copies: number;
  source: string;
  split: Split | "given";
  /** The name by which the same rows of the hub are found again. */
  name?: string;
  /** The group of each row, by its place. */
  groups?: Groups;
  corrected?: Corrected;
}

export async function readSource(corpus: Corpus, source: Source | readonly Source[], read: ReadOptions) {
  const sources = Array.isArray(source) ? (source as readonly Source[]) : [source as Source];
  const before = corpus.labels;
  const rows: number[] = [];
  for (const [i, one] of sources.entries()) {
    const more = i < sources.length - 1;
    for (const row of await readOne(corpus, one, { ...read, more })) rows.push(row);
  }
  const file = sourceName(sources[0]!);
  const all = Uint32Array.from(rows);
  const how = { skipFaulty: read.skipFaulty ?? false, before, file, named: read.labels };
  return new Dataset(corpus, read.labelsAre.takeRows?.(corpus, all, how) ?? all);
}

/** Reads rows in memory, a file, or a folder of classes. */
async function readOne(corpus: Corpus, source: Source, read: ReadOptions): Promise<Uint32Array> {
  if (typeof source === "object" && "rows" in source) return corpus.read(source, read);
  if (typeof source !== "string" || knownFormat(source) || !(await isFolder(source)))
    return whileOpen(source, async (file) => corpus.read((await openCells(file, read)) ?? file, read));
  return corpus.read(folderRows(source, read), read);
}

/** Whether a path is that of a folder. A registered file has itself in it, without a name. */
export const isFolder = (path: string): Promise<boolean> =>
  listDirectory(path).then(
    (names) => !names.includes(""),
    () => false,
  );

/** The rows of a file of cells, by its columns of texts and labels; null: it is a file of text. */
async function openCells(file: FileReader, read: ReadOptions): Promise<CellRows | null> {
  const table = await tableFormat(file.name)?.open?.(file, read.sheet);
  if (!table) return null;
  const { found, columns, header } = await chooseCells(table, read, file.name);
  const classes = table.classes?.(found.labelName);
  return { name: file.name, found, classes, rows: table.rows(columns, columns, header) };
}

/** Whether a row has a class: the hub's tests without answers have -1 in all rows. */
export async function hasClasses(file: FileReader, read: ReadOptions): Promise<boolean> {
  const table = await tableFormat(file.name)!.open!(file);
  const { found, columns } = await chooseCells(table, read, file.name);
  if (!table.classes?.(found.labelName)) return true;
  for await (const rows of table.rows([columns[1]!], [], false))
    if (rows.some(({ cells }) => cells[0] !== "-1")) return true;
  return false;
}

export async function whileOpen<T>(source: DataSource, work: (file: FileReader) => Promise<T>): Promise<T> {
  if (typeof source !== "string") return work(source);
  const file = await open(source);
  return work(file).finally(() => file.close());
}

/** The rows of a file that is to be split, each set with all classes: see `dropSingles`. */
export async function checkSingles(corpus: Corpus, all: Dataset, file: string, skipFaulty = false): Promise<Dataset> {
  if (!Object.values(all.classes()).includes(1)) return all;
  return dropSingles(corpus, all, file, skipFaulty);
}

async function open(path: string): Promise<FileReader> {
  if (await exists(path)) return openFile(path);
  throw new ConfigError("no-such-file", "There is no such file", {
    where: path,
    hint: `give the path of a table (${ENDINGS.join(", ")}), or of a folder with a folder for each class`,
  });
}

export function sourceName(source: Source): string {
  return typeof source === "string" ? source : source.name;
}

/** Sets that are split already, without near-duplicates if the options say so. */
export function withoutCopies(
  sets: readonly Dataset[],
  names: readonly string[],
  { dedupe }: { dedupe?: boolean },
): Dataset[] {
  const kept = dedupe ? dropCopies(sets) : [...sets];
  for (const [i, set] of kept.entries())
    if (set.size === 0)
      throw new DataError("only-near-duplicates", "A set has only near-duplicates of earlier rows", {
        where: names[i]!,
        found: `${sets[i]!.size} rows, each with an earlier near-duplicate`,
      });
  return kept;
}

export const USUAL_FRACTIONS = [0.7, 0.1, 0.2] as const;

/**
 * A set that is not split yet, in three parts: without near-duplicates, and balanced, if the options say so; `groups` are
 * those of a column.
 */
export function splitLoaded(
  set: Dataset,
  split: Split,
  options: { dedupe?: boolean; balance?: boolean; fractions?: readonly number[] | undefined },
  seed: number,
  groups?: Groups,
) {
  const kept = options.dedupe ? dropCopies([set])[0]! : set;
  const used = options.balance ? kept.balance(seed) : kept;
  const parts = splitDataset(used, split, options.fractions ?? USUAL_FRACTIONS, seed, groups) as Parts;
  return { parts, ...(groups ? { groups } : {}), split, ...counts([set], [kept]) };
}

export function refuseSplit(name: "split" | "fractions", value: unknown): never {
  throw new ConfigError("already-split", "a split is invalid for data that is split already", {
    expected: "no split",
    found: setting(name, value),
    hint: `use ${setting(name)} only with ${setting("data")}, or with a ${setting("dataset")} that has no validation or test set of its own`,
  });
}

export function counts(read: readonly Dataset[], kept: readonly Dataset[]) {
  const rows = (sets: readonly Dataset[]) => sets.reduce((n, set) => n + set.size, 0);
  return { rowsRead: rows(read), classesRead: addClasses(read), copies: rows(read) - rows(kept) };
}
