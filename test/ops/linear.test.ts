import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import type { BlockDtype } from "../../src/core/blocks.ts";
import type { Tensor } from "../../src/core/tensor.ts";
import { ACTIVATION, type ActivationName } from "../../src/ops/activation.ts";
import { loraDown } from "../../src/ops/adapters.ts";
import { linearBackward, linearForward } from "../../src/ops/linear.ts";
import { loraUpBackward } from "../../src/ops/lora.ts";
import { EXTREMES, FORMULAS, slopes } from "../helpers/activation.ts";
import { dense, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { gemm } from "../helpers/gemm.ts";
import { add, assertGradient, dot, times } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertSameRows, assertShapes, OpCase, testAlone, testOp } from "../helpers/op-case.ts";

const gelu = FORMULAS.gelu_new;

/** Two consecutive sums of up to 132 products of normal numbers, then GELU. */
const TWO_SUMS = { atol: 5e-5, rtol: 5e-6 };
/** The derivative of GELU multiplies such a sum. */
const GELU = { atol: 1e-4, rtol: 1e-5 };

/** As of the activation alone. */
const LARGE = { atol: 2e-7, rtol: 1e-6 };

interface Sizes {
  rows: number;
  input: number;
  out: number;
  place: Omit<Place, "input"> | null;
  dtype?: "f16" | BlockDtype;
}

const one = (r: number, width: number): Sizes["place"] => ({ count: 1, r, width, column: 0, step: 0 });
const fewer = (r: number, first: number, width: number): Sizes["place"] => ({
  ...{ count: 3, r, width, column: 0, step: width, skew: first - width },
});
const thirds = (count: number, r: number, width: number, column = 0, step = width): Sizes["place"] => ({
  ...{ count, r, width, column, step },
});

/** Ranks below, at and above a tile's depth; adapters that end inside a tile or panel; a block of the CPU's caches. */
const CASES: Sizes[] = [
  { rows: 65, input: 68, out: 108, place: thirds(3, 5, 36) },
  { rows: 1, input: 4, out: 4, place: one(1, 4) },
  { rows: 17, input: 20, out: 68, place: one(3, 68) },
  { rows: 33, input: 36, out: 60, place: thirds(3, 8, 20) },
  { rows: 65, input: 68, out: 108, place: thirds(2, 4, 36, 0, 72) },
  { rows: 34, input: 21, out: 39, place: thirds(2, 2, 13, 13) },
  // Queries, and keys and values of fewer heads.
  { rows: 33, input: 36, out: 68, place: fewer(8, 36, 16) },
  { rows: 65, input: 132, out: 220, place: fewer(3, 132, 44), dtype: "f16" },
  { rows: 5, input: 64, out: 96, place: fewer(4, 64, 16), dtype: "q4" },
  { rows: 130, input: 132, out: 33, place: one(40, 33) },
  { rows: 9, input: 12, out: 36, place: thirds(3, 140, 12) },
  { rows: 260, input: 390, out: 13, place: one(8, 13) },
  { rows: 5, input: 132, out: 520, place: null },
  { rows: 40, input: 24, out: 72, place: thirds(3, 8, 24), dtype: "f16" },
  { rows: 7, input: 21, out: 8, place: one(3, 8), dtype: "f16" },
  { rows: 1, input: 192, out: 72, place: null, dtype: "q4" },
  { rows: 5, input: 64, out: 40, place: one(3, 40), dtype: "q4" },
  { rows: 40, input: 192, out: 72, place: thirds(3, 8, 24), dtype: "q4" },
  { rows: 40, input: 32, out: 8, place: one(2, 8), dtype: "q8" },
  // Into the bottleneck of an adapter's MLP, and out of it.
  ...[1, 3, 5, 64].flatMap((m) => [
    { rows: 1, input: 68, out: m, place: null },
    { rows: 9, input: m, out: 68, place: null },
    { rows: 35, input: 132, out: m, place: null },
    { rows: 35, input: m, out: 132, place: null },
  ]),
  { rows: 1, input: 1, out: 1, place: null },
];

function weight(c: OpCase, dtype: Sizes["dtype"], shape: readonly [number, number]): Tensor {
  if (dtype === undefined) return c.random("W", shape, 0.3);
  return dtype === "f16" ? c.halves("W", shape) : c.blocks("W", dtype, shape, "matrix");
}

/** Adds a layer with all that may follow it, and its backward pass, to a case. */
function build(c: OpCase, { rows, input, out, place, dtype }: Sizes, count: "tokens" | "slots") {
  const [x, dy, residual] = [c.input("x", [rows, input]), c.input("dy", [rows, out]), c.input("residual", [rows, out])];
  const [W, bias] = [weight(c, dtype, [input, out]), c.random("bias", [out])];
  const made = place && makeGroup(c, 0.5, { ...place, input });
  const adapters = (name: string) =>
    made ? { group: made.group, down: c.output(name, [rows, made.group.count * made.group.r]) } : undefined;
  const [forward, backward] = [adapters("down"), adapters("ddown")];
  const blank = (name: string) => c.output(name, [rows, out]);
  const [plain, sum, active, h, act, y, both] = ["plain", "sum", "active", "h", "act", "y", "both"].map(blank);
  const [dx, dh, dsum, again] = ["dx", "dh", "dsum", "again"].map((name) => c.output(name, [rows, input]));
  if (forward) c.run(loraDown(forward.down, x, forward.group, count));
  if (backward) c.run(loraUpBackward(backward.down, dy, backward.group, count));
  const args = { x, W, bias, rows: count, adapters: forward };
  const back = { dy, W, rows: count, adapters: backward };
  c.run(
    linearForward({ ...args, out: plain! }),
    linearForward({ ...args, out: sum!, residual }),
    linearForward({ ...args, out: active!, activate: { by: "gelu_new", out: "in place" } }),
    linearForward({ ...args, out: h!, activate: { by: "gelu_new", out: act! } }),
    linearForward({ ...args, out: y!, sum: { add: residual, out: both! } }),
    linearBackward({ ...back, dx: dx! }),
    linearBackward({ ...back, dx: dh!, activated: { by: "gelu_new", inp: x, act: again! } }),
    linearBackward({ ...back, dx: dsum!, add: x }),
  );
  const [xs, dys] = [c.data(x), c.data(dy)];
  const whole = made ? add(c.data(W), dense(c, made.group, out)) : c.data(W);
  const layer = (x: Float64Array) =>
    gemm({ out: new Float64Array(rows * out), a: x, b: whole, m: rows, n: out, k: input, bias: c.data(bias) });
  const gradient = { a: dys, b: whole, transB: true, m: rows, n: input, k: out };
  const [expected, dxs] = [layer(xs), gemm({ ...gradient, out: new Float64Array(rows * input) })];
  if (rows < 10) assertGradient("x", xs, dxs, (x) => dot(layer(x), dys));
  for (const tensor of [plain!, h!, y!]) c.after(tensor, expected, TWO_SUMS);
  for (const tensor of [sum!, both!]) c.after(tensor, add(expected, c.data(residual)), TWO_SUMS);
  for (const tensor of [active!, act!]) c.after(tensor, expected.map(gelu), GELU);
  c.after(dx!, dxs, TWO_SUMS);
  c.after(dsum!, add(dxs, xs), TWO_SUMS);
  c.after(dh!, times(dxs, slopes("gelu_new", xs)), GELU);
  c.after(again!, xs.map(gelu), GELU);
  return { [count]: rows };
}

for (const count of ["tokens", "slots"] as const) {
  for (const sizes of CASES.filter((one) => count === "tokens" || one.rows < 20)) {
    const { rows, input, out, place, dtype = "f32" } = sizes;
    const adapters = place ? `${place.count} of rank ${place.r}` : "no adapter";
    testOp(`${count}: ${rows} rows of ${input} to ${out}, ${adapters}, ${dtype}`, (c) => build(c, sizes, count));
  }
  testAlone(`rows of ${count}`, new Array(9).fill(1), (c, { length }) =>
    build(c, { rows: length, input: 36, out: 60, place: thirds(3, 5, 20) }, count),
  );
}

for (const by of Object.keys(ACTIVATION) as ActivationName[])
  testOp(`the input of ${by} may be large, small or zero`, (c) => {
    const n = EXTREMES.length;
    const inp = c.of("inp", [1, n], Float32Array.from(EXTREMES));
    const [dx, act, again, x] = ["dx", "act", "again", "x"].map((name) => c.blank(name, [1, n]));
    const [dy, W] = [c.of("dy", [1, 1], Float32Array.of(1)), c.of("W", [n, 1], new Float32Array(n).fill(1))];
    c.run(linearBackward({ dx: dx!, dy, W, rows: 1, activated: { by, inp, act: act! } }));
    const [none, bias] = [c.of("none", [1, n], new Float32Array(n)), c.of("bias", [n], Float32Array.from(EXTREMES))];
    const forward = { x: dy, W: none, bias, rows: 1 };
    c.run(linearForward({ ...forward, out: x!, activate: { by, out: again! } }));
    for (const out of [act!, again!]) c.after(out, c.data(inp).map(FORMULAS[by]), LARGE);
    c.after(dx!, slopes(by, c.data(inp)), LARGE);
  });

for (const [dtype, input, width, reading] of [
  [undefined, 36, 732, ""],
  ["q8", 32, 736, ".quantized"],
] as const)
  testOp(`large and small tiles give the same bits, for any number of rows${dtype ? `, ${dtype}` : ""}`, async (c) => {
    const [out, most] = [3 * width, 130];
    const [W, bias] = [weight(c, dtype, [input, out]), c.random("bias", [out])];
    const { group } = makeGroup(c, 1, { count: 3, r: 8, input, width, column: 0, step: width });
    const values = c.normals(most * input);
    const outs = [1984, most].map((capacity, i) => {
      const x = c.rows("x", [most, input], values, capacity);
      const [down, y] = [c.output("down", [most, 24], capacity), c.output("out", [most, out], capacity)];
      const layer = linearForward({ out: y, x, W, bias, rows: "tokens", adapters: { group, down } });
      c.run(loraDown(down, x, group, "tokens"), layer);
      assert.is(chooseShader(layer).name, `linear_${["wide", "middle"][i]}${reading}`);
      return y;
    });
    await assertSameRows(c, outs, [most, 33, 1]);
    return undefined;
  });

for (const k of [3, 1, 64]) {
  const build = (c: OpCase) => {
    const [room, rows, n] = [1984, 33, 2180];
    const [a, inp] = [c.input("a", [rows, k], 1, room), c.input("inp", [rows, n], 1, room)];
    const [W, Wt, bias] = [c.random("W", [k, n], 0.3), c.random("Wt", [n, k], 0.3), c.random("bias", [n])];
    const [out, sum, dx] = ["out", "sum", "dx"].map((name) => c.output(name, [rows, n], room));
    const list = [
      linearForward({ out: out!, x: a, W, bias, rows: "tokens", sum: { add: inp, out: sum! } }),
      linearBackward({ dx: dx!, dy: a, W: Wt, rows: "tokens", add: inp }),
    ];
    for (const one of list) assert.is(chooseShader(one).name, k === 64 ? "linear_wide" : "linear_wide.scalar");
    c.run(...list);
    const product = { a: c.data(a), m: rows, n, k };
    const expected = gemm({ ...product, out: new Float64Array(rows * n), b: c.data(W), bias: c.data(bias) });
    c.after(out!, expected, TWO_SUMS);
    c.after(sum!, add(expected, c.data(inp)), TWO_SUMS);
    c.after(dx!, gemm({ ...product, out: c.data(inp), b: c.data(Wt), transB: true, beta: 1 }), TWO_SUMS);
    return { tokens: rows };
  };
  testOp(`out of a bottleneck of ${k}, by large tiles`, build, ["webgpu"], k === 1);
}

test("operands of other shapes are refused", () => {
  const c = new OpCase(3);
  const { group } = makeGroup(c, 1, { count: 1, r: 2, input: 4, width: 5, column: 0, step: 0 });
  const [wide, slim] = [
    [3, 5],
    [3, 4],
  ] as const;
  const shapes = { out: wide, x: slim, W: [4, 5], bias: [5], down: [3, 2], residual: wide } as const;
  assertShapes(shapes, ({ down, ...rest }) => linearForward({ ...rest, rows: "tokens", adapters: { group, down } }));
  assertShapes({ dx: slim, dy: wide, W: [4, 5], inp: slim, act: slim }, ({ inp, act, ...rest }) =>
    linearBackward({ ...rest, rows: "tokens", activated: { by: "relu", inp, act } }),
  );
  assertShapes({ out: wide, x: slim, W: [4, 5], bias: [5], add: wide, both: wide }, ({ add, both, ...rest }) =>
    linearForward({ ...rest, rows: "tokens", sum: { add, out: both } }),
  );
  assertShapes({ dx: slim, dy: wide, W: [4, 5], add: slim }, (t) => linearBackward({ ...t, rows: "tokens" }));
});
