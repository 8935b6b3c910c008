/** Losses of rows of logits, for crossentropy and scoreloss: the mean over rows, by weight. */

import type { Tensor } from "../../src/core/tensor.ts";
import { crossentropyLoss } from "../../src/ops/crossentropy.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { assertGradient } from "./gradient.ts";
import type { OpCase, Tolerance } from "./op-case.ts";

export interface LossCase {
  kind: "tokens" | "sequences";
  /** Outputs of a piece. */
  width: number;
  logits: Float32Array;
  weights: Float32Array;
  /** A row's loss where its weight is 1, the gradient, and whether it is right; null where it has no target. */
  reference(logits: Float64Array, row: number): { loss: number; gradient: Float64Array; isRight: boolean } | null;
  targets: Tensor;
  forward(state: Tensor, piece: Tensor, first: number): Dispatch;
  backward(dlogits: Tensor, piece: Tensor, state: Tensor, weights: Tensor, first: number): Dispatch;
  tolerances: { loss: Tolerance; gradient: Tolerance };
}

/** The loss, right rows and the scale, and the gradient of the loss. */
export function meanLoss({ weights, reference }: Pick<LossCase, "weights" | "reference">, logits: Float64Array) {
  const K = logits.length / weights.length;
  const gradient = new Float64Array(logits.length);
  const rows = Array.from(weights, (weight, at) => {
    return { at, weight, own: reference(logits.subarray(at * K, (at + 1) * K), at) };
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
  return { loss, right, scale, gradient };
}

/** Adds the op to a case. */
export function runLoss(c: OpCase, given: LossCase) {
  const { kind, width, logits, targets, tolerances } = given;
  const rows = given.weights.length;
  const K = logits.length / rows;
  const { loss, right, scale, gradient } = meanLoss(given, Float64Array.from(logits));
  if (logits.every(Number.isFinite))
    assertGradient("logits", Float64Array.from(logits), gradient, (moved) => meanLoss(given, moved).loss);
  const [state, metrics] = [c.output("state", [rows, 4]), c.random("metrics", [4, 4])];
  const weights = c.rows("weights", [rows], given.weights);
  const backward: Dispatch[] = [];
  for (let first = 0; first < K; first += width) {
    const count = Math.min(width, K - first);
    const part = (all: ArrayLike<number>) =>
      Float32Array.from({ length: rows * count }, (_, i) => all[Math.floor(i / count) * K + first + (i % count)]!);
    const [piece, dlogits] = [c.rows("logits", [rows, count], part(logits)), c.output("dlogits", [rows, count])];
    c.run(given.forward(state, piece, first));
    backward.push(given.backward(dlogits, piece, state, weights, first));
    c.after(dlogits, part(gradient), tolerances.gradient);
  }
  c.run(crossentropyLoss(metrics, state, { targets, weights }, kind), ...backward);
  const expected = c.data(metrics);
  expected.set([loss, right, 0, 0], 3 * 4);
  c.after(metrics, expected, tolerances.loss);
  return { slot: 3, loss_scale: scale, [kind]: rows };
}
