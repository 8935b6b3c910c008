import { tanhBackward, tanhForward } from "../../src/ops/tanh.ts";
import { EXTREMES, SHAPES } from "../helpers/activation.ts";
import { assertGradient } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase } from "../helpers/op-case.ts";

/** exp rounds, and 1 - exp(-2 |x|) cancels where x is small: relative to 1. */
const TANH = { atol: 3e-7, rtol: 0 };
/** A few roundings of numbers up to that of the gradient; 1 - out^2 cancels where out is near 1. */
const SLOPE = { atol: 2e-7, rtol: 3e-7 };

const slope = (out: number) => 1 - out * out;

test("the reference's gradient is that of its function", () => {
  const x = Float64Array.from({ length: 97 }, (_, i) => (i - 48) / 8);
  const gradient = x.map(Math.tanh).map(slope);
  assertGradient("tanh", () => x.reduce((sum, v) => sum + Math.tanh(v), 0), x, gradient);
});

test("odd shapes, with rows beyond the batch untouched", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of SHAPES) {
    const [used, shape] = [rows * cols, [rows + 2, cols]];
    const inp = c.random("inp", shape, 3, used);
    const given = c.of("given", shape, Float32Array.from(c.data(inp), Math.tanh));
    const dout = c.random("dout", shape, 1, used);
    const [out, dinp] = [c.blank("out", shape), c.blank("dinp", shape)];
    c.run(tanhForward(out, inp, rows), tanhBackward(dinp, dout, given, rows));
    c.expect(`${rows} x ${cols}`, out, c.data(inp).subarray(0, used).map(Math.tanh), TANH);
    const slopes = c.data(given).map(slope);
    c.expect(
      `${rows} x ${cols}`,
      dinp,
      c
        .data(dout)
        .subarray(0, used)
        .map((d, i) => d * slopes[i]!),
      SLOPE,
    );
  }
  await c.check();
});

test("large, small and zero inputs stay finite and right, NaN stays NaN", async () => {
  const c = new OpCase(2);
  const inp = c.of("inp", [1, EXTREMES.length + 1], Float32Array.of(...EXTREMES, Number.NaN));
  const out = c.blank("out", inp.shape);
  c.run(tanhForward(out, inp, 1));
  c.expect("large", out, c.data(inp).map(Math.tanh), TANH);
  await c.check();
});

test("operands of other shapes are refused", () => {
  assertShapes({ out: [3, 4], inp: [3, 4] }, ({ out, inp }) => tanhForward(out, inp, "tokens"));
  assertShapes({ dinp: [3, 4], dout: [3, 4], out: [3, 4] }, ({ dinp, dout, out }) =>
    tanhBackward(dinp, dout, out, "tokens"),
  );
});
