/**
 * A plan is data: the ordered dispatches of a step and the memory they need. It is built once for a model, a mode and a
 * capacity, prepared once by a backend, and replayed for every batch.
 */

import type { Role, Tensor } from "../core/tensor.ts";
import type { Dispatch } from "../ops/kernel.ts";

/**
 * norms: those of DoRA, where a weight has changed; zero: gradients to 0; forward: logits and loss; backward:
 * gradients; update: norm, clipping and AdamW. Of a decoder: prefill: tokens into the cache; next: logits after them;
 * score: losses of all of them; decode: one token a sequence, and logits after it; sample: the next token of each, from
 * the logits.
 */
export type SegmentName =
  | "derived"
  | "zero"
  | "forward"
  | "backward"
  | "update"
  | "prefill"
  | "next"
  | "score"
  | "decode"
  | "sample";

export interface Segment {
  name: SegmentName;
  /** Tensors that are filled with zeros before the segment's dispatches. */
  clears: Tensor[];
  dispatches: Dispatch[];
}

/** A list of dispatches that a backend prepares and replays. */
export interface Program {
  segments: readonly Segment[];
  memory: MemoryPlan;
}

export const dispatchesOf = (programs: readonly Program[]): Dispatch[] =>
  programs.flatMap(({ segments }) => segments.flatMap(({ dispatches }) => dispatches));

/** The use of one device buffer. */
export interface PlannedBuffer {
  label: string;
  role: Role;
  bytes: number;
}

export interface MemoryPlan {
  buffers: PlannedBuffer[];
  /** The buffer of each root tensor, as an index; every root starts at offset 0 of its buffer. */
  bufferIndex: Map<Tensor, number>;
}
