/** How the rows of a file are written: its format, by extension and beginning, and its possible separators. */
import { FormatError } from "../../core/errors.ts";
import type { FileReader } from "../../platform/reader.ts";
import type { CellFile } from "./cells.ts";
import { utf8Pieces } from "./encoding.ts";

/** The readers in data.wasm and their numbers there. */
export const FORMATS = { csv: 0, tsv: 1, jsonl: 2, array: 3, cells: 4 } as const;

/** A reader, and the separator of CSV. */
export interface Dialect {
  format: Exclude<keyof typeof FORMATS, "cells">;
  separator: string;
}

export type DataFormat = "csv" | "tsv" | "jsonl";

/** A format of tables. To add one, add a line to TABLES. */
interface TableFormat {
  /** How the names of its files end. */
  endings: readonly string[];
  /** How its rows are written; of cells, those of a labelled copy. */
  format: DataFormat;
  /** Of cells: opens a file, with a reader that is loaded on demand. */
  open?: (file: FileReader, sheet?: string) => Promise<CellFile>;
  /** What else its files can have, without labels: objects, with a text or a chat each, or one text. */
  texts?: "objects" | "one";
}

const parquet: TableFormat["open"] = async (file) => (await import("./parquet.ts")).openParquet(file);
const sheet: TableFormat["open"] = async (file, asked) => (await import("./sheet.ts")).openSheet(file, asked);

const TABLES: readonly TableFormat[] = [
  { endings: ["csv"], format: "csv" },
  { endings: ["tsv"], format: "tsv" },
  { endings: ["txt"], format: "tsv", texts: "one" },
  { endings: ["jsonl", "ndjson", "json"], format: "jsonl", texts: "objects" },
  { endings: ["parquet"], format: "csv", texts: "objects", open: parquet },
  { endings: ["xlsx"], format: "csv", open: sheet },
];

const endingsOf = (tables: readonly TableFormat[]) => tables.flatMap(({ endings }) => endings.map((end) => `.${end}`));

/** How the names of tables end, and those of files of texts for a language model. */
export const ENDINGS = endingsOf(TABLES);
export const TEXT_ENDINGS = [...endingsOf(TABLES.filter(({ texts }) => texts)), ".md", ".text"];

/** How a file's name ends, without the dot; undefined where it has none. */
const endingOf = (file: string): string | undefined => /\.([^./\\]*)$/.exec(file)?.[1]?.toLowerCase();

/** The format of a file by its name; undefined for an unknown one. */
export const tableFormat = (file: string): TableFormat | undefined =>
  TABLES.find(({ endings }) => endings.includes(endingOf(file) ?? ""));

const csv = (separator: string): Dialect => ({ format: "csv", separator });

/** The dialects of each format, the usual one first. */
const DIALECTS: Record<DataFormat, readonly Dialect[]> = {
  csv: [csv(","), csv(";"), csv("\t")],
  tsv: [{ format: "tsv", separator: "\t" }, csv(","), csv(";")],
  jsonl: [{ format: "jsonl", separator: "\n" }],
};
const ARRAY: Dialect = { format: "array", separator: "," };

/** White space before a JSON array is expected to be shorter. */
const START_BYTES = 4096;

/** Whether the rows of a table are cells, which a labelled copy has as CSV. */
export const hasCells = (file: string) => tableFormat(file)?.open !== undefined;

/** Whether a file is a table by its name, of which no text is learned without labels. */
export const isOnlyTable = (file: string) => !(tableFormat(file) ?? { texts: "one" }).texts;

/** How the rows of a file are written; undefined for an unknown format. */
export const knownFormat = (file: string): DataFormat | undefined => tableFormat(file)?.format;

/** The format of a file by its extension; without one it is read as .txt. Throws FormatError for an unknown one. */
export function dataFormat(file: string): DataFormat {
  const format = knownFormat(endingOf(file) === undefined ? `${file}.txt` : file);
  if (format) return format;
  throw new FormatError("unknown-data-format", "The data format is unknown", {
    where: file,
    expected: `a name that ends in one of ${ENDINGS.join(", ")}`,
  });
}

/** The dialects that a file may have. */
export async function possibleDialects(file: FileReader, encoding?: string): Promise<readonly Dialect[]> {
  const format = dataFormat(file.name);
  return format === "jsonl" && (await isArray(file, encoding)) ? [ARRAY] : DIALECTS[format];
}

async function isArray(file: FileReader, encoding?: string): Promise<boolean> {
  for await (const piece of utf8Pieces(file, START_BYTES, encoding))
    return new TextDecoder().decode(piece).trimStart().startsWith("[");
  return false;
}
