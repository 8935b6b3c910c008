/** Sets whose tokens have a target each: blocks of text, and sentences of which each word has a tag. */
import { DataError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import { IGNORE_INDEX } from "../../ops/crossentropy.ts";
import type { Examples } from "../loader.ts";

/** Sequences whose tokens have a target each, as a packed batch. */
export interface TokenBatch {
  /** [N] token ids of the concatenated sequences. */
  ids: Uint32Array<ArrayBuffer>;
  /** [B + 1] where each sequence begins, and N. */
  starts: Uint32Array<ArrayBuffer>;
  /** [N] the target of each token; -100: none. */
  targets: Int32Array<ArrayBuffer>;
  /** [B] positions of the sequences in their set. */
  positions: Uint32Array;
  /** UTF-8 bytes of the text of all targets, where the target of a token is the next one. */
  bytes?: number;
}

/** A set of sequences; what a sequence is is the subclass's. */
export abstract class TokenSet implements Examples<TokenBatch> {
  /** Sequences are never padded. */
  readonly padTo = 0;

  /** `lengths`: [size] tokens that the model reads of each sequence. */
  constructor(readonly lengths: Uint32Array<ArrayBuffer>) {}

  get size(): number {
    return this.lengths.length;
  }

  batchTokenCount(i: number): number {
    return this.lengths[i]!;
  }

  /** Positions 0 to size - 1, shuffled. The order depends only on `seed` and `stream` (the epoch). */
  order(seed: number, stream: number): Uint32Array<ArrayBuffer> {
    return new Rng(new Rng(seed).next() ^ stream).shuffle(this.positions());
  }

  positions(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: this.size }, (_, i) => i);
  }

  /** Writes the ids and the targets of sequence `i`. */
  protected abstract write(i: number, ids: Uint32Array, targets: Int32Array): void;

  abstract first(count: number): TokenSet;

  batch(order: ArrayLike<number>): TokenBatch {
    const positions = Uint32Array.from(order);
    const starts = new Uint32Array(positions.length + 1);
    for (const [b, i] of positions.entries()) starts[b + 1] = starts[b]! + this.lengths[this.checked(i)]!;
    const ids = new Uint32Array(starts[positions.length]!);
    const targets = new Int32Array(ids.length).fill(IGNORE_INDEX);
    for (const [b, i] of positions.entries()) {
      const [start, end] = [starts[b]!, starts[b + 1]!];
      this.write(i, ids.subarray(start, end), targets.subarray(start, end));
    }
    return { ids, starts, targets, positions };
  }

  private checked(i: number): number {
    if (i < this.size) return i;
    throw new DataError("index-out-of-range", "No such row", { expected: `0 to ${this.size - 1}`, found: String(i) });
  }
}
