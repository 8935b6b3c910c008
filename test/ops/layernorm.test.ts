import { layernormBackward, layernormForward, layernormParametersBackward } from "../../src/ops/layernorm.ts";
import { matmulBiasBackward } from "../../src/ops/matmul.ts";
import { rowGradient } from "../helpers/gradient.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { addColumns, eachRow, NORM_SHAPES, testRows } from "../helpers/row-op.ts";
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

testRows("LayerNorm", NORM_SHAPES, ({ c, rows, cols, input, output, shared, used }) => {
  const [inp, dout, add] = [input("inp", cols, 2), input("dout"), input("add")];
  const [weight, bias, dweight, dbias, alone] = ["weight", "bias", "dweight", "dbias", "alone"].map(shared);
  const [out, again, other, dinp, onto] = ["out", "again", "other", "dinp", "dinp with add"].map((name) =>
    output(name),
  );
  const stats = output("stats", 2);
  const parts = { inp, stats, weight: weight!, bias: bias! };
  c.run(
    layernormForward(out!, stats, inp, weight!, bias!, rows, EPS),
    layernormBackward(dinp!, again!, dout, parts, rows),
    layernormBackward(onto!, other!, dout, parts, rows, add),
    layernormParametersBackward(dweight!, dbias!, dout, inp, stats, rows),
    // Where the weight is frozen; the number of rows is given: no share is read.
    matmulBiasBackward([{ member: 0, dbias: alone! }], dout, rows, members(c, [{}])),
  );
  const [x, d] = [used(inp), used(dout)];
  const whole = norm(c.data(weight!), c.data(bias!));
  const [forward, gradient] = [eachRow(x, cols, whole), rowGradient(whole, x, d, rows)];
  const hat = eachRow(x, cols, norm(new Float64Array(cols).fill(1), new Float64Array(cols)));
  return [
    ...[out!, again!, other!].map((tensor) => [tensor, forward, NORM] as const),
    [stats, eachRow(x, cols, statsOf), NORM],
    [dinp!, gradient, NORM],
    [onto!, gradient.map((value, i) => value + used(add)[i]!), NORM],
    [
      dweight!,
      addColumns(
        c.data(dweight!),
        hat.map((value, i) => value * d[i]!),
      ),
      PARAMETERS,
    ],
    ...[dbias!, alone!].map((tensor) => [tensor, addColumns(c.data(tensor), d), PARAMETERS] as const),
  ];
});

testOp("rows far from zero keep their variance, and a constant row is finite", async () => {
  const c = new OpCase(2);
  const cols = 132;
  const far = c.normals(2 * cols).map((x) => x + 1000);
  const inp = c.of("inp", [3, cols], Float32Array.from([...far, ...new Array(cols).fill(7.5)]));
  const [weight, bias] = [c.random("weight", [cols]), c.random("bias", [cols])];
  const [out, stats] = [c.blank("out", [3, cols]), c.blank("stats", [3, 2])];
  c.run(layernormForward(out, stats, inp, weight, bias, 3, EPS));
  c.expect("offset", out, eachRow(c.data(inp), cols, norm(c.data(weight), c.data(bias))), OFFSET);
  c.expect("offset", stats, eachRow(c.data(inp), cols, statsOf), OFFSET);
  await c.check();
});
