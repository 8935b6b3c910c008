import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { type BlockDtype, isBlockDtype } from "../../src/blocks.ts";
import { ShapeError } from "../../src/errors.ts";
import { floatToHalf } from "../../src/half.ts";
import { type Scalar, tensorAt } from "../../src/ops/kernel.ts";
import { type MatmulArguments, matmul, matmulBiasBackward } from "../../src/ops/matmul.ts";
import { SHARE, tableShape } from "../../src/ops/shares.ts";
import type { Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { gemm } from "../helpers/gemm.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, OpCase, testOp } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Sums of up to 130 products of normal numbers, one after the other in f32. */
const PRODUCT = { atol: 2e-5, rtol: 2e-6 };

/** Sums of up to 390 products. */
const LONG_PRODUCT = { atol: 5e-5, rtol: 5e-6 };

/** Around the sizes of blocks (4, 8), tiles and kernels (16, 32, 64), in multiples of 4 and not. */
const SIZES = [1, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 36, 64, 65, 100, 130];
const TRANSPOSITIONS = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

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
  testOp(`every m and n with ${transA ? "a^T" : "a"} and ${transB ? "b^T" : "b"}`, async () => {
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
    testOp(
      `rows of slots, b${transB ? "^T" : ""} in ${dtype}; a row has the same bits in any number of them`,
      async () => {
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
          for (const device of c.devices()) {
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
      },
    );

testOp("rows of slots: b in f16 gives the bits of the same numbers in f32, whatever the depth", async () => {
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
  for (const device of c.devices()) {
    const found = await c.results({ slots: 3 }, pairs, device);
    for (let i = 0; i < found.length; i += 2)
      assertSameBits(`${pairs[i]!.name} on ${device}`, found[i + 1]!, found[i]!);
  }
});

/** One block of the CPU's caches is up to 252 rows of a, 512 columns of b and 384 of the depth. */
testOp("products of several cache blocks", async () => {
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
  testOp(`b in f16, ${transB ? "transposed" : "as it is"}: the product with the same numbers in f32`, async () => {
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

testOp("rows of other lengths, offsets, alpha and beta: the thirds of q, k and v", async () => {
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

testOp("contents beyond the edges of a and b are not used", async () => {
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
  [
    "q4",
    false,
    [
      [2176, 24],
      [2176, 21],
    ],
  ],
] as const)
  testOp(
    `large and small tiles, b${transB ? "^T" : ""} in ${dtype}: the same bits for any number of rows`,
    async () => {
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
        const outs = products.map((product) => tensorAt(product, "out"));
        for (const tokens of c.devices(["webgpu"]).length ? [130, 64, 33, 1] : []) {
          const [one, two] = await c.results({ tokens }, outs, "webgpu");
          const used = tokens * n;
          assertAllClose(`${tokens} rows`, one!.subarray(0, used), expected.subarray(0, used), PRODUCT);
          assertSameBits(`${tokens} rows, by both`, two!.slice(0, used), one!.slice(0, used));
          first ??= one!;
          assertSameBits(`${tokens} rows of 130`, one!.slice(0, used), first.slice(0, used));
        }
      }
    },
  );

/** x^T dy, added to what is there, of the matrices into and out of an adapter's bottleneck. */
testOp("the gradients of a bottleneck's matrices and biases, over fewer rows than there is room for", async () => {
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
for (const [dtype, m, rows, sizes, C] of [
  ["q4", 40, "tokens", [141, 77], 192],
  ["q4", 5, "tokens", [20], 192],
  ["q8", 3, "slots", [141, 77], 192],
  ["q8", 40, "tokens", [21], 32],
] as const)
  testOp(`${m} rows of ${rows}, a table in ${dtype} of ${sizes}`, async () => {
    const c = new OpCase(m);
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

testOp("the gradient of the bias adds the rows up", async () => {
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
