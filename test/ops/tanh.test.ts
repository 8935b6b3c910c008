import { tanhBackward, tanhForward } from "../../src/ops/tanh.ts";
import { EXTREMES } from "../helpers/activation.ts";
import { rowGradient } from "../helpers/gradient.ts";
import { testOp, testRows } from "../helpers/op-case.ts";

/** exp rounds, and 1 - exp(-2 |x|) cancels where x is small: relative to 1. */
const TANH = { atol: 3e-7, rtol: 0 };
/** A few roundings of numbers up to that of the gradient; 1 - out^2 cancels where out, rounded, is near 1. */
const SLOPE = { atol: 5e-7, rtol: 3e-7 };

const tanh = (row: Float64Array) => row.map(Math.tanh);

testRows("tanh", (c, rows, cols) => {
  const [inp, dout] = [c.input("inp", [rows, cols], 3), c.input("dout", [rows, cols])];
  const [out, dinp] = [c.output("out", [rows, cols]), c.output("dinp", [rows, cols])];
  const given = c.rows("given", [rows, cols], Float32Array.from(c.data(inp), Math.tanh));
  c.run(tanhForward(out, inp, rows), tanhBackward(dinp, dout, given, rows));
  c.after(out, tanh(c.data(inp)), TANH);
  c.after(dinp, rowGradient(tanh, c.data(inp), c.data(dout), rows), SLOPE);
});

testOp("large, small and zero inputs stay finite and right, NaN stays NaN", (c) => {
  const inp = c.of("inp", [1, EXTREMES.length + 1], Float32Array.of(...EXTREMES, Number.NaN));
  const out = c.blank("out", inp.shape);
  c.run(tanhForward(out, inp, 1));
  c.after(out, tanh(c.data(inp)), TANH);
});
