import { Rng } from "../../src/core/rng.ts";
import { crossentropyBackward, crossentropyForward, IGNORE_INDEX } from "../../src/ops/crossentropy.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";
import { meanLoss, runLoss } from "../helpers/losses.ts";
import { type OpCase, testOp } from "../helpers/op-case.ts";

/** Probabilities have the rounding of an exponential's argument, here up to 20; the loss is a mean of logarithms. */
const TOLERANCES = { gradient: { atol: 3e-7, rtol: 3e-6 }, loss: { atol: 2e-6, rtol: 2e-6 } };

const ones = (rows: number) => new Float32Array(rows).fill(1);

const reference = (targets: ArrayLike<number>) => (logits: Float64Array, row: number) => {
  const label = targets[row]!;
  if (label === IGNORE_INDEX) return null;
  const largest = Math.max(...logits);
  const exps = logits.map((x) => Math.exp(x - largest));
  const sum = exps.reduce((a, b) => a + b);
  const gradient = exps.map((x, i) => x / sum - Number(i === label));
  return { loss: largest - logits[label]! + Math.log(sum), gradient, isRight: logits[label] === largest };
};

/** Adds the whole op to a case: logits [rows, V] in pieces of `width` classes. */
function build(c: OpCase, width: number, logits: Float32Array, targets: Int32Array, weights = ones(targets.length)) {
  const tensor = c.rows("targets", [targets.length], targets);
  return runLoss(c, {
    ...{ kind: "tokens", width, logits, weights, targets: tensor, reference: reference(targets) },
    forward: (state, piece, first) => crossentropyForward(state, piece, tensor, "tokens", first),
    backward: (dlogits, piece, state, weights, first) =>
      crossentropyBackward(dlogits, piece, state, { targets: tensor, weights }, "tokens", first),
    tolerances: TOLERANCES,
  });
}

test("the reference is PyTorch's weighted mean: the weighted losses over the sum of the weights", () => {
  // cross_entropy(log([[1, 3], [1, 1], [3, 1]]), [1, 0, 1], weight=[0.5, 2]):
  // (2 ln(4/3) + 0.5 ln 2 + 2 ln 4) / (2 + 0.5 + 2)
  const logits = Float64Array.of(0, Math.log(3), 0, 0, Math.log(3), 0);
  const { loss, right, gradient } = meanLoss(
    { weights: Float32Array.of(2, 0.5, 2), reference: reference([1, 0, 1]) },
    logits,
  );
  const found = [loss, right, ...gradient];
  const expected = [0.8210058794274034, 2, 1 / 9, -1 / 9, -1 / 18, 1 / 18, 1 / 3, -1 / 3];
  assertAllClose("PyTorch", found, expected, { atol: 1e-15, rtol: 0 });
});

for (const { rows, V, width, isWeighted = true } of [
  { rows: 17, V: 131, width: 64 },
  { rows: 17, V: 131, width: 64, isWeighted: false },
  { rows: 1, V: 2, width: 2 },
  { rows: 17, V: 4, width: 4 },
  { rows: 3, V: 97, width: 97 },
  { rows: 131, V: 97, width: 1 },
  { rows: 2, V: 50257, width: 20032 },
])
  testOp(`${rows} rows of ${V} classes in pieces of ${width}, some ignored${isWeighted ? ", weighted" : ""}`, (c) => {
    const rng = new Rng(rows * V);
    const logits = Float32Array.from({ length: rows * V }, () => 5 * rng.normal());
    const targets = Int32Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? IGNORE_INDEX : rng.below(V)));
    // Some rows have their target on top, so that there is something to count.
    for (const [i, target] of targets.entries()) if (i % 2 === 0 && target >= 0) logits[i * V + target] = 30;
    const weights = Float32Array.from(targets, () => 0.02 + 20 * rng.uniform());
    return build(c, width, logits, targets, isWeighted ? weights : ones(rows));
  });

testOp("logits of +-1e4, and a loss that is small beside them", (c) => {
  const V = 97;
  const logits = c.normals(4 * V).map((x, i) => 1e4 * Math.sign(Math.sin(i * i)) + x);
  const targets = Int32Array.from([0, 50, 96, 7]);
  for (const i of [1, 3]) {
    logits.subarray(i * V, (i + 1) * V).fill(-1e4);
    logits[i * V + targets[i]!] = 1e4;
    logits[i * V + 20] = 1e4 + 1;
  }
  return build(c, 64, logits, targets);
});

for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
  testOp(`a logit of ${value} shows in the loss`, (c) => build(c, 3, Float32Array.of(1, value, 2), Int32Array.of(0)));
