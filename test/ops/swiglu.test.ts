import { swigluBackward, swigluForward } from "../../src/ops/swiglu.ts";
import { EXTREMES } from "../helpers/activation.ts";
import { rowGradient } from "../helpers/gradient.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { eachRow, testRows } from "../helpers/row-op.ts";

/** A handful of roundings of products of up to three normal numbers; exp multiplies the rounding of its argument. */
const TOLERANCE = { atol: 5e-7, rtol: 1e-6 };

/** A row's gates, then its ups. */
const swiglu = (row: Float64Array) =>
  row.slice(0, row.length / 2).map((gate, i) => (gate / (1 + Math.exp(-gate))) * row[row.length / 2 + i]!);

const SHAPES = [
  [17, 68],
  [1, 4],
  [1, 20],
  [5, 132],
  [3, 260],
] as const;

testRows("SwiGLU", SHAPES, ({ c, rows, cols, input, output, used }) => {
  const [gateUp, dout] = [input("gateUp", 2 * cols, 3), input("dout")];
  const [out, again, dgateUp] = [output("out"), output("again"), output("dgateUp", 2 * cols)];
  c.run(swigluForward(out, gateUp, rows), swigluBackward(dgateUp, again, dout, gateUp, rows));
  const forward = eachRow(used(gateUp), 2 * cols, swiglu);
  return [
    [out, forward, TOLERANCE],
    [again, forward, TOLERANCE],
    [dgateUp, rowGradient(swiglu, used(gateUp), used(dout), rows), TOLERANCE],
  ];
});

testOp("large, small and zero gates stay finite and right, NaN stays NaN", async () => {
  const c = new OpCase(2);
  const gates = [...EXTREMES, 80.5, -80.5, 88.5, -88.5, Number.NaN];
  const cols = Math.ceil(gates.length / 4) * 4;
  const row = new Float32Array(2 * cols).fill(1, cols);
  row.set(gates);
  const gateUp = c.of("gateUp", [1, 2 * cols], row);
  const dout = c.of("dout", [1, cols], new Float32Array(cols).fill(1));
  const [out, again, dgateUp] = [c.blank("out", [1, cols]), c.blank("again", [1, cols]), c.blank("d", [1, 2 * cols])];
  c.run(swigluForward(out, gateUp, 1), swigluBackward(dgateUp, again, dout, gateUp, 1));
  for (const tensor of [out, again]) c.expect("large", tensor, swiglu(c.data(gateUp)), TOLERANCE);
  // By differences gate by gate: beside a NaN a sum over the row would be one.
  const pairs = Float64Array.from({ length: 2 * cols }, (_, i) => (i % 2 ? row[cols + (i >> 1)]! : row[i >> 1]!));
  const slopes = rowGradient(swiglu, pairs, new Float64Array(cols).fill(1), cols);
  c.expect(
    "large",
    dgateUp,
    slopes.map((_, i) => slopes[i < cols ? 2 * i : 2 * (i - cols) + 1]!),
    TOLERANCE,
  );
  await c.check();
});
