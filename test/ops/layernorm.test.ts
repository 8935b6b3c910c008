import { layernormBackward, layernormForward, layernormParametersBackward } from "../../src/ops/layernorm.ts";
import { matmulBiasBackward } from "../../src/ops/matmul.ts";
import { add, addColumns, eachRow, rowGradient, times } from "../helpers/gradient.ts";
import { testOp, testRows } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Sums of up to 768 normal numbers by a tree, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Rows around 1000 with deviation 1: the mean is a sum near 1e5, rounded at each step, so that it is off by 1e-4. */
const OFFSET = { atol: 5e-4, rtol: 1e-5 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

/** Mean and reciprocal of the standard deviation. */
function statsOf(row: Float64Array): Float64Array {
  const mean = row.reduce((a, b) => a + b) / row.length;
  return Float64Array.of(mean, 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length + EPS));
}

const norm = (weight: Float64Array, bias: Float64Array) => (row: Float64Array) => {
  const [mean, rstd] = statsOf(row);
  return row.map((x, c) => (x - mean!) * rstd! * weight[c]! + bias[c]!);
};

testRows("LayerNorm", (c, rows, cols) => {
  const input = (name: string, scale = 1) => c.input(name, [rows, cols], scale);
  const [inp, dout, more] = [input("inp", 2), input("dout"), input("add")];
  const [weight, bias, dweight, dbias, alone] = ["weight", "bias", "dweight", "dbias", "alone"].map((name) =>
    c.random(name, [cols]),
  );
  const [out, again, other, dinp, onto] = ["out", "again", "other", "dinp", "dinp with add"].map((name) =>
    c.output(name, [rows, cols]),
  );
  const stats = c.output("stats", [rows, 2]);
  const parts = { inp, stats, weight: weight!, bias: bias! };
  c.run(
    layernormForward(out!, stats, inp, weight!, bias!, rows, EPS),
    layernormBackward(dinp!, again!, dout, parts, rows),
    layernormBackward(onto!, other!, dout, parts, rows, more),
    layernormParametersBackward(dweight!, dbias!, dout, inp, stats, rows),
    // Where the weight is frozen; the number of rows is given: no share is read.
    matmulBiasBackward([{ member: 0, dbias: alone! }], dout, rows, members(c, [{}])),
  );
  const [x, d] = [c.data(inp), c.data(dout)];
  const whole = norm(c.data(weight!), c.data(bias!));
  const gradient = rowGradient(whole, x, d, rows);
  const hat = eachRow(x, cols, norm(new Float64Array(cols).fill(1), new Float64Array(cols)));
  for (const tensor of [out!, again!, other!]) c.after(tensor, eachRow(x, cols, whole), NORM);
  c.after(stats, eachRow(x, cols, statsOf), NORM);
  c.after(dinp!, gradient, NORM);
  c.after(onto!, add(gradient, c.data(more)), NORM);
  c.after(dweight!, addColumns(c.data(dweight!), times(hat, d)), PARAMETERS);
  for (const tensor of [dbias!, alone!]) c.after(tensor, addColumns(c.data(tensor), d), PARAMETERS);
});

testOp("rows far from zero keep their variance, and a constant row is finite", (c) => {
  const cols = 132;
  const far = c.normals(2 * cols).map((x) => x + 1000);
  const inp = c.of("inp", [3, cols], Float32Array.from([...far, ...new Array(cols).fill(7.5)]));
  const [weight, bias] = [c.random("weight", [cols]), c.random("bias", [cols])];
  const [out, stats] = [c.blank("out", [3, cols]), c.blank("stats", [3, 2])];
  c.run(layernormForward(out, stats, inp, weight, bias, 3, EPS));
  c.after(out, eachRow(c.data(inp), cols, norm(c.data(weight), c.data(bias))), OFFSET);
  c.after(stats, eachRow(c.data(inp), cols, statsOf), OFFSET);
});
