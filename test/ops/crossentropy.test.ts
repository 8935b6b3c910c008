import {
  crossentropyBackward,
  crossentropyForward,
  crossentropyLoss,
  IGNORE_INDEX,
} from "../../src/ops/crossentropy.ts";
import { Rng } from "../../src/rng.ts";
import { assertGradient } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Probabilities have the rounding of an exponential's argument, here up to 20; the loss is a mean of logarithms. */
const PROBABILITIES = { atol: 3e-7, rtol: 3e-6 };
const LOSS = { atol: 2e-6, rtol: 2e-6 };

const ones = (rows: number) => new Float32Array(rows).fill(1);

/** The loss of the rows that count over the sum of their weights, the rows whose target is on top, and the gradient. */
function crossentropy(logits: Float64Array, targets: ArrayLike<number>, weights: ArrayLike<number>, V: number) {
  const rows = targets.length;
  const total = Array.from(weights).reduce((sum, w, i) => sum + (targets[i] === IGNORE_INDEX ? 0 : w), 0);
  const dlogits = new Float64Array(rows * V);
  let [loss, correct] = [0, 0];
  for (let i = 0; i < rows; i++) {
    const label = targets[i]!;
    if (label === IGNORE_INDEX) continue;
    const row = logits.subarray(i * V, (i + 1) * V);
    const share = weights[i]! / total;
    const largest = Math.max(...row);
    const exps = row.reduce((sum, x) => sum + Math.exp(x - largest), 0);
    loss += (largest - row[label]! + Math.log(exps)) * share;
    if (row[label] === largest) correct++;
    for (let c = 0; c < V; c++)
      dlogits[i * V + c] = (Math.exp(row[c]! - largest) / exps - (c === label ? 1 : 0)) * share;
  }
  return { loss, correct, dlogits, scale: 1 / total };
}

test("the reference's gradient is that of its function", () => {
  const logits = Float64Array.from({ length: 4 * 5 }, (_, i) => 2 * Math.sin(i * i));
  const targets = [3, IGNORE_INDEX, 0, 4];
  for (const weights of [ones(4), [0.52, 7, 13, 2]]) {
    const reference = () => crossentropy(logits, targets, weights, 5);
    assertGradient("logits", () => reference().loss, logits, reference().dlogits);
  }
});

/** The whole op over logits [rows, V] in pieces of `width` classes. */
async function compare(
  rows: number,
  V: number,
  width: number,
  logits: Float32Array,
  targets: Int32Array,
  weights = ones(rows),
) {
  const c = new OpCase(rows * V);
  const expected = crossentropy(Float64Array.from(logits), targets, weights, V);
  const batch = members(c, [{ tokens: rows, loss_scale: expected.scale }]);
  const state = c.blank("state", [rows + 1, 4]);
  const metrics = c.random("metrics", [16, 4]);
  const labels = {
    targets: c.of("targets", [rows + 1], Int32Array.from([...targets, 0])),
    weights: c.of("weights", [rows + 1], Float32Array.from([...weights, Number.NaN])),
  };
  const backward = [];
  for (let first = 0; first < V; first += width) {
    const count = Math.min(width, V - first);
    const part = (all: ArrayLike<number>) =>
      Float32Array.from({ length: rows * count }, (_, i) => all[Math.floor(i / count) * V + first + (i % count)]!);
    const padded = new Float32Array((rows + 1) * count).fill(Number.NaN);
    padded.set(part(logits));
    const piece = c.of("logits", [rows + 1, count], padded);
    const dlogits = c.blank(`dlogits from ${first}`, [rows + 1, count]);
    c.run(crossentropyForward(state, piece, labels.targets, rows, first));
    backward.push(crossentropyBackward(dlogits, piece, state, labels, "tokens", first, batch));
    c.expect("backward", dlogits, part(expected.dlogits), PROBABILITIES);
  }
  c.run(crossentropyLoss(metrics, state, labels, "tokens", batch), ...backward);
  const all = c.data(metrics);
  all.set([expected.loss, expected.correct, 0, 0], 3 * 4);
  c.expect("forward", metrics, all, LOSS);
  await c.check({ slot: 3, ...batch.values });
}

for (const { rows, V, width } of [
  { rows: 17, V: 131, width: 64 },
  { rows: 1, V: 2, width: 2 },
  { rows: 17, V: 4, width: 4 },
  { rows: 3, V: 97, width: 97 },
  { rows: 131, V: 97, width: 1 },
  { rows: 2, V: 50257, width: 20032 },
])
  testOp(`${rows} rows of ${V} classes in pieces of ${width}, some ignored`, async () => {
    const rng = new Rng(rows * V);
    const logits = Float32Array.from({ length: rows * V }, () => 5 * rng.normal());
    const targets = Int32Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? IGNORE_INDEX : rng.below(V)));
    // Some rows have their target on top, so that there is something to count.
    targets.forEach((target, i) => {
      if (i % 2 === 0 && target >= 0) logits[i * V + target] = 30;
    });
    await compare(rows, V, width, logits, targets);
    await compare(
      rows,
      V,
      width,
      logits,
      targets,
      Float32Array.from(targets, () => 0.02 + 20 * rng.uniform()),
    );
  });

testOp("PyTorch's weighted mean: the weighted losses over the sum of the weights", async () => {
  // cross_entropy(log([[1, 3], [1, 1], [3, 1]]), [1, 0, 1], weight=[0.5, 2]):
  // (2 ln(4/3) + 0.5 ln 2 + 2 ln 4) / (2 + 0.5 + 2)
  const c = new OpCase(1);
  const logits = c.of("logits", [3, 2], Float32Array.of(0, Math.log(3), 0, 0, Math.log(3), 0));
  const [state, dlogits] = [c.blank("state", [3, 4]), c.blank("dlogits", [3, 2])];
  const metrics = c.of("metrics", [1, 4], new Float32Array(4));
  const targets = c.of("targets", [3], Int32Array.of(1, 0, 1));
  const weights = c.of("weights", [3], Float32Array.of(2, 0.5, 2));
  const batch = members(c, [{ sequences: 3, loss_scale: 1 / 4.5 }]);
  c.run(
    crossentropyForward(state, logits, targets, 3, 0),
    crossentropyLoss(metrics, state, { targets, weights }, "sequences", batch),
    crossentropyBackward(dlogits, logits, state, { targets, weights }, "sequences", 0, batch),
  );
  c.expect("loss", metrics, [0.8210058794274034, 2, 0, 0], LOSS);
  c.expect("backward", dlogits, [1 / 9, -1 / 9, -1 / 18, 1 / 18, 1 / 3, -1 / 3], PROBABILITIES);
  await c.check(batch.values);
});

testOp("logits of +-1e4, and a loss that is small beside them", async () => {
  const V = 97;
  const rng = new Rng(5);
  const logits = Float32Array.from({ length: 4 * V }, () => 1e4 * Math.sign(rng.normal()) + rng.normal());
  const targets = Int32Array.from([0, 50, 96, 7]);
  for (const i of [1, 3]) {
    logits.subarray(i * V, (i + 1) * V).fill(-1e4);
    logits[i * V + targets[i]!] = 1e4;
    logits[i * V + 20] = 1e4 + 1;
  }
  await compare(4, V, 64, logits, targets);
});

testOp("NaN and infinite logits show in the loss", async () => {
  for (const [i, value] of [Number.NaN, Number.POSITIVE_INFINITY].entries()) {
    const c = new OpCase(i);
    const logits = c.of("logits", [1, 3], Float32Array.from([1, value, 2]));
    const state = c.blank("state", [1, 4]);
    const metrics = c.of("metrics", [1, 4], new Float32Array(4));
    const targets = c.of("targets", [1], Int32Array.from([0]));
    const weights = c.of("weights", [1], Float32Array.from([1]));
    const batch = members(c, [{ tokens: 1, loss_scale: 1 }]);
    c.run(
      crossentropyForward(state, logits, targets, 1, 0),
      crossentropyLoss(metrics, state, { targets, weights }, "tokens", batch),
    );
    c.expect("loss", metrics, [Number.NaN, 0, 0, 0], LOSS);
    await c.check(batch.values);
  }
});
