/** Orders of rows and batches: training epochs, evaluation by capacity. */
import { ConfigError } from "../errors.ts";
import { Rng } from "../rng.ts";

/** What is trained on, in an order of its own: messages with their classes (`Dataset`), or blocks of text (`Blocks`). */
export interface Examples<Batch> {
  readonly size: number;
  /** [size] tokens of each example, padding not counted. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** Tokens that every example is padded to; 0: none. */
  readonly padTo: number;
  /** Tokens that example `i` takes in a batch, padding included. */
  batchTokenCount(i: number): number;
  /** Positions 0 to size - 1 shuffled; the order depends on `seed` and `stream` (an epoch) alone. */
  order(seed: number, stream: number): Uint32Array<ArrayBuffer>;
  /** Positions 0 to size - 1. */
  positions(): Uint32Array<ArrayBuffer>;
  /** The examples at positions `order` as a packed batch. */
  batch(order: ArrayLike<number>): Batch;
}

/** Which rows share a batch: any, or rows of similar length. */
export const BATCHINGS = ["random", "length"] as const;
export type Batching = (typeof BATCHINGS)[number];

/**
 * With "length" so many batches of rows are sorted by length at a time: batches are nearly as even as if all rows were
 * sorted, and still not the same ones in every epoch.
 */
const SORTED_BATCHES = 64;

export interface LoaderOptions {
  /** Sequences a batch. */
  batchSize: number;
  /** Seed of the epochs' orders. */
  seed: number;
  /** Default "random". "length": rows of similar length in a batch, the batches in random order. */
  batching?: Batching;
}

/**
 * Training batches. An incomplete last batch is dropped, as in the paper. The batches of an epoch depend only on the seed and
 * the epoch, so that a run can resume anywhere.
 */
export class Loader<Batch> {
  readonly batchesPerEpoch: number;
  private readonly options: Required<LoaderOptions>;

  /** Throws ConfigError where there would be no batch. */
  constructor(
    readonly dataset: Examples<Batch>,
    options: LoaderOptions,
  ) {
    this.options = { batching: "random", ...options };
    const { batchSize } = this.options;
    this.batchesPerEpoch = Math.floor(dataset.size / batchSize);
    if (!Number.isInteger(batchSize) || batchSize < 1 || this.batchesPerEpoch === 0) {
      throw new ConfigError("A batch size that gives no batches", {
        expected: `1 to ${dataset.size}, the rows of the training set`,
        found: String(batchSize),
      });
    }
  }

  /** The positions of the rows in the order of epoch `epoch` (from 0), those of dropped batches included. */
  order(epoch: number): Uint32Array<ArrayBuffer> {
    // Stream 0 is the order of `Dataset.shuffle` with the same seed.
    const order = this.dataset.order(this.options.seed, epoch + 1);
    return this.options.batching === "length" ? this.byLength(order, epoch) : order;
  }

  /** The rows of a random order, sorted by length a stretch at a time and cut into batches, which are shuffled. */
  private byLength(order: Uint32Array<ArrayBuffer>, epoch: number): Uint32Array<ArrayBuffer> {
    const { batchSize, seed } = this.options;
    const complete = Math.floor(order.length / batchSize);
    const { lengths } = this.dataset;
    for (let start = 0; start < complete; start += SORTED_BATCHES) {
      const stop = Math.min(start + SORTED_BATCHES, complete);
      // Rows of one length stay in their random order.
      order.subarray(start * batchSize, stop * batchSize).sort((a, b) => lengths[a]! - lengths[b]!);
    }
    const rng = new Rng(new Rng(seed).next() ^ (epoch + 1));
    const batches = rng.shuffle(Array.from({ length: complete }, (_, i) => i));
    const result = order.slice(); // rows behind the last complete batch stay where they are
    for (const [to, from] of batches.entries())
      result.set(order.subarray(from * batchSize, (from + 1) * batchSize), to * batchSize);
    return result;
  }

  /** The batches of epoch `epoch` (from 0), from batch `first` on. */
  *epoch(epoch: number, first = 0): Generator<Batch> {
    const order = this.order(epoch);
    const { batchSize } = this.options;
    for (let i = first; i < this.batchesPerEpoch; i++) {
      yield this.dataset.batch(order.subarray(i * batchSize, (i + 1) * batchSize));
    }
  }
}

/** What one batch may hold at most. */
export interface BatchCapacity {
  /** Tokens, padding included. */
  tokens: number;
  sequences: number;
}

/**
 * All rows (or the first `rows`) in order, as many a batch as the capacity holds. ConfigError where a single row does not
 * fit.
 */
export function* evaluationBatches<Batch>(
  dataset: Examples<Batch>,
  capacity: BatchCapacity,
  rows = dataset.size,
): Generator<Batch> {
  const end = Math.min(rows, dataset.size);
  let start = 0;
  while (start < end) {
    let tokens = 0;
    let stop = start;
    while (stop < end && stop - start < capacity.sequences) {
      tokens += dataset.batchTokenCount(stop);
      if (tokens > capacity.tokens) break;
      stop++;
    }
    if (stop === start) {
      throw new ConfigError("A row does not fit into a batch", {
        expected: `at most ${capacity.tokens} tokens and at least one sequence`,
        found: `${dataset.batchTokenCount(start)} tokens, ${capacity.sequences} sequences`,
        hint: "give evaluation a larger capacity or set a smaller longest length",
      });
    }
    yield dataset.batch(Uint32Array.from({ length: stop - start }, (_, i) => start + i));
    start = stop;
  }
}

/** The most tokens that a batch of `batchSize` rows of the data set can have: the sum of its longest rows. */
export function maxBatchTokens(dataset: Examples<unknown>, batchSize: number): number {
  const count = Math.min(batchSize, dataset.size);
  if (dataset.padTo !== 0) return count * dataset.padTo;
  return dataset.lengths
    .slice()
    .sort()
    .subarray(dataset.size - count)
    .reduce((a, b) => a + b, 0);
}
