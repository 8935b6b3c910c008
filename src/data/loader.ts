/** Makes the batches of training epochs and of evaluation. */
import { ConfigError } from "../core/errors.ts";

/** An ordered set of examples: messages with classes (`Dataset`), or blocks of text (`Blocks`). */
export interface Examples<Batch> {
  readonly size: number;
  /** [size] tokens of each example, padding not counted. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** Length to which every example is padded; 0: no padding. */
  readonly padTo: number;
  /** Tokens that example `i` takes in a batch, padding included. */
  batchTokenCount(i: number): number;
  /** Positions 0 to size - 1, shuffled. The order depends only on `seed` and `stream` (the epoch). */
  order(seed: number, stream: number): Uint32Array<ArrayBuffer>;
  /** Positions 0 to size - 1. */
  positions(): Uint32Array<ArrayBuffer>;
  batch(order: ArrayLike<number>): Batch;
}

interface LoaderOptions {
  batchSize: number;
  seed: number;
}

/**
 * Training batches. An incomplete last batch is dropped, as in the paper. The batches of an epoch depend only on the
 * seed and the epoch, so that a run can resume at any step.
 */
export class Loader<Batch> {
  readonly batchesPerEpoch: number;

  /** Throws ConfigError if there would be no batch. */
  constructor(
    readonly dataset: Examples<Batch>,
    private readonly options: LoaderOptions,
  ) {
    const { batchSize } = options;
    this.batchesPerEpoch = Math.floor(dataset.size / batchSize);
    if (!Number.isInteger(batchSize) || batchSize < 1 || this.batchesPerEpoch === 0) {
      throw new ConfigError("invalid-batch-size", "The batch size is invalid", {
        expected: `1 to ${dataset.size}, the rows of the training set`,
        found: String(batchSize),
      });
    }
  }

  /** The positions of the rows in the order of epoch `epoch` (from 0), including those of a dropped batch. */
  order(epoch: number): Uint32Array<ArrayBuffer> {
    // Stream 0 is the order of `Dataset.shuffle` with the same seed.
    return this.dataset.order(this.options.seed, epoch + 1);
  }

  /** The batches of epoch `epoch` (from 0), starting at batch `first`. */
  *epoch(epoch: number, first = 0): Generator<Batch> {
    const order = this.order(epoch);
    const { batchSize } = this.options;
    for (let i = first; i < this.batchesPerEpoch; i++) {
      yield this.dataset.batch(order.subarray(i * batchSize, (i + 1) * batchSize));
    }
  }
}

interface BatchCapacity {
  /** Tokens, padding included. */
  tokens: number;
  sequences: number;
}

/**
 * All rows (or the first `rows`) in order, in batches as large as the capacity allows. Throws ConfigError if a single
 * row does not fit.
 */
export function* evaluationBatches<Batch>(
  dataset: Pick<Examples<Batch>, "size" | "batchTokenCount" | "batch">,
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
      throw new ConfigError("row-exceeds-batch", "The row does not fit into a batch", {
        expected: `at most ${capacity.tokens} tokens and at least one sequence`,
        found: `${dataset.batchTokenCount(start)} tokens, ${capacity.sequences} sequences`,
        hint: "use a larger evaluation capacity or a smaller maxLength",
      });
    }
    yield dataset.batch(Uint32Array.from({ length: stop - start }, (_, i) => start + i));
    start = stop;
  }
}

/** The largest number of tokens in a batch of `batchSize` rows: the sum of the longest rows. */
export function maxBatchTokens(dataset: Examples<unknown>, batchSize: number): number {
  const count = Math.min(batchSize, dataset.size);
  if (dataset.padTo !== 0) return count * dataset.padTo;
  return dataset.lengths
    .slice()
    .sort()
    .subarray(dataset.size - count)
    .reduce((a, b) => a + b, 0);
}
