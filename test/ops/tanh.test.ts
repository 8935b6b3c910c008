import { tanhBackward, tanhForward } from "../../src/ops/tanh.ts";
import { assertGradient } from "../gradient.ts";
import { test } from "../harness.ts";
import { assertShapes, OpCase } from "./case.ts";

/** 1 - exp(-2 |x|) loses up to an ulp of 1 where x is small. */
const TANH = { atol: 2e-7, rtol: 1e-6 };
const SHAPES = [
  [1, 1],
  [5, 6],
  [3, 257],
] as const;
const slope = (y: number) => 1 - y * y;

test("the reference's gradient is that of its function", () => {
  const x = Float64Array.from({ length: 65 }, (_, i) => (i - 32) / 8);
  assertGradient("tanh", () => x.reduce((sum, v) => sum + Math.tanh(v), 0), x, x.map(Math.tanh).map(slope));
});

test("odd shapes, forward and backward, with rows beyond the batch untouched", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of SHAPES) {
    const [inp, dout] = [c.random("inp", [rows + 2, cols], 2), c.random("dout", [rows + 2, cols])];
    const [out, dinp] = [c.blank("out", [rows + 2, cols]), c.blank("dinp", [rows + 2, cols])];
    c.run(tanhForward(out, inp, rows), tanhBackward(dinp, dout, out, rows));
    const used = c.data(inp).subarray(0, rows * cols);
    c.expect(`${rows} x ${cols}`, out, used.map(Math.tanh), TANH);
    const gradients = used.map((x, i) => c.data(dout)[i]! * slope(Math.tanh(x)));
    c.expect(`gradient, ${rows} x ${cols}`, dinp, gradients, { atol: 1e-6, rtol: 1e-5 });
  }
  await c.check();
});

test("large, small and zero inputs stay finite and right", async () => {
  const c = new OpCase(2);
  const inp = c.of("inp", [1, 8], Float32Array.of(0, 1e-4, -1e-4, 20, -20, 1e4, -3e38, 3e38));
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
