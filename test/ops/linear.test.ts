import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import type { BlockDtype } from "../../src/blocks.ts";
import { ACTIVATIONS } from "../../src/config.ts";
import { floatToHalf } from "../../src/half.ts";
import { linearGrouped } from "../../src/ops/grouped.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { linearBackward, linearForward } from "../../src/ops/linear.ts";
import { type AdapterGroup, loraDown, loraUpBackward } from "../../src/ops/lora.ts";
import type { ShareRows } from "../../src/ops/shares.ts";
import { alignView, type Tensor } from "../../src/tensor.ts";
import { EXTREMES, FORMULAS } from "../helpers/activation.ts";
import { dense, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { DEVICE_NAMES, ONE_OF_EACH } from "../helpers/device.ts";
import { gemm } from "../helpers/gemm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase, sequenceStarts } from "../helpers/op-case.ts";
import { assertSameAlone, layOut, members, packRows } from "../helpers/shares.ts";

const { value: gelu, slope } = FORMULAS.gelu_new;

/** Two consecutive sums of up to 132 products of normal numbers, then GELU. */
const TWO_SUMS = { atol: 5e-5, rtol: 5e-6 };
/** The derivative of GELU multiplies such a sum. */
const GELU = { atol: 1e-4, rtol: 1e-5 };

/** As of the activation alone. */
const LARGE = { atol: 2e-7, rtol: 1e-6 };

const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);
const times = (a: Float64Array, b: Float64Array) => a.map((value, i) => value * b[i]!);

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

test("the reference's gradient is that of its function, through GELU", () => {
  const [m, n, k] = [3, 5, 4];
  const make = (count: number) => Float64Array.from({ length: count }, (_, i) => Math.sin(count + i * i));
  const [inp, W, bias, dy] = [make(m * k), make(k * n), new Float64Array(n), make(m * n)] as const;
  const none = new Float64Array(k * n);
  const dx = gemm({ out: new Float64Array(m * k), a: dy, b: W, transB: true, m, n: k, k: n });
  const loss = () => dot(layer(inp.map(gelu), W, none, bias, m, n, k), dy);
  assertGradient("inp", loss, inp, times(dx, inp.map(slope)));
});

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
  { rows: 1, input: 4, out: 4, place: one(1, 4) },
  { rows: 17, input: 20, out: 68, place: one(3, 68) },
  { rows: 33, input: 36, out: 60, place: thirds(3, 8, 20) },
  { rows: 65, input: 68, out: 108, place: thirds(3, 5, 36) },
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
    test(`${count}: ${rows} rows of ${input} to ${out}, ${place ? `${place.count} of rank ${place.r}` : "no adapter"}${dtype ? `, ${dtype}` : ""}`, async () => {
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
      if (forward) c.run(loraDown(forward.down, x, forward.group, count));
      if (backward) c.run(...loraUpBackward(backward.down, dy, backward.group, count));
      const args = { x, W, bias, rows: count, adapters: forward };
      c.run(
        linearForward({ ...args, out: plain! }),
        linearForward({ ...args, out: sum!, residual }),
        linearForward({ ...args, out: active, activate: { by: "gelu_new", out: "in place" } }),
        linearForward({ ...args, out: h!, activate: { by: "gelu_new", out: act } }),
        linearForward({ ...args, out: y, sum: { add: residual, out: both } }),
        linearBackward({ dx: dx!, dy, W, rows: count, adapters: backward }),
        linearBackward({
          dx: dh!,
          dy,
          W,
          rows: count,
          adapters: backward,
          activated: { by: "gelu_new", inp: x, act: again },
        }),
        linearBackward({ dx: dsum!, dy, W, rows: count, adapters: backward, add: x }),
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
      c.expect("plain", plain!, expected, TWO_SUMS);
      c.expect("residual", sum!, add(expected, used(residual, out)), TWO_SUMS);
      c.expect("gelu", active, expected.map(gelu), GELU);
      c.expect("gelu, saved", h!, expected, TWO_SUMS);
      c.expect("gelu, saved", act, expected.map(gelu), GELU);
      c.expect("sum, the result", y, expected, TWO_SUMS);
      c.expect("sum", both, add(expected, used(residual, out)), TWO_SUMS);
      c.expect("backward", dx!, dxs, TWO_SUMS);
      c.expect("backward and a sum", dsum!, add(dxs, xs), TWO_SUMS);
      c.expect("backward of gelu", dh!, times(dxs, xs.map(slope)), GELU);
      c.expect("backward of gelu", again, xs.map(gelu), GELU);
      await c.check({ [count]: rows });
    });

for (const by of ACTIVATIONS)
  test(`the input of ${by} may be large, small or zero`, async () => {
    const { value, slope } = FORMULAS[by];
    const c = new OpCase(2);
    const n = EXTREMES.length;
    const inp = c.of("inp", [1, n], Float32Array.from(EXTREMES));
    const [dx, act, again, x] = ["dx", "act", "again", "x"].map((name) => c.blank(name, [1, n]));
    const [dy, W] = [c.of("dy", [1, 1], Float32Array.of(1)), c.of("W", [n, 1], new Float32Array(n).fill(1))];
    c.run(linearBackward({ dx: dx!, dy, W, rows: 1, activated: { by, inp, act: act! } }));
    const [none, bias] = [c.of("none", [1, n], new Float32Array(n)), c.of("bias", [n], Float32Array.from(EXTREMES))];
    const forward = { x: dy, W: none, bias, rows: 1 };
    c.run(linearForward({ ...forward, out: x!, activate: { by, out: again! } }));
    for (const out of [act!, again!]) c.expect("large", out, c.data(inp).map(value), LARGE);
    c.expect("large", dx!, c.data(inp).map(slope), LARGE);
    await c.check();
  });

test("large and small tiles give the same bits, for any number of rows", async () => {
  const [input, out, most] = [36, 2196, 130];
  const c = new OpCase(11);
  const W = c.random("W", [input, out]);
  const bias = c.random("bias", [out]);
  const { group } = makeGroup(c, 1, { count: 3, r: 8, input, width: 732, column: 0, step: 732 });
  const values = c.normals(most * input);
  const lists = [1984, most].map((capacity) => {
    const padded = new Float32Array(capacity * input).fill(Number.NaN);
    padded.set(values);
    const x = c.of("x", [capacity, input], padded);
    const [down, y] = [c.blank("down", [capacity, 24]), c.blank("out", [capacity, out])];
    const rows = "tokens";
    return {
      y,
      list: [loraDown(down, x, group, rows), linearForward({ out: y, x, W, bias, rows, adapters: { group, down } })],
    };
  });
  for (const { list } of lists) c.run(...list);
  assert.equal(
    lists.map(({ list }) => chooseShader(list[1]!).name),
    ["linear_wide", "linear_middle"],
  );
  const whole = new Map<string, Float32Array>();
  for (const tokens of [most, 33, 1])
    for (const device of DEVICE_NAMES) {
      const found = await c.results(
        { tokens },
        lists.map(({ y }) => y),
        device,
      );
      const [wide, middle] = found.map((one) => one.slice(0, tokens * out));
      assertSameBits(`${tokens} rows on ${device}`, middle!, wide!);
      if (!whole.has(device)) whole.set(device, wide!);
      assertSameBits(`${tokens} of ${most} rows on ${device}`, wide!, whole.get(device)!.slice(0, tokens * out));
    }
});

test("out of a bottleneck, by large tiles", async () => {
  const [room, rows, n] = [1984, 33, 2180];
  for (const k of [1, 3, 64]) {
    const c = new OpCase(k);
    const [a, W, Wt] = [c.random("a", [room, k], 1, rows * k), c.random("W", [k, n], 0.3), c.random("Wt", [n, k], 0.3)];
    const [out, sum, dx] = ["out", "sum", "dx"].map((name) => c.blank(name, [room, n]));
    const bias = c.random("bias", [n]);
    const inp = c.random("inp", [room, n], 1, rows * n);
    const list = [
      linearForward({ out: out!, x: a, W, bias, rows: "tokens", sum: { add: inp, out: sum! } }),
      linearBackward({ dx: dx!, dy: a, W: Wt, rows: "tokens", add: inp }),
    ];
    for (const one of list) assert.is(chooseShader(one).name, k === 64 ? "linear_wide" : "linear_wide.scalar");
    c.run(...list);
    const product = { a: c.data(a), m: rows, n, k };
    const added = c.data(inp).subarray(0, rows * n);
    const expected = gemm({ ...product, out: new Float64Array(rows * n), b: c.data(W), bias: c.data(bias) });
    const backward = gemm({ ...product, out: added.slice(), b: c.data(Wt), transB: true, beta: 1 });
    const found = await c.results({ tokens: rows }, [out!, sum!, dx!], "webgpu");
    [expected, add(expected, added), backward].forEach((values, i) => {
      assertAllClose(`${k} to ${n}, ${i}`, found[i]!.subarray(0, rows * n), values, TWO_SUMS);
    });
  }
});

/** A layer of several members. */
interface Layer {
  kind: ShareRows;
  input: number;
  /** A multiple of 3: q, k and v. */
  out: number;
  dtype?: "f16" | BlockDtype;
  /** The rows that a member can have. */
  room?: number;
}

/** A member's adapters: how many of q, k and v, from which on, and how far apart in thirds; null: none. */
interface LinearMember {
  rows: number;
  adapters: { r: number; count: number; first: number; step: number } | null;
  isBad?: boolean;
}

const ADAPTED: readonly LinearMember[] = [
  { rows: 17, adapters: { r: 3, count: 3, first: 0, step: 1 } },
  { rows: 0, adapters: { r: 8, count: 1, first: 0, step: 0 } },
  { rows: 9, adapters: { r: 8, count: 2, first: 0, step: 2 } },
  { rows: 5, adapters: { r: 4, count: 3, first: 0, step: 1 }, isBad: true },
  { rows: 6, adapters: null },
  { rows: 37, adapters: { r: 40, count: 1, first: 1, step: 0 } },
  { rows: 1, adapters: { r: 1, count: 2, first: 1, step: 1 } },
];

interface OwnLayer {
  of: LinearMember;
  /** A and B of each adapter, one behind the other, and `down` and its gradient. */
  page: Float32Array;
  down: Float32Array;
  ddown: Float32Array;
  x: Float32Array;
  dy: Float32Array;
  residual: Float32Array;
}

/** Where the adapters of a member are in its page. */
function memberGroup({ input, out }: Layer, { adapters }: LinearMember) {
  const { r, count, first, step } = adapters ?? { r: 0, count: 0, first: 0, step: 0 };
  const width = out / 3;
  const [a, b] = [alignView(r * input), alignView(width * r)];
  const place = { count, r, scale: 1, input, width, skew: 0, column: first * width, step: step * width, stride: a + b };
  return { place, a, size: count * (a + b), part: (size: number) => (count - 1) * (a + b) + size };
}

function drawOwn(draw: OpCase, layer: Layer, of: LinearMember): OwnLayer {
  const { place, size } = memberGroup(layer, of);
  const [x, long] = [of.rows * layer.input, of.rows * layer.out];
  const own: OwnLayer = {
    of,
    page: draw.normals(size, 0.3),
    down: draw.normals(of.rows * place.count * place.r),
    ddown: draw.normals(of.rows * place.count * place.r),
    ...{ x: draw.normals(x), dy: draw.normals(long), residual: draw.normals(long) },
  };
  if (of.isBad) for (const name of ["page", "x", "dy", "down", "ddown"] as const) own[name].fill(Number.NaN);
  if (of.isBad) own.page.fill(Infinity, 0, 2);
  return own;
}

/** The layers of every epilogue, each member's as a plan of its own has it. */
function ownLayers(layer: Layer, weights: { W: Float32Array; bias: Float32Array }, some: readonly OwnLayer[]) {
  const c = new OpCase(21);
  const { kind, input, out, dtype, room = Math.max(...some.map(({ of }) => of.rows)) } = layer;
  const starts = sequenceStarts(some.map(({ of }) => of.rows));
  const all = Math.max(room, starts.at(-1)!) + 1;
  const share = (rows: number) => (kind === "tokens" ? { tokens: rows, sequences: 2 } : { tokens: 7, sequences: rows });
  const W =
    dtype === "q8" || dtype === "q4"
      ? c.blocks("W", dtype, [input, out], "matrix")
      : c.of("W", [input, out], dtype === "f16" ? floatToHalf(weights.W) : weights.W, "weight");
  const bias = c.of("bias", [out], weights.bias);
  const packed = (name: "x" | "dy" | "residual", width: number) =>
    c.of(
      name,
      [all, width],
      packRows(
        some.map((own) => own[name]),
        width,
        all,
      ),
    );
  const [x, dy, residual] = [packed("x", input), packed("dy", out), packed("residual", out)];
  const nothing = (count: number) => new Float32Array(count).fill(Number.NaN);
  const own = (name: "page" | "down" | "ddown", pages: Float32Array[]) => {
    if (some.every(({ of }) => !of.adapters)) return [];
    const { whole, offsets } = layOut(pages, nothing);
    const tensor = c.of(name, [whole.length], whole);
    return offsets.map((offset, i) => tensor.view(name, [pages[i]!.length], offset));
  };
  const pages = own(
    "page",
    some.map(({ page }) => page),
  );
  const ownRows = (name: "down" | "ddown") =>
    own(
      name,
      some.map((one) => {
        const { count, r } = memberGroup(layer, one.of).place;
        return packRows([one[name]], count * r, room);
      }),
    );
  const [downs, ddowns] = [ownRows("down"), ownRows("ddown")];
  const layerAdapters = (i: number, rows: readonly Tensor[]) => {
    const { of } = some[i]!;
    if (!of.adapters) return undefined;
    const { place, a, part } = memberGroup(layer, of);
    const view = (name: string, size: number, at: number) => pages[i]!.view(name, [part(size)], at);
    const { r, width, count } = place;
    const group: AdapterGroup = { ...place, A: view("A", r * input, 0), B: view("B", width * r, a) };
    return { group, down: rows[i]!.view("down", [room, count * r], 0) };
  };
  const results: { tensor: Tensor; width: number }[] = [];
  const make = (name: string, width: number) => {
    const tensor = c.blank(name, [all, width]);
    results.push({ tensor, width });
    return tensor;
  };
  const [plain, sum, active, h, act, y, both] = ["plain", "sum", "active", "h", "act", "y", "both"].map((name) =>
    make(name, out),
  ) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const [dx, dh, again, dsum] = ["dx", "dh", "again", "dsum"].map((name) => make(name, input)) as [
    ...[Tensor, Tensor, Tensor, Tensor],
  ];
  const at = (tensor: Tensor) => tensor.view(tensor.name, [room, tensor.shape[1]!], 0);
  const lists = some.map((_, i): Dispatch[] => {
    const args = { x: at(x), W, bias, rows: kind, adapters: layerAdapters(i, downs) };
    const back = { dy: at(dy), W, rows: kind, adapters: layerAdapters(i, ddowns) };
    return [
      linearForward({ ...args, out: at(plain) }),
      linearForward({ ...args, out: at(sum), residual: at(residual) }),
      linearForward({ ...args, out: at(active), activate: { by: "gelu_new", out: "in place" } }),
      linearForward({ ...args, out: at(h), activate: { by: "gelu_new", out: at(act) } }),
      linearForward({ ...args, out: at(y), sum: { add: at(residual), out: at(both) } }),
      linearBackward({ ...back, dx: at(dx) }),
      linearBackward({ ...back, dx: at(dh), activated: { by: "gelu_new", inp: at(x), act: at(again) } }),
      linearBackward({ ...back, dx: at(dsum), add: at(x) }),
    ];
  });
  return {
    ...{ c, W, results, lists, starts },
    // A plan of one member has none.
    share: () =>
      members(
        c,
        some.map(({ of }) => share(of.rows)),
      ),
  };
}

/** What each of the results must be, in f64. */
function expectLayers(
  { c, results, W, starts }: ReturnType<typeof ownLayers>,
  layer: Layer,
  bias: Float32Array,
  some: readonly OwnLayer[],
): void {
  const { input, out } = layer;
  const [forward, backward] = [[], []] as [Float64Array[], Float64Array[]];
  const f64 = (values: Float32Array) => Float64Array.from(values);
  const whole = c.data(W);
  for (const { of, page, down, ddown, x, dy } of some) {
    const { place, a } = memberGroup(layer, of);
    const { count, r, width, column, step, stride } = place;
    const m = of.rows;
    const y = gemm({ out: new Float64Array(m * out), a: f64(x), b: whole, m, n: out, k: input, bias: f64(bias) });
    const dx = gemm({ out: new Float64Array(m * input), a: f64(dy), b: whole, transB: true, m, n: input, k: out });
    for (let i = 0; i < count; i++) {
      const from = { m, k: r, lda: count * r, aOffset: i * r, beta: 1 };
      const [A, B] = [f64(page.subarray(i * stride)), f64(page.subarray(i * stride + a))];
      gemm({ ...from, out: y, a: f64(down), b: B, transB: true, n: width, ldc: out, outOffset: column + i * step });
      gemm({ ...from, out: dx, a: f64(ddown), b: A, n: input });
    }
    forward.push(y);
    backward.push(dx);
  }
  const join = (parts: readonly Float64Array[]) => Float64Array.from(parts.flatMap((part) => [...part]));
  const [y, dx] = [join(forward), join(backward)];
  const [x, residual] = [join(some.map((own) => f64(own.x))), join(some.map((own) => f64(own.residual)))];
  const expected = [
    ...[y, add(y, residual), y.map(gelu), y, y.map(gelu), y, add(y, residual)],
    ...[dx, times(dx, x.map(slope)), x.map(gelu), add(dx, x)],
  ];
  assert.is(y.length, starts.at(-1)! * out);
  results.forEach(({ tensor }, i) => {
    c.expect(tensor.name, tensor, expected[i]!, GELU);
  });
}

for (const layer of [
  { kind: "tokens", input: 20, out: 60 },
  { kind: "sequences", input: 36, out: 72 },
  { kind: "tokens", input: 21, out: 39 },
  { kind: "tokens", input: 132, out: 24, dtype: "f16" },
  { kind: "tokens", input: 21, out: 39, dtype: "f16" },
  { kind: "tokens", input: 64, out: 72, dtype: "q8" },
  { kind: "sequences", input: 192, out: 72, dtype: "q4" },
  { kind: "tokens", input: 36, out: 2196, room: 1984 },
  { kind: "tokens", input: 21, out: 2199, room: 1984, dtype: "f16" },
] as const satisfies readonly Layer[] as readonly Layer[]) {
  const { kind, input, out, dtype = "f32", room } = layer;
  test(`a layer of members, shares of ${kind}, ${input} to ${out}, ${dtype}: each as in a program of its own`, async () => {
    const draw = new OpCase(22);
    const weights = { W: draw.normals(input * out, 0.3), bias: draw.normals(out) };
    const some = (room ? [0, 3, 2, 4] : [...ADAPTED.keys()]).map((i) => drawOwn(draw, layer, ADAPTED[i]!));
    const all = ownLayers(layer, weights, some);
    const { c, lists, results, starts } = all;
    const batch = all.share();
    const grouped = lists[0]!.map((_, i) =>
      linearGrouped(
        lists.map((list, member) => ({ member, product: list[i]! })),
        batch,
      ),
    );
    const size = room ? "wide" : "middle";
    assert.is(chooseShader(grouped[0]!).name.split(".")[0], `linear_grouped_${size}`);
    c.run(...grouped);
    expectLayers(all, layer, weights.bias, some);
    const devices = room ? ["webgpu", "wasm 2 threads"] : ONE_OF_EACH;
    await c.check(batch.values, devices);
    const alone = some.flatMap((own, i) => {
      if (own.of.rows === 0 || own.of.isBad) return [];
      const { c, lists, results: found } = ownLayers(layer, weights, [own]);
      c.run(...lists[0]!);
      const parts = found.map(({ tensor, width }, j) => ({
        own: tensor.view(tensor.name, [own.of.rows, width], 0),
        whole: results[j]!.tensor,
        at: starts[i]! * width,
      }));
      return [{ c, values: { [kind]: own.of.rows }, parts }];
    });
    assert.is(alone.length, room ? 3 : 5);
    await assertSameAlone(c, batch.values, alone, devices);
  });
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
