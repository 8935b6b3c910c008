/** Parquet files, read a row group at a time, and their columns of text and labels as JSON lines. */
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects, type SchemaElement } from "hyparquet";
import { DataError, FormatError, nameList } from "../../errors.ts";
import { LIMITS } from "../../io/limits.ts";
import { bytesReader, type FileReader } from "../../platform/reader.ts";
import { classNames } from "./labels.ts";
import { Lines } from "./lines.ts";

type ParquetRow = Readonly<Record<string, unknown>>;

interface ParquetFile {
  /** The table's columns. */
  names: readonly string[];
  /** Those of them whose values are texts or numbers, not lists, structures or bytes. */
  plain: readonly string[];
  /** Those whose values are lists, as the messages of chats. */
  lists: readonly string[];
  /** The class names of a column of class numbers, as the `datasets` library stores them. */
  classes(column: string): readonly string[] | undefined;
  /** The rows, a row group at a time or the first `most` of it, with the number of rows before them. */
  groups(columns: readonly string[], most?: number): AsyncGenerator<{ before: number; rows: ParquetRow[] }>;
}

/** An error of hyparquet means that the file is invalid. */
async function reading<T>(name: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    throw new FormatError("invalid-parquet", "The file is not a valid Parquet file", {
      where: name,
      found: cause.message,
      cause,
    });
  });
}

export async function openParquet(file: FileReader): Promise<ParquetFile> {
  const buffer: AsyncBuffer = {
    byteLength: file.size,
    slice: async (start, end = file.size) => (await file.read(start, end - start)).buffer,
  };
  const { metadata, columns, chunks } = await reading(file.name, readFooter(buffer));
  const { row_groups } = metadata;
  // Imported on demand: nearly all files have Snappy, which hyparquet reads.
  const isUsual = chunks.every((chunk) => ["SNAPPY", "UNCOMPRESSED"].includes(chunk?.codec));
  const compressors = isUsual ? undefined : (await import("hyparquet-compressors")).compressors;
  const stored = metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  async function* groups(wanted: readonly string[], most = Number.POSITIVE_INFINITY) {
    let before = 0;
    for (const { num_rows } of row_groups) {
      const rowEnd = before + Number(num_rows);
      if (!(num_rows >= 0 && num_rows <= LIMITS.groupRows))
        throw new FormatError("invalid-parquet", "The file is not a valid Parquet file", {
          where: file.name,
          expected: `row groups of at most ${LIMITS.groupRows} rows`,
          found: `${num_rows}`,
        });
      const last = Math.min(rowEnd, before + most);
      const options = { file: buffer, metadata, columns: [...wanted], rowStart: before, rowEnd: last };
      const rows = await reading(
        file.name,
        parquetReadObjects(compressors ? { ...options, compressors } : options) as Promise<ParquetRow[]>,
      );
      yield { before, rows };
      before = rowEnd;
    }
  }
  return {
    names: columns.map(({ name }) => name),
    plain: columns.filter(isPlain).map(({ name }) => name),
    lists: columns.filter(isList).map(({ name }) => name),
    classes: (column) => storedClasses(stored, column),
    groups,
  };
}

async function readFooter(buffer: AsyncBuffer) {
  const metadata = await parquetMetadataAsync(buffer);
  const { schema, row_groups } = metadata;
  // The schema is a tree in depth-first order: the columns of the table are the children of the first element.
  const columns: SchemaElement[] = [];
  for (let at = 1; at < schema.length; at = behind(schema, at)) columns.push(schema[at]!);
  if (columns.some(({ name }) => typeof name !== "string")) throw new Error("a column without a name");
  const chunks = row_groups.flatMap((group) => group.columns.map(({ meta_data }) => meta_data!));
  return { metadata, columns, chunks };
}

/** The index of the element after `at` and all that is below it. */
function behind(schema: readonly { num_children?: number }[], at: number): number {
  let next = at + 1;
  for (let i = schema[at]!.num_children ?? 0; i > 0 && next < schema.length; i--) next = behind(schema, next);
  return next;
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

/** A value as text: nested ones as JSON. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object") return String(value);
  return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner));
}

/** A Parquet file's columns as JSON lines: row N on line N. */
interface ParquetLines extends FileReader {
  /** The names of the classes in a column, if it has class numbers. */
  classes(column: string): readonly string[] | undefined;
}

/** Chooses columns by their names and the values in the first rows. Throws DataError. */
type PickColumns = (names: string[], sample: () => Promise<string[][]>) => Promise<readonly string[]>;

/** Rows that decide which columns are text and label. */
const SAMPLE_ROWS = 200;

/** Reads the columns that `pick` chooses; those in `lists` may have lists. Throws FormatError, DataError. */
export async function parquetLines(
  file: FileReader,
  pick: PickColumns,
  lists: readonly string[] = [],
): Promise<ParquetLines> {
  const opened = await openParquet(file);
  const listed = opened.lists.filter((name) => lists.includes(name));
  const table = { ...opened, plain: [...opened.plain, ...listed] };
  const columns = await pickColumns(file.name, table, pick);
  const classes = new Map(columns.map((name) => [name, table.classes(name)]));
  const lines = new Lines(file.name, columns);
  for await (const { before, rows } of table.groups(columns))
    for (const [i, row] of rows.entries()) {
      const values = columns.map((name) => [
        name,
        listed.includes(name) ? JSON.parse(valueText(row[name]) || "null") : plainValue(row[name], classes.get(name)),
      ]);
      lines.add(JSON.stringify(Object.fromEntries(values)), before + i + 1);
    }
  const bytes = await lines.bytes();
  return { ...bytesReader(file.name, bytes), classes: (column) => classes.get(column) };
}

/** A value as JSON has it. -1 is no class: an empty label. */
function plainValue(value: unknown, classes: readonly string[] | undefined): string | number | boolean | null {
  if (classes && Number(value) === -1) return "";
  if (value === null || value === undefined) return null;
  return typeof value === "number" || typeof value === "boolean" ? value : valueText(value);
}

async function pickColumns(where: string, table: ParquetFile, pick: PickColumns): Promise<readonly string[]> {
  const { names, plain } = table;
  const sample = async () => {
    for await (const { rows } of table.groups(plain, SAMPLE_ROWS))
      return rows.map((row) => plain.map((name) => valueText(row[name])));
    return [];
  };
  const others = names.filter((name) => !plain.includes(name));
  try {
    const picked = await pick([...plain], sample);
    const missing = picked.find((name) => !plain.includes(name));
    if (missing !== undefined)
      throw new DataError("no-such-column", `There is no column "${missing}"`, { where, found: nameList(plain) });
    return picked;
  } catch (error) {
    if (!(error instanceof DataError) || others.length === 0) throw error;
    const [summary] = error.message.split("\n");
    const isMissing = error.code === "no-such-column";
    const asked = isMissing ? others.find((name) => summary!.includes(`"${name}"`)) : undefined;
    throw new DataError(
      asked === undefined ? error.code : "column-without-text",
      asked === undefined ? summary! : `The column "${asked}" has no texts or numbers`,
      {
        ...error.details,
        where,
        found: `${nameList(plain)}; lists, structures or bytes in ${nameList(others)}`,
      },
    );
  }
}

/** Whether a row of the first row group has a class: the hub's tests without answers have -1 in all rows. */
export async function hasClasses(file: FileReader, pick: PickColumns): Promise<boolean> {
  const table = await openParquet(file);
  const column = (await pickColumns(file.name, table, pick))[1]!;
  if (table.classes(column) === undefined) return true;
  for await (const { rows } of table.groups([column])) return rows.some((row) => Number(row[column]) !== -1);
  return true;
}
