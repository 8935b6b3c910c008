/** A list of rows of a corpus: a training, validation or test set. */
import { DataError } from "../core/errors.ts";
import type { TextOrPair } from "../core/pair.ts";
import type { Outputs } from "../labels/kind.ts";
import { type Corpus, type PackedBatch, shuffled } from "./corpus.ts";

/** How rows are padded: not at all, to the training set's longest row (as in the paper), or to a number of tokens. */
export type Padding = "none" | "longest" | number;

/** Statistics of a set. Tokens per row are as in training: <|endoftext|> for an empty text counts, padding does not. */
export interface DatasetStats {
  rows: number;
  tokens: number;
  mean: number;
  median: number;
  p95: number;
  max: number;
  /** Rows that were truncated to maxLength, and their share of all rows. */
  cut: number;
  cutShare: number;
  /** Rows with an empty text; pairs of which a text is empty. */
  empty: number;
  /** Rows of each class or label, by its name. */
  classes: Record<string, number>;
}

export interface DatasetBatch extends PackedBatch {
  /** [B] positions of the rows in the data set. */
  positions: Uint32Array;
  /** [B, outputs] what each output should be, where labels are not classes. */
  values?: Float32Array<ArrayBuffer>;
}

/** Rows of a corpus in a certain order. Immutable: `balance`, `shuffle` and `select` return new sets. */
export class Dataset {
  readonly size: number;
  /** Built on first use: most sets are intermediate results. */
  private made: ReturnType<Corpus["table"]> | undefined;

  /**
   * `rows` are row numbers of `corpus`. `padTo` > 0 pads or truncates rows to that length in batches; 0: neither.
   * `outputs`: what labels stand for, unless they are classes.
   */
  constructor(
    private readonly corpus: Corpus,
    private readonly rows: Uint32Array<ArrayBuffer>,
    readonly padTo = 0,
    private readonly outputs: Outputs | null = null,
  ) {
    this.size = rows.length;
  }

  /** Class names by class id; of a regression and of several labels, the labels as they were written. */
  get labels(): readonly string[] {
    return this.corpus.labels;
  }

  /** [size] tokens of each row, padding not counted. */
  get lengths(): Uint32Array<ArrayBuffer> {
    return this.table.lengths;
  }

  /** [size] tokens of each row before it was truncated. */
  get fullLengths(): Uint32Array<ArrayBuffer> {
    return this.table.fullLengths;
  }

  private get table() {
    this.made ??= this.corpus.table(this.rows, this.padTo);
    return this.made;
  }

  /** Tokens of row `i`, padding not counted. */
  tokenCount(i: number): number {
    return this.lengths[this.checked(i)]!;
  }

  /** Tokens that row `i` takes in a batch, padding included. */
  batchTokenCount(i: number): number {
    return this.padTo === 0 ? this.tokenCount(i) : this.padTo;
  }

  /** The class id of row `i`. */
  label(i: number): number {
    return this.table.labels[this.checked(i)]!;
  }

  /** What each output should be for row `i`. */
  values(i: number): Float32Array {
    return this.outputs!.values[this.label(i)]!;
  }

  /** The number of row `i` in the corpus: its place, from 0, among all rows of all files in the order of reading. */
  place(i: number): number {
    return this.rows[this.checked(i)]!;
  }

  /** The text of row `i`, or both of a pair, as read, not truncated; invalid UTF-8 is replaced. */
  text(i: number): TextOrPair {
    return this.corpus.text(this.rows[this.checked(i)]!);
  }

  /** [size] the place of the first row that was read whose text is a near-duplicate of each row's, or its own. */
  firstCopies(): Uint32Array {
    return this.corpus.firstCopies(this.rows);
  }

  /** Drops random rows until every class is as large as the smallest. The order stays. */
  balance(seed: number): Dataset {
    return this.with(this.corpus.balanced(this.rows, seed));
  }

  /** The same rows in an order that depends only on `seed`. */
  shuffle(seed: number): Dataset {
    return this.with(shuffled(this.rows, seed));
  }

  select(positions: ArrayLike<number>): Dataset {
    return this.with(Uint32Array.from(positions, (i) => this.rows[this.checked(i)]!));
  }

  /** The same rows, padded or truncated to `padTo` tokens in batches; 0: neither. */
  padded(padTo: number): Dataset {
    return new Dataset(this.corpus, this.rows, padTo, this.outputs);
  }

  /** The same rows, whose labels stand for these outputs; null: for classes. */
  withOutputs(outputs: Outputs | null): Dataset {
    return new Dataset(this.corpus, this.rows, this.padTo, outputs);
  }

  batch(order: ArrayLike<number>): DatasetBatch {
    const rows = Uint32Array.from(order, (i) => this.rows[this.checked(i)]!);
    const packed = { ...this.corpus.pack(rows, this.padTo), positions: Uint32Array.from(order) };
    const { outputs } = this;
    if (!outputs) return packed;
    return { ...packed, values: Float32Array.from([...packed.labels].flatMap((label) => [...outputs.values[label]!])) };
  }

  /** Positions 0 to size - 1, shuffled. The order depends only on `seed` and `stream` (the epoch). */
  order(seed: number, stream: number): Uint32Array<ArrayBuffer> {
    return shuffled(this.positions(), seed, stream);
  }

  positions(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: this.size }, (_, i) => i);
  }

  stats(): DatasetStats {
    const { lengths, fullLengths, empty } = this.table;
    const sorted = lengths.slice().sort();
    const at = (share: number) => sorted[Math.min(this.size - 1, Math.floor(share * this.size))] ?? 0;
    const tokens = sorted.reduce((a, b) => a + b, 0);
    const middle = this.size % 2 === 1 ? at(0.5) : (at(0.5) + (sorted[this.size / 2 - 1] ?? 0)) / 2;
    const cut = lengths.reduce((n, length, i) => n + (fullLengths[i]! > length ? 1 : 0), 0);
    return {
      rows: this.size,
      tokens,
      mean: tokens / (this.size || 1),
      median: middle,
      p95: at(0.95),
      max: sorted.at(-1) ?? 0,
      cut,
      cutShare: cut / (this.size || 1),
      empty: empty.reduce((n, one) => n + one, 0),
      classes: this.classes(),
    };
  }

  /** Rows of each class, or with each of several labels, by its name; a regression has none. */
  classes(): Record<string, number> {
    const { outputs } = this;
    if (outputs) {
      const rows = Array.from(this.table.labels, (label) => outputs.values[label]!);
      return Object.fromEntries(outputs.counted.map((name, i) => [name, rows.reduce((sum, row) => sum + row[i]!, 0)]));
    }
    const counts = new Array<number>(this.labels.length).fill(0);
    for (const label of this.table.labels) counts[label]!++;
    return Object.fromEntries(this.labels.map((name, id) => [name, counts[id]!]));
  }

  private with(rows: Uint32Array<ArrayBuffer>): Dataset {
    return new Dataset(this.corpus, rows, this.padTo, this.outputs);
  }

  private checked(i: number): number {
    if (Number.isInteger(i) && i >= 0 && i < this.size) return i;
    throw new DataError("index-out-of-range", "No such row", { expected: `0 to ${this.size - 1}`, found: String(i) });
  }
}

/** Rows of each class in several sets. */
export function addClasses(sets: readonly Dataset[]): Record<string, number> {
  const classes = new Map<string, number>();
  for (const set of sets)
    for (const [name, count] of Object.entries(set.classes())) classes.set(name, (classes.get(name) ?? 0) + count);
  return Object.fromEntries(classes);
}

/** The validation set's share of a training set that it is taken from, after that of the training set. */
export const HELD_OUT = [0.9, 0.1] as const;

/** Throws DataError unless the shares of a split add up to 1, and there is a training set. */
export function checkFractions(fractions: readonly number[]): void {
  const [training = 0] = fractions;
  const sum = fractions.reduce((a, b) => a + b, 0);
  if (!(training > 0) || fractions.some((f) => !(f >= 0)) || Math.abs(sum - 1) > 1e-6)
    throw new DataError("invalid-split", "The fractions of the split are invalid", {
      expected: "fractions that add up to 1, the first above 0",
      found: fractions.join(", "),
    });
}

/** Rows in their order, in parts of these sizes. */
export function cutParts<T extends { length: number; slice(start: number, end: number): T }>(
  rows: T,
  fractions: readonly number[],
): T[] {
  let end = 0;
  return partSizes(rows.length, fractions).map((count) => {
    end += count;
    return rows.slice(end - count, end);
  });
}

/** The rows in each part of `size`: floor(size * fraction); the last part with a fraction above 0 gets the rest. */
export function partSizes(size: number, fractions: readonly number[]): number[] {
  checkFractions(fractions);
  // The small addend corrects rounding: 0.7 * 10 must give 7 rows.
  const sizes = fractions.map((fraction) => Math.floor(size * fraction + 1e-6));
  const last = fractions.findLastIndex((fraction) => fraction > 0);
  sizes[last]! += size - sizes.reduce((a, b) => a + b, 0);
  return sizes;
}
