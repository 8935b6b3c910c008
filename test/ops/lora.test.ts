import { loraDown, loraDownBackward, loraUp, loraUpBackward } from "../../src/ops/lora.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertGradient, dot } from "../gradient.ts";
import { test } from "../harness.ts";
import { assertShapes, OpCase } from "./case.ts";
import { gemm } from "./gemm.ts";

/** Two sums of up to 132 products of normal numbers behind each other: intermediate values reach a few dozen. */
const TWO_SUMS = { atol: 5e-5, rtol: 5e-6 };

interface Sizes {
  rows: number;
  input: number;
  out: number;
  r: number;
  scale: number;
}

/** y = x (scale B A)^T with the matrix B A formed, which the ops never do. */
function adapter(x: Float64Array, A: Float64Array, B: Float64Array, { rows, input, out, r, scale }: Sizes) {
  const BA = gemm({ out: new Float64Array(out * input), a: B, b: A, m: out, n: input, k: r });
  return gemm({
    out: new Float64Array(rows * out),
    a: x,
    b: BA,
    transB: true,
    m: rows,
    n: out,
    k: input,
    alpha: scale,
  });
}

/** The gradients by way of that of B A, which the ops never form either. */
function adapterBackward(
  dy: Float64Array,
  x: Float64Array,
  A: Float64Array,
  B: Float64Array,
  { rows, input, out, r, scale }: Sizes,
) {
  const BA = gemm({ out: new Float64Array(out * input), a: B, b: A, m: out, n: input, k: r });
  const dBA = gemm({
    out: new Float64Array(out * input),
    a: dy,
    b: x,
    transA: true,
    m: out,
    n: input,
    k: rows,
    alpha: scale,
  });
  return {
    dx: gemm({ out: new Float64Array(rows * input), a: dy, b: BA, m: rows, n: input, k: out, alpha: scale }),
    dA: gemm({ out: new Float64Array(r * input), a: B, b: dBA, transA: true, m: r, n: input, k: out }),
    dB: gemm({ out: new Float64Array(out * r), a: dBA, b: A, transB: true, m: out, n: r, k: input }),
  };
}

test("the reference's gradients are those of its function", () => {
  const sizes = { rows: 3, input: 4, out: 5, r: 2, scale: 0.5 };
  const make = (n: number) => Float64Array.from({ length: n }, (_, i) => Math.sin(n + i * i));
  const [x, A, B, dy] = [make(12), make(8), make(10), make(15)] as const;
  const { dx, dA, dB } = adapterBackward(dy, x, A, B, sizes);
  const loss = () => dot(adapter(x, A, B, sizes), dy);
  assertGradient("x", loss, x, dx);
  assertGradient("A", loss, A, dA);
  assertGradient("B", loss, B, dB);
});

const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

for (const [r, rows, input, out, thirds, third] of [
  [1, 1, 4, 4, 1, 0],
  [1, 17, 20, 68, 1, 0],
  [3, 17, 20, 20, 3, 1],
  [8, 65, 68, 68, 3, 2],
  [8, 130, 132, 33, 1, 0],
  [3, 5, 132, 2, 1, 0],
  [32, 17, 68, 20, 3, 0],
] as const)
  test(`rank ${r}: ${rows} rows of ${input} to ${out}${thirds > 1 ? `, third ${third} of a matrix` : ""}`, async () => {
    const c = new OpCase(r * rows * input);
    const sizes = { rows, input, out, r, scale: 16 / r / 8 };
    const at = { width: thirds * out, column: third * out };
    const x = c.random("x", [rows + 1, input], 1, rows * input);
    const A = c.random("A", [r, input]);
    const B = c.random("B", [out, r]);
    const y = c.random("y", [rows + 1, at.width]);
    const dy = c.random("dy", [rows + 1, at.width], 1, rows * at.width);
    const down = c.blank("down", [rows + 1, r]);
    const ddown = c.blank("ddown", [rows + 1, r]);
    const dA = c.random("dA", [r, input]);
    const dB = c.random("dB", [out, r]);
    const dx = c.random("dx", [rows + 1, input]);
    c.run(
      loraDown(down, x, A, rows),
      loraUp(y, down, B, rows, sizes.scale, at),
      ...loraUpBackward(dB, ddown, dy, down, B, rows, sizes.scale, at),
      ...loraDownBackward(dA, dx, ddown, x, A, rows),
    );
    const [xs, As, Bs] = [c.data(x), c.data(A), c.data(B)];
    const dense = adapter(xs, As, Bs, sizes);
    const expectedY = c.data(y).map((value, i) => {
      const [row, col] = [Math.floor(i / at.width), (i % at.width) - at.column];
      return row < rows && col >= 0 && col < out ? value + dense[row * out + col]! : value;
    });
    const dys = c.data(dy);
    const columns = Float64Array.from(
      { length: rows * out },
      (_, i) => dys[Math.floor(i / out) * at.width + at.column + (i % out)]!,
    );
    const gradients = adapterBackward(columns, xs, As, Bs, sizes);
    c.expect("forward", y, expectedY, TWO_SUMS);
    c.expect("backward", dA, add(gradients.dA, c.data(dA)), TWO_SUMS);
    c.expect("backward", dB, add(gradients.dB, c.data(dB)), TWO_SUMS);
    c.expect("backward", dx, add(gradients.dx, c.data(dx)), TWO_SUMS);
    await c.check();
  });

test("without a gradient of x, and onto a ddown of earlier pieces", async () => {
  const c = new OpCase(9);
  const [rows, input, out, r] = [5, 20, 12, 3];
  const x = c.random("x", [rows, input]);
  // Only its shape counts: its contents are for dx.
  const A = new Tensor("A", [r, input], "weight");
  const down = c.random("down", [rows, r]);
  const dA = c.random("dA", [r, input]);
  const total = c.data(dA);
  const ddown = c.blank("ddown", [rows, r]);
  const summed = new Float64Array(rows * r);
  for (const beta of [0, 1] as const) {
    const B = c.random("B", [out, r]);
    const dB = c.random("dB", [out, r]);
    const dy = c.random("dy", [rows, out]);
    c.run(...loraUpBackward(dB, ddown, dy, down, B, rows, 2, { width: out, column: 0 }, beta));
    gemm({ out: summed, a: c.data(dy), b: c.data(B), m: rows, n: r, k: out, alpha: 2, beta });
  }
  const list = loraDownBackward(dA, null, ddown, x, A, rows);
  if (list.length !== 1) throw new Error(`${list.length} dispatches, expected that of dA alone`);
  c.run(...list);
  gemm({ out: total, a: summed, b: c.data(x), transA: true, m: r, n: input, k: rows, beta: 1 });
  c.expect("pieces", ddown, summed, TWO_SUMS);
  c.expect("pieces", dA, total, TWO_SUMS);
  await c.check();
});

test("operands of other shapes are refused; a gradient may have room for more rows", () => {
  const [x, down, y, A, B] = [
    [3, 5],
    [3, 2],
    [3, 8],
    [2, 5],
    [4, 2],
  ] as const;
  // The right half of y.
  const at = { width: 8, column: 4 };
  assertShapes({ down, x, A }, ({ down, x, A }) => loraDown(down, x, A, "tokens"));
  assertShapes({ y, down, B }, ({ y, down, B }) => loraUp(y, down, B, "tokens", 1, at));
  assertShapes(
    { dB: B, ddown: down, dy: y, down, B },
    ({ dB, ddown, dy, down, B }) => loraUpBackward(dB, ddown, dy, down, B, "tokens", 1, at),
    ["dB.0"],
  );
  assertShapes(
    { dA: A, dx: x, ddown: down, x, A },
    ({ dA, dx, ddown, x, A }) => loraDownBackward(dA, dx, ddown, x, A, "tokens"),
    ["dA.0"],
  );
});
