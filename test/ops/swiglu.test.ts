import { swigluBackward, swigluForward } from "../../src/ops/swiglu.ts";
import { EXTREMES } from "../helpers/activation.ts";
import { eachRow, rowGradient } from "../helpers/gradient.ts";
import { testOp, testRows } from "../helpers/op-case.ts";

/** A handful of roundings of products of up to three normal numbers; exp multiplies the rounding of its argument. */
const TOLERANCE = { atol: 5e-7, rtol: 1e-6 };

/** A row's gates, then its ups. */
const swiglu = (row: Float64Array) =>
  row.slice(0, row.length / 2).map((gate, i) => (gate / (1 + Math.exp(-gate))) * row[row.length / 2 + i]!);

testRows("SwiGLU", (c, rows, cols) => {
  const [gateUp, dout] = [c.input("gateUp", [rows, 2 * cols], 3), c.input("dout", [rows, cols])];
  const [out, again] = [c.output("out", [rows, cols]), c.output("again", [rows, cols])];
  const dgateUp = c.output("dgateUp", [rows, 2 * cols]);
  c.run(swigluForward(out, gateUp, rows), swigluBackward(dgateUp, again, dout, gateUp, rows));
  for (const tensor of [out, again]) c.after(tensor, eachRow(c.data(gateUp), 2 * cols, swiglu), TOLERANCE);
  c.after(dgateUp, rowGradient(swiglu, c.data(gateUp), c.data(dout), rows), TOLERANCE);
});

testOp("large, small and zero gates stay finite and right, NaN stays NaN", (c) => {
  const gates = [...EXTREMES, 80.5, -80.5, 88.5, -88.5, Number.NaN, 0, 0, 0];
  // In rows of one gate: beside a NaN a sum over the row would be one.
  const rows = gates.length;
  const cols = 4;
  const gateUp = c.of(
    "gateUp",
    [rows, 2 * cols],
    Float32Array.from(gates.flatMap((gate) => [...new Array(4).fill(gate), 1, 1, 1, 1])),
  );
  const dout = c.of("dout", [rows, cols], new Float32Array(rows * cols).fill(1));
  const [out, again, dgateUp] = [
    c.blank("out", [rows, cols]),
    c.blank("again", [rows, cols]),
    c.blank("d", gateUp.shape),
  ];
  c.run(swigluForward(out, gateUp, rows), swigluBackward(dgateUp, again, dout, gateUp, rows));
  for (const tensor of [out, again]) c.after(tensor, eachRow(c.data(gateUp), 2 * cols, swiglu), TOLERANCE);
  c.after(dgateUp, rowGradient(swiglu, c.data(gateUp), c.data(dout), rows), TOLERANCE);
});
