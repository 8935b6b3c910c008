import * as assert from "uvu/assert";
import { ACTIVATION, type ActivationName, activationForward } from "../../src/ops/activation.ts";
import { EXTREMES, FORMULAS } from "../helpers/activation.ts";
import { test } from "../helpers/harness.ts";
import { testOp, testRows } from "../helpers/op-case.ts";

/** A handful of roundings; in the tails exp multiplies that of its argument, but the results are small there. */
const TOLERANCE = { atol: 2e-7, rtol: 1e-6 };

/** Columns in multiples of four and not, fewer and more than a workgroup has. */
const SHAPES = [
  [17, 68],
  [1, 1],
  [5, 132],
  [3, 257],
] as const;

test("the reference of exact GELU is right in float64", () => {
  // x * mpmath.ncdf(x), in 15 digits.
  const known = [
    [0.5, 0.345731230637007],
    [-1.25, -0.132062217083569],
    [2.999, 2.99493834473535],
    [3.001, 2.99696223605192],
    [-5, -1.433257859396e-6],
  ] as const;
  for (const [x, expected] of known)
    assert.ok(Math.abs(FORMULAS.gelu(x) - expected) < 1e-14, `${x}: ${FORMULAS.gelu(x)}`);
});

for (const by of Object.keys(ACTIVATION) as ActivationName[]) {
  testRows(
    by,
    (c, rows, cols) => {
      const [inp, out] = [c.input("inp", [rows, cols], 3), c.output("out", [rows, cols])];
      c.run(activationForward(out, inp, rows, by));
      c.after(out, c.data(inp).map(FORMULAS[by]), TOLERANCE);
    },
    SHAPES,
  );

  testOp(`${by}: large, small, zero and missing inputs stay right`, (c) => {
    const inp = c.of("inp", [1, EXTREMES.length + 1], Float32Array.from([...EXTREMES, Number.NaN]));
    const out = c.blank("out", inp.shape);
    c.run(activationForward(out, inp, 1, by));
    c.after(out, c.data(inp).map(FORMULAS[by]), TOLERANCE);
  });
}
