import { tanhBackward, tanhForward } from "../../src/ops/tanh.ts";
import { EXTREMES, SHAPES } from "../helpers/activation.ts";
import { rowGradient } from "../helpers/gradient.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { testRows } from "../helpers/row-op.ts";

/** exp rounds, and 1 - exp(-2 |x|) cancels where x is small: relative to 1. */
const TANH = { atol: 3e-7, rtol: 0 };
/** A few roundings of numbers up to that of the gradient; 1 - out^2 cancels where out, rounded, is near 1. */
const SLOPE = { atol: 5e-7, rtol: 3e-7 };

const tanh = (row: Float64Array) => row.map(Math.tanh);

testRows("tanh", SHAPES, ({ c, rows, cols, input, output, used }) => {
  const [inp, dout] = [input("inp", cols, 3), input("dout")];
  const [out, dinp] = [output("out"), output("dinp")];
  const given = c.of("given", inp.shape, Float32Array.from(c.data(inp), Math.tanh));
  c.run(tanhForward(out, inp, rows), tanhBackward(dinp, dout, given, rows));
  return [
    [out, tanh(used(inp)), TANH],
    [dinp, rowGradient(tanh, used(inp), used(dout), rows), SLOPE],
  ];
});

testOp("large, small and zero inputs stay finite and right, NaN stays NaN", async () => {
  const c = new OpCase(2);
  const inp = c.of("inp", [1, EXTREMES.length + 1], Float32Array.of(...EXTREMES, Number.NaN));
  const out = c.blank("out", inp.shape);
  c.run(tanhForward(out, inp, 1));
  c.expect("large", out, tanh(c.data(inp)), TANH);
  await c.check();
});
