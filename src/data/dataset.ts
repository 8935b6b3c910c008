/** A list of rows of a corpus: a training, validation or test set. */
import { DataError } from "../errors.ts";
import type { Corpus, PackedBatch } from "./corpus.ts";

/** How rows are filled up: not at all, to the longest row of the training set (the paper's way), or to a number of tokens. */
export type Padding = "none" | "longest" | number;

/** Tokens a row are counted as they are trained on, <|endoftext|> for an empty text included, padding not. */
export interface DatasetStats {
  rows: number;
  tokens: number;
  mean: number;
  median: number;
  p95: number;
  max: number;
  /** Rows that lost tokens to the longest length allowed, and their share of all rows. */
  cut: number;
  cutShare: number;
  /** Rows with an empty text. */
  empty: number;
  /** Rows of each class, by its name. */
  classes: Record<string, number>;
}

/** Rows of a data set as a packed batch. */
export interface DatasetBatch extends PackedBatch {
  /** [B] positions of the rows in the data set. */
  positions: Uint32Array;
}

/** Rows of a corpus in an order of their own. Never changes: `balance`, `shuffle` and `split` return others. */
export class Dataset {
  readonly size: number;
  /** Class names by class id. */
  readonly labels: readonly string[];
  /** Made when it is first asked for: most sets are only steps on the way to others. */
  private made: ReturnType<Corpus["table"]> | undefined;

  /** `rows` are row numbers of `corpus`; `padTo` = 0 packs rows as they are, another value pads or cuts them to it. */
  constructor(
    private readonly corpus: Corpus,
    private readonly rows: Uint32Array<ArrayBuffer>,
    readonly padTo = 0,
  ) {
    this.size = rows.length;
    this.labels = corpus.labels;
  }

  /** [size] tokens of each row, padding not counted. */
  get lengths(): Uint32Array<ArrayBuffer> {
    return this.table.lengths;
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

  /** The text of row `i` as it was read, whole where the row was cut; invalid UTF-8 was replaced. */
  text(i: number): string {
    return this.corpus.text(this.rows[this.checked(i)]!);
  }

  /** Drops rows by chance until every class has as many as the smallest; the order stays. */
  balance(seed: number): Dataset {
    return this.with(this.corpus.balanced(this.rows, seed));
  }

  /** The same rows in an order that depends on `seed` alone. */
  shuffle(seed: number): Dataset {
    return this.with(this.corpus.shuffled(this.rows, seed));
  }

  /**
   * Cuts the rows, in their order, into one part a fraction: each takes floor(size * fraction) rows, the last one all that
   * are left. DataError where fractions do not add up to 1 or a part would be empty.
   */
  split(fractions: readonly number[]): Dataset[] {
    let start = 0;
    return partSizes(this.size, fractions).map((count) => {
      const part = this.rows.slice(start, start + count);
      start += count;
      if (part.length > 0) return this.with(part);
      throw new DataError("Too few rows to split", {
        expected: `at least one row in each of ${fractions.join(", ")}`,
        found: `${this.size} rows`,
      });
    });
  }

  /** The rows at `positions`, in that order. */
  select(positions: ArrayLike<number>): Dataset {
    return this.with(Uint32Array.from(positions, (i) => this.rows[this.checked(i)]!));
  }

  /** The same rows, padded or cut to `padTo` tokens in batches; 0: neither. */
  padded(padTo: number): Dataset {
    return new Dataset(this.corpus, this.rows, padTo);
  }

  /** The rows at positions `order` as a packed batch. */
  batch(order: ArrayLike<number>): DatasetBatch {
    const rows = Uint32Array.from(order, (i) => this.rows[this.checked(i)]!);
    return { ...this.corpus.pack(rows, this.padTo), positions: Uint32Array.from(order) };
  }

  /** Positions 0 to size - 1 shuffled; the order depends on `seed` and `stream` (an epoch) alone. */
  order(seed: number, stream: number): Uint32Array<ArrayBuffer> {
    return this.corpus.shuffled(this.positions(), seed, stream);
  }

  /** Positions 0 to size - 1. */
  positions(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: this.size }, (_, i) => i);
  }

  /** Counts and lengths. */
  stats(): DatasetStats {
    const { lengths, fullLengths } = this.table;
    const sorted = lengths.slice().sort();
    const at = (share: number) => sorted[Math.min(this.size - 1, Math.floor(share * this.size))] ?? 0;
    const tokens = sorted.reduce((a, b) => a + b, 0);
    const middle = this.size % 2 === 1 ? at(0.5) : (at(0.5) + (sorted[this.size / 2 - 1] ?? 0)) / 2;
    const cut = lengths.reduce((n, length, i) => n + (fullLengths[i]! > length ? 1 : 0), 0);
    return {
      rows: this.size,
      tokens,
      mean: tokens / this.size,
      median: middle,
      p95: at(0.95),
      max: sorted.at(-1) ?? 0,
      cut,
      cutShare: cut / this.size,
      empty: fullLengths.reduce((n, length) => n + (length === 0 ? 1 : 0), 0),
      classes: this.classes(),
    };
  }

  /** Rows of each class, by its name. */
  classes(): Record<string, number> {
    const counts = new Array<number>(this.labels.length).fill(0);
    for (const label of this.table.labels) counts[label]!++;
    return Object.fromEntries(this.labels.map((name, id) => [name, counts[id]!]));
  }

  private with(rows: Uint32Array<ArrayBuffer>): Dataset {
    return new Dataset(this.corpus, rows, this.padTo);
  }

  private checked(i: number): number {
    if (Number.isInteger(i) && i >= 0 && i < this.size) return i;
    throw new DataError("No such row", { expected: `0 to ${this.size - 1}`, found: String(i) });
  }
}

/** Rows in each part of `size`: floor(size * fraction), the last part all that are left. DataError unless the sum is 1. */
export function partSizes(size: number, fractions: readonly number[]): number[] {
  const sum = fractions.reduce((a, b) => a + b, 0);
  if (fractions.length === 0 || fractions.some((f) => !(f > 0)) || Math.abs(sum - 1) > 1e-6) {
    throw new DataError("A split that does not add up", {
      expected: "fractions above 0 with the sum 1",
      found: fractions.join(", "),
    });
  }
  // The small sum makes 0.7 * 10 seven rows in binary too.
  const sizes = fractions.slice(0, -1).map((fraction) => Math.floor(size * fraction + 1e-6));
  return [...sizes, size - sizes.reduce((a, b) => a + b, 0)];
}
