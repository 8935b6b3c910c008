import { layernormBackward, layernormForward, layernormParametersBackward } from "../../src/ops/layernorm.ts";
import { matmulBiasBackward } from "../../src/ops/matmul.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Sums of up to 768 normal numbers by a tree, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Rows around 1000 with deviation 1: the mean is a sum near 1e5, rounded at each step, so that it is off by 1e-4. */
const OFFSET = { atol: 5e-4, rtol: 1e-5 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

function norm(inp: Float64Array, weight: Float64Array, bias: Float64Array, rows: number, cols: number) {
  const out = new Float64Array(rows * cols);
  const stats = new Float64Array(rows * 2);
  for (let i = 0; i < rows; i++) {
    const x = inp.subarray(i * cols, (i + 1) * cols);
    const mean = x.reduce((a, b) => a + b) / cols;
    const rstd = 1 / Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / cols + EPS);
    stats.set([mean, rstd], 2 * i);
    for (let c = 0; c < cols; c++) out[i * cols + c] = (x[c]! - mean) * rstd * weight[c]! + bias[c]!;
  }
  return { out, stats };
}

function normBackward(dout: Float64Array, inp: Float64Array, weight: Float64Array, rows: number, cols: number) {
  const { stats } = norm(inp, weight, new Float64Array(cols), rows, cols);
  const dinp = new Float64Array(rows * cols);
  const dweight = new Float64Array(cols);
  const dbias = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    const [mean, rstd] = [stats[2 * i]!, stats[2 * i + 1]!];
    const hat = (c: number) => (inp[i * cols + c]! - mean) * rstd;
    let [sum, sumHat] = [0, 0];
    for (let c = 0; c < cols; c++) {
      const d = dout[i * cols + c]!;
      dweight[c]! += d * hat(c);
      dbias[c]! += d;
      sum += d * weight[c]!;
      sumHat += d * weight[c]! * hat(c);
    }
    for (let c = 0; c < cols; c++)
      dinp[i * cols + c] = rstd * (dout[i * cols + c]! * weight[c]! - sum / cols - (hat(c) * sumHat) / cols);
  }
  return { dinp, dweight, dbias };
}

test("the reference's gradients are those of its function", () => {
  const [rows, cols] = [3, 5];
  const make = (n: number, at: number) => Float64Array.from({ length: n }, (_, i) => Math.sin(at + i * i));
  const [inp, dout, weight, bias] = [make(15, 1), make(15, 2), make(5, 3), make(5, 4)] as const;
  const { dinp, dweight, dbias } = normBackward(dout, inp, weight, rows, cols);
  const loss = () => dot(norm(inp, weight, bias, rows, cols).out, dout);
  assertGradient("inp", loss, inp, dinp);
  assertGradient("weight", loss, weight, dweight);
  assertGradient("bias", loss, bias, dbias);
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
  // The number of rows is given: no share is read.
  const batch = members(c, [{}]);
  for (const [rows, cols] of SHAPES) {
    const name = `${rows} x ${cols}`;
    const inp = c.random("inp", [rows + 1, cols], 2, rows * cols);
    const dout = c.random("dout", [rows + 1, cols], 1, rows * cols);
    const weight = c.random("weight", [cols]);
    const bias = c.random("bias", [cols]);
    const out = c.blank("out", [rows + 1, cols]);
    const stats = c.blank("stats", [rows + 1, 2]);
    const [over, onto] = [c.blank("dinp", [rows + 1, cols]), c.blank("dinp with add", [rows + 1, cols])];
    const [again, other] = [c.blank("again", [rows + 1, cols]), c.blank("other", [rows + 1, cols])];
    const residual = c.random("add", [rows + 1, cols], 1, rows * cols);
    const parts = { inp, stats, weight, bias };
    const dweight = c.random("dweight", [cols]);
    const dbias = c.random("dbias", [cols]);
    // Where the weight is frozen.
    const alone = c.of("dbias alone", [cols], Float32Array.from(c.data(dbias)));
    c.run(
      layernormForward(out, stats, inp, weight, bias, rows, EPS),
      layernormBackward(over, again, dout, parts, rows),
      layernormBackward(onto, other, dout, parts, rows, residual),
      layernormParametersBackward(dweight, dbias, dout, inp, stats, rows),
      matmulBiasBackward([{ member: 0, dbias: alone }], dout, rows, batch),
    );
    const [x, w] = [c.data(inp), c.data(weight)];
    const forward = norm(x, w, c.data(bias), rows, cols);
    const backward = normBackward(c.data(dout), x, w, rows, cols);
    const before = { add: c.data(residual), dweight: c.data(dweight), dbias: c.data(dbias) };
    const add = (a: Float64Array, b: Float64Array) => a.map((v, i) => v + b[i]!);
    c.expect(name, out, forward.out, NORM);
    c.expect(name, stats, forward.stats, NORM);
    c.expect(name, over, backward.dinp, NORM);
    c.expect(name, again, forward.out, NORM);
    c.expect(name, other, forward.out, NORM);
    c.expect(name, onto, add(backward.dinp, before.add), NORM);
    c.expect(name, dweight, add(backward.dweight, before.dweight), PARAMETERS);
    c.expect(name, dbias, add(backward.dbias, before.dbias), PARAMETERS);
    c.expect(name, alone, add(backward.dbias, before.dbias), PARAMETERS);
  }
  await c.check();
});

test("rows far from zero keep their variance, and a constant row is finite", async () => {
  const c = new OpCase(2);
  const cols = 132;
  const far = c.normals(2 * cols).map((x) => x + 1000);
  const inp = c.of("inp", [3, cols], Float32Array.from([...far, ...new Array(cols).fill(7.5)]));
  const weight = c.random("weight", [cols]);
  const bias = c.random("bias", [cols]);
  const out = c.blank("out", [3, cols]);
  const stats = c.blank("stats", [3, 2]);
  c.run(layernormForward(out, stats, inp, weight, bias, 3, EPS));
  const expected = norm(c.data(inp), c.data(weight), c.data(bias), 3, cols);
  c.expect("offset", out, expected.out, OFFSET);
  c.expect("offset", stats, expected.stats, OFFSET);
  await c.check();
});

test("operands of other shapes are refused", () => {
  const [rows, row, stats] = [[3, 4], [4], [3, 2]] as const;
  assertShapes({ out: rows, stats, inp: rows, weight: row, bias: row }, ({ out, stats, inp, weight, bias }) =>
    layernormForward(out, stats, inp, weight, bias, "tokens", EPS),
  );
  assertShapes(
    { dinp: rows, out: rows, dout: rows, inp: rows, stats, weight: row, bias: row, add: rows },
    ({ dinp, out, dout, add, ...parts }) => layernormBackward(dinp, out, dout, parts, "tokens", add),
  );
  assertShapes({ dweight: row, dbias: row, dout: rows, inp: rows, stats }, ({ dweight, dbias, dout, inp, stats }) =>
    layernormParametersBackward(dweight, dbias, dout, inp, stats, "tokens"),
  );
});
