import { matmulBiasBackward } from "../../src/ops/matmul.ts";
import { normBackward, normForward, normParametersBackward } from "../../src/ops/norm.ts";
import { add, addColumns, eachRow, rowGradient, times } from "../helpers/gradient.ts";
import { testOp, testRows } from "../helpers/op-case.ts";

/** Sums of up to 768 normal numbers by a tree, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Rows around 1000 with deviation 1: the mean is a sum near 1e5, rounded at each step, so that it is off by 1e-4. */
const OFFSET = { atol: 5e-4, rtol: 1e-5 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

/** Mean, or 0, and reciprocal of the deviation from it. */
const statsOf = (centred: boolean) => (row: Float64Array) => {
  const mean = centred ? row.reduce((a, b) => a + b) / row.length : 0;
  return Float64Array.of(mean, 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length + EPS));
};

const norm = (centred: boolean, weight: Float64Array, bias: Float64Array) => (row: Float64Array) => {
  const [mean, rstd] = statsOf(centred)(row);
  return row.map((x, c) => (x - mean!) * rstd! * weight[c]! + bias[c]!);
};

for (const centred of [true, false])
  testRows(centred ? "LayerNorm" : "RMS norm", (c, rows, cols) => {
    const input = (name: string, scale = 1) => c.input(name, [rows, cols], scale);
    const [inp, dout, more] = [input("inp", 2), input("dout"), input("add")];
    const shared = (name: string) => c.random(name, [cols]);
    const [weight, dweight, alone] = [shared("weight"), shared("dweight"), shared("alone")];
    const [bias, dbias] = centred ? [shared("bias"), shared("dbias")] : [];
    const [out, again, other, dinp, onto] = ["out", "again", "other", "dinp", "dinp with add"].map((name) =>
      c.output(name, [rows, cols]),
    );
    const stats = c.output("stats", [rows, 2]);
    const parts = { inp, stats, weight, bias, centred };
    c.run(
      normForward(out!, parts, rows, EPS),
      normBackward(dinp!, again!, dout, parts, rows),
      normBackward(onto!, other!, dout, parts, rows, more),
      normParametersBackward(dweight, dbias, dout, parts, rows),
      // Where the weight is frozen.
      matmulBiasBackward(alone, dout, rows),
    );
    const [x, d] = [c.data(inp), c.data(dout)];
    const zeros = new Float64Array(cols);
    const whole = norm(centred, c.data(weight), bias ? c.data(bias) : zeros);
    const gradient = rowGradient(whole, x, d, rows);
    const hat = eachRow(
      x,
      cols,
      norm(
        centred,
        zeros.map(() => 1),
        zeros,
      ),
    );
    for (const tensor of [out!, again!, other!]) c.after(tensor, eachRow(x, cols, whole), NORM);
    c.after(stats, eachRow(x, cols, statsOf(centred)), NORM);
    c.after(dinp!, gradient, NORM);
    c.after(onto!, add(gradient, c.data(more)), NORM);
    c.after(dweight, addColumns(c.data(dweight), times(hat, d)), PARAMETERS);
    for (const tensor of dbias ? [dbias, alone] : [alone]) c.after(tensor, addColumns(c.data(tensor), d), PARAMETERS);
  });

testOp("rows far from zero keep their variance; rows of one number, of zeros and small ones stay finite", (c) => {
  const cols = 132;
  const far = c.normals(2 * cols).map((x) => x + 1000);
  const others = [...new Array(cols).fill(7.5), ...new Array(cols).fill(0), ...c.normals(cols, 1e-20)];
  const inp = c.of("inp", [5, cols], Float32Array.from([...far, ...others]));
  const [weight, bias] = [c.random("weight", [cols]), c.random("bias", [cols])];
  for (const centred of [true, false]) {
    const [out, stats] = [c.blank(`out ${centred}`, [5, cols]), c.blank(`stats ${centred}`, [5, 2])];
    c.run(normForward(out, { inp, stats, weight, bias, centred }, 5, EPS));
    c.after(out, eachRow(c.data(inp), cols, norm(centred, c.data(weight), c.data(bias))), OFFSET);
    c.after(stats, eachRow(c.data(inp), cols, statsOf(centred)), OFFSET);
  }
});
