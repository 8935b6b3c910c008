/** A CSV, TSV or JSON file as a table: by its first rows its dialect and its columns are found. */
import { DataError, type LowrankError } from "../../core/errors.ts";
import { LIST_SEPARATOR } from "../../core/places.ts";
import { bytesReader, type FileReader } from "../../platform/reader.ts";
import { type FeedOptions, joinFields, nameKeys, type Pipeline, readError } from "../pipeline.ts";
import { SAMPLE_ROWS } from "./cells.ts";
import type { Columns } from "./column-facts.ts";
import { type ColumnSample, findColumns, refuseNumbers, type TableChoice } from "./columns.ts";
import { type Dialect, dataFormat, FORMATS, possibleDialects } from "./dialect.ts";
import { checkUtf8, fileEncoding, utf8Bytes } from "./encoding.ts";
import { describeRowError } from "./row-errors.ts";

/** As many rows are from further places of a longer file, with bytes at each. */
const OTHERS = { PLACES: 8, BYTES: 1 << 16 };

/** The first rows of a file, and how they were read. */
interface Sample {
  dialect: Dialect;
  /** Fields, including those of a header; for JSON key, value, key, value, ... */
  rows: string[][];
  /** The share of rows with as many fields as the first; 0 if it has one. */
  agreement: number;
  /** What ended the sample early. */
  error: LowrankError | null;
}

/** A file with the columns that were found in it. */
export interface TextTable {
  dialect: Dialect;
  columns: Columns;
  /** Of all columns; none if no row has them. */
  names: readonly string[];
  /** Has data.wasm read the file from here on; see its `read_settings`. */
  begin(maxLength: number, learn: number, tolerant: boolean): void;
}

/** Finds the columns of a file. Throws ConfigError, DataError or FormatError. */
export async function openText(
  pipeline: Pipeline,
  file: FileReader,
  choice: TableChoice,
  options: FeedOptions,
): Promise<TextTable> {
  const { dialect, rows } = await readSample(pipeline, file, options);
  const isJson = dataFormat(file.name) === "jsonl";
  const keyOf = (row: readonly string[]) => row.join(LIST_SEPARATOR);
  const seen = new Set(rows.map(keyOf));
  const places = rows.length < SAMPLE_ROWS ? [] : await sampleOthers(pipeline, dialect, file, options);
  const others = places.filter((row) => !seen.has(keyOf(row)) && seen.add(keyOf(row)));
  const alike = others.filter(({ length }) => isJson || length === rows[0]!.length);
  const table: ColumnSample = isJson ? jsonTable([...rows, ...alike]) : { rows: [...rows, ...alike] };
  const columns = findColumns(table, choice, file.name);
  refuseNumbers(table.rows.slice(0, rows.length), columns, choice, file.name);
  return {
    ...{ dialect, columns, names: table.names ?? (columns.header ? rows[0]! : []) },
    begin(...[maxLength, learn, tolerant]) {
      const wasm = pipeline.open();
      const { width, text, label, second, moreLabels, header } = columns;
      wasm.read_begin(FORMATS[dialect.format], dialect.separator.charCodeAt(0));
      if (isJson) nameKeys(pipeline.module, keysOf(columns));
      joinFields(pipeline, isJson ? moreLabels.map(() => 0) : moreLabels);
      const at = isJson
        ? ([0, 0, 0, second < 0 ? -1 : 0, 0] as const)
        : ([width, text, label < 0 ? text : label, second, Number(header)] as const);
      wasm.read_settings(...at, maxLength, learn, Number(tolerant));
    },
  };
}

/** The keys in JSON; those of further labels are behind those of three columns. A text without a label stands for it. */
function keysOf({ textName, label, labelName, labelNames = [labelName], secondName }: Columns): string[] {
  const [first, ...more] = label < 0 ? [textName] : labelNames;
  const second = secondName ?? (more.length > 0 ? textName : undefined);
  return [textName, first!, ...(second === undefined ? [] : [second]), ...more];
}

/** Rows of JSON are key, value, key, value, ...: the names are those of the first. */
function jsonTable(sample: string[][]): ColumnSample {
  const names = (sample.find(({ length }) => length > 0) ?? []).filter((_, i) => i % 2 === 0);
  const rows = sample.map((row) => {
    const values = new Map(row.flatMap((key, i) => (i % 2 === 0 ? [[key, row[i + 1] ?? ""] as const] : [])));
    return names.map((name) => values.get(name) ?? "");
  });
  return { names, rows };
}

const LINE_FEED = 10;

/** The whole lines in a part of a file, as UTF-8. */
async function wholeLines(part: FileReader, encoding: string): Promise<Uint8Array> {
  const bytes = await utf8Bytes(part, encoding);
  return bytes.subarray(bytes.indexOf(LINE_FEED) + 1, bytes.lastIndexOf(LINE_FEED) + 1);
}

/**
 * The first rows, in the dialect with the most rows of one width. Throws FormatError or DataError if there are none.
 */
async function readSample(pipeline: Pipeline, file: FileReader, options: FeedOptions): Promise<Sample> {
  await checkUtf8(file, options.encoding);
  let best: Sample | undefined;
  for (const dialect of await possibleDialects(file, options.encoding)) {
    if (best?.agreement === 1) break;
    const sample = await sampleAs(pipeline, dialect, file, options);
    if (!best || sample.agreement > best.agreement) best = sample;
  }
  if (best!.rows.length > 0) return best!;
  throw (
    best!.error ?? new DataError("no-rows", "The file is empty", { where: file.name, expected: "at least one row" })
  );
}

/**
 * Rows from further places: many files are sorted by their labels. Which of them a separator within quotes has cut is
 * not known; they only say what columns have. None of a JSON array, or where the encoding finds no place to begin.
 */
async function sampleOthers(
  pipeline: Pipeline,
  dialect: Dialect,
  file: FileReader,
  options: FeedOptions,
): Promise<string[][]> {
  const { PLACES, BYTES } = OTHERS;
  const encoding = await fileEncoding(file, options.encoding);
  const found: string[][] = [];
  const wasm = pipeline.open();
  for (let i = 1; i <= PLACES && dialect.format !== "array"; i++) {
    const start = 2 * Math.floor((i * file.size) / (2 * PLACES + 2));
    const bytes = await file.read(start, Math.min(BYTES, file.size - start));
    const lines = await wholeLines(bytesReader(file.name, bytes), encoding).catch(() => null);
    if (!lines) continue;
    wasm.read_begin(FORMATS[dialect.format], dialect.separator.charCodeAt(0));
    wasm.read_sample(SAMPLE_ROWS / PLACES);
    await pipeline.feed(bytesReader(file.name, lines), { chunkBytes: BYTES });
    found.push(...sampledRows(pipeline));
  }
  return found;
}

async function sampleAs(pipeline: Pipeline, dialect: Dialect, file: FileReader, options: FeedOptions): Promise<Sample> {
  const wasm = pipeline.open();
  wasm.read_begin(FORMATS[dialect.format], dialect.separator.charCodeAt(0));
  wasm.read_sample(SAMPLE_ROWS);
  const atEnd = await pipeline.feed(file, options);
  const rows = sampledRows(pipeline);
  const width = rows[0]?.length ?? 0;
  const failed = wasm.error_code() !== 0;
  // An error after the first rows is found again when the whole file is read, with the names of the columns.
  const where = { ...readError(wasm), file: file.name, atEnd };
  const error = failed ? describeRowError(where, { columns: ["text", "label"], labels: [], unknownLabel: "" }) : null;
  const agreement = width < 2 ? 0 : rows.filter((row) => row.length === width).length / (rows.length + Number(failed));
  return { dialect, rows, agreement, error };
}

function sampledRows(pipeline: Pipeline): string[][] {
  const { module } = pipeline;
  const wasm = pipeline.open();
  const rowEnds = module.words(wasm.sample_rows() >>> 0, wasm.sample_count());
  const fields = rowEnds.at(-1) ?? 0;
  const ends = module.words(wasm.fields_ends() >>> 0, fields);
  const bytes = wasm.fields_bytes() >>> 0;
  const texts = Array.from(ends, (end, i) => {
    const start = i === 0 ? 0 : ends[i - 1]!;
    return pipeline.decode(bytes + start, end - start);
  });
  return Array.from(rowEnds, (end, i) => texts.slice(i === 0 ? 0 : rowEnds[i - 1], end));
}
