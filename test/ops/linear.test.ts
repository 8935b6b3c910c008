import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import type { BlockDtype } from "../../src/blocks.ts";
import { ACTIVATION, type ActivationName } from "../../src/ops/activation.ts";
import { linearBackward, linearForward } from "../../src/ops/linear.ts";
import { loraDown, loraUpBackward } from "../../src/ops/lora.ts";
import type { Tensor } from "../../src/tensor.ts";
import { EXTREMES, FORMULAS, slopes } from "../helpers/activation.ts";
import { dense, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { gemm } from "../helpers/gemm.ts";
import { add, assertGradient, dot, times } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertSameRows, assertShapes, OpCase, testOp } from "../helpers/op-case.ts";

const gelu = FORMULAS.gelu_new;

/** Two consecutive sums of up to 132 products of normal numbers, then GELU. */
const TWO_SUMS = { atol: 5e-5, rtol: 5e-6 };
/** The derivative of GELU multiplies such a sum. */
const GELU = { atol: 1e-4, rtol: 1e-5 };

/** As of the activation alone. */
const LARGE = { atol: 2e-7, rtol: 1e-6 };

/** x (W + dW) + bias. */
function layer(
  x: Float64Array,
  W: Float64Array,
  dW: Float64Array,
  bias: Float64Array,
  m: number,
  n: number,
  k: number,
) {
  return gemm({ out: new Float64Array(m * n), a: x, b: add(W, dW), m, n, k, bias });
}

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
  count,
  r,
  width,
  column,
  step,
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

for (const count of ["tokens", "slots"] as const)
  for (const { rows, input, out, place, dtype } of CASES.filter((one) => count === "tokens" || one.rows < 20))
    testOp(
      `${count}: ${rows} rows of ${input} to ${out}, ${place ? `${place.count} of rank ${place.r}` : "no adapter"}${dtype ? `, ${dtype}` : ""}`,
      async () => {
        const c = new OpCase(rows * input + out);
        const room = rows + 1;
        const x = c.random("x", [room, input], 1, rows * input);
        const W = weight(c, dtype, [input, out]);
        const bias = c.random("bias", [out]);
        const made = place && makeGroup(c, 0.5, { ...place, input });
        const adapters = (name: string) =>
          made ? { group: made.group, down: c.blank(name, [room, made.group.count * made.group.r]) } : undefined;
        const [forward, backward] = [adapters("down"), adapters("ddown")];
        const [plain, sum, h] = ["plain", "sum", "h"].map((name) => c.blank(name, [room, out]));
        const active = c.blank("active", [room, out]);
        const [act, again] = [c.blank("act", [room, out]), c.blank("again", [room, input])];
        const [y, both] = [c.blank("y", [room, out]), c.blank("both", [room, out])];
        const residual = c.random("residual", [room, out], 1, rows * out);
        const dy = c.random("dy", [room, out], 1, rows * out);
        const [dx, dh, dsum] = ["dx", "dh", "dsum"].map((name) => c.blank(name, [room, input]));
        if (forward) c.run(loraDown(forward.down, x, forward.group, c[count]));
        if (backward) c.run(loraUpBackward(backward.down, dy, backward.group, c[count]));
        const args = { x, W, bias, rows: c[count], adapters: forward };
        c.run(
          linearForward({ ...args, out: plain! }),
          linearForward({ ...args, out: sum!, residual }),
          linearForward({ ...args, out: active, activate: { by: "gelu_new", out: "in place" } }),
          linearForward({ ...args, out: h!, activate: { by: "gelu_new", out: act } }),
          linearForward({ ...args, out: y, sum: { add: residual, out: both } }),
          linearBackward({ dx: dx!, dy, W, rows: c[count], adapters: backward }),
          linearBackward({
            dx: dh!,
            dy,
            W,
            rows: c[count],
            adapters: backward,
            activated: { by: "gelu_new", inp: x, act: again },
          }),
          linearBackward({ dx: dsum!, dy, W, rows: c[count], adapters: backward, add: x }),
        );
        const used = (tensor: typeof x, n: number) => c.data(tensor).subarray(0, rows * n);
        const dW = made ? dense(c, made.group, out) : new Float64Array(input * out);
        const expected = layer(used(x, input), c.data(W), dW, c.data(bias), rows, out, input);
        const whole = add(c.data(W), dW);
        const dxs = gemm({
          out: new Float64Array(rows * input),
          a: used(dy, out),
          b: whole,
          transB: true,
          m: rows,
          n: input,
          k: out,
        });
        const xs = used(x, input);
        if (rows < 10)
          assertGradient("x", xs, dxs, (x) =>
            dot(layer(x, c.data(W), dW, c.data(bias), rows, out, input), used(dy, out)),
          );
        c.expect("plain", plain!, expected, TWO_SUMS);
        c.expect("residual", sum!, add(expected, used(residual, out)), TWO_SUMS);
        c.expect("gelu", active, expected.map(gelu), GELU);
        c.expect("gelu, saved", h!, expected, TWO_SUMS);
        c.expect("gelu, saved", act, expected.map(gelu), GELU);
        c.expect("sum, the result", y, expected, TWO_SUMS);
        c.expect("sum", both, add(expected, used(residual, out)), TWO_SUMS);
        c.expect("backward", dx!, dxs, TWO_SUMS);
        c.expect("backward and a sum", dsum!, add(dxs, xs), TWO_SUMS);
        c.expect("backward of gelu", dh!, times(dxs, slopes("gelu_new", xs)), GELU);
        c.expect("backward of gelu", again, xs.map(gelu), GELU);
        await c.check({ [count]: rows });
      },
    );

for (const by of Object.keys(ACTIVATION) as ActivationName[])
  testOp(`the input of ${by} may be large, small or zero`, async () => {
    const c = new OpCase(2);
    const n = EXTREMES.length;
    const inp = c.of("inp", [1, n], Float32Array.from(EXTREMES));
    const [dx, act, again, x] = ["dx", "act", "again", "x"].map((name) => c.blank(name, [1, n]));
    const [dy, W] = [c.of("dy", [1, 1], Float32Array.of(1)), c.of("W", [n, 1], new Float32Array(n).fill(1))];
    c.run(linearBackward({ dx: dx!, dy, W, rows: 1, activated: { by, inp, act: act! } }));
    const [none, bias] = [c.of("none", [1, n], new Float32Array(n)), c.of("bias", [n], Float32Array.from(EXTREMES))];
    const forward = { x: dy, W: none, bias, rows: 1 };
    c.run(linearForward({ ...forward, out: x!, activate: { by, out: again! } }));
    for (const out of [act!, again!]) c.expect("large", out, c.data(inp).map(FORMULAS[by]), LARGE);
    c.expect("large", dx!, slopes(by, c.data(inp)), LARGE);
    await c.check();
  });

for (const [dtype, input, width, reading] of [
  [undefined, 36, 732, ""],
  ["q8", 32, 736, ".quantized"],
] as const)
  testOp(`large and small tiles give the same bits, for any number of rows${dtype ? `, ${dtype}` : ""}`, async () => {
    const [out, most] = [3 * width, 130];
    const c = new OpCase(11);
    const W = weight(c, dtype, [input, out]);
    const bias = c.random("bias", [out]);
    const { group } = makeGroup(c, 1, { count: 3, r: 8, input, width, column: 0, step: width });
    const values = c.normals(most * input);
    const lists = [1984, most].map((capacity) => {
      const padded = new Float32Array(capacity * input).fill(Number.NaN);
      padded.set(values);
      const x = c.of("x", [capacity, input], padded);
      const [down, y] = [c.blank("down", [capacity, 24]), c.blank("out", [capacity, out])];
      const layer = { x, W, bias, rows: c.tokens };
      return {
        y,
        list: [loraDown(down, x, group, c.tokens), linearForward({ out: y, ...layer, adapters: { group, down } })],
      };
    });
    for (const { list } of lists) c.run(...list);
    assert.equal(
      lists.map(({ list }) => chooseShader(list[1]!).name),
      [`linear_wide${reading}`, `linear_middle${reading}`],
    );
    await assertSameRows(
      c,
      lists.map(({ y }) => y),
      [most, 33, 1],
    );
  });

for (const k of [3, 1, 64])
  testOp(`out of a bottleneck of ${k}, by large tiles`, async () => {
    const [room, rows, n] = [1984, 33, 2180];
    const c = new OpCase(k);
    const [a, W, Wt] = [c.random("a", [room, k], 1, rows * k), c.random("W", [k, n], 0.3), c.random("Wt", [n, k], 0.3)];
    const [out, sum, dx] = ["out", "sum", "dx"].map((name) => c.blank(name, [room, n]));
    const bias = c.random("bias", [n]);
    const inp = c.random("inp", [room, n], 1, rows * n);
    const list = [
      linearForward({ out: out!, x: a, W, bias, rows: c.tokens, sum: { add: inp, out: sum! } }),
      linearBackward({ dx: dx!, dy: a, W: Wt, rows: c.tokens, add: inp }),
    ];
    for (const one of list) assert.is(chooseShader(one).name, k === 64 ? "linear_wide" : "linear_wide.scalar");
    c.run(...list);
    const product = { a: c.data(a), m: rows, n, k };
    const added = c.data(inp).subarray(0, rows * n);
    const expected = gemm({ ...product, out: new Float64Array(rows * n), b: c.data(W), bias: c.data(bias) });
    const backward = gemm({ ...product, out: added.slice(), b: c.data(Wt), transB: true, beta: 1 });
    for (const device of c.devices(["webgpu"])) {
      const found = await c.results({ tokens: rows }, [out!, sum!, dx!], device);
      [expected, add(expected, added), backward].forEach((values, i) => {
        assertAllClose(`${k} to ${n}, ${i}`, found[i]!.subarray(0, rows * n), values, TWO_SUMS);
      });
    }
  });

test("operands of other shapes are refused", () => {
  const c = new OpCase(3);
  const { group } = makeGroup(c, 1, { count: 1, r: 2, input: 4, width: 5, column: 0, step: 0 });
  const [wide, slim] = [
    [3, 5],
    [3, 4],
  ] as const;
  const shapes = { out: wide, x: slim, W: [4, 5], bias: [5], down: [3, 2], residual: wide } as const;
  assertShapes(shapes, ({ down, ...rest }) => linearForward({ ...rest, rows: c.tokens, adapters: { group, down } }));
  assertShapes({ dx: slim, dy: wide, W: [4, 5], inp: slim, act: slim }, ({ inp, act, ...rest }) =>
    linearBackward({ ...rest, rows: c.tokens, activated: { by: "relu", inp, act } }),
  );
  assertShapes({ out: wide, x: slim, W: [4, 5], bias: [5], add: wide, both: wide }, ({ add, both, ...rest }) =>
    linearForward({ ...rest, rows: c.tokens, sum: { add, out: both } }),
  );
  assertShapes({ dx: slim, dy: wide, W: [4, 5], add: slim }, (t) => linearBackward({ ...t, rows: c.tokens }));
});
