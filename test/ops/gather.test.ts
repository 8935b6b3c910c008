import { gatherBackward, gatherForward } from "../../src/ops/gather.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase } from "../helpers/op-case.ts";

function gather(inp: Float64Array, rows: number[], cols: number): Float64Array {
  const out = new Float64Array(rows.length * cols);
  rows.forEach((row, b) => {
    for (let c = 0; c < cols; c++) out[b * cols + c] = inp[row * cols + c]!;
  });
  return out;
}

function scatter(dout: Float64Array, rows: number[], tokens: number, cols: number): Float64Array {
  const dinp = new Float64Array(tokens * cols);
  rows.forEach((row, b) => {
    for (let c = 0; c < cols; c++) dinp[row * cols + c]! += dout[b * cols + c]!;
  });
  return dinp;
}

test("the reference's gradient is that of its function", () => {
  const inp = Float64Array.from({ length: 20 }, (_, i) => Math.sin(i));
  const dout = Float64Array.from({ length: 8 }, (_, i) => Math.cos(i));
  assertGradient("inp", () => dot(gather(inp, [1, 4], 4), dout), inp, scatter(dout, [1, 4], 5, 4));
});

for (const { tokens, cols, rows } of [
  { tokens: 1, cols: 4, rows: [0] },
  { tokens: 17, cols: 20, rows: [0, 3, 16] },
  { tokens: 23, cols: 68, rows: [22] },
  { tokens: 130, cols: 132, rows: Array.from({ length: 43 }, (_, i) => 3 * i + 2) },
])
  test(`${rows.length} of ${tokens} rows of ${cols}`, async () => {
    const c = new OpCase(tokens);
    const inp = c.random("inp", [tokens + 1, cols], 1, tokens * cols);
    const out = c.blank("out", [rows.length + 2, cols]);
    const dout = c.random("dout", [rows.length + 2, cols], 1, rows.length * cols);
    const dinp = c.blank("dinp", [tokens + 1, cols]);
    const selected = new Uint32Array(tokens + 1);
    rows.forEach((row, b) => {
      selected[row] = b + 1;
    });
    c.run(
      gatherForward(out, inp, c.of("rows", [rows.length + 2], Uint32Array.from([...rows, 0, 0]))),
      gatherBackward(dinp, dout, c.of("selected", [tokens + 1], selected)),
    );
    c.expect("forward", out, gather(c.data(inp), rows, cols), EXACT);
    c.expect("backward", dinp, scatter(c.data(dout), rows, tokens, cols), EXACT);
    await c.check({ tokens, sequences: rows.length });
  });

test("operands of other shapes are refused, but for the number of rows on the other side", () => {
  const [few, many] = [
    [2, 4],
    [3, 4],
  ] as const;
  assertShapes({ out: few, inp: many, rows: [2] }, ({ out, inp, rows }) => gatherForward(out, inp, rows), ["inp.0"]);
  assertShapes(
    { dinp: many, dout: few, selected: [3] },
    ({ dinp, dout, selected }) => gatherBackward(dinp, dout, selected),
    ["dout.0"],
  );
});
