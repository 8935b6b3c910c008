import { rmsnormBackward, rmsnormForward, rmsnormParametersBackward } from "../../src/ops/rmsnorm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase } from "../helpers/op-case.ts";
import { assertSameAlone } from "../helpers/shares.ts";

/** Sums of up to 768 products of normal numbers, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

function norm(inp: Float64Array, weight: Float64Array, rows: number, cols: number) {
  const out = new Float64Array(rows * cols);
  const rstd = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const x = inp.subarray(i * cols, (i + 1) * cols);
    rstd[i] = 1 / Math.sqrt(dot(x, x) / cols + EPS);
    for (let c = 0; c < cols; c++) out[i * cols + c] = x[c]! * rstd[i]! * weight[c]!;
  }
  return { out, rstd };
}

function normBackward(dout: Float64Array, inp: Float64Array, weight: Float64Array, rows: number, cols: number) {
  const { rstd } = norm(inp, weight, rows, cols);
  const dinp = new Float64Array(rows * cols);
  const dweight = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    const hat = (c: number) => inp[i * cols + c]! * rstd[i]!;
    let sum = 0;
    for (let c = 0; c < cols; c++) {
      dweight[c]! += dout[i * cols + c]! * hat(c);
      sum += dout[i * cols + c]! * weight[c]! * hat(c);
    }
    for (let c = 0; c < cols; c++)
      dinp[i * cols + c] = rstd[i]! * (dout[i * cols + c]! * weight[c]! - (hat(c) * sum) / cols);
  }
  return { dinp, dweight };
}

test("the reference's gradients are those of its function", () => {
  const [rows, cols] = [3, 5];
  const make = (n: number, at: number) => Float64Array.from({ length: n }, (_, i) => Math.sin(at + i * i));
  const [inp, dout, weight] = [make(15, 1), make(15, 2), make(5, 3)] as const;
  const { dinp, dweight } = normBackward(dout, inp, weight, rows, cols);
  const loss = () => dot(norm(inp, weight, rows, cols).out, dout);
  assertGradient("inp", loss, inp, dinp);
  assertGradient("weight", loss, weight, dweight);
});

const SHAPES = [
  [1, 4],
  [1, 132],
  [17, 20],
  [3, 64],
  [129, 68],
  [5, 768],
] as const;

test("odd shapes: forward; backward with and without the gradient of the residual stream", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of SHAPES) {
    const name = `${rows} x ${cols}`;
    const shape = [rows + 1, cols];
    const inp = c.random("inp", shape, 2, rows * cols);
    const dout = c.random("dout", shape, 1, rows * cols);
    const residual = c.random("add", shape, 1, rows * cols);
    const weight = c.random("weight", [cols]);
    const dweight = c.random("dweight", [cols]);
    const [out, again, other] = [c.blank("out", shape), c.blank("again", shape), c.blank("other", shape)];
    const [over, onto] = [c.blank("dinp", shape), c.blank("dinp with add", shape)];
    const rstd = c.blank("rstd", [rows + 1, 1]);
    const parts = { inp, rstd, weight };
    c.run(
      rmsnormForward(out, rstd, inp, weight, rows, EPS),
      rmsnormBackward(over, again, dout, parts, rows),
      rmsnormBackward(onto, other, dout, parts, rows, residual),
      rmsnormParametersBackward(dweight, dout, inp, rstd, rows),
    );
    const forward = norm(c.data(inp), c.data(weight), rows, cols);
    const backward = normBackward(c.data(dout), c.data(inp), c.data(weight), rows, cols);
    const add = (a: Float64Array, b: Float64Array) => a.map((v, i) => v + b[i]!);
    for (const tensor of [out, again, other]) c.expect(name, tensor, forward.out, NORM);
    c.expect(name, rstd, forward.rstd, NORM);
    c.expect(name, over, backward.dinp, NORM);
    c.expect(name, onto, add(backward.dinp, c.data(residual)), NORM);
    c.expect(name, dweight, add(backward.dweight, c.data(dweight)), PARAMETERS);
  }
  await c.check();
});

test("a row of zeros and one of small numbers stay finite", async () => {
  const c = new OpCase(2);
  const cols = 12;
  const inp = c.of("inp", [2, cols], Float32Array.from([...new Array(cols).fill(0), ...c.normals(cols, 1e-20)]));
  const weight = c.random("weight", [cols]);
  const [out, rstd] = [c.blank("out", [2, cols]), c.blank("rstd", [2, 1])];
  c.run(rmsnormForward(out, rstd, inp, weight, 2, EPS));
  const expected = norm(c.data(inp), c.data(weight), 2, cols);
  c.expect("small", out, expected.out, NORM);
  c.expect("small", rstd, expected.rstd, NORM);
  await c.check();
});

test("a row has the same bits by itself as among others", async () => {
  const [rows, cols] = [7, 68];
  const own = new OpCase(3);
  const [inp, dout, add] = [1, 2, 3].map(() => own.normals(rows * cols)) as [Float32Array, Float32Array, Float32Array];
  const weights = own.normals(cols);
  /** The program of rows first .. first + count. */
  const build = (first: number, count: number) => {
    const c = new OpCase(first);
    const part = (name: string, all: Float32Array) =>
      c.of(name, [count, cols], all.slice(first * cols, (first + count) * cols));
    const [out, dinp, again] = ["out", "dinp", "again"].map((name) => c.blank(name, [count, cols]));
    const norm = { inp: part("inp", inp), rstd: c.blank("rstd", [count, 1]), weight: c.of("weight", [cols], weights) };
    c.run(
      rmsnormForward(out!, norm.rstd, norm.inp, norm.weight, count, EPS),
      rmsnormBackward(dinp!, again!, part("dout", dout), norm, count, part("add", add)),
    );
    return { c, results: [out!, dinp!, again!] };
  };
  const whole = build(0, rows);
  const alone = [0, 3, rows - 1].map((row) => {
    const { c, results } = build(row, 1);
    return { c, values: {}, parts: results.map((own, i) => ({ own, whole: whole.results[i]!, at: row * cols })) };
  });
  await assertSameAlone(whole.c, {}, alone);
});

test("operands of other shapes are refused", () => {
  const [rows, row, rstd] = [[3, 4], [4], [3, 1]] as const;
  assertShapes({ out: rows, rstd, inp: rows, weight: row }, ({ out, rstd, inp, weight }) =>
    rmsnormForward(out, rstd, inp, weight, "tokens", EPS),
  );
  assertShapes(
    { dinp: rows, out: rows, dout: rows, inp: rows, rstd, weight: row, add: rows },
    ({ dinp, out, dout, add, ...parts }) => rmsnormBackward(dinp, out, dout, parts, "tokens", add),
  );
  assertShapes({ dweight: row, dout: rows, inp: rows, rstd }, ({ dweight, dout, inp, rstd }) =>
    rmsnormParametersBackward(dweight, dout, inp, rstd, "tokens"),
  );
});
