import { swigluBackward, swigluForward } from "../../src/ops/swiglu.ts";
import { EXTREMES } from "../helpers/activation.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase } from "../helpers/op-case.ts";
import { assertSameAlone } from "../helpers/shares.ts";

/** A handful of roundings of products of up to three normal numbers; exp multiplies the rounding of its argument. */
const TOLERANCE = { atol: 5e-7, rtol: 1e-6 };

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const silu = (x: number) => x * sigmoid(x);
const slope = (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x)));

/** gateUp [rows, 2 cols], of which a row is its gates, then its ups. */
function swiglu(gateUp: Float64Array, cols: number): Float64Array {
  return Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
    const at = i + Math.floor(i / cols) * cols;
    return silu(gateUp[at]!) * gateUp[at + cols]!;
  });
}

function swigluGradient(dout: Float64Array, gateUp: Float64Array, cols: number): Float64Array {
  const gradient = new Float64Array(gateUp.length);
  dout.forEach((d, i) => {
    const at = i + Math.floor(i / cols) * cols;
    gradient[at] = d * gateUp[at + cols]! * slope(gateUp[at]!);
    gradient[at + cols] = d * silu(gateUp[at]!);
  });
  return gradient;
}

test("the reference's gradient is that of its function", () => {
  const cols = 8;
  const gateUp = Float64Array.from({ length: 6 * cols }, (_, i) => 4 * Math.sin(i * i));
  const dout = Float64Array.from({ length: 3 * cols }, (_, i) => Math.sin(5 + i));
  assertGradient("gateUp", () => dot(swiglu(gateUp, cols), dout), gateUp, swigluGradient(dout, gateUp, cols));
});

test("odd shapes, with rows beyond the batch untouched", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of [
    [1, 4],
    [1, 20],
    [17, 68],
    [5, 132],
    [3, 260],
  ] as const) {
    const [name, used] = [`${rows} x ${cols}`, rows * cols];
    const [half, whole] = [
      [rows + 2, cols],
      [rows + 2, 2 * cols],
    ];
    const gateUp = c.random("gateUp", whole, 3, 2 * used);
    const dout = c.random("dout", half, 1, used);
    const [out, again, dgateUp] = [c.blank("out", half), c.blank("again", half), c.blank("dgateUp", whole)];
    c.run(swigluForward(out, gateUp, rows), swigluBackward(dgateUp, again, dout, gateUp, rows));
    const inputs = c.data(gateUp).subarray(0, 2 * used);
    for (const tensor of [out, again]) c.expect(name, tensor, swiglu(inputs, cols), TOLERANCE);
    c.expect(name, dgateUp, swigluGradient(c.data(dout).subarray(0, used), inputs, cols), TOLERANCE);
  }
  await c.check();
});

test("large, small and zero gates stay finite and right, NaN stays NaN", async () => {
  const c = new OpCase(2);
  const gates = [...EXTREMES, 80.5, -80.5, 88.5, -88.5, Number.NaN];
  const cols = Math.ceil(gates.length / 4) * 4;
  const row = new Float32Array(2 * cols).fill(1, cols);
  row.set(gates);
  const gateUp = c.of("gateUp", [1, 2 * cols], row);
  const dout = c.of("dout", [1, cols], new Float32Array(cols).fill(1));
  const [out, again, dgateUp] = [c.blank("out", [1, cols]), c.blank("again", [1, cols]), c.blank("d", [1, 2 * cols])];
  c.run(swigluForward(out, gateUp, 1), swigluBackward(dgateUp, again, dout, gateUp, 1));
  for (const tensor of [out, again]) c.expect("large", tensor, swiglu(c.data(gateUp), cols), TOLERANCE);
  c.expect("large", dgateUp, swigluGradient(c.data(dout), c.data(gateUp), cols), TOLERANCE);
  await c.check();
});

test("a row has the same bits by itself as among others", async () => {
  const [rows, cols] = [6, 36];
  const own = new OpCase(3);
  const [inputs, douts] = [own.normals(rows * 2 * cols), own.normals(rows * cols)];
  /** The program of rows first .. first + count. */
  const build = (first: number, count: number) => {
    const c = new OpCase(first);
    const part = (name: string, all: Float32Array, width: number) =>
      c.of(name, [count, width], all.slice(first * width, (first + count) * width));
    const gateUp = part("gateUp", inputs, 2 * cols);
    const [out, again] = [c.blank("out", [count, cols]), c.blank("again", [count, cols])];
    const dgateUp = c.blank("dgateUp", [count, 2 * cols]);
    c.run(swigluForward(out, gateUp, count), swigluBackward(dgateUp, again, part("dout", douts, cols), gateUp, count));
    return { c, results: [out, again, dgateUp] };
  };
  const whole = build(0, rows);
  const alone = [0, 2, rows - 1].map((row) => {
    const { c, results } = build(row, 1);
    const parts = results.map((own, i) => ({ own, whole: whole.results[i]!, at: row * own.shape[1]! }));
    return { c, values: {}, parts };
  });
  await assertSameAlone(whole.c, {}, alone);
});

test("operands of other shapes are refused", () => {
  const [half, whole] = [
    [3, 4],
    [3, 8],
  ];
  assertShapes({ out: half, gateUp: whole }, ({ out, gateUp }) => swigluForward(out, gateUp, "tokens"));
  assertShapes({ dgateUp: whole, out: half, dout: half, gateUp: whole }, ({ dgateUp, out, dout, gateUp }) =>
    swigluBackward(dgateUp, out, dout, gateUp, "tokens"),
  );
});
