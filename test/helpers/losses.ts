/** Losses of rows of logits, for crossentropy and scoreloss: each member has the mean over its rows, by weight. */
import { crossentropyLoss } from "../../src/ops/crossentropy.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import type { ShareRows } from "../../src/ops/shares.ts";
import type { Tensor } from "../../src/tensor.ts";
import { assertGradient } from "./gradient.ts";
import type { OpCase, Tolerance } from "./op-case.ts";
import { type Batch, members } from "./shares.ts";

export interface LossCase {
  kind: ShareRows;
  /** Rows of each member. */
  parts: readonly number[];
  /** Outputs of a piece. */
  width: number;
  logits: Float32Array;
  weights: Float32Array;
  /** A row's loss where its weight is 1, the gradient, and whether it is right; null where it has no target. */
  reference(logits: Float64Array, row: number): { loss: number; gradient: Float64Array; isRight: boolean } | null;
  targets: Tensor;
  forward(state: Tensor, piece: Tensor, first: number): Dispatch;
  backward(dlogits: Tensor, piece: Tensor, state: Tensor, weights: Tensor, first: number, batch: Batch): Dispatch;
  tolerances: { loss: Tolerance; gradient: Tolerance };
}

/** The members' losses, right rows and scales, and the gradient of the sum of the losses. */
export function meanLosses(
  { parts, weights, reference }: Pick<LossCase, "parts" | "weights" | "reference">,
  logits: Float64Array,
) {
  const K = logits.length / weights.length;
  const gradient = new Float64Array(logits.length);
  let row = 0;
  const results = parts.map((count) => {
    const rows = Array.from({ length: count }, () => {
      const at = row++;
      return { at, weight: weights[at]!, own: reference(logits.subarray(at * K, (at + 1) * K), at) };
    });
    const scale = 1 / rows.reduce((sum, { own, weight }) => sum + (own ? weight : 0), 0);
    let [loss, right] = [0, 0];
    for (const { own, at, weight } of rows) {
      if (!own) continue;
      loss += own.loss * weight * scale;
      right += Number(own.isRight);
      gradient.set(
        own.gradient.map((slope) => slope * weight * scale),
        at * K,
      );
    }
    return { loss, right, scale };
  });
  return { results, gradient };
}

/** Adds the op over all members to a case. */
export function runLoss(c: OpCase, given: LossCase) {
  const { kind, parts, width, logits, targets, tolerances } = given;
  const rows = given.weights.length;
  const K = logits.length / rows;
  const { results, gradient } = meanLosses(given, Float64Array.from(logits));
  if (logits.every(Number.isFinite))
    assertGradient("logits", Float64Array.from(logits), gradient, (moved) =>
      meanLosses(given, moved).results.reduce((sum, { loss }) => sum + loss, 0),
    );
  const batch = members(
    c,
    parts.map((count, i) => ({ [kind]: count, loss_scale: results[i]!.scale })),
  );
  const slots = 4;
  const [state, metrics] = [c.output("state", [rows, 4]), c.random("metrics", [parts.length * slots, 4])];
  const weights = c.rows("weights", [rows], given.weights);
  const backward: Dispatch[] = [];
  for (let first = 0; first < K; first += width) {
    const count = Math.min(width, K - first);
    const part = (all: ArrayLike<number>) =>
      Float32Array.from({ length: rows * count }, (_, i) => all[Math.floor(i / count) * K + first + (i % count)]!);
    const [piece, dlogits] = [c.rows("logits", [rows, count], part(logits)), c.output("dlogits", [rows, count])];
    c.run(given.forward(state, piece, first));
    backward.push(given.backward(dlogits, piece, state, weights, first, batch));
    c.after(dlogits, part(gradient), tolerances.gradient);
  }
  c.run(crossentropyLoss(metrics, state, { targets, weights }, kind, batch), ...backward);
  const expected = c.data(metrics);
  for (const [i, { loss, right }] of results.entries()) expected.set([loss, right, 0, 0], (i * slots + 3) * 4);
  c.after(metrics, expected, tolerances.loss);
  return { slot: 3, ...batch.values };
}
