import * as assert from "uvu/assert";
import { ACTIVATIONS } from "../../src/config.ts";
import { activationForward } from "../../src/ops/activation.ts";
import { EXTREMES, FORMULAS, SHAPES } from "../helpers/activation.ts";
import { assertGradient } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { testRows } from "../helpers/row-op.ts";

/** A handful of roundings; in the tails exp multiplies that of its argument, but the results are small there. */
const TOLERANCE = { atol: 2e-7, rtol: 1e-6 };

test("the reference's gradient is that of its function", () => {
  // Not 0, where relu has none.
  const x = Float64Array.from({ length: 97 }, (_, i) => (i - 48.5) / 8);
  for (const { value, slope } of Object.values(FORMULAS))
    assertGradient("x", () => x.reduce((sum, v) => sum + value(v), 0), x, x.map(slope));
});

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
    assert.ok(Math.abs(FORMULAS.gelu.value(x) - expected) < 1e-14, `${x}: ${FORMULAS.gelu.value(x)}`);
});

for (const by of ACTIVATIONS) {
  const { value } = FORMULAS[by];

  testRows(by, SHAPES, ({ c, rows, cols, input, output, used }) => {
    const [inp, out] = [input("inp", cols, 3), output("out")];
    c.run(activationForward(out, inp, rows, by));
    return [[out, used(inp).map(value), TOLERANCE]];
  });

  testOp(`${by}: large, small, zero and missing inputs stay right`, async () => {
    const c = new OpCase(2);
    const inp = c.of("inp", [1, EXTREMES.length + 1], Float32Array.from([...EXTREMES, Number.NaN]));
    const out = c.blank("out", inp.shape);
    c.run(activationForward(out, inp, 1, by));
    c.expect("large", out, c.data(inp).map(value), TOLERANCE);
    await c.check();
  });
}
