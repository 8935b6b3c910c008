import { Rng } from "../../src/core/rng.ts";
import { type ScoreLoss, scorelossBackward, scorelossForward } from "../../src/ops/scoreloss.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";
import { meanLoss, runLoss } from "../helpers/losses.ts";
import { type OpCase, testOp } from "../helpers/op-case.ts";

/** A mean of some logarithms or squares; a gradient has the rounding of an exponential. */
const TOLERANCES = { loss: { atol: 1e-6, rtol: 3e-6 }, gradient: { atol: 3e-7, rtol: 3e-6 } };

const LOSSES: readonly ScoreLoss[] = ["squared", "binary"];

/** A row is right if all outputs are on the right side of 0. */
const reference = (loss: ScoreLoss, values: ArrayLike<number>) => (logits: Float64Array, row: number) => {
  const K = logits.length;
  const wanted = (i: number) => values[row * K + i]!;
  // -y log(p) - (1 - y) log(1 - p), without the overflow of p = 0 or 1.
  const losses = logits.map((x, i) =>
    loss === "squared" ? (x - wanted(i)) ** 2 : Math.max(x, 0) - x * wanted(i) + Math.log1p(Math.exp(-Math.abs(x))),
  );
  const gradient = logits.map((x, i) =>
    loss === "squared" ? 2 * (x - wanted(i)) : 1 / (1 + Math.exp(-x)) - wanted(i),
  );
  return {
    loss: losses.reduce((a, b) => a + b) / K,
    gradient: gradient.map((slope) => slope / K),
    isRight: loss === "binary" && logits.every((x, i) => x > 0 === wanted(i) > 0.5),
  };
};

/** Adds the op to a case: K outputs in pieces of `width`. */
function build(
  c: OpCase,
  loss: ScoreLoss,
  width: number,
  logits: Float32Array,
  values: Float32Array,
  weights: Float32Array,
) {
  const rows = weights.length;
  const tensor = c.rows("values", [rows, values.length / rows], values);
  return runLoss(c, {
    ...{ kind: "sequences", width, logits, weights, reference: reference(loss, values) },
    targets: c.rows("targets", [rows], new Int32Array(rows)),
    forward: (state, piece, first) => scorelossForward(state, piece, tensor, "sequences", first, loss),
    backward: (dlogits, piece, _, weights, first) =>
      scorelossBackward(dlogits, piece, { values: tensor, weights }, "sequences", first, loss),
    tolerances: TOLERANCES,
  });
}

for (const loss of LOSSES)
  for (const [rows, K, width] of [
    [5, 97, 40],
    [1, 1, 1],
    [17, 1, 1],
    [3, 5, 5],
    [130, 131, 131],
  ] as const)
    testOp(`${loss}: ${rows} rows of ${K} outputs, ${width} at a time`, (c) => {
      const rng = new Rng(rows * K);
      const logits = c.normals(rows * K, 5);
      // The first row is right in every output.
      const values = Float32Array.from(logits, (x, i) =>
        loss === "squared" ? 5 * rng.normal() : Number(i < K ? x > 0 : rng.below(2)),
      );
      return build(
        c,
        loss,
        width,
        logits,
        values,
        Float32Array.from({ length: rows }, () => 0.1 + rng.uniform()),
      );
    });

testOp("logits of +-1e4, and losses that are small", (c) => {
  const logits = Float32Array.of(1e4, -1e4, 1e4, -1e4, 12, -15, 9, -8);
  const values = Float32Array.of(1, 0, 0, 1, 1, 0, 1, 0);
  const weights = new Float32Array(4).fill(1);
  build(c, "squared", 2, logits, values, weights);
  return build(c, "binary", 2, logits, values, weights);
});

test("the reference is PyTorch's mse_loss and binary_cross_entropy_with_logits", () => {
  // F.mse_loss(x, y) = (1 + 4 + 0 + 9) / 4;
  // F.binary_cross_entropy_with_logits(x, y) of [[0, 2], [-1, 3]] and [[1, 0], [0, 1]].
  for (const [loss, values, expected] of [
    ["squared", [1, 0, -1, 0], [3.5, 0]],
    ["binary", [1, 0, 0, 1], [0.7954808473587036, 1]],
  ] as const) {
    const given = { weights: Float32Array.of(1, 1), reference: reference(loss, values) };
    const found = meanLoss(given, Float64Array.of(0, 2, -1, 3));
    assertAllClose(loss, [found.loss, found.right], expected, { atol: 1e-6, rtol: 0 });
  }
});

for (const loss of LOSSES)
  testOp(`${loss}: a logit that is NaN shows in the loss`, (c) =>
    build(c, loss, 2, Float32Array.of(1, Number.NaN), Float32Array.of(1, 1), Float32Array.of(1)),
  );
