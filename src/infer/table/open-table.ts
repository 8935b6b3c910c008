/** Opens tables: data.wasm finds the rows of a text file, as it does for training. */

import { openFile } from "#platform";
import { concat } from "../../core/concat.ts";
import type { TextOrPair } from "../../core/pair.ts";
import { placeOf } from "../../core/places.ts";
import { type FeedOptions, Pipeline, type PipelineExports, readError } from "../../data/pipeline.ts";
import { type CellFile, cellValue, textOf } from "../../data/table/cells.ts";
import type { FoundNames } from "../../data/table/column-facts.ts";
import { chooseCells, type TableChoice } from "../../data/table/columns.ts";
import { type DataFormat, tableFormat } from "../../data/table/dialect.ts";
import { utf8Pieces } from "../../data/table/encoding.ts";
import { describeRowError } from "../../data/table/row-errors.ts";
import { openText, type TextTable } from "../../data/table/text-table.ts";
import { DataModule } from "../../data/wasm.ts";
import { csvField } from "../../io/csv.ts";
import { NONE } from "../../labels/none.ts";
import type { FileReader } from "../../platform/reader.ts";
import type { Table, TableRow } from "./table.ts";

/** Bytes read at a time: enough rows for some batches. */
const CHUNK_BYTES = 1 << 16;

export interface TableOptions extends Pick<TableChoice, "textColumn" | "likelyTextColumn" | "isPair"> {
  /** The file's encoding, unless it begins with a byte order mark. Default UTF-8. */
  encoding?: string | undefined;
  /** The sheet of an Excel file. Default: the only one with cells. */
  sheet?: string | undefined;
  chunkBytes?: number;
}

/**
 * Opens a CSV, TSV, JSON, Excel or Parquet file and finds its columns. Throws ConfigError, DataError or FormatError.
 */
export async function openTable(
  path: string,
  { encoding, sheet, chunkBytes = CHUNK_BYTES, ...columns }: TableOptions = {},
): Promise<Table> {
  const choice = { ...columns, labelsAre: NONE };
  const file = await openFile(path);
  try {
    const cells = await tableFormat(path)?.open?.(file, sheet);
    if (cells) return await openCells(file, cells, choice);
    const module = await DataModule.load();
    const table = await openText(new Pipeline(module), file, choice, { encoding, chunkBytes: CHUNK_BYTES });
    return new TextFile(file, module, table, { encoding, chunkBytes });
  } catch (error) {
    await file.close();
    throw error;
  }
}

const [LF, CR, CLOSE] = [10, 13, 125];

const textsOf = ({ textName, secondName }: FoundNames) => [textName, ...(secondName === undefined ? [] : [secondName])];

/** A CSV, TSV or JSON file. */
class TextFile implements Table {
  readonly format: DataFormat;
  readonly separator: string;
  readonly names: string[];
  private readonly texts: readonly string[];

  constructor(
    private readonly file: FileReader,
    private readonly module: DataModule,
    private readonly table: TextTable,
    private readonly reading: FeedOptions,
  ) {
    const { format, separator } = table.dialect;
    this.format = format === "array" ? "jsonl" : format;
    this.separator = separator;
    // The objects of nested keys have names, too.
    const isJson = this.format === "jsonl";
    this.names = table.names.flatMap((name) => (isJson ? [name, name.split(".")[0]!] : name));
    this.texts = textsOf(table.columns);
  }

  get textColumn(): string {
    return this.texts.join();
  }

  async *rows(): AsyncGenerator<TableRow[]> {
    const { file, module } = this;
    const { encoding, chunkBytes } = this.reading;
    const wasm = module.exports as PipelineExports;
    this.table.begin(0, 0, false);
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
      const text: TextOrPair = this.texts.length > 1 ? [first, second] : first;
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
    const [text = "", secondText] = this.texts;
    const context = { columns: [text, text, secondText] as const, labels: [], unknownLabel: "" };
    return describeRowError({ ...readError(wasm), file: this.file.name, atEnd }, context);
  }
}

/** A sheet or a Parquet file, whose copy is CSV. */
async function openCells(file: FileReader, table: CellFile, choice: TableChoice): Promise<Table> {
  const { found, columns: at, header, names } = await chooseCells(table, choice, file.name);
  const texts = textsOf(found);
  const columns = Array.from({ length: table.names?.length ?? found.width }, (_, i) => i);
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
