/** Parquet files, read a row group at a time. */
import { type AsyncBuffer, parquetMetadataAsync, parquetSchema, type SchemaElement } from "hyparquet";
import { parquetReadColumn } from "hyparquet/src/read.js";
import { DataError, type ErrorDetails, FormatError, nameList } from "../../core/errors.ts";
import { LIMITS } from "../../io/limits.ts";
import { classNames } from "../../labels/cells.ts";
import type { FileReader } from "../../platform/reader.ts";
import { type Cell, type CellFile, type CellRow, PIECE_ROWS, SAMPLE_ROWS, textOf } from "./cells.ts";

const invalid = (where: string, details: ErrorDetails) =>
  new FormatError("invalid-parquet", "The file is not a valid Parquet file", { where, ...details });

/** An error of hyparquet means that the file is invalid. */
const reading = <T>(name: string, work: Promise<T>): Promise<T> =>
  work.catch((cause) => {
    throw invalid(name, { found: cause.message, cause });
  });

/** Texts as they are in the file. */
const RAW = { stringFromBytes: (bytes: Uint8Array) => bytes };

export async function openParquet(file: FileReader): Promise<CellFile> {
  const buffer: AsyncBuffer = {
    byteLength: file.size,
    slice: async (start, end = file.size) => (await file.read(start, end - start)).buffer,
  };
  const { metadata, columns, chunks } = await reading(file.name, readFooter(buffer));
  const names = columns.map(({ name }) => name);
  // Imported on demand: nearly all files have Snappy, which hyparquet reads.
  const isUsual = chunks.every((chunk) => ["SNAPPY", "UNCOMPRESSED"].includes(chunk?.codec));
  const compressors = isUsual ? {} : { compressors: (await import("hyparquet-compressors")).compressors };
  const stored = metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  async function* read(wanted: readonly number[], most = Number.POSITIVE_INFINITY): AsyncGenerator<CellRow[]> {
    const parsers = wanted.every((column) => isPlain(columns[column]!)) ? RAW : {};
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      if (!(num_rows >= 0 && num_rows <= LIMITS.groupRows))
        throw invalid(file.name, { expected: `row groups of at most ${LIMITS.groupRows} rows`, found: `${num_rows}` });
      const rowEnd = rowStart + Math.min(Number(num_rows), most);
      const options = { file: buffer, metadata, ...compressors, parsers, rowStart, rowEnd };
      const values: ArrayLike<unknown>[] = [];
      for (const column of rowEnd > rowStart ? wanted : [])
        values.push(await reading(file.name, parquetReadColumn({ ...options, columns: [names[column]!] })));
      for (let at = rowStart; at < rowEnd; at += PIECE_ROWS)
        yield Array.from({ length: Math.min(PIECE_ROWS, rowEnd - at) }, (_, i) => ({
          number: at + i + 1,
          cells: values.map((column) => cellOf(column[at - rowStart + i])),
        }));
      rowStart += Number(num_rows);
    }
  }
  return {
    names,
    classes: (column) => storedClasses(stored, column),
    async choose(by, lists = []) {
      const isUsable = (column: SchemaElement) => isPlain(column) || (isList(column) && lists.includes(column.name));
      const usable = names.filter((_, i) => isUsable(columns[i]!));
      const places = usable.map((name) => names.indexOf(name));
      // Of up to eight row groups: many files are sorted by their labels.
      const most = Math.ceil(SAMPLE_ROWS / Math.min(8, metadata.row_groups.length || 1));
      const sample = async () => {
        const rows: string[][] = [];
        for await (const some of read(places, most))
          if (rows.push(...some.map(({ cells }) => cells.map(textOf))) >= SAMPLE_ROWS) break;
        return rows;
      };
      return by(sample, [...usable]).catch((error) => {
        const others = names.filter((name) => !usable.includes(name));
        throw error instanceof DataError && others.length > 0 ? withOthers(error, file.name, usable, others) : error;
      });
    },
    rows: (wanted) => read(wanted),
  };
}

/** An error about the columns in `usable`, which names the others, too. */
function withOthers(error: DataError, where: string, usable: readonly string[], others: readonly string[]): DataError {
  const [summary] = error.message.split("\n");
  const isMissing = error.code === "no-such-column";
  const asked = isMissing ? others.find((name) => summary!.includes(`"${name}"`)) : undefined;
  const [code, first] = asked
    ? (["column-without-text", `The column "${asked}" has no texts or numbers`] as const)
    : [error.code, summary!];
  const found = `${nameList(usable)}; lists, structures or bytes in ${nameList(others)}`;
  return new DataError(code, first, { ...error.details, where, found });
}

async function readFooter(buffer: AsyncBuffer) {
  const metadata = await parquetMetadataAsync(buffer);
  const columns = parquetSchema(metadata).children.map(({ element }) => element);
  if (columns.some(({ name }) => typeof name !== "string")) throw new Error("a column without a name");
  const chunks = metadata.row_groups.flatMap((group) => group.columns.map(({ meta_data }) => meta_data!));
  return { metadata, columns, chunks };
}

/** Whether the values of a column are texts, numbers or the like. */
function isPlain({ type, repetition_type, converted_type, logical_type }: SchemaElement): boolean {
  if (type === undefined || repetition_type === "REPEATED") return false;
  const isText = converted_type === "UTF8" || converted_type === "ENUM" || logical_type?.type === "STRING";
  return !/BYTE_ARRAY/.test(type) || isText || converted_type === "DECIMAL";
}

const isList = ({ converted_type, logical_type }: SchemaElement) =>
  converted_type === "LIST" || logical_type?.type === "LIST";

/** The names in `info.features` of the `datasets` library's metadata. */
function storedClasses(metadata: string | undefined, column: string): readonly string[] | undefined {
  try {
    const feature = JSON.parse(metadata ?? "{}")?.info?.features?.[column];
    return feature?._type === "ClassLabel" ? classNames(feature.names) : undefined;
  } catch {
    return undefined;
  }
}

function cellOf(value: unknown): Cell {
  if (typeof value === "string" || value instanceof Uint8Array) return value;
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? value : String(value);
}
