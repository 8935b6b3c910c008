import { rmsnormBackward, rmsnormForward, rmsnormParametersBackward } from "../../src/ops/rmsnorm.ts";
import { dot, rowGradient } from "../helpers/gradient.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { addColumns, eachRow, NORM_SHAPES, testRows } from "../helpers/row-op.ts";

/** Sums of up to 768 products of normal numbers, and a few roundings. */
const NORM = { atol: 3e-6, rtol: 3e-6 };
/** Sums of up to 129 rows of products of normal numbers, one after the other. */
const PARAMETERS = { atol: 2e-5, rtol: 2e-6 };
const EPS = 1e-5;

const rstdOf = (row: Float64Array) => 1 / Math.sqrt(dot(row, row) / row.length + EPS);

const norm = (weight: Float64Array) => (row: Float64Array) => {
  const rstd = rstdOf(row);
  return row.map((x, c) => x * rstd * weight[c]!);
};

testRows("RMSNorm", NORM_SHAPES, ({ c, rows, cols, input, output, shared, used }) => {
  const [inp, dout, add, weight] = [input("inp", cols, 2), input("dout"), input("add"), shared("weight")];
  const [out, again, other] = [output("out"), output("again"), output("other")];
  const [dinp, onto, rstd, dweight] = [output("dinp"), output("dinp with add"), output("rstd", 1), shared("dweight")];
  const parts = { inp, rstd, weight };
  c.run(
    rmsnormForward(out, rstd, inp, weight, rows, EPS),
    rmsnormBackward(dinp, again, dout, parts, rows),
    rmsnormBackward(onto, other, dout, parts, rows, add),
    rmsnormParametersBackward(dweight, dout, inp, rstd, rows),
  );
  const [x, d] = [used(inp), used(dout)];
  const forward = eachRow(x, cols, norm(c.data(weight)));
  const gradient = rowGradient(norm(c.data(weight)), x, d, rows);
  const hat = eachRow(x, cols, norm(new Float64Array(cols).fill(1)));
  return [
    ...[out, again, other].map((tensor) => [tensor, forward, NORM] as const),
    [rstd, eachRow(x, cols, (row) => Float64Array.of(rstdOf(row))), NORM],
    [dinp, gradient, NORM],
    [onto, gradient.map((value, i) => value + used(add)[i]!), NORM],
    [
      dweight,
      addColumns(
        c.data(dweight),
        hat.map((value, i) => value * d[i]!),
      ),
      PARAMETERS,
    ],
  ];
});

testOp("a row of zeros and one of small numbers stay finite", async () => {
  const c = new OpCase(2);
  const cols = 12;
  const inp = c.of("inp", [2, cols], Float32Array.from([...new Array(cols).fill(0), ...c.normals(cols, 1e-20)]));
  const weight = c.random("weight", [cols]);
  const [out, rstd] = [c.blank("out", [2, cols]), c.blank("rstd", [2, 1])];
  c.run(rmsnormForward(out, rstd, inp, weight, 2, EPS));
  c.expect("small", out, eachRow(c.data(inp), cols, norm(c.data(weight))), NORM);
  c.expect(
    "small",
    rstd,
    eachRow(c.data(inp), cols, (row) => Float64Array.of(rstdOf(row))),
    NORM,
  );
  await c.check();
});
