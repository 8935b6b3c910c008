import * as assert from "uvu/assert";
import { chooseShader, listShaders } from "../../src/backend/webgpu-shaders.ts";
import { type BlockDtype, isBlockDtype } from "../../src/blocks.ts";
import { ShapeError } from "../../src/errors.ts";
import { floatToHalf } from "../../src/half.ts";
import { matmulGrouped, type Packed } from "../../src/ops/grouped.ts";
import { type Scalar, tensorAt } from "../../src/ops/kernel.ts";
import { type MatmulArguments, matmul, matmulBiasBackward, matmulGroupedKernel } from "../../src/ops/matmul.ts";
import { SHARE, type ShareRows, tableShape } from "../../src/ops/shares.ts";
import { alignView, type Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { DEVICE_NAMES, ONE_OF_EACH } from "../helpers/device.ts";
import { gemm } from "../helpers/gemm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase, sequenceStarts } from "../helpers/op-case.ts";
import { assertSameAlone, layOut, members, packRows } from "../helpers/shares.ts";

/** Sums of up to 130 products of normal numbers, one after the other in f32. */
const PRODUCT = { atol: 2e-5, rtol: 2e-6 };

/** Sums of up to 390 products. */
const LONG_PRODUCT = { atol: 5e-5, rtol: 5e-6 };

/** Around the sizes of blocks (4, 8), tiles and kernels (16, 32, 64), in multiples of 4 and not. */
const SIZES = [1, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 36, 64, 65, 100, 130];
const TRANSPOSITIONS = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

test("the reference's gradients, which are products too, are those of its function", () => {
  const [m, n, k] = [3, 4, 5];
  const make = (count: number) => Float64Array.from({ length: count }, (_, i) => Math.sin(count + i * i));
  const [a, b, dout] = [make(m * k), make(k * n), make(m * n)] as const;
  const product = () => gemm({ out: new Float64Array(m * n), a, b, m, n, k });
  const da = gemm({ out: new Float64Array(m * k), a: dout, b, transB: true, m, n: k, k: n });
  const db = gemm({ out: new Float64Array(k * n), a, b: dout, transA: true, m: k, n, k: m });
  assertGradient("a", () => dot(product(), dout), a, da);
  assertGradient("b", () => dot(product(), dout), b, db);
});

/** A product on the device and its both in the reference; `rows` says how the device is told the number of rows. */
function compare(
  c: OpCase,
  name: string,
  args: Omit<MatmulArguments, "m" | "k"> & { m: number; k: number },
  tolerance = PRODUCT,
  rows: Scalar = args.m,
): void {
  const { out, a, b, bias, ...rest } = args;
  const expected = gemm({
    ...rest,
    out: c.data(out),
    a: c.data(a),
    b: c.data(b),
    ...(bias ? { bias: c.data(bias) } : {}),
  });
  const { m, n, ldc = n, outOffset = 0 } = args;
  c.run(matmul({ ...args, m: rows }));
  c.expect(name, out, expected.subarray(0, outOffset + (m - 1) * ldc + n), tolerance);
}

/** A right operand of any type; one in f16 ends with a whole word of four numbers. */
function operand(c: OpCase, dtype: "f32" | "f16" | BlockDtype, shape: readonly [number, number]): Tensor {
  if (isBlockDtype(dtype)) return c.blocks("b", dtype, shape, "table");
  const count = shape[0] * shape[1];
  return dtype === "f16" ? c.halves("b", [8 * Math.ceil(count / 8)]) : c.random("b", [count]);
}

for (const { transA, transB } of TRANSPOSITIONS)
  test(`every m and n with ${transA ? "a^T" : "a"} and ${transB ? "b^T" : "b"}`, async () => {
    const c = new OpCase(1);
    const a = c.random("a", [130 * 130]);
    const b = c.random("b", [130 * 130]);
    const bias = c.random("bias", [130]);
    let at = 0;
    for (const m of SIZES)
      for (const n of SIZES) {
        at++;
        const k = SIZES[(5 * at + m) % SIZES.length]!;
        // With beta 0, over NaN, that must not come through; a row beyond the result must stay what it was.
        const beta = at % 3 === 0 ? 1 : 0;
        const out = beta ? c.random("out", [m + 1, n]) : c.blank("out", [m + 1, n]);
        const withBias = at % 2 === 0 ? { bias: bias.view("bias", [n], 0) } : {};
        const alpha = at % 5 === 0 ? -0.5 : 1;
        compare(c, `${m} x ${n} x ${k}`, { out, a, b, m, n, k, transA, transB, beta, alpha, ...withBias });
      }
    await c.check();
  });

for (const dtype of ["f32", "f16"])
  for (const transB of [false, true])
    test(`rows of slots, b${transB ? "^T" : ""} in ${dtype}; a row has the same bits in any number of them`, async () => {
      let at = 0;
      for (const m of [1, 2, 3, 4, 5, 9, 11]) {
        const [c, single] = [new OpCase(9), new OpCase(10)];
        const b = dtype === "f16" ? c.halves("b", [130 * 408]) : c.random("b", [130 * 408]);
        const sameB = dtype === "f16" ? floatToHalf(Float32Array.from(c.data(b))) : Float32Array.from(c.data(b));
        const singleB = single.of("b", b.shape, sameB);
        const bias = c.random("bias", [130]);
        const [all, last]: [Tensor[], Tensor[]] = [[], []];
        for (const n of [1, 3, 8, 15, 16, 17, 36, 65, 130]) {
          at++;
          const k = at % 9 === 0 ? 400 : SIZES[(5 * at) % SIZES.length]!;
          const a = c.random("a", [m + 1, k], 1, m * k);
          const beta = at % 3 === 0 ? 1 : 0;
          // A part of wider rows, on both sides.
          const [ldc, outOffset] = at % 4 === 0 ? [n + 5, 3] : [n, 0];
          const size = [m + 1, ldc] as const;
          const out = beta || ldc > n ? c.random("out", size) : c.blank("out", size);
          const withBias = at % 2 === 0 ? { bias: bias.view("bias", [n], 0) } : {};
          const place = { ldc, outOffset };
          const args = { out, a, b, m, n, k, transB, beta, alpha: 0.5, ...place, ...withBias };
          compare(c, `${m} x ${n} x ${k}`, args, PRODUCT, "slots");
          all.push(c.blank("all", [m + 1, n]));
          c.run(matmul({ a, b, n, k, transB, out: all.at(-1)!, m: "slots" }));
          const row = single.of("a", [1, k], Float32Array.from(c.data(a).subarray((m - 1) * k, m * k)));
          last.push(single.blank("last", [1, n]));
          single.run(matmul({ a: row, b: singleB, n, k, transB, out: last.at(-1)!, m: "slots" }));
        }
        await c.check({ slots: m });
        for (const device of DEVICE_NAMES) {
          const [found, rows] = await Promise.all([
            c.results({ slots: m }, all, device),
            single.results({ slots: 1 }, last, device),
          ]);
          found.forEach((whole, i) => {
            const n = rows[i]!.length;
            assertSameBits(`${m} x ${n} on ${device}`, rows[i]!, whole.slice((m - 1) * n, m * n));
          });
        }
      }
    });

test("rows of slots: b in f16 gives the bits of the same numbers in f32, whatever the depth", async () => {
  const c = new OpCase(10);
  const half = c.halves("half", [7 * 11]);
  const b = c.of("b", half.shape, Float32Array.from(c.data(half)));
  const pairs: Tensor[] = [];
  for (const transB of [false, true])
    for (let k = 1; k <= 11; k++) {
      const [one, two] = [c.blank(`${k}, ${transB}`, [3, 7]), c.blank("in f16", [3, 7])];
      const rest = { a: c.random("a", [3, k]), m: "slots", n: 7, k, transB } as const;
      c.run(matmul({ ...rest, out: one, b }), matmul({ ...rest, out: two, b: half }));
      pairs.push(one, two);
    }
  for (const device of DEVICE_NAMES) {
    const found = await c.results({ slots: 3 }, pairs, device);
    for (let i = 0; i < found.length; i += 2)
      assertSameBits(`${pairs[i]!.name} on ${device}`, found[i + 1]!, found[i]!);
  }
});

/** One block of the CPU's caches is up to 252 rows of a, 512 columns of b and 384 of the depth. */
test("products of several cache blocks", async () => {
  const c = new OpCase(8);
  for (const [m, n, k] of [
    [260, 13, 390],
    [13, 520, 390],
    [36, 68, 392],
  ] as const)
    for (const { transA, transB } of TRANSPOSITIONS) {
      const out = c.random("out", [m + 1, n]);
      const args = { out, a: c.random("a", [m * k]), b: c.random("b", [k * n]), bias: c.random("bias", [n]) };
      const name = `${m} x ${n} x ${k}, ${transA}, ${transB}`;
      compare(c, name, { ...args, m, n, k, transA, transB, alpha: 0.5, beta: 1 }, LONG_PRODUCT);
    }
  await c.check();
});

for (const transB of [false, true])
  test(`b in f16, ${transB ? "transposed" : "as it is"}: the product with the same numbers in f32`, async () => {
    const c = new OpCase(7);
    const a = c.random("a", [130 * 400]);
    const b = c.halves("b", [130 * 400]);
    const bias = c.random("bias", [130]);
    let at = 0;
    for (const m of [1, 8, 9, 33, 65, 130])
      for (const n of [1, 7, 8, 17, 36, 65, 100, 130]) {
        at++;
        const k = at % 9 === 0 ? 400 : SIZES[(5 * at) % SIZES.length]!;
        const beta = at % 3 === 0 ? 1 : 0;
        const out = beta ? c.random("out", [m + 1, n]) : c.blank("out", [m + 1, n]);
        const withBias = at % 2 === 0 ? { bias: bias.view("bias", [n], 0) } : {};
        compare(c, `${m} x ${n} x ${k}`, { out, a, b, m, n, k, transB, beta, alpha: 0.5, ...withBias });
      }
    await c.check();
  });

test("rows of other lengths, offsets, alpha and beta: the thirds of q, k and v", async () => {
  const c = new OpCase(2);
  for (const [m, C] of [
    [1, 20],
    [17, 20],
    [65, 20],
    [17, 21],
    [35, 50],
    [36, 36],
  ] as const)
    for (const third of [0, 1, 2]) {
      const wide = c.random("wide", [m + 1, 3 * C]);
      const down = c.random("down", [m, 3]);
      const B = c.random("B", [C, 3]);
      // Into a third, as an adapter writes.
      compare(c, `into third ${third}`, {
        out: wide,
        a: down,
        b: B,
        transB: true,
        m,
        n: C,
        k: 3,
        ldc: 3 * C,
        outOffset: third * C,
        alpha: 0.25,
        beta: 1,
      });
      const source = c.random("source", [m, 3 * C]);
      // Out of a third, by rows and transposed.
      const at = { lda: 3 * C, aOffset: third * C };
      compare(c, `from third ${third}`, { out: c.blank("out", [m, 3]), a: source, b: B, m, n: 3, k: C, ...at });
      compare(c, `from third ${third}, transposed`, {
        out: c.random("out", [C, 3]),
        a: source,
        b: down,
        transA: true,
        m: C,
        n: 3,
        k: m,
        alpha: -2,
        beta: 1,
        ...at,
      });
    }
  await c.check();
});

test("contents beyond the edges of a and b are not used", async () => {
  const c = new OpCase(3);
  for (const [m, n, k] of [
    [9, 7, 5],
    [65, 17, 9],
    [129, 66, 1],
    [33, 36, 7],
    [5, 40, 6],
    [40, 8, 6],
  ] as const) {
    const a = c.random("a", [m + 1, k], 1, m * k);
    const b = c.random("b", [k + 1, n], 1, k * n);
    compare(c, `${m} x ${n} x ${k}`, { out: c.blank("out", [m, n]), a, b, m, n, k });
    // Behind each row of a, and of a^T: NaN up to a multiple of 4, so that four are read at once.
    for (const transA of [false, true]) {
      const [rows, columns] = transA ? [k, m] : [m, k];
      const lda = 4 * Math.ceil((columns + 1) / 4);
      const inside = (i: number) => i >= 4 && (i - 4) % lda < columns && i < 4 + rows * lda;
      const padded = c.normals(4 + (rows + 1) * lda).map((x, i) => (inside(i) ? x : Number.NaN));
      const args = { a: c.of("a", [padded.length], padded), b, m, n, k, transA, lda, aOffset: 4 };
      compare(c, `${m} x ${n} x ${k}, rows ${lda} apart, ${transA}`, { out: c.blank("out", [m, n]), ...args });
    }
  }
  await c.check();
});

for (const [dtype, transB, sizes] of [
  ...(["f32", "f16"] as const).flatMap((dtype) =>
    [false, true].map(
      (transB) =>
        [
          dtype,
          transB,
          [
            [2180, 36],
            [2179, 21],
          ],
        ] as const,
    ),
  ),
  ["q4", false, [[2176, 21]]],
] as const)
  test(`large and small tiles, b${transB ? "^T" : ""} in ${dtype}: the same bits for any number of rows`, async () => {
    for (const [n, k] of sizes) {
      const c = new OpCase(11);
      const b = operand(c, dtype, transB ? [n, k] : [k, n]);
      const values = c.normals(130 * k);
      const products = [1984, 130].map((capacity) => {
        const data = new Float32Array(capacity * k).fill(Number.NaN);
        data.set(values);
        const [out, a] = [c.blank("out", [capacity, n]), c.of("a", [capacity, k], data)];
        return matmul({ out, a, b, m: "tokens", n, k, transB });
      });
      c.run(...products);
      const reading = (k % 4 ? ".scalar" : "") + (b.isInBlocks ? ".quantized" : "");
      assert.equal(
        products.map((product) => chooseShader(product).name),
        [`matmul_wide${reading}`, `matmul_middle${reading}`],
      );
      const expected = gemm({
        out: new Float64Array(130 * n),
        a: Float64Array.from(values),
        b: c.data(b),
        m: 130,
        n,
        k,
        transB,
      });
      let first: Float32Array | null = null;
      for (const tokens of [130, 64, 33, 1]) {
        const outs = products.map((product) => tensorAt(product, "out"));
        const [one, two] = await c.results({ tokens }, outs, "webgpu");
        const used = tokens * n;
        assertAllClose(`${tokens} rows`, one!.subarray(0, used), expected.subarray(0, used), PRODUCT);
        assertSameBits(`${tokens} rows, by both`, two!.slice(0, used), one!.slice(0, used));
        first ??= one!;
        assertSameBits(`${tokens} rows of 130`, one!.slice(0, used), first.slice(0, used));
      }
    }
  });

/** x^T dy, added to what is there, of the matrices into and out of an adapter's bottleneck. */
test("the gradients of a bottleneck's matrices and biases, over fewer rows than there is room for", async () => {
  const rows = 35;
  const c = new OpCase(12);
  const batch = members(c, [{ tokens: rows }]);
  for (const bottleneck of [1, 3, 5, 64])
    for (const [k, n] of [
      [132, bottleneck],
      [bottleneck, 132],
    ] as const) {
      const [x, dy] = [c.random("x", [rows + 6, k], 1, rows * k), c.random("dy", [rows + 6, n], 1, rows * n)];
      const [dW, dbias] = [c.random("dW", [k, n]), c.random("dbias", [n])];
      const sizes = { m: k, n, lda: k, transA: true, beta: 1 } as const;
      c.run(
        matmul({ out: dW, a: x, b: dy, k: "tokens", ...sizes }),
        matmulBiasBackward([{ member: 0, dbias }], dy, "tokens", batch),
      );
      const name = `${k} to ${n}`;
      c.expect(name, dW, gemm({ out: c.data(dW), a: c.data(x), b: c.data(dy), k: rows, ...sizes }), PRODUCT);
      const ones = new Float64Array(rows).fill(1);
      c.expect(name, dbias, gemm({ out: c.data(dbias), a: ones, b: c.data(dy), m: 1, n, k: rows, beta: 1 }), PRODUCT);
    }
  await c.check(batch.values);
});

/** Logits and their gradients: of a whole table, of rows from 64 on, of few. Odd numbers of rows: unaligned strides. */
for (const [dtype, m, rows, sizes] of [
  ["q4", 40, "tokens", [141, 77]],
  ["q4", 5, "tokens", [20]],
  ["q8", 3, "slots", [141, 77]],
] as const)
  test(`${m} rows of ${rows}, a table in ${dtype} of ${sizes}`, async () => {
    const [c, C] = [new OpCase(m), 192];
    const table = c.blocks("wte", dtype, [sizes[0], C], "table");
    for (const n of sizes) {
      const b = table.view("part", [n, C], (sizes[0] - n) * C);
      const x = c.random("x", [m + 1, C], 1, m * C);
      const dlogits = c.random("dlogits", [m + 1, n], 1, m * n);
      const [logits, dx] = [c.blank("logits", [m + 1, n]), c.random("dx", [m + 1, C])];
      compare(c, `logits of ${n}`, { out: logits, a: x, b, m, n, k: C, transB: true }, LONG_PRODUCT, rows);
      compare(c, `from ${n}`, { out: dx, a: dlogits, b, m, n: C, k: n, beta: 1 }, LONG_PRODUCT, rows);
    }
    await c.check({ [rows]: m });
  });

test("sizes that are step values", async () => {
  const c = new OpCase(4);
  const [a, b] = [c.random("a", [20, 9]), c.random("b", [9, 33])];
  const out = c.blank("out", [20, 33]);
  const dw = c.random("dw", [9, 33]);
  c.run(
    matmul({ out, a, b, m: "tokens", n: 33, k: 9 }),
    matmul({ out: dw, a, b: out, transA: true, m: 9, n: 33, k: "tokens", lda: 9, beta: 1 }),
  );
  const product = gemm({ out: c.data(out), a: c.data(a), b: c.data(b), m: 17, n: 33, k: 9 });
  c.expect("forward", out, product.subarray(0, 17 * 33), PRODUCT);
  const expected = gemm({
    out: c.data(dw),
    a: c.data(a),
    b: product,
    transA: true,
    m: 9,
    n: 33,
    k: 17,
    lda: 9,
    beta: 1,
  });
  c.expect("backward", dw, expected, PRODUCT);
  await c.check({ tokens: 17 });
});

test("the gradient of the bias adds the rows up", async () => {
  const c = new OpCase(5);
  for (const [rows, cols] of [
    [1, 1],
    [17, 20],
    [129, 65],
    [3, 132],
  ] as const) {
    const dout = c.random("dout", [rows + 1, cols], 1, rows * cols);
    const dbias = c.random("dbias", [cols]);
    const expected = c.data(dbias);
    c.data(dout)
      .subarray(0, rows * cols)
      .forEach((d, i) => {
        expected[i % cols]! += d;
      });
    const batch = members(c, [{ sequences: rows }]);
    c.run(matmulBiasBackward([{ member: 0, dbias }], dout, "sequences", batch));
    c.expect(`${rows} x ${cols}`, dbias, expected, PRODUCT);
  }
  await c.check();
});

/** The biases' gradients of members with these rows of dout, one bias a member. */
function biasCase(
  some: readonly { size: number; rows: Float32Array; before: Float32Array }[],
  kind: ShareRows,
  cols: number,
) {
  const c = new OpCase(13);
  const starts = sequenceStarts(some.map(({ size }) => size));
  const all = new Float32Array((starts.at(-1)! + 1) * cols).fill(Number.NaN);
  for (const [i, { rows }] of some.entries()) all.set(rows, starts[i]! * cols);
  const dout = c.of("dout", [starts.at(-1)! + 1, cols], all);
  const { whole, offsets } = layOut(
    some.map(({ before }) => before),
    (count) => c.normals(count),
  );
  const gradients = c.of("gradients", [whole.length], whole);
  // The rows of the other kind are others.
  const share = (size: number) => (kind === "tokens" ? { tokens: size, sequences: 2 } : { tokens: 9, sequences: size });
  const batch = members(
    c,
    some.map(({ size }) => share(size)),
  );
  // In another order than that of the members.
  const biases = some.map((_, member) => ({ member, dbias: gradients.view("dbias", [cols], offsets[member]!) }));
  c.run(matmulBiasBackward(biases.reverse(), dout, kind, batch));
  return { c, gradients, offsets, values: batch.values };
}

for (const kind of ["tokens", "sequences"] as const)
  for (const cols of [1, 20, 65])
    test(`the gradients of ${cols} biases of members with shares of ${kind}, one empty, one with NaN: each as in a program of its own`, async () => {
      const draw = new OpCase(14);
      const some = [17, 0, 1, 129, 5].map((size) => {
        const rows = draw.normals(size * cols);
        // A sum with nothing would turn -0 into 0.
        return { size, rows, before: size ? draw.normals(cols) : new Float32Array(cols).fill(-0) };
      });
      some[2]!.rows[cols - 1] = Number.NaN;
      const { c, gradients, offsets, values } = biasCase(some, kind, cols);
      const expected = c.data(gradients);
      some.forEach(({ rows }, i) => {
        rows.forEach((d, at) => {
          expected[offsets[i]! + (at % cols)]! += d;
        });
      });
      c.expect(`${cols}`, gradients, expected, PRODUCT);
      await c.check(values);
      for (const device of DEVICE_NAMES) {
        const [found] = await c.results(values, [gradients], device);
        const empty = offsets[1]!;
        assertSameBits(`the empty one on ${device}`, found!.slice(empty, empty + cols), some[1]!.before);
      }
      const alone = some.map((one, i) => {
        const { c, values, gradients: own, offsets: places } = biasCase([one], kind, cols);
        return {
          c,
          values,
          parts: [{ own: own.view("dbias", [cols], places[0]!), whole: gradients, at: offsets[i]! }],
        };
      });
      await assertSameAlone(
        c,
        values,
        alone.filter((_, i) => some[i]!.size > 0),
      );
    });

/** A size of a product; "rows": as many as the member has. */
type Size = number | "rows";

/** Products of members that have an adapter of rank r, or a head. */
interface Grouped {
  kind: ShareRows;
  packed: readonly Packed[];
  hasBias?: boolean;
  /** Shapes with the member's rows, and how they are multiplied. */
  product: (r: number) => {
    shapes: Record<Packed, readonly Size[]>;
    sizes: Pick<MatmulArguments, "n" | "transA" | "transB" | "lda" | "ldc" | "aOffset" | "beta" | "batch"> & {
      m: Size;
      k: Size;
    };
  };
  /** The rows that a member can have. */
  room?: number;
}

interface ProductMember {
  rows: number;
  /** 0: the member has no product. */
  r: number;
  alpha: number;
  isBad?: boolean;
}

const OPERANDS = ["out", "a", "b"] as const;

const MEMBERS: readonly ProductMember[] = [
  { rows: 17, r: 3, alpha: 0.5 },
  { rows: 0, r: 3, alpha: 2 },
  { rows: 9, r: 8, alpha: -1 },
  { rows: 5, r: 3, alpha: 1, isBad: true },
  { rows: 4, r: 0, alpha: 1 },
  { rows: 65, r: 40, alpha: 0.25 },
  { rows: 1, r: 4, alpha: 1 },
  { rows: 33, r: 1, alpha: 3 },
];

/** Numbers of C columns: with an adapter for each of q, k and v, on a head with `classes`. */
function groupedCases(C: number, classes: number): Record<string, Grouped> {
  const batch = (r: number, step: number, size: number) => ({
    ldc: 3 * r,
    batch: { count: 3, out: r, a: step, b: alignView(size) + 64 },
  });
  const three = (size: number) => 3 * alignView(size) + 128;
  const [rows, beta] = ["rows", 1] as const;
  return {
    "down of q, k and v": {
      kind: "tokens",
      packed: ["a"],
      product: (r) => ({
        shapes: { out: [rows, 3 * r], a: [rows, C], b: [three(r * C)] },
        sizes: { m: rows, n: r, k: C, transB: true, ...batch(r, 0, r * C) },
      }),
    },
    "the gradient of down of q, k and v": {
      kind: "tokens",
      packed: ["a"],
      product: (r) => ({
        shapes: { out: [rows, 3 * r], a: [rows, 4 + 3 * C], b: [three(r * C)] },
        sizes: { m: rows, n: r, k: C, lda: 4 + 3 * C, aOffset: 4, ...batch(r, C, r * C) },
      }),
    },
    logits: {
      kind: "sequences",
      packed: ["out", "a"],
      hasBias: true,
      product: () => ({
        shapes: { out: [rows, classes], a: [rows, C], b: [classes, C] },
        sizes: { m: rows, n: classes, k: C, transB: true },
      }),
    },
    "logits of the adapter, added in some columns": {
      kind: "tokens",
      packed: ["out"],
      product: (r) => ({
        shapes: { out: [rows, classes], a: [rows, r], b: [classes, r] },
        sizes: { m: rows, n: classes, k: r, transB: true, beta },
      }),
    },
    "the gradient of the head's input": {
      kind: "tokens",
      packed: ["out", "a"],
      product: () => ({
        shapes: { out: [rows, C], a: [rows, classes], b: [classes, C] },
        sizes: { m: rows, n: C, k: classes, beta: 0 },
      }),
    },
    "the gradient of the head's input by the adapter": {
      kind: "sequences",
      packed: ["out"],
      product: (r) => ({
        shapes: { out: [rows, C], a: [rows, r], b: [r, C] },
        sizes: { m: rows, n: C, k: r, beta },
      }),
    },
    "the gradient of the head": {
      kind: "sequences",
      packed: ["a", "b"],
      product: () => ({
        shapes: { out: [classes, C], a: [rows, classes], b: [rows, C] },
        sizes: { m: classes, n: C, k: rows, transA: true, lda: classes, beta },
      }),
    },
    "the gradient of B": {
      kind: "tokens",
      packed: ["a"],
      product: (r) => ({
        shapes: { out: [classes, r], a: [rows, classes], b: [rows, r] },
        sizes: { m: classes, n: r, k: rows, transA: true, lda: classes, beta },
      }),
    },
    "the gradient of A": {
      kind: "tokens",
      packed: ["b"],
      product: (r) => ({
        shapes: { out: [r, C], a: [rows, r], b: [rows, C] },
        sizes: { m: r, n: C, k: rows, transA: true, lda: r, beta },
      }),
    },
  };
}

const GROUPED: Record<string, Grouped> = Object.fromEntries(
  (
    [
      [20, 5],
      [36, 40],
      [21, 7],
      [35, 130],
      [260, 12],
    ] as const
  ).flatMap(([C, classes]) =>
    Object.entries(groupedCases(C, classes)).map(([name, one]) => [`${name}, ${C} columns, ${classes} classes`, one]),
  ),
);

/** So many tiles that they are large. */
const LARGE_GROUPED: Record<string, Grouped> = Object.fromEntries(
  [36, 21].flatMap((C) => [
    [`logits of 2180 classes, ${C} columns`, { ...groupedCases(C, 2180).logits!, room: 1984 }],
    [
      `the gradient of a head of 2180 classes, ${20 * C} columns`,
      groupedCases(20 * C + (C % 4), 2180)["the gradient of the head"]!,
    ],
  ]),
);

type Operands = Record<Packed | "bias", Float32Array>;

function drawOperands(draw: OpCase, { product, packed }: Grouped, { rows, r, isBad }: ProductMember): Operands {
  const { shapes, sizes } = product(r);
  const normals = (name: Packed) =>
    draw.normals(shapes[name].reduce<number>((size, axis) => size * (axis === "rows" ? rows : axis), 1));
  const made = { out: normals("out"), a: normals("a"), b: normals("b"), bias: draw.normals(sizes.n) };
  // What beta 0 multiplies is not read.
  if (!sizes.beta) made.out.fill(Number.NaN);
  if (isBad) {
    made.a.fill(Number.NaN);
    made.b.fill(Infinity, 0, 2);
    if (packed.includes("out")) made.out.fill(Number.NaN);
  }
  return made;
}

/** The products of members with these operands, each as a plan of its own has it. */
function groupedCase(one: Grouped, some: readonly { of: ProductMember; operands: Operands }[]) {
  const c = new OpCase(15);
  const { kind, packed, hasBias, room = Math.max(...some.map(({ of }) => of.rows)) } = one;
  const share = (rows: number) => (kind === "tokens" ? { tokens: rows, sequences: 2 } : { tokens: 7, sequences: rows });
  const total = some.reduce((sum, { of }) => sum + of.rows, 0);
  const memberShapes = ({ r }: ProductMember) => one.product(r).shapes;
  const views = new Map<string, Tensor[]>();
  const places: { at: number; size: number }[] = [];
  const nothing = (count: number) => new Float32Array(count).fill(Number.NaN);
  for (const name of OPERANDS) {
    const shapes = some.map(({ of }) => memberShapes(of)[name].map((axis) => (axis === "rows" ? room : axis)));
    const contents = some.map(({ operands }) => operands[name]);
    if (packed.includes(name)) {
      const width = shapes[0]![1]!;
      const rows = Math.max(room, total) + 1;
      const whole = c.of(name, [rows, width], packRows(contents, width, rows));
      views.set(
        name,
        shapes.map((shape) => whole.view(name, shape, 0)),
      );
      const starts = sequenceStarts(contents.map(({ length }) => length));
      if (name === "out") places.push(...contents.map(({ length }, i) => ({ at: starts[i]!, size: length })));
    } else {
      const pages = shapes.map((shape, i) =>
        packRows(
          [contents[i]!],
          1,
          shape.reduce((a, b) => a * b),
        ),
      );
      const { whole, offsets } = layOut(pages, nothing);
      const tensor = c.of(name, [whole.length], whole);
      views.set(
        name,
        shapes.map((shape, i) => tensor.view(name, shape, offsets[i]!)),
      );
      if (name === "out") places.push(...contents.map(({ length }, i) => ({ at: offsets[i]!, size: length })));
    }
  }
  const biases = hasBias
    ? layOut(
        some.map(({ operands }) => operands.bias),
        nothing,
      )
    : null;
  const bias = biases && c.of("bias", [biases.whole.length], biases.whole);
  const products = some.map(({ of }, member) => {
    const { m, k, ...sizes } = one.product(of.r).sizes;
    const at = (name: Packed) => views.get(name)![member]!;
    const size = (one: Size) => (one === "rows" ? kind : one);
    const withBias = bias ? { bias: bias.view("bias", [sizes.n], biases.offsets[member]!) } : {};
    const tensors = { out: at("out"), a: at("a"), b: at("b"), ...withBias };
    return { member, product: matmul({ ...tensors, ...sizes, alpha: of.alpha, m: size(m), k: size(k) }) };
  });
  return {
    c,
    places,
    products,
    out: views.get("out")![0]!.root,
    // A plan of one member has none.
    share: () =>
      members(
        c,
        some.map(({ of }) => share(of.rows)),
      ),
  };
}

/** What every member's part of out must be, in f64. */
function expectGrouped(
  { c, places, out }: ReturnType<typeof groupedCase>,
  one: Grouped,
  some: readonly { of: ProductMember; operands: Operands }[],
): Float64Array {
  const expected = c.data(out);
  const f64 = (values: Float32Array) => Float64Array.from(values);
  some.forEach(({ of: { rows, r, alpha }, operands }, i) => {
    if (r === 0) return;
    const { m, k, batch = { count: 1, out: 0, a: 0, b: 0 }, ...sizes } = one.product(r).sizes;
    const size = (one: Size) => (one === "rows" ? rows : one);
    const { at, size: length } = places[i]!;
    const own = expected.subarray(at, at + length);
    for (let j = 0; j < batch.count; j++)
      gemm({
        ...sizes,
        out: own,
        a: f64(operands.a),
        b: f64(operands.b.subarray(j * batch.b)),
        ...(one.hasBias ? { bias: f64(operands.bias) } : {}),
        m: size(m),
        k: size(k),
        alpha,
        outOffset: j * batch.out,
        aOffset: (sizes.aOffset ?? 0) + j * batch.a,
      });
  });
  return expected;
}

for (const [name, one] of [...Object.entries(GROUPED), ...Object.entries(LARGE_GROUPED)])
  test(`products of members: ${name}: each as in a program of its own`, async () => {
    const draw = new OpCase(16);
    // The products of large tiles are those of two members, between them one with nothing and one with NaN.
    const some = (name in LARGE_GROUPED ? MEMBERS.slice(0, 4).toSpliced(2, 1, MEMBERS[5]!) : MEMBERS).map((of) => ({
      of,
      operands: drawOperands(draw, one, of),
    }));
    const devices = name in LARGE_GROUPED ? ["webgpu", "wasm 2 threads"] : ONE_OF_EACH;
    const all = groupedCase(one, some);
    const { c, products, places, out } = all;
    const batch = all.share();
    c.run(
      ...matmulGrouped(
        products.filter((_, i) => some[i]!.of.r > 0),
        one.packed,
        batch,
      ),
    );
    c.expect(name, out, expectGrouped(all, one, some), LONG_PRODUCT);
    await c.check(batch.values, devices);
    const before = Float32Array.from(c.data(out));
    for (const device of devices) {
      const [found] = await c.results(batch.values, [out], device);
      for (const [i, { of }] of some.entries())
        if (of.rows === 0 || of.r === 0) {
          const { at, size } = places[i]!;
          assertSameBits(`member ${i} on ${device}`, found!.slice(at, at + size), before.slice(at, at + size));
        }
    }
    const alone = some.flatMap((own, i) => {
      if (own.of.rows === 0 || own.of.r === 0 || own.of.isBad) return [];
      const {
        c,
        products,
        places: [place],
        out: result,
      } = groupedCase(one, [own]);
      c.run(products[0]!.product);
      const part = result.view(`out of member ${i}`, [place!.size], place!.at);
      return [{ c, values: { [one.kind]: own.of.rows }, parts: [{ own: part, whole: out, at: places[i]!.at }] }];
    });
    assert.is(alone.length, name in LARGE_GROUPED ? 2 : 5);
    await assertSameAlone(c, batch.values, alone, devices);
  });

test("members' products are in one dispatch if all are short or none is, and all are read by fours or none is", () => {
  const one = groupedCases(20, 5)["down of q, k and v"]!;
  const count = (...ranks: number[]) => {
    const draw = new OpCase(17);
    const some = ranks.map((r) => ({ rows: 3, r, alpha: r }));
    const { products, share } = groupedCase(
      one,
      some.map((of) => ({ of, operands: drawOperands(draw, one, of) })),
    );
    return matmulGrouped(products, one.packed, share()).length;
  };
  assert.equal([count(1, 3, 8, 32), count(32, 33), count(33, 40), count(4, 40, 8, 36)], [1, 2, 1, 2]);
  assert.is(count(...Array.from({ length: 22 }, () => 2)), 2, "a table holds 64 jobs");
});

test("products of members use every shader that there is for them", () => {
  const draw = new OpCase(16);
  const used = [...Object.values(GROUPED), ...Object.values(LARGE_GROUPED)].flatMap((one) => {
    const some = MEMBERS.filter(({ r }) => r > 0).map((of) => ({ of, operands: drawOperands(draw, one, of) }));
    const { products, share } = groupedCase(one, some);
    return matmulGrouped(products, one.packed, share()).map((dispatch) => chooseShader(dispatch).name);
  });
  const all = listShaders(matmulGroupedKernel).map(({ name }) => name);
  assert.equal([...new Set(used)].sort(), all.sort());
});

test("operands that do not fit are refused", () => {
  const c = new OpCase(6);
  const tensor = (...shape: number[]): Tensor => c.blank("t", shape);
  const [out, a, b, bias] = [tensor(4, 5), tensor(4, 3), tensor(3, 5), tensor(4)];
  const refused = (error: unknown) => error instanceof ShapeError;
  assert.throws(() => matmul({ out: tensor(2, 2), a: tensor(2, 3), b: tensor(7, 5), m: 2, n: 5, k: 3 }), refused);
  assert.throws(() => matmul({ out, a, b, m: 4, n: 5, k: 3, bias }), refused);
  assert.throws(() => matmul({ out, a, b, m: "tokens", n: 5, k: 3, transA: true }), refused);
  assertShapes({ out: [4, 5], a: [4, 3], b: [3, 5], bias: [5] }, (t) => matmul({ ...t, m: "tokens", n: 5, k: 3 }), [
    "b.0",
  ]);
  assertShapes(
    { dbias: [5], dout: [4, 5], shares: tableShape(SHARE) },
    ({ dbias, dout, shares }) => matmulBiasBackward([{ member: 0, dbias }], dout, "tokens", { shares, members: 1 }),
    ["dout.0", "shares.1"],
  );
});
