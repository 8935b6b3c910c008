import { geluBackward, geluForward } from "../../src/ops/gelu.ts";
import { assertGradient } from "../gradient.ts";
import { test } from "../harness.ts";
import { assertShapes, OpCase } from "./case.ts";

/** A handful of roundings; in the tails exp multiplies that of its argument, but the results are small there. */
const GELU = { atol: 2e-7, rtol: 1e-6 };

const S = Math.sqrt(2 / Math.PI);

function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(S * (x + 0.044715 * x ** 3)));
}

function slope(x: number): number {
  const t = Math.tanh(S * (x + 0.044715 * x ** 3));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * S * (1 + 3 * 0.044715 * x ** 2);
}

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
    const dinp = c.random("dinp", [rows + 2, cols]);
    const dout = c.data(dinp);
    c.run(geluForward(out, inp, rows), geluBackward(dinp, inp, rows));
    const used = c.data(inp).subarray(0, rows * cols);
    c.expect(`${rows} x ${cols}`, out, used.map(gelu), GELU);
    c.expect(
      `${rows} x ${cols}`,
      dinp,
      used.map((x, i) => dout[i]! * slope(x)),
      GELU,
    );
  }
  await c.check();
});

test("large, small and zero inputs stay finite and right", async () => {
  const c = new OpCase(2);
  const sizes = [0, 1e-30, 1e-7, 0.01, 1, 4, 5, 6, 6.5, 7, 8, 10, 20, 100, 1e3, 1e4, 1e6];
  const inp = c.of("inp", [1, 2 * sizes.length], Float32Array.from(sizes.flatMap((x) => [x, -x])));
  const out = c.blank("out", inp.shape);
  const dinp = c.of("dinp", inp.shape, new Float32Array(inp.size).fill(1));
  c.run(geluForward(out, inp, 1), geluBackward(dinp, inp, 1));
  c.expect("large", out, c.data(inp).map(gelu), GELU);
  c.expect("large", dinp, c.data(inp).map(slope), GELU);
  await c.check();
});

test("operands of other shapes are refused", () => {
  const shapes = { out: [3, 4], inp: [3, 4] };
  assertShapes(shapes, ({ out, inp }) => geluForward(out, inp, "tokens"));
  assertShapes(shapes, ({ out, inp }) => geluBackward(out, inp, "tokens"));
});
