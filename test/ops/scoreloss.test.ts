import { crossentropyLoss } from "../../src/ops/crossentropy.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { type ScoreLoss, scorelossBackward, scorelossForward } from "../../src/ops/scoreloss.ts";
import { Rng } from "../../src/rng.ts";
import { assertGradient } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** A mean of some logarithms or squares; a gradient has the rounding of an exponential. */
const LOSS = { atol: 1e-6, rtol: 3e-6 };
const GRADIENT = { atol: 3e-7, rtol: 3e-6 };

const LOSSES: readonly ScoreLoss[] = ["squared", "binary"];

/**
 * The loss over the sum of the rows' weights, the rows whose outputs are all on the right side of 0, and the gradient.
 */
function reference(
  loss: ScoreLoss,
  logits: ArrayLike<number>,
  values: ArrayLike<number>,
  weights: ArrayLike<number>,
  K: number,
) {
  const total = Array.from(weights).reduce((sum, weight) => sum + weight, 0);
  const dlogits = new Float64Array(logits.length);
  let [sum, correct] = [0, 0];
  for (let row = 0; row < weights.length; row++) {
    const share = weights[row]! / total / K;
    let isRight = loss === "binary";
    for (let i = row * K; i < (row + 1) * K; i++) {
      const [x, y] = [logits[i]!, values[i]!];
      // -y log(p) - (1 - y) log(1 - p), without the overflow of p = 0 or 1.
      const own = loss === "squared" ? (x - y) ** 2 : Math.max(x, 0) - x * y + Math.log1p(Math.exp(-Math.abs(x)));
      sum += own * share;
      dlogits[i] = (loss === "squared" ? 2 * (x - y) : 1 / (1 + Math.exp(-x)) - y) * share;
      isRight &&= x > 0 === y > 0.5;
    }
    correct += Number(isRight);
  }
  return { loss: sum, correct, dlogits, scale: 1 / total };
}

test("the reference's gradient is that of its function", () => {
  const logits = Float64Array.from({ length: 12 }, (_, i) => 2 * Math.sin(i * i) + 0.1);
  const values = Array.from(logits, (_, i) => Number(i % 3 === 0));
  for (const loss of LOSSES)
    for (const weights of [
      [1, 1, 1, 1],
      [0.5, 7, 13, 2],
    ]) {
      const at = () => reference(loss, logits, values, weights, 3);
      assertGradient(loss, () => at().loss, logits, at().dlogits);
    }
});

interface Case {
  loss: ScoreLoss;
  rows: number;
  K: number;
  /** Outputs of a piece. */
  width?: number;
  logits: Float32Array;
  values: Float32Array;
  weights: Float32Array;
}

/** Random logits of some rows, of which the first is right in every output. */
function randomCase(loss: ScoreLoss, rows: number, K: number, width = K): Case {
  const rng = new Rng(rows * K);
  const logits = Float32Array.from({ length: rows * K }, () => 5 * rng.normal());
  const values = Float32Array.from(logits, (x, i) =>
    loss === "squared" ? 5 * rng.normal() : Number(i < K ? x > 0 : rng.below(2)),
  );
  return {
    loss,
    rows,
    K,
    width,
    logits,
    values,
    weights: Float32Array.from({ length: rows }, () => 0.1 + rng.uniform()),
  };
}

/** The op over all rows. */
async function check({ loss, rows, K, width = K, logits, values, weights }: Case): Promise<void> {
  const c = new OpCase(1);
  // What follows the rows must not be read.
  const padded = (data: Float32Array, columns: number) => {
    const all = new Float32Array((rows + 1) * columns).fill(Number.NaN);
    all.set(data);
    return all;
  };
  const state = c.blank("state", [rows + 1, 4]);
  const metrics = c.random("metrics", [1, 4]);
  const targets = c.of("targets", [rows + 1], new Int32Array(rows + 1));
  const given = {
    values: c.of("values", [rows + 1, K], padded(values, K)),
    weights: c.of("weights", [rows + 1], padded(weights, 1)),
  };
  const expected = reference(loss, logits, values, weights, K);
  const batch = members(c, [{ sequences: rows, loss_scale: expected.scale }]);
  const backward: Dispatch[] = [];
  for (let first = 0; first < K; first += width) {
    const count = Math.min(width, K - first);
    const part = (all: ArrayLike<number>) =>
      Float32Array.from({ length: rows * count }, (_, i) => all[Math.floor(i / count) * K + first + (i % count)]!);
    const piece = c.of("logits", [rows + 1, count], padded(part(logits), count));
    const dlogits = c.blank(`dlogits from ${first}`, [rows + 1, count]);
    c.run(scorelossForward(state, piece, given.values, rows, first, loss));
    backward.push(scorelossBackward(dlogits, piece, given, "sequences", first, loss, batch));
    c.expect("backward", dlogits, part(expected.dlogits), GRADIENT);
  }
  c.run(crossentropyLoss(metrics, state, { targets, weights: given.weights }, "sequences", batch), ...backward);
  c.expect("forward", metrics, [expected.loss, expected.correct, 0, 0], LOSS);
  await c.check({ slot: 0, ...batch.values });
}

for (const loss of LOSSES)
  for (const [rows, K, width] of [
    [5, 97, 40],
    [1, 1, 1],
    [17, 1, 1],
    [3, 5, 5],
    [130, 131, 131],
  ] as const)
    testOp(`${loss}: ${rows} rows of ${K} outputs, ${width} at a time`, () => check(randomCase(loss, rows, K, width)));

testOp("logits of +-1e4, and losses that are small", async () => {
  const logits = Float32Array.of(1e4, -1e4, 1e4, -1e4, 12, -15, 9, -8);
  const values = Float32Array.of(1, 0, 0, 1, 1, 0, 1, 0);
  const weights = new Float32Array(4).fill(1);
  for (const loss of LOSSES) await check({ loss, rows: 4, K: 2, logits, values, weights });
});

testOp("PyTorch's mse_loss and binary_cross_entropy_with_logits", async () => {
  // F.mse_loss(x, y) = (1 + 4 + 0 + 9) / 4;
  // F.binary_cross_entropy_with_logits(x, y) of [[0, 2], [-1, 3]] and [[1, 0], [0, 1]].
  const x = Float32Array.of(0, 2, -1, 3);
  for (const [loss, y, expected] of [
    ["squared", [1, 0, -1, 0], 3.5],
    ["binary", [1, 0, 0, 1], 0.7954808473587036],
  ] as const) {
    const c = new OpCase(1);
    const state = c.blank("state", [2, 4]);
    const metrics = c.of("metrics", [1, 4], new Float32Array(4));
    const weights = c.of("weights", [2], Float32Array.of(1, 1));
    const batch = members(c, [{ sequences: 2, loss_scale: 0.5 }]);
    c.run(
      scorelossForward(state, c.of("x", [2, 2], x), c.of("y", [2, 2], Float32Array.from(y)), 2, 0, loss),
      crossentropyLoss(
        metrics,
        state,
        { targets: c.of("targets", [2], new Int32Array(2)), weights },
        "sequences",
        batch,
      ),
    );
    c.expect(loss, metrics, [expected, loss === "binary" ? 1 : 0, 0, 0], LOSS);
    await c.check(batch.values);
  }
});

testOp("a logit that is NaN shows in the loss", async () => {
  for (const loss of LOSSES) {
    const c = new OpCase(1);
    const [state, values] = [c.blank("state", [1, 4]), c.of("values", [1, 2], Float32Array.of(1, 1))];
    c.run(scorelossForward(state, c.of("logits", [1, 2], Float32Array.of(1, Number.NaN)), values, 1, 0, loss));
    c.expect(loss, state, [0, 0, -1, Number.NaN], LOSS);
    await c.check({});
  }
});
