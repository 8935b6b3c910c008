/** Opens tables: data.wasm finds the rows of a text file, as it does for training. */

import { openFile } from "#platform";
import { concat } from "../../concat.ts";
import { nameKeys, Pipeline, type PipelineExports } from "../../data/pipeline.ts";
import { placeOf } from "../../data/places.ts";
import { readSample } from "../../data/sample.ts";
import { type CellFile, cellValue, textOf } from "../../data/table/cells.ts";
import { chooseCells, findColumns, sampleTable, type TableChoice } from "../../data/table/columns.ts";
import { type DataFormat, type Dialect, dataFormat, FORMATS, tableFormat } from "../../data/table/dialect.ts";
import { utf8Pieces } from "../../data/table/encoding.ts";
import { describeRowError } from "../../data/table/row-errors.ts";
import { DataModule } from "../../data/wasm.ts";
import { csvField } from "../../io/csv.ts";
import type { TextOrPair } from "../../pair.ts";
import type { FileReader } from "../../platform/reader.ts";
import type { Table, TableRow } from "./table.ts";

/** Bytes read at a time: enough rows for some batches. */
const CHUNK_BYTES = 1 << 16;

/** Whether the rows of a table are written in another format than its own: as CSV. */
export const isWrittenAsCsv = (file: string) => tableFormat(file)?.open !== undefined;

export function outputFormat(file: string): DataFormat {
  return isWrittenAsCsv(file) ? "csv" : dataFormat(file);
}

export interface TableOptions extends Pick<TableChoice, "textColumn" | "likelyTextColumn" | "isPair"> {
  /** The file's encoding, unless it begins with a byte order mark. Default UTF-8. */
  encoding?: string | undefined;
  /** The sheet of an Excel file. Default: the only one with cells. */
  sheet?: string | undefined;
  chunkBytes?: number;
}

/** Opens a CSV, TSV, JSON, Excel or Parquet file and finds its columns. Throws ConfigError, DataError or FormatError. */
export async function openTable(
  path: string,
  { encoding, sheet, chunkBytes = CHUNK_BYTES, ...columns }: TableOptions = {},
): Promise<Table> {
  const choice = { ...columns, labelsAre: null };
  const file = await openFile(path);
  try {
    const cells = await tableFormat(path)?.open?.(file, sheet);
    if (cells) return await openCells(file, cells, choice);
    return await TextTable.open(file, choice, { encoding, chunkBytes });
  } catch (error) {
    await file.close();
    throw error;
  }
}

const [LF, CR, CLOSE] = [10, 13, 125];

interface Reading {
  encoding: string | undefined;
  chunkBytes: number;
}

/** A CSV, TSV or JSON file. */
class TextTable implements Table {
  readonly format: DataFormat;
  readonly separator: string;

  private constructor(
    private readonly file: FileReader,
    private readonly module: DataModule,
    private readonly reading: Reading,
    private readonly dialect: Dialect,
    readonly names: string[],
    private readonly textColumns: readonly string[],
    private readonly begin: (wasm: PipelineExports) => void,
  ) {
    this.format = dialect.format === "array" ? "jsonl" : dialect.format;
    this.separator = dialect.separator;
  }

  static async open(file: FileReader, choice: TableChoice, reading: Reading): Promise<TextTable> {
    const module = await DataModule.load();
    const { dialect, rows } = await readSample(new Pipeline(module), file, { ...reading, chunkBytes: CHUNK_BYTES });
    const isJson = dataFormat(file.name) === "jsonl";
    const table = sampleTable(rows, isJson);
    const { text, textName, second, secondName, header, width } = findColumns(table, choice, file.name);
    const texts = [textName, ...(secondName === undefined ? [] : [secondName])];
    // The objects of nested keys have names, too.
    const keys = table.names?.flatMap((key) => [key, key.split(".")[0]!]);
    const names = keys ?? (header ? rows[0]! : []);
    return new TextTable(file, module, reading, dialect, names, texts, (wasm) => {
      if (isJson) nameKeys(module, [textName, ...texts]);
      const at = isJson
        ? ([0, 0, 0, second < 0 ? -1 : 0, 0] as const)
        : ([width, text, text, second, Number(header)] as const);
      wasm.read_settings(...at, 0, 0, 0);
    });
  }

  get textColumn(): string {
    return this.textColumns.join();
  }

  async *rows(): AsyncGenerator<TableRow[]> {
    const { file, module, dialect } = this;
    const { encoding, chunkBytes } = this.reading;
    const wasm = module.exports as PipelineExports;
    wasm.read_begin(FORMATS[dialect.format], dialect.separator.charCodeAt(0));
    this.begin(wasm);
    wasm.read_texts();
    const buffer = wasm.alloc(chunkBytes) >>> 0;
    let before = new Uint8Array();
    let isFirst = true;
    const take = (piece: Uint8Array, atEnd: boolean) => {
      module.bytes(buffer, piece.length).set(piece);
      wasm.feed(buffer, piece.length);
      if (atEnd) wasm.finish();
      if (wasm.error_code() !== 0) throw this.error(wasm, atEnd);
      const bytes = concat(Uint8Array, [before, piece]);
      const { rows, end } = this.completed(wasm, bytes, before.length, isFirst);
      before = bytes.slice(end);
      if (rows.length > 0) isFirst = false;
      if (atEnd && before.length > 0) rows.push({ bytes: before, at: -1, text: null });
      return rows;
    };
    try {
      for await (const piece of utf8Pieces(file, chunkBytes, encoding)) yield take(piece, false);
      yield take(new Uint8Array(), true);
    } finally {
      wasm.free(buffer);
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** The rows that the last chunk completed, and where they end in `bytes`, in which the chunk begins at `start`. */
  private completed(wasm: PipelineExports, bytes: Uint8Array, start: number, isFirst: boolean) {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    const ends = this.module.words(wasm.text_ends() >>> 0, 3 * wasm.text_count());
    const rows: TableRow[] = [];
    let [at, end] = [0, 0];
    const values = wasm.text_bytes() >>> 0;
    const take = (to: number) => {
      const value = decoder.decode(this.module.bytes(values + at, to - at));
      at = to;
      return value;
    };
    for (let i = 0; i < ends.length; i += 3) {
      const next = start + ends[i + 2]!;
      const isHeader = isFirst && i === 0 && this.names.length > 0 && this.format !== "jsonl";
      const row = bytes.subarray(end, next);
      const [first, second] = [take(ends[i]!), take(ends[i + 1]!)];
      const text: TextOrPair = this.textColumns.length > 1 ? [first, second] : first;
      rows.push({ bytes: row, at: this.rowEnd(row), text: isHeader ? null : text });
      end = next;
    }
    return { rows, end };
  }

  /** Where a row ends: before its line end, or before the brace that closes an object. */
  private rowEnd(row: Uint8Array): number {
    if (this.format === "jsonl") return row.lastIndexOf(CLOSE);
    const end = row.at(-1) === LF ? row.length - 1 : row.length;
    return row[end - 1] === CR ? end - 1 : end;
  }

  private error(wasm: PipelineExports, atEnd: boolean): Error {
    const [code, line] = [wasm.error_code(), wasm.error_line()];
    const [first, second] = [wasm.error_first(), wasm.error_second()];
    const [text = "", secondText] = this.textColumns;
    const context = { columns: [text, text, secondText] as const, labels: [], unknownLabel: "" };
    return describeRowError({ code, line, first, second, file: this.file.name, atEnd }, context);
  }
}

/** A sheet or a Parquet file, whose copy is CSV. */
async function openCells(file: FileReader, table: CellFile, choice: TableChoice): Promise<Table> {
  const { found, columns: at, header, names } = await chooseCells(table, choice, file.name);
  const { textName, secondName, width } = found;
  const texts = [textName, ...(secondName === undefined ? [] : [secondName])];
  const columns = Array.from({ length: table.names?.length ?? width }, (_, i) => i);
  async function* rows(): AsyncGenerator<TableRow[]> {
    if (names.length > 0) yield [csvRow(names, null)];
    for await (const some of table.rows(columns, at, header))
      yield some.map(({ number, cells }) => {
        const where = placeOf(file.name, number);
        const [text, second] = at.map((column, i) => textOf(cellValue(cells[column]!, texts[i]!, where)));
        return csvRow(cells.map(textOf), second === undefined ? text! : [text!, second]);
      });
  }
  return {
    format: "csv",
    separator: ",",
    textColumn: texts.join(),
    names: [...names],
    rows,
    close: () => file.close(),
  };
}

const encoder = new TextEncoder();

/** A row, or the header, in which `text` is null. */
function csvRow(values: readonly string[], text: TextOrPair | null): TableRow {
  const bytes = encoder.encode(`${values.map((value) => csvField(value)).join(",")}\r\n`);
  return { bytes, at: bytes.length - 2, text };
}
