import * as assert from "uvu/assert";
import { residualForward } from "../../src/ops/residual.ts";
import { Tensor } from "../../src/tensor.ts";
import { runDispatches } from "../device.ts";
import { assertGradient, dot } from "../gradient.ts";
import { test } from "../harness.ts";
import { assertShapes, EXACT, OpCase } from "./case.ts";

test("the gradient of the output is that of both inputs", () => {
  const [a, b, dout] = [
    [1, -2, 3],
    [0.5, 4, -7],
    [2, 0.1, -1],
  ].map((x) => Float64Array.from(x)) as [Float64Array, Float64Array, Float64Array];
  const loss = () =>
    dot(
      a.map((x, i) => x + b[i]!),
      dout,
    );
  assertGradient("inp1", loss, a, dout);
  assertGradient("inp2", loss, b, dout);
});

test("odd shapes, rounded once, with rows beyond the batch untouched", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of [
    [1, 1],
    [1, 20],
    [17, 68],
    [129, 132],
  ] as const) {
    const inp1 = c.random("inp1", [rows + 1, cols]);
    const inp2 = c.random("inp2", [rows + 1, cols], 1000);
    const out = c.blank("out", [rows + 1, cols]);
    c.run(residualForward(out, inp1, inp2, rows));
    const b = c.data(inp2);
    const sum = c.data(inp1).map((a, i) => Math.fround(a + b[i]!));
    c.expect(`${rows} x ${cols}`, out, sum.subarray(0, rows * cols), EXACT);
  }
  await c.check();
});

test("more than 65535 workgroups: the grid of the flat kernels turns to y", async () => {
  const [rows, cols] = [4097, 4100];
  if (rows * cols <= 65535 * 256) throw new Error("too small a shape for this test");
  const [inp1, inp2, out] = ["inp1", "inp2", "out"].map((name) => new Tensor(name, [rows, cols], "output"));
  const a = Float32Array.from({ length: rows * cols }, (_, i) => i);
  const b = Float32Array.from({ length: rows * cols }, (_, i) => -((i * 7) % 1021));
  const contents = new Map([
    [inp1!, a],
    [inp2!, b],
  ]);
  const [sum] = await runDispatches([residualForward(out!, inp1!, inp2!, rows)], contents, [out!]);
  const bad = sum!.findIndex((value, i) => value !== Math.fround(a[i]! + b[i]!));
  if (bad >= 0) throw new Error(`element ${bad} is ${sum![bad]}, expected ${a[bad]! + b[bad]!}`);
});

test("operands of other shapes are refused", () => {
  const shapes = { out: [3, 4], inp1: [3, 4], inp2: [3, 4] };
  for (const rows of ["tokens", 3] as const)
    assertShapes(shapes, ({ out, inp1, inp2 }) => residualForward(out, inp1, inp2, rows));
  assert.throws(() => assertShapes(shapes, ({ out, inp1, inp2 }) => residualForward(out, inp1, inp2, 4)), /\[4, 4\]/);
});
