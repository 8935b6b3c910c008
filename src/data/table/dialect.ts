/** How the rows of a file are written: its format, by extension and beginning, and its possible separators. */
import { FormatError } from "../../errors.ts";
import type { FileReader } from "../../platform/reader.ts";
import { ROWS } from "../places.ts";
import { utf8Pieces } from "./encoding.ts";

/** The readers in data.wasm and their numbers there. */
export const FORMATS = { csv: 0, tsv: 1, jsonl: 2, array: 3 } as const;

/** A reader, and the separator of CSV. */
export interface Dialect {
  format: keyof typeof FORMATS;
  separator: string;
}

export type DataFormat = "csv" | "tsv" | "jsonl";
const EXTENSIONS: Record<string, DataFormat> = {
  csv: "csv",
  tsv: "tsv",
  txt: "tsv",
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "jsonl",
  // Their columns as lines: see `readLines`.
  parquet: "jsonl",
  xlsx: "jsonl",
};
/** How the names of tables end. */
export const ENDINGS = Object.keys(EXTENSIONS).map((extension) => `.${extension}`);

/** The dialects of each format, the usual one first. */
const DIALECTS: Record<DataFormat, readonly Dialect[]> = {
  csv: [
    { format: "csv", separator: "," },
    { format: "csv", separator: ";" },
    { format: "csv", separator: "\t" },
  ],
  tsv: [
    { format: "tsv", separator: "\t" },
    { format: "csv", separator: "," },
    { format: "csv", separator: ";" },
  ],
  jsonl: [{ format: "jsonl", separator: "\n" }],
};
const ARRAY: Dialect = { format: "array", separator: "," };

/** White space before a JSON array is expected to be shorter. */
const START_BYTES = 4096;

/** The format of a file by its extension; undefined for an unknown one. */
export function knownFormat(file: string): DataFormat | undefined {
  return file === ROWS ? "jsonl" : EXTENSIONS[/\.([^./\\]*)$/.exec(file)?.[1]?.toLowerCase() ?? ""];
}

/** The format of a file by its extension. Throws FormatError for an unknown one. */
export function dataFormat(file: string): DataFormat {
  const format = knownFormat(file);
  if (format) return format;
  throw new FormatError("unknown-data-format", "The data format is unknown", {
    where: file,
    expected: `a name that ends in one of ${ENDINGS.join(", ")}`,
  });
}

/** The dialects that a file may have. */
export async function possibleDialects(
  file: FileReader,
  encoding?: string,
  format = dataFormat(file.name),
): Promise<readonly Dialect[]> {
  return format === "jsonl" && (await isArray(file, encoding)) ? [ARRAY] : DIALECTS[format];
}

async function isArray(file: FileReader, encoding?: string): Promise<boolean> {
  for await (const piece of utf8Pieces(file, START_BYTES, encoding))
    return new TextDecoder().decode(piece).trimStart().startsWith("[");
  return false;
}
