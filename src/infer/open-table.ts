/** Opens tables: data.wasm finds the rows of a text file, as it does for training. */
import { openFile } from "#platform";
import { findText, findTextKey } from "../data/columns.ts";
import { Corpus, type PipelineExports } from "../data/corpus.ts";
import { type DataFormat, type Dialect, FORMATS, formatOf } from "../data/dialect.ts";
import { utf8Pieces } from "../data/encoding.ts";
import { errorOf } from "../data/row-errors.ts";
import { DataModule } from "../data/wasm.ts";
import type { FileReader } from "../platform/reader.ts";
import { concat, type Table, type TableRow } from "./table.ts";

/** Bytes that are read at a time: rows for some batches. */
const CHUNK_BYTES = 1 << 16;

const PARQUET = /\.parquet$/i;

/** The format in which the rows of a table are written: its own, but CSV for Parquet. */
export function outputFormat(file: string): DataFormat {
  return PARQUET.test(file) ? "csv" : formatOf(file);
}

export interface TableOptions {
  textColumn?: string | undefined;
  /** The file's encoding, unless it begins with a byte order mark. Default UTF-8. */
  encoding?: string | undefined;
  /** Bytes that are read at a time. */
  chunkBytes?: number;
}

/** Opens a CSV, TSV, JSON or Parquet file and finds its text column. Throws ConfigError, DataError or FormatError. */
export async function openTable(
  path: string,
  { textColumn, encoding, chunkBytes = CHUNK_BYTES }: TableOptions = {},
): Promise<Table> {
  const file = await openFile(path);
  try {
    if (PARQUET.test(path)) return await (await import("./parquet.ts")).openParquet(file, textColumn);
    return await TextTable.open(file, textColumn, { encoding, chunkBytes });
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
    readonly textColumn: string,
    private readonly begin: (wasm: PipelineExports) => void,
  ) {
    this.format = dialect.format === "array" ? "jsonl" : dialect.format;
    this.separator = dialect.separator;
  }

  static async open(file: FileReader, asked: string | undefined, reading: Reading): Promise<TextTable> {
    const module = await DataModule.load();
    const { dialect, rows } = await new Corpus(module).sampleOf(file, { ...reading, chunkBytes: CHUNK_BYTES });
    const names = rows[0] ?? [];
    if (formatOf(file.name) === "jsonl") {
      const name = findTextKey(rows, asked, file.name);
      const keys = names.filter((_, i) => i % 2 === 0);
      return new TextTable(file, module, reading, dialect, keys, name, (wasm) => {
        const key = new TextEncoder().encode(name);
        const address = module.write(new Uint8Array([...key, ...key]));
        wasm.read_keys(address, key.length, key.length);
        wasm.free(address);
        wasm.read_settings(0, 0, 0, 0, 0, 0, 0);
      });
    }
    const { text, textName, header, width } = findText(rows, asked, file.name);
    return new TextTable(file, module, reading, dialect, header ? names : [], textName, (wasm) =>
      wasm.read_settings(width, text, text, Number(header), 0, 0, 0),
    );
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
      const bytes = concat([before, piece]);
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
    const ends = this.module.words(wasm.text_ends() >>> 0, 2 * wasm.text_count());
    const rows: TableRow[] = [];
    let [textStart, end] = [0, 0];
    const texts = wasm.text_bytes() >>> 0;
    for (let i = 0; i < ends.length; i += 2) {
      const [textEnd, next] = [ends[i]!, start + ends[i + 1]!];
      const isHeader = isFirst && i === 0 && this.names.length > 0 && this.format !== "jsonl";
      const row = bytes.subarray(end, next);
      const text = isHeader ? null : decoder.decode(this.module.bytes(texts + textStart, textEnd - textStart));
      rows.push({ bytes: row, at: this.endOf(row), text });
      [textStart, end] = [textEnd, next];
    }
    return { rows, end };
  }

  /** Where a row ends: before its line end, or before the brace that closes an object. */
  private endOf(row: Uint8Array): number {
    if (this.format === "jsonl") return row.lastIndexOf(CLOSE);
    const end = row.at(-1) === LF ? row.length - 1 : row.length;
    return row[end - 1] === CR ? end - 1 : end;
  }

  private error(wasm: PipelineExports, atEnd: boolean): Error {
    const [code, line] = [wasm.error_code(), wasm.error_line()];
    const [first, second] = [wasm.error_first(), wasm.error_second()];
    const context = { textColumn: this.textColumn, labelColumn: this.textColumn, labels: [], unknownLabel: "" };
    return errorOf({ code, line, first, second, file: this.file.name, atEnd }, context);
  }
}
