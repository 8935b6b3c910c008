import * as assert from "uvu/assert";
import { ShapeError } from "../../src/errors.ts";
import { adapterColumns, type LoraJob, loraBackward, loraDown, loraUpBackward } from "../../src/ops/lora.ts";
import type { ShareRows } from "../../src/ops/shares.ts";
import { alignView, type Tensor } from "../../src/tensor.ts";
import { factorsAt, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { assertSameBits } from "../helpers/border.ts";
import { DEVICE_NAMES } from "../helpers/device.ts";
import { gemm } from "../helpers/gemm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase } from "../helpers/op-case.ts";
import { assertSameAlone, type Batch, layOut, members, packRows } from "../helpers/shares.ts";

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

test("the reference's gradients are those of its function", () => {
  const sizes = { rows: 3, input: 4, out: 5, r: 2, scale: 0.5 };
  const make = (n: number) => Float64Array.from({ length: n }, (_, i) => Math.sin(n + i * i));
  const [x, A, B, dy] = [make(12), make(8), make(10), make(15)] as const;
  const { dA, dB } = adapterBackward(dy, x, A, B, sizes);
  const loss = () => dot(adapter(x, A, B, sizes), dy);
  assertGradient("A", loss, A, dA);
  assertGradient("B", loss, B, dB);
});

/** The columns of an adapter. */
const columnsOfMatrix = (y: Float64Array, rows: number, n: number, first: number, width: number) =>
  Float64Array.from({ length: rows * width }, (_, i) => y[Math.floor(i / width) * n + first + (i % width)]!);

type Matrix = Place & { rows: number; n: number };

function check(c: OpCase, { rows, n, ...place }: Matrix): Batch {
  const batch = members(c, [{ tokens: rows }]);
  const { group, page } = makeGroup(c, 0.5, place);
  const { count, r, input, stride, scale, A, B } = group;
  const grad = c.random("grad", page.shape);
  const x = c.random("x", [rows + 1, input], 1, rows * input);
  const dy = c.random("dy", [rows + 1, n], 1, rows * n);
  const [down, ddown] = [c.blank("down", [rows + 1, count * r]), c.blank("ddown", [rows + 1, count * r])];
  c.run(
    loraDown(down, x, group, "tokens"),
    ...loraUpBackward(ddown, dy, group, "tokens"),
    ...loraBackward([{ member: 0, group, rows: "tokens", x, dy, down, ddown, grad }], [], batch),
  );
  const expected = c.data(grad);
  for (let i = 0; i < count; i++) {
    const one = factorsAt(c, group, i);
    const { column, width } = adapterColumns(group, i);
    const columns = columnsOfMatrix(c.data(dy), rows, n, column, width);
    const { dA, dB } = adapterBackward(columns, c.data(x), one.A, one.B, { rows, input, out: width, r, scale });
    for (const [from, gradient] of [
      [A.offset, dA],
      [B.offset, dB],
    ] as const)
      for (const [j, value] of gradient.entries()) expected[from + i * stride + j]! += value;
  }
  c.expect("gradients", grad, expected, TWO_SUMS);
  return batch;
}

const single = (rows: number, r: number, input: number, width: number): Matrix => ({
  rows,
  n: width,
  count: 1,
  r,
  input,
  width,
  column: 0,
  step: 0,
});

for (const [name, matrix] of [
  ["one row of rank 1", single(1, 1, 4, 4)],
  ["rank 3", single(17, 3, 20, 68)],
  ["q, k and v", { ...single(65, 8, 68, 68), n: 204, count: 3, step: 68 }],
  ["q and v", { ...single(65, 4, 20, 20), n: 60, count: 2, step: 40 }],
  ["q, k and v of fewer heads", { ...single(65, 8, 68, 20), n: 108, count: 3, step: 20, skew: 48 }],
  ["q and v of fewer heads", { ...single(17, 3, 36, 12), n: 60, count: 2, step: 24, skew: 24 }],
  ["k and v of odd rank", { ...single(130, 5, 36, 36), n: 108, count: 2, column: 36, step: 36 }],
  ["a rank above a tile", single(17, 40, 68, 20)],
] as const satisfies readonly (readonly [string, Matrix])[])
  test(`gradients of ${name}`, async () => {
    const c = new OpCase(name.length);
    await c.check(check(c, matrix).values);
  });

test("the adapters of two matrices in one dispatch, one of them by sequences", async () => {
  const c = new OpCase(12);
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
  const batch = members(c, [{ tokens: fc.rows, sequences: proj.rows }]);
  const jobs = [fc, proj].map((one, i): LoraJob => {
    const { n, ...place } = one;
    const kind = i === 0 ? "tokens" : "sequences";
    const group = { ...place, skew: 0, scale: 2, stride: 0, A: take(one.r * one.input), B: take(one.width * one.r) };
    const view = (tensor: Tensor) => tensor.view(tensor.name, [one.rows + 1, one.r], i * sizes[0]!);
    const x = c.random("x", [one.rows + 1, one.input], 1, one.rows * one.input);
    const dy = c.random("dy", [one.rows + 1, n], 1, one.rows * n);
    const size = { rows: one.rows, input: one.input, out: one.width, r: one.r, scale: 2 };
    const { dA, dB } = adapterBackward(c.data(dy), c.data(x), c.data(group.A), c.data(group.B), size);
    dA.forEach((value, j) => {
      expected[group.A.offset + j]! += value;
    });
    dB.forEach((value, j) => {
      expected[group.B.offset + j]! += value;
    });
    return { member: 0, group, rows: kind, x, dy, down: view(downs), ddown: view(ddowns), grad };
  });
  for (const { group, rows, x, dy, down, ddown } of jobs)
    c.run(loraDown(down, x, group, rows), ...loraUpBackward(ddown, dy, group, rows));
  const list = loraBackward([jobs[0]!], [jobs[1]!], batch);
  assert.is(list.length, 1);
  c.run(...list);
  c.expect("gradients", grad, expected, TWO_SUMS);
  await c.check(batch.values);
});

/** Two matrices: q, k and v, over tokens, and another over sequences. */
const MATRICES = [
  { kind: "tokens", input: 20, n: 60, width: 20 },
  { kind: "sequences", input: 68, n: 20, width: 20 },
] as const satisfies readonly { kind: ShareRows; input: number; n: number; width: number }[];

/** The adapters of a member at each matrix: how many, from which column on, how far apart. */
interface LoraMember {
  tokens: number;
  sequences: number;
  adapters: readonly (Pick<Place, "count" | "r" | "column" | "step"> | null)[];
  isBad?: boolean;
}

const thirds = (r: number, count = 3, column = 0, step = 20) => ({ r, count, column, step });
const whole = (r: number) => ({ r, count: 1, column: 0, step: 0 });

const ADAPTED: readonly LoraMember[] = [
  { tokens: 17, sequences: 3, adapters: [thirds(3), whole(3)] },
  { tokens: 0, sequences: 0, adapters: [thirds(8), whole(8)] },
  { tokens: 70, sequences: 33, adapters: [thirds(8, 2, 0, 40), null] },
  { tokens: 5, sequences: 2, adapters: [thirds(4), whole(4)], isBad: true },
  { tokens: 6, sequences: 1, adapters: [null, whole(40)] },
  { tokens: 9, sequences: 4, adapters: [null, null] },
  { tokens: 1, sequences: 1, adapters: [thirds(1, 1, 40), whole(5)] },
];

interface OwnGradients {
  of: LoraMember;
  /** Of each matrix. */
  parts: { x: Float32Array; dy: Float32Array; down: Float32Array; ddown: Float32Array; before: Float32Array }[];
}

/** Where the gradients of a member's adapters of a matrix are, from the first A on. */
function gradientPlaces(adapters: LoraMember["adapters"][number], { input, width }: (typeof MATRICES)[number]) {
  const { r, count, column, step } = adapters ?? thirds(0, 0);
  const a = alignView(r * input);
  const stride = a + alignView(width * r);
  return { place: { count, r, input, width, column, step, stride }, a, size: count * stride };
}

function drawOwn(draw: OpCase, of: LoraMember): OwnGradients {
  const parts = MATRICES.map((matrix, i) => {
    const { place, size } = gradientPlaces(of.adapters[i]!, matrix);
    const rows = of[matrix.kind];
    const normals = (count: number) => (of.isBad ? new Float32Array(count).fill(Number.NaN) : draw.normals(count));
    const short = rows * place.count * place.r;
    const one = { x: normals(rows * matrix.input), dy: normals(rows * matrix.n), before: draw.normals(size) };
    if (of.isBad) one.dy.fill(Infinity, 0, 2);
    return { ...one, down: normals(short), ddown: normals(short) };
  });
  return { of, parts };
}

/** The gradients of all adapters of members, at both matrices in one dispatch. */
function gradients(some: readonly OwnGradients[]) {
  const c = new OpCase(31);
  const nothing = (count: number) => new Float32Array(count).fill(Number.NaN);
  const batch = members(
    c,
    some.map(({ of: { tokens, sequences } }) => ({ tokens, sequences })),
  );
  const of = MATRICES.map((matrix, i) => {
    const room = Math.max(...some.map(({ of }) => of[matrix.kind]));
    const packed = (name: "x" | "dy", width: number) => {
      const rows = some.map(({ parts }) => parts[i]![name]);
      return c.of(name, [room * some.length, width], packRows(rows, width, room * some.length));
    };
    const isUsed = some.some(({ of }) => of.adapters[i]);
    return { room, operands: isUsed ? { x: packed("x", matrix.input), dy: packed("dy", matrix.n) } : null };
  });
  const each = <T>(make: (one: OwnGradients, i: number) => T) =>
    some.flatMap((one) => MATRICES.map((_, i) => make(one, i)));
  const sizes = (one: OwnGradients, i: number) => {
    const { count, r } = gradientPlaces(one.of.adapters[i]!, MATRICES[i]!).place;
    return { shape: [of[i]!.room, count * r], length: of[i]!.room * count * r };
  };
  const short = (name: "down" | "ddown") => {
    const pages = each((one, i) => packRows([one.parts[i]![name]], 1, sizes(one, i).length));
    const { whole, offsets } = layOut(pages, nothing);
    const tensor = c.of(name, [whole.length], whole);
    const shapes = each((one, i) => sizes(one, i).shape);
    return offsets.map((offset, at) => tensor.view(name, shapes[at]!, offset));
  };
  const [downs, ddowns] = [short("down"), short("ddown")];
  const { whole, offsets } = layOut(
    each(({ parts }, i) => parts[i]!.before),
    (count) => c.normals(count),
  );
  const grad = c.of("grad", [whole.length], whole);
  const jobs = MATRICES.map((matrix, i) =>
    some.flatMap(({ of: { adapters } }, member): LoraJob[] => {
      if (!adapters[i]) return [];
      const { place, a, size } = gradientPlaces(adapters[i], matrix);
      const at = 2 * member + i;
      const part = (name: string, from: number) => grad.view(name, [size - from], offsets[at]! + from);
      const group = { ...place, skew: 0, scale: 1, A: part("A", 0), B: part("B", a) };
      return [{ ...of[i]!.operands!, member, group, rows: matrix.kind, down: downs[at]!, ddown: ddowns[at]!, grad }];
    }),
  );
  const [first, other] = jobs as [LoraJob[], LoraJob[]];
  const dispatches = first.length > 0 ? loraBackward(first, other, batch) : loraBackward(other, [], batch);
  c.run(...dispatches);
  return { c, batch, grad, offsets, dispatches };
}

test("gradients of members' adapters of two matrices in one dispatch: each as in a program of its own", async () => {
  const draw = new OpCase(32);
  const some = ADAPTED.map((of) => drawOwn(draw, of));
  const { c, batch, grad, offsets, dispatches } = gradients(some);
  assert.is(dispatches.length, 1);
  const expected = c.data(grad);
  const f64 = (values: Float32Array) => Float64Array.from(values);
  for (const [member, { of, parts }] of some.entries())
    for (const [i, { x, dy, down, ddown }] of parts.entries()) {
      const matrix = MATRICES[i]!;
      const { place, a } = gradientPlaces(of.adapters[i]!, matrix);
      const { r, count, input, width, column, step, stride } = place;
      const k = of[matrix.kind];
      if (k === 0) continue;
      for (let j = 0; j < count; j++) {
        const at = offsets[2 * member + i]! + j * stride;
        const short = { lda: count * r, aOffset: j * r };
        const dA = { out: expected.subarray(at), a: f64(ddown), b: f64(x), m: r, n: input, k, ...short };
        gemm({ ...dA, transA: true, beta: 1 });
        // dy^T down, column by column of its part.
        for (let row = 0; row < k; row++)
          for (let w = 0; w < width; w++)
            for (let d = 0; d < r; d++)
              expected[at + a + w * r + d]! +=
                dy[row * matrix.n + column + j * step + w]! * down[row * count * r + j * r + d]!;
      }
    }
  c.expect("gradients", grad, expected, TWO_SUMS);
  await c.check(batch.values);
  const empty = some.findIndex(({ of }) => of.tokens === 0);
  const alone = some.flatMap((own, i) => {
    if (own.of.isBad || i === empty || own.of.adapters.every((one) => !one)) return [];
    const { c, batch, grad: found, offsets: places } = gradients([own]);
    const parts = MATRICES.flatMap((matrix, j) => {
      const { size } = gradientPlaces(own.of.adapters[j]!, matrix);
      const one = found.view(`gradients of matrix ${j}`, [size], places[j]!);
      return size > 0 ? [{ own: one, whole: grad, at: offsets[2 * i + j]! }] : [];
    });
    return [{ c, values: batch.values, parts }];
  });
  assert.is(alone.length, 4);
  await assertSameAlone(c, batch.values, alone);
  for (const device of DEVICE_NAMES) {
    const [found] = await c.results(batch.values, [grad], device);
    const before = Float32Array.from(c.data(grad));
    MATRICES.forEach((matrix, i) => {
      const at = offsets[2 * empty + i]!;
      const end = at + gradientPlaces(some[empty]!.of.adapters[i]!, matrix).size;
      assertSameBits(`the empty one on ${device}`, found!.slice(at, end), before.slice(at, end));
    });
  }
});

test("more adapters than a table holds take several dispatches", async () => {
  const draw = new OpCase(33);
  const some = Array.from({ length: 30 }, (_, i) =>
    drawOwn(draw, { tokens: 1 + (i % 3), sequences: 1, adapters: [thirds(1 + (i % 2)), whole(2)] }),
  );
  const { c, batch, grad, offsets, dispatches } = gradients(some);
  assert.is(dispatches.length, 2);
  const alone = [0, 20, 21, 29].map((i) => {
    const { c, batch, grad: found, offsets: places } = gradients([some[i]!]);
    const parts = MATRICES.map((matrix, j) => {
      const { size } = gradientPlaces(some[i]!.of.adapters[j]!, matrix);
      return { own: found.view("gradients", [size], places[j]!), whole: grad, at: offsets[2 * i + j]! };
    });
    return { c, values: batch.values, parts };
  });
  await assertSameAlone(c, batch.values, alone);
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
  const batch = members(c, [{ tokens: 3 }]);
  const job = (tensors: Record<"down" | "ddown" | "x" | "dy", Tensor>): LoraJob => ({
    ...tensors,
    member: 0,
    group,
    rows: "tokens",
    grad,
  });
  assertShapes({ down, ddown: down, x, dy }, (tensors) => loraBackward([job(tensors)], [], batch));
  const make = () =>
    job({ down: c.blank("down", down), ddown: c.blank("ddown", down), x: c.blank("x", x), dy: c.blank("dy", dy) });
  assert.throws(
    () => loraBackward([make()], [make()], batch),
    (error: unknown) => error instanceof ShapeError,
  );
});
