import { rmsnormBackward, rmsnormForward, rmsnormParametersBackward } from "../../src/ops/rmsnorm.ts";
import { add, addColumns, dot, eachRow, rowGradient, times } from "../helpers/gradient.ts";
import { testOp, testRows } from "../helpers/op-case.ts";

/** Sums of up to 768 products of normal numbers, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

const rstdOf = (row: Float64Array) => Float64Array.of(1 / Math.sqrt(dot(row, row) / row.length + EPS));

const norm = (weight: Float64Array) => (row: Float64Array) => {
  const [rstd] = rstdOf(row);
  return row.map((x, c) => x * rstd! * weight[c]!);
};

testRows("RMSNorm", (c, rows, cols) => {
  const [inp, dout, more] = [
    c.input("inp", [rows, cols], 2),
    c.input("dout", [rows, cols]),
    c.input("add", [rows, cols]),
  ];
  const [out, again, other, dinp, onto] = ["out", "again", "other", "dinp", "dinp with add"].map((name) =>
    c.output(name, [rows, cols]),
  );
  const [rstd, weight, dweight] = [
    c.output("rstd", [rows, 1]),
    c.random("weight", [cols]),
    c.random("dweight", [cols]),
  ];
  const parts = { inp, rstd, weight };
  c.run(
    rmsnormForward(out!, rstd, inp, weight, rows, EPS),
    rmsnormBackward(dinp!, again!, dout, parts, rows),
    rmsnormBackward(onto!, other!, dout, parts, rows, more),
    rmsnormParametersBackward(dweight, dout, inp, rstd, rows),
  );
  const [x, d] = [c.data(inp), c.data(dout)];
  const gradient = rowGradient(norm(c.data(weight)), x, d, rows);
  for (const tensor of [out!, again!, other!]) c.after(tensor, eachRow(x, cols, norm(c.data(weight))), NORM);
  c.after(rstd, eachRow(x, cols, rstdOf), NORM);
  c.after(dinp!, gradient, NORM);
  c.after(onto!, add(gradient, c.data(more)), NORM);
  const hat = eachRow(x, cols, norm(new Float64Array(cols).fill(1)));
  c.after(dweight, addColumns(c.data(dweight), times(hat, d)), PARAMETERS);
});

testOp("a row of zeros and one of small numbers stay finite", (c) => {
  const cols = 12;
  const inp = c.of("inp", [2, cols], Float32Array.from([...new Array(cols).fill(0), ...c.normals(cols, 1e-20)]));
  const weight = c.random("weight", [cols]);
  const [out, rstd] = [c.blank("out", [2, cols]), c.blank("rstd", [2, 1])];
  c.run(rmsnormForward(out, rstd, inp, weight, 2, EPS));
  c.after(out, eachRow(c.data(inp), cols, norm(c.data(weight))), NORM);
  c.after(rstd, eachRow(c.data(inp), cols, rstdOf), NORM);
});
