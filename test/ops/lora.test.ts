import { alignView, type Tensor } from "../../src/core/tensor.ts";
import { adapterColumns, loraDown } from "../../src/ops/adapters.ts";
import { type LoraJob, loraBackward, loraUpBackward } from "../../src/ops/lora.ts";
import { factorsAt, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { gemm } from "../helpers/gemm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, assertShapes, OpCase, testOp } from "../helpers/op-case.ts";

/** Two consecutive sums of up to 132 products of normal numbers: intermediate values reach a few dozen. */
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
  const product = { a: x, b: BA, transB: true, m: rows, n: out, k: input, alpha: scale };
  return gemm({ ...product, out: new Float64Array(rows * out) });
}

/** The gradients by way of that of B A, which the ops never form either. */
function adapterBackward(
  dy: Float64Array,
  x: Float64Array,
  A: Float64Array,
  B: Float64Array,
  { rows, input, out, r, scale }: Sizes,
) {
  const product = { a: dy, b: x, transA: true, m: out, n: input, k: rows, alpha: scale };
  const dBA = gemm({ ...product, out: new Float64Array(out * input) });
  return {
    dA: gemm({ out: new Float64Array(r * input), a: B, b: dBA, transA: true, m: r, n: input, k: out }),
    dB: gemm({ out: new Float64Array(out * r), a: dBA, b: A, transB: true, m: out, n: r, k: input }),
  };
}

/** The columns of an adapter. */
const columnsOfMatrix = (y: Float64Array, rows: number, n: number, first: number, width: number) =>
  Float64Array.from({ length: rows * width }, (_, i) => y[Math.floor(i / width) * n + first + (i % width)]!);

type Matrix = Place & { rows: number; n: number };

function build(c: OpCase, { rows, n, ...place }: Matrix) {
  const { group, page } = makeGroup(c, 0.5, place);
  const { count, r, input, stride, scale, A, B } = group;
  const [grad, x, dy] = [c.random("grad", page.shape), c.input("x", [rows, input]), c.input("dy", [rows, n])];
  const [down, ddown] = [c.output("down", [rows, count * r]), c.output("ddown", [rows, count * r])];
  c.run(
    loraDown(down, x, group, "tokens"),
    loraUpBackward(ddown, dy, group, "tokens"),
    loraBackward([{ group, rows: "tokens", x, dy, down, ddown, grad }], []),
  );
  const expected = c.data(grad);
  for (let i = 0; i < count; i++) {
    const one = factorsAt(c, group, i);
    const { column, width } = adapterColumns(group, i);
    const columns = columnsOfMatrix(c.data(dy), rows, n, column, width);
    const sizes = { rows, input, out: width, r, scale };
    const { dA, dB } = adapterBackward(columns, c.data(x), one.A, one.B, sizes);
    assertGradient("A", one.A, dA, (A) => dot(adapter(c.data(x), A, one.B, sizes), columns));
    assertGradient("B", one.B, dB, (B) => dot(adapter(c.data(x), one.A, B, sizes), columns));
    addAt(expected, A.offset + i * stride, dA);
    addAt(expected, B.offset + i * stride, dB);
  }
  c.after(grad, expected, TWO_SUMS);
  return { tokens: rows };
}

function addAt(sums: Float64Array, first: number, values: Float64Array): void {
  for (const [i, value] of values.entries()) sums[first + i]! += value;
}

const single = (rows: number, r: number, input: number, width: number): Matrix => ({
  ...{ rows, r, input, width, n: width, count: 1, column: 0, step: 0 },
});

for (const [name, matrix] of [
  ["q, k and v of fewer heads", { ...single(65, 8, 68, 20), n: 108, count: 3, step: 20, skew: 48 }],
  ["one row of rank 1", single(1, 1, 4, 4)],
  ["rank 3", single(17, 3, 20, 68)],
  ["q, k and v", { ...single(65, 8, 68, 68), n: 204, count: 3, step: 68 }],
  ["q and v", { ...single(65, 4, 20, 20), n: 60, count: 2, step: 40 }],
  ["q and v of fewer heads", { ...single(17, 3, 36, 12), n: 60, count: 2, step: 24, skew: 24 }],
  ["k and v of odd rank", { ...single(130, 5, 36, 36), n: 108, count: 2, column: 36, step: 36 }],
  ["a rank above a tile", single(17, 40, 68, 20)],
] as const satisfies readonly (readonly [string, Matrix])[])
  testOp(`gradients of ${name}`, (c) => build(c, matrix));

testOp("the adapters of two matrices in one dispatch, one of them by sequences", (c) => {
  const [rows, r] = [70, 8];
  const [fc, proj] = [single(rows, r, 20, 80), single(33, 3, 80, 20)];
  // Both groups in one buffer, with gradients at the same places.
  const page = c.random("page", [64 * 80], 0.3);
  const grad = c.random("grad", page.shape);
  const sizes = [fc, proj].map((one) => alignView((one.rows + 1) * one.r));
  const [downs, ddowns] = [c.blank("downs", [sizes[0]! + sizes[1]!]), c.blank("ddowns", [sizes[0]! + sizes[1]!])];
  let used = 0;
  const take = (count: number) => {
    const tensor = page.view("part", [count], used);
    used += alignView(count);
    return tensor;
  };
  const expected = c.data(grad);
  const jobs = [fc, proj].map((one, i): LoraJob => {
    const { n, ...place } = one;
    const kind = i === 0 ? "tokens" : "sequences";
    const group = { ...place, skew: 0, scale: 2, stride: 0, A: take(one.r * one.input), B: take(one.width * one.r) };
    const view = (tensor: Tensor) => tensor.view(tensor.name, [one.rows + 1, one.r], i * sizes[0]!);
    const [x, dy] = [c.input("x", [one.rows, one.input]), c.input("dy", [one.rows, n])];
    const size = { rows: one.rows, input: one.input, out: one.width, r: one.r, scale: 2 };
    const { dA, dB } = adapterBackward(c.data(dy), c.data(x), c.data(group.A), c.data(group.B), size);
    addAt(expected, group.A.offset, dA);
    addAt(expected, group.B.offset, dB);
    return { group, rows: kind, x, dy, down: view(downs), ddown: view(ddowns), grad };
  });
  for (const { group, rows, x, dy, down, ddown } of jobs)
    c.run(loraDown(down, x, group, rows), loraUpBackward(ddown, dy, group, rows));
  c.run(loraBackward([jobs[0]!], [jobs[1]!]));
  c.after(grad, expected, TWO_SUMS);
  return { tokens: fc.rows, sequences: proj.rows };
});

test("operands of other shapes, and matrices of other buffers, are refused", () => {
  const c = new OpCase(5);
  const { group, page } = makeGroup(c, 1, { count: 2, r: 2, input: 4, width: 4, column: 0, step: 4 });
  const [down, x, dy] = [
    [3, 4],
    [3, 4],
    [3, 8],
  ] as const;
  assertShapes({ down, x }, ({ down, x }) => loraDown(down, x, group, "tokens"));
  // dy may be wider: other adapters write there.
  assertShapes({ ddown: down, dy }, ({ ddown, dy }) => loraUpBackward(ddown, dy, group, "tokens"), ["dy.1"]);
  const grad = c.blank("grad", page.shape);
  const job = (tensors: Record<"down" | "ddown" | "x" | "dy", Tensor>): LoraJob => ({
    ...tensors,
    group,
    rows: "tokens",
    grad,
  });
  assertShapes({ down, ddown: down, x, dy }, (tensors) => loraBackward([job(tensors)], []));
  const make = () =>
    job({ down: c.blank("down", down), ddown: c.blank("ddown", down), x: c.blank("x", x), dy: c.blank("dy", dy) });
  assertRefused(() => loraBackward([make()], [make()]));
});
