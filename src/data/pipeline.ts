/** data.wasm as it reads files: its exports for rows, and the bytes that it is fed. */
import { DataError } from "../core/errors.ts";
import type { FileReader } from "../platform/reader.ts";
import { utf8Pieces } from "./table/encoding.ts";
import type { DataExports, DataModule } from "./wasm.ts";

/** The exports of data.wasm for the pipeline; see assembly/data/. Addresses are byte offsets, lists are u32. */
export interface PipelineExports extends DataExports {
  rows_clear(): void;
  row_count(): number;
  row_text(row: number, part: number): number;
  row_text_bytes(): number;
  settle_labels(kept: number): void;
  label_add(name: number, length: number, line: number): number;
  label_count(): number;
  label_name(id: number): number;
  label_bytes(id: number): number;
  label_line(id: number): number;
  read_begin(format: number, separator: number): void;
  read_sample(rows: number): void;
  read_settings(
    fields: number,
    text: number,
    label: number,
    second: number,
    skip: number,
    maxLength: number,
    learn: number,
    tolerant: number,
  ): void;
  read_labels(list: number, count: number): void;
  read_texts(): void;
  text_count(): number;
  text_bytes(): number;
  text_ends(): number;
  read_keys(names: number, bytes: number, lengths: number, columns: number): void;
  feed(bytes: number, length: number): number;
  finish(): void;
  error_code(): number;
  error_line(): number;
  error_first(): number;
  error_second(): number;
  left_out_count(): number;
  left_out_errors(): number;
  left_out_words(): number;
  sample_count(): number;
  sample_rows(): number;
  fields_bytes(): number;
  fields_ends(): number;
  batch_tokens(rows: number, count: number, padTo: number): number;
  pack(ids: number, starts: number, labels: number, lengths: number, rows: number, count: number, padTo: number): void;
  row_table(
    lengths: number,
    full: number,
    empty: number,
    labels: number,
    rows: number,
    count: number,
    padTo: number,
  ): void;
}

/** Tells the module the keys of text, label and, of pairs, the second text in JSON, or the paths to them. */
export function nameKeys(module: DataModule, names: readonly string[]): void {
  const wasm = module.exports as PipelineExports;
  const keys = names.map((name) => new TextEncoder().encode(name));
  const bytes = new Uint8Array(keys.flatMap((key) => [...key]));
  const [at, lengths] = [bytes, new Uint8Array(Uint32Array.from(keys, ({ length }) => length).buffer)].map((data) =>
    module.write(data),
  ) as [number, number];
  wasm.read_keys(at, bytes.length, lengths, keys.length);
  wasm.free(at);
  wasm.free(lengths);
}

/** Tells the module the fields of labels that have a column each, without the first. */
export function joinFields(pipeline: Pipeline, fields: readonly number[]): void {
  if (fields.length === 0) return;
  const wasm = pipeline.open();
  const list = pipeline.module.write(new Uint8Array(Uint32Array.from(fields).buffer));
  wasm.read_labels(list, fields.length);
  wasm.free(list);
}

/** What stopped the reading. */
export const readError = (wasm: PipelineExports) => ({
  code: wasm.error_code(),
  line: wasm.error_line(),
  first: wasm.error_first(),
  second: wasm.error_second(),
});

export interface FeedOptions {
  chunkBytes: number;
  /** The file's encoding, unless it begins with a byte order mark. Default UTF-8. */
  encoding?: string | undefined;
}

/** A module that reads files for one owner: a second pipeline in it ends the first. */
export class Pipeline {
  private static readonly owners = new WeakMap<DataModule, Pipeline>();
  private readonly wasm: PipelineExports;
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(readonly module: DataModule) {
    this.wasm = module.exports as PipelineExports;
    Pipeline.owners.set(module, this);
    this.wasm.rows_clear();
  }

  /** The exports. Throws DataError if another pipeline has taken over the module. */
  open(): PipelineExports {
    if (Pipeline.owners.get(this.module) === this) return this.wasm;
    throw new DataError("data-released", "The rows are no longer in memory", {
      found: "another data set was loaded into the same module",
      hint: "use a separate module for every data set",
    });
  }

  /** Feeds the file to the module in chunks, until it ends or the module stops; returns whether it ended. */
  async feed(file: FileReader, { chunkBytes, encoding }: FeedOptions): Promise<boolean> {
    const wasm = this.open();
    const buffer = wasm.alloc(chunkBytes) >>> 0;
    try {
      for await (const piece of utf8Pieces(file, chunkBytes, encoding)) {
        this.open();
        this.module.bytes(buffer, piece.length).set(piece);
        if (wasm.feed(buffer, piece.length) === 0) return false;
      }
      wasm.finish();
      return true;
    } finally {
      wasm.free(buffer);
    }
  }

  decode(address: number, length: number): string {
    return this.decoder.decode(this.module.bytes(address >>> 0, length));
  }
}
