/** The rows of a set: reads its files and checks its labels. */
import { exists, openFile } from "#platform";
import { ConfigError, DataError, nameList } from "../errors.ts";
import type { FileReader } from "../platform/reader.ts";
import { type ColumnChoice, findKeys, refuseScores } from "./columns.ts";
import type { Corpus, ReadOptions } from "./corpus.ts";
import { Dataset } from "./dataset.ts";

/** A file by its path, or opened (then its owner closes it). */
export type DataSource = string | FileReader;

/** Reads the files of a set. */
export async function readSource(corpus: Corpus, source: DataSource | readonly DataSource[], read: ReadOptions) {
  const sources = Array.isArray(source) ? (source as readonly DataSource[]) : [source as DataSource];
  const hadLabels = corpus.labels.length > 0;
  const rows: number[] = [];
  for (const [i, one] of sources.entries()) {
    const more = i < sources.length - 1;
    for (const row of await whileOpen(one, (file) => readRows(corpus, file, { ...read, more }))) rows.push(row);
  }
  if (!hadLabels) checkLabels(corpus, rows.length, sourceName(sources[0]!));
  return new Dataset(corpus, Uint32Array.from(rows));
}

async function readRows(corpus: Corpus, file: FileReader, read: ReadOptions): Promise<Uint32Array> {
  if (!isParquet(file.name)) return corpus.read(file, read);
  const lines = await (await import("./parquet.ts")).parquetLines(file, messageColumns(read, file.name));
  return corpus.read(lines, { ...read, classes: (column) => lines.classes(column) ?? read.classes?.(column) });
}

export const isParquet = (file: string) => /\.parquet$/i.test(file);

/** Picks the columns of text and label. */
export function messageColumns(choice: ColumnChoice, file: string) {
  return (names: string[], sample: readonly (readonly string[])[]) => {
    const rows = sample.length > 0 ? sample : [names.map(() => "")];
    const { textName, labelName } = findKeys(
      rows.map((row) => row.flatMap((value, i) => [names[i]!, value])),
      choice,
      file,
    );
    return [textName, labelName];
  };
}

export async function whileOpen<T>(source: DataSource, work: (file: FileReader) => Promise<T>): Promise<T> {
  if (typeof source !== "string") return work(source);
  const file = await open(source);
  return work(file).finally(() => file.close());
}

/** Throws DataError if the labels of a training set are not classes to learn. */
function checkLabels({ labels, labelColumn, labelLines, leftOut }: Corpus, rows: number, file: string): void {
  if (labels.length < 2) {
    const { rows: left, rowErrors } = leftOut;
    throw new DataError("All rows have the same class", {
      where: file,
      expected: "rows of at least two classes",
      found: `"${labels[0]}" in all of ${rows} rows, the first on line ${labelLines[0]}`,
      hint:
        left > 0
          ? `check the ${left} skipped rows, the first at ${rowErrors[0]!.details.where}`
          : "give another --label-column, or add rows of another class",
    });
  }
  refuseScores(labels, labelColumn, `${file}:${labelLines[0]}`);
  if (labels.length === rows && rows > 2)
    throw new DataError(`All labels in "${labelColumn}" are different`, {
      where: file,
      expected: "classes with several rows each",
      found: `${rows} labels in ${rows} rows: ${nameList(labels.map((label, i) => `"${label}" (line ${labelLines[i]})`))}`,
      hint: "give another --label-column",
    });
}

/** Throws DataError if a class of a file that is to be split has one row, which cannot be in all sets. */
export function refuseSingles({ labels, labelLines }: Corpus, counts: Record<string, number>, file: string): void {
  const singles = labels.flatMap((label, i) => (counts[label] === 1 ? [{ label, line: labelLines[i]! }] : []));
  if (singles.length === 0) return;
  const [first] = singles.sort((a, b) => a.line - b.line);
  throw new DataError(singles.length === 1 ? "A class has only one row" : "Some classes have only one row", {
    where: `${file}:${first!.line}`,
    expected: "several rows of each class, to train and to test it",
    found: nameList(singles.map(({ label, line }) => `"${label}" (line ${line})`)),
    hint: "check the spelling of the label; add rows of the class, or leave the row out",
  });
}

async function open(path: string): Promise<FileReader> {
  if (await exists(path)) return openFile(path);
  throw new ConfigError("There is no such file", {
    where: path,
    hint: "give the path of a .csv, .tsv, .txt, .jsonl, .json or .parquet file",
  });
}

export function sourceName(source: DataSource): string {
  return typeof source === "string" ? source : source.name;
}
