import { geluForward } from "../../src/ops/gelu.ts";
import { assertGradient } from "../gradient.ts";
import { test } from "../harness.ts";
import { assertShapes, OpCase } from "./case.ts";
import { EXTREMES, gelu, slope } from "./gelu.ts";

/** A handful of roundings; in the tails exp multiplies that of its argument, but the results are small there. */
const GELU = { atol: 2e-7, rtol: 1e-6 };

const SHAPES = [
  [1, 1],
  [1, 20],
  [17, 68],
  [5, 132],
  [3, 257],
] as const;

test("the reference's gradient is that of its function", () => {
  const x = Float64Array.from({ length: 97 }, (_, i) => (i - 48) / 8);
  assertGradient("gelu", () => x.reduce((sum, v) => sum + gelu(v), 0), x, x.map(slope));
});

test("odd shapes, with rows beyond the batch untouched", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of SHAPES) {
    const inp = c.random("inp", [rows + 2, cols], 3);
    const out = c.blank("out", [rows + 2, cols]);
    c.run(geluForward(out, inp, rows));
    const used = c.data(inp).subarray(0, rows * cols);
    c.expect(`${rows} x ${cols}`, out, used.map(gelu), GELU);
  }
  await c.check();
});

test("large, small and zero inputs stay finite and right", async () => {
  const c = new OpCase(2);
  const inp = c.of("inp", [1, EXTREMES.length], Float32Array.from(EXTREMES));
  const out = c.blank("out", inp.shape);
  c.run(geluForward(out, inp, 1));
  c.expect("large", out, c.data(inp).map(gelu), GELU);
  await c.check();
});

test("operands of other shapes are refused", () => {
  assertShapes({ out: [3, 4], inp: [3, 4] }, ({ out, inp }) => geluForward(out, inp, "tokens"));
});
