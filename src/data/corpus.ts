/** The rows of files, in a module: read, labelled, packed into batches. */
import { DataError, type LowrankError } from "../core/errors.ts";
import type { Pair, TextOrPair } from "../core/pair.ts";
import type { LeftOut } from "../core/places.ts";
import { Rng } from "../core/rng.ts";
import type { LabelKind } from "../labels/kind.ts";
import type { FileReader } from "../platform/reader.ts";
import { firstCopies } from "./duplicates.ts";
import { type FeedOptions, joinFields, Pipeline, readError } from "./pipeline.ts";
import { type CellRows, cellNames, writeCells } from "./table/cell-writer.ts";
import type { FoundNames } from "./table/column-facts.ts";
import type { ColumnChoice } from "./table/columns.ts";
import { FORMATS } from "./table/dialect.ts";
import { describeRowError, ROW_ERRORS, type RowError } from "./table/row-errors.ts";
import { openText } from "./table/text-table.ts";
import type { DataModule } from "./wasm.ts";

export { bytesReader } from "../platform/reader.ts";

/** Of `read_settings`: new labels are accepted (1), also empty ones. */
const LEARN = { sets: 2 } as const;

export const CHUNK_BYTES = 1 << 18;

export interface ReadOptions extends ColumnChoice, FeedOptions {
  sheet?: string | undefined;
  /** Between several labels in a cell. */
  labelSeparator?: string | undefined;
  /** The longest row in tokens; longer rows are truncated at the end. */
  maxLength: number;
  /** Scores and sets of labels differ between files, and a message may have no label of several. */
  labelsAre: LabelKind;
  /** Whether invalid rows are skipped and reported in `leftOut`. */
  skipFaulty?: boolean;
  /** Whether the next file belongs to the same set: only the last one of the first set completes the labels. */
  more?: boolean;
  /** The first classes, in this order, whether rows have them or not. */
  labels?: readonly string[] | undefined;
}

/** N packed tokens of B sequences. */
export interface PackedBatch {
  /** [N] token ids of the concatenated sequences. */
  ids: Uint32Array<ArrayBuffer>;
  /** [B + 1] where each sequence begins, and N. */
  starts: Uint32Array<ArrayBuffer>;
  /** [B] class ids. */
  labels: Int32Array<ArrayBuffer>;
  /** [B] tokens of each sequence, padding not counted. */
  lengths: Uint32Array<ArrayBuffer>;
}

/**
 * A shuffled copy of `rows`. The order depends only on `seed` and `stream`: stream 0 uses the seed itself, others
 * (epoch numbers) are derived from its first draw.
 */
export function shuffled(rows: Uint32Array<ArrayBuffer>, seed: number, stream = 0): Uint32Array<ArrayBuffer> {
  return new Rng(stream === 0 ? seed : new Rng(seed).next() + stream).shuffle(rows.slice());
}

/**
 * Owns the rows in one module. A module holds one corpus: creating a second one invalidates the first. The memory of
 * the rows is freed with the module. Read the training set first: the first file defines the classes.
 */
export class Corpus {
  private readonly pipeline: Pipeline;
  /** Class names by class id. */
  labels: string[] = [];
  /** The column of the labels, and those of the texts if they are pairs, as the first file names them. */
  labelColumn = "label";
  /** The columns of labels that have one each, with 0 and 1. */
  labelColumns: readonly string[] | undefined;
  pairColumns: Pair | undefined;
  /** How the columns of the first file were chosen, if not by their names, and which they are. */
  chosen: { why: string; columns: ColumnChoice } | undefined;
  /** The line where each class occurs first; 0: in no row. */
  labelLines: number[] = [];
  /** Before decimals of scores; undefined: none has had decimals. */
  decimalSign: "." | "," | undefined;
  readonly leftOut: LeftOut = { rows: 0, rowErrors: [] };
  /** Class names by the number that is the label. */
  private classes: readonly string[] | undefined;
  /** Class ids by their numbers in the module, once classes were dropped. */
  private classIds: Int32Array | undefined;
  /** Made on first use. */
  private firsts: Uint32Array | undefined;

  constructor(private readonly module: DataModule) {
    this.pipeline = new Pipeline(module);
  }

  /** Reads rows; returns their numbers. The first file defines the classes; later files must not have others. */
  async read(file: FileReader | CellRows, options: ReadOptions): Promise<Uint32Array<ArrayBuffer>> {
    const wasm = this.pipeline.open();
    const first = wasm.row_count();
    this.firsts = undefined;
    const { labelsAre, labels = [] } = options;
    const learn = this.labels.length === 0 || !labelsAre.classOf;
    const isText = "size" in file;
    const accepted = labelsAre.isList ? LEARN.sets : Number(learn);
    const { maxLength, skipFaulty = false } = options;
    const table = isText ? await openText(this.pipeline, file, options, options) : null;
    table?.begin(maxLength, accepted, skipFaulty);
    const names = table?.columns ?? this.prepareCells(file as CellRows, options, accepted);
    if (learn) this.classes = isText ? undefined : file.classes;
    if (learn && wasm.label_count() === 0) this.addLabels(labels);
    this.notePair(names, first === 0, file.name);
    const fail = (atEnd: boolean) => this.rowError(file.name, names, atEnd);
    if (!isText) await writeCells(this.pipeline, file, skipFaulty, () => fail(false));
    const atEnd = isText && (await this.pipeline.feed(file, options));
    if (wasm.error_code() !== 0) throw fail(atEnd);
    this.noteLeftOut(file.name, names);
    const count = wasm.row_count() - first;
    if (count === 0 && this.leftOut.rowErrors[0]) throw this.leftOut.rowErrors[0];
    if (count === 0)
      throw new DataError("no-rows", "The file has no rows", { where: file.name, found: "only a header" });
    if (learn && !options.more) {
      this.labelColumn = names.labelName;
      this.labelColumns = names.labelNames;
      wasm.settle_labels(labels.length);
      this.labels = Array.from({ length: wasm.label_count() }, (_, id) =>
        this.labelClass(this.pipeline.decode(wasm.label_name(id), wasm.label_bytes(id))),
      );
      this.labelLines = this.labels.map((_, id) => wasm.label_line(id));
    }
    return Uint32Array.from({ length: count }, (_, i) => first + i);
  }

  /** Forgets all rows and their labels, so that other rows can be read. */
  clear(): void {
    this.pipeline.open().rows_clear();
    this.labels = [];
    this.labelLines = [];
  }

  /** Adds the labels of classes before any row. */
  private addLabels(names: readonly string[]): void {
    for (const name of names) {
      const number = this.classes?.indexOf(name) ?? -1;
      const bytes = new TextEncoder().encode(number < 0 ? name : String(number));
      const address = this.module.write(bytes);
      this.pipeline.open().label_add(address, bytes.length, 0);
      this.pipeline.open().free(address);
    }
  }

  /** All files have single texts, or all have pairs, as the first. */
  private notePair({ textName, secondName, labelName, chosen }: FoundNames, isFirst: boolean, where: string): void {
    const pair: Pair | undefined = secondName === undefined ? undefined : [textName, secondName];
    if (isFirst) {
      this.pairColumns = pair;
      const textColumn = pair?.join() ?? textName;
      if (chosen) this.chosen = { why: chosen, columns: { textColumn, labelColumn: labelName } };
    }
    if ((pair === undefined) === (this.pairColumns === undefined)) return;
    throw new DataError("wrong-text-count", `The first file has ${pair ? "single texts" : "pairs of texts"}`, {
      where,
    });
  }

  /** Drops classes of which no row is used any more: the others are numbered again. */
  dropClasses(dropped: ReadonlySet<number>): void {
    const kept = [...this.labels.keys()].filter((id) => !dropped.has(id));
    this.classIds = new Int32Array(this.labels.length).fill(-1);
    for (const [id, before] of kept.entries()) this.classIds[before] = id;
    this.labels = kept.map((id) => this.labels[id]!);
    this.labelLines = kept.map((id) => this.labelLines[id]!);
  }

  /** Class ids of numbers in the module. */
  private classesOf(labels: Uint32Array): Int32Array<ArrayBuffer> {
    const { classIds } = this;
    return Int32Array.from(labels, (label) => classIds?.[label] ?? label);
  }

  /** The whole text of a row, or both, decoded from its tokens; invalid UTF-8 is replaced. */
  text(row: number): TextOrPair {
    const wasm = this.pipeline.open();
    const part = (i: number) => this.pipeline.decode(wasm.row_text(row, i), wasm.row_text_bytes());
    return this.pairColumns ? [part(0), part(1)] : part(0);
  }

  /** For each row the first one whose text is its near-duplicate, or itself. */
  firstCopies(rows: Uint32Array): Uint32Array {
    this.firsts ??= firstCopies(this.pipeline.open().row_count(), (row) => this.text(row));
    return rows.map((row) => this.firsts![row]!);
  }

  /** A random subset of `rows`, by `seed`, with as many rows of each class as the smallest has. The order stays. */
  balanced(rows: Uint32Array<ArrayBuffer>, seed: number): Uint32Array<ArrayBuffer> {
    const { labels } = this.table(rows, 0);
    const counts = this.labels.map(() => 0);
    for (const label of labels) counts[label]!++;
    const smallest = Math.min(...counts.filter(Boolean));
    const left = counts.fill(smallest);
    const places = rows.map((_, i) => i);
    const kept = new Set(shuffled(places, seed).filter((i) => left[labels[i]!]!-- > 0));
    return rows.filter((_, i) => kept.has(i));
  }

  /** Per row: tokens in a batch, tokens before truncation, 1 if a text is empty, and class id. */
  table(rows: Uint32Array, padTo: number) {
    const wasm = this.pipeline.open();
    const n = rows.length;
    return this.withWords(rows, 4 * n, (address) => {
      const [lengths, full, empty, labels] = [1, 2, 3, 4].map((i) => address + 4 * n * i) as [
        number,
        number,
        number,
        number,
      ];
      wasm.row_table(lengths, full, empty, labels, address, n, padTo);
      return {
        lengths: this.module.words(lengths, n).slice(),
        fullLengths: this.module.words(full, n).slice(),
        empty: this.module.words(empty, n).slice(),
        labels: this.classesOf(this.module.words(labels, n)),
      };
    });
  }

  /** Packs rows. `padTo` > 0 pads or truncates every row to that length; 0: neither. */
  pack(rows: Uint32Array, padTo: number): PackedBatch {
    const wasm = this.pipeline.open();
    const b = rows.length;
    const n = this.withWords(rows, 0, (address) => wasm.batch_tokens(address, b, padTo));
    return this.withWords(rows, n + 3 * b + 1, (address) => {
      const ids = address + 4 * b;
      const starts = ids + 4 * n;
      const labels = starts + 4 * (b + 1);
      const lengths = labels + 4 * b;
      wasm.pack(ids, starts, labels, lengths, address, b, padTo);
      return {
        ids: this.module.words(ids, n).slice(),
        starts: this.module.words(starts, b + 1).slice(),
        labels: this.classesOf(this.module.words(labels, b)),
        lengths: this.module.words(lengths, b).slice(),
      };
    });
  }

  /** Runs `use` with the address of a block that contains `rows`, followed by space for `more` words. */
  private withWords<T>(rows: Uint32Array, more: number, use: (address: number) => T): T {
    const address = this.pipeline.open().alloc(4 * (rows.length + more)) >>> 0;
    try {
      this.module.words(address, rows.length).set(rows);
      return use(address);
    } finally {
      this.pipeline.open().free(address);
    }
  }

  /** Configures the module to read cells. */
  private prepareCells(table: CellRows, { maxLength, skipFaulty = false }: ReadOptions, learn: number): FoundNames {
    const { name, found } = table;
    const wasm = this.pipeline.open();
    const second = found.secondName === undefined ? -1 : 2;
    const names = cellNames(found);
    if (new Set(names).size < names.length)
      throw new DataError("same-column", "Two columns have the same name", { where: name, found: names.join() });
    wasm.read_begin(FORMATS.cells, 0);
    joinFields(this.pipeline, names.map((_, i) => i).slice(second < 0 ? 2 : 3));
    wasm.read_settings(names.length, 0, 1, second, 0, maxLength, learn, Number(skipFaulty));
    return found;
  }

  /** The error that stopped the reading, `atEnd` of the file or before. */
  private rowError(file: string, names: FoundNames, atEnd: boolean): LowrankError {
    return this.asError({ ...readError(this.pipeline.open()), file, atEnd }, names);
  }

  /** Adds the skipped rows of the file to `leftOut`. */
  private noteLeftOut(file: string, names: FoundNames): void {
    const { leftOut } = this;
    const wasm = this.pipeline.open();
    leftOut.rows += wasm.left_out_count();
    // The numbers are signed: -1 stands for the end of a line.
    const words = new Int32Array(this.module.words(wasm.left_out_errors() >>> 0, wasm.left_out_words()));
    for (let i = 0; i < words.length; i += 4) {
      const at = { line: words[i + 1]!, first: words[i + 2]!, second: words[i + 3]! };
      leftOut.rowErrors.push(this.asError({ code: words[i]!, ...at, file, atEnd: false }, names));
    }
  }

  private asError(rowError: RowError, names: FoundNames): LowrankError {
    const { textName, labelName, secondName, labelNames = [labelName] } = names;
    const unknownLabel =
      rowError.code === ROW_ERRORS.LABEL
        ? this.labelClass(this.pipeline.decode(rowError.first >>> 0, rowError.second))
        : "";
    return describeRowError(rowError, {
      columns: [textName, labelNames[0]!, secondName, ...labelNames.slice(1)],
      labels: this.labels,
      unknownLabel,
    });
  }

  private labelClass(label: string): string {
    return (/^\d+$/.test(label) ? this.classes?.[Number(label)] : undefined) ?? label;
  }
}
