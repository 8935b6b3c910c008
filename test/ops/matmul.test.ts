import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { type BlockDtype, isBlockDtype } from "../../src/core/blocks.ts";
import { numel, type Tensor } from "../../src/core/tensor.ts";
import { type RowCount, tensorAt } from "../../src/ops/kernel.ts";
import { type MatmulArguments, matmul, matmulBiasBackward } from "../../src/ops/matmul.ts";
import { assertSameBits } from "../helpers/border.ts";
import { gemm } from "../helpers/gemm.ts";
import { addColumns } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, assertSameRows, assertShapes, OpCase, testAlone, testOp } from "../helpers/op-case.ts";

/** Sums of up to 130 products of normal numbers, one after the other in f32. */
const PRODUCT = { atol: 2e-5, rtol: 2e-6 };
/** Sums of up to 400 products. */
const LONG_PRODUCT = { atol: 5e-5, rtol: 5e-6 };

/** Around the sizes of blocks (4, 8), tiles and kernels (16, 32, 64), in multiples of 4 and not. */
const SIZES = [1, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 36, 64, 65, 100, 130];
const BOTH = [false, true];
const TRANSPOSITIONS = BOTH.flatMap((transA) => BOTH.map((transB) => ({ transA, transB })));

type Sizes = Omit<MatmulArguments, "m" | "k"> & { m: number; k: number };

/** Adds a product to a case; `rows` says how the device is told the number of rows. */
function product(c: OpCase, args: Sizes, tolerance = PRODUCT, rows: RowCount = args.m): void {
  const { out, a, b, bias, m, n, ldc = n, outOffset = 0, ...rest } = args;
  const expected = () => {
    const operands = { a: c.data(a), b: c.data(b), ...(bias && { bias: c.data(bias) }) };
    const all = gemm({ ...rest, ...operands, out: c.data(out), m, n, ldc, outOffset });
    return all.subarray(0, outOffset + (m - 1) * ldc + n);
  };
  c.run(matmul({ ...args, m: rows }));
  c.after(out, expected, tolerance);
}

/** A right operand of any type; one in f16 ends with a whole word of four numbers. */
function operand(c: OpCase, dtype: "f32" | "f16" | BlockDtype, shape: readonly [number, number]): Tensor {
  if (isBlockDtype(dtype)) return c.blocks("b", dtype, shape, "table");
  return dtype === "f16" ? c.halves("b", [8 * Math.ceil(numel(shape) / 8)]) : c.random("b", [numel(shape)]);
}

interface Sweep {
  dtype?: "f32" | "f16";
  transA?: boolean;
  transB?: boolean;
  bySlots?: boolean;
}

/**
 * Products of all of these sizes, in turns with a bias and without, into a part of wider rows, with a factor, onto what
 * is there or over NaN, which must not come through.
 */
function sweep(c: OpCase, ms: readonly number[], ns: readonly number[], { dtype = "f32", bySlots, ...trans }: Sweep) {
  const [b, bias] = [operand(c, dtype, [130, dtype === "f16" ? 408 : 130]), c.random("bias", [130])];
  const whole = c.random("a", [bySlots ? 1 : 130 * 130]);
  let at = 0;
  for (const m of ms)
    for (const n of ns) {
      at++;
      const k = dtype === "f16" && at % 9 === 0 ? 400 : SIZES[(5 * at + (bySlots ? 0 : m)) % SIZES.length]!;
      const a = bySlots ? c.input("a", [m, k]) : k > 130 ? c.random("a", [m * k]) : whole;
      const [ldc, outOffset] = at % 4 === 0 ? [n + 5, 3] : [n, 0];
      const beta = at % 3 === 0 ? 1 : 0;
      const out = beta || ldc > n ? c.input("out", [m, ldc]) : c.output("out", [m, n]);
      const withBias = at % 2 === 0 ? { bias: bias.view("bias", [n], 0) } : {};
      const args = { out, a, b, m, n, k, beta, alpha: at % 5 === 0 ? -0.5 : 1, ldc, outOffset, ...trans, ...withBias };
      product(c, args, k > 130 ? LONG_PRODUCT : PRODUCT, bySlots ? "slots" : m);
    }
}

for (const trans of TRANSPOSITIONS)
  for (const isDear of BOTH)
    testOp(
      `${isDear ? "every" : "each second"} m and n with ${trans.transA ? "a^T" : "a"} and ${trans.transB ? "b^T" : "b"}`,
      (c) => {
        sweep(c, isDear ? SIZES : SIZES.filter((_, i) => i % 2 === Number(trans.transB)), SIZES, trans);
      },
      undefined,
      isDear,
    );

for (const transB of BOTH) {
  testOp(`b in f16, ${transB ? "transposed" : "as it is"}: the product with the same numbers in f32`, (c) => {
    sweep(c, [1, 8, 9, 33, 65, 130], [1, 7, 8, 17, 36, 65, 100, 130], { dtype: "f16", transB });
  });

  for (const dtype of ["f32", "f16"] as const) {
    const name = `rows of slots, b${transB ? "^T" : ""} in ${dtype}`;
    const build = (c: OpCase, m: number) => {
      sweep(c, [m], [1, 3, 8, 15, 16, 17, 36, 65, 130], { dtype, transB, bySlots: true });
      return { slots: m };
    };
    for (const m of [1, 2, 3, 4, 5, 9, 11]) testOp(`${m} ${name}`, (c) => build(c, m));
    testAlone(name, new Array(11).fill(1), (c, { length }) => build(c, length));
  }
}

testOp("rows of slots: b in f16 gives the bits of the same numbers in f32, whatever the depth", async (c) => {
  const half = c.halves("half", [7 * 11]);
  const b = c.of("b", half.shape, Float32Array.from(c.data(half)));
  const pairs: Tensor[] = [];
  for (const transB of BOTH)
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
testOp("products of several cache blocks", (c) => {
  for (const [m, n, k] of [
    [260, 13, 390],
    [13, 520, 390],
    [36, 68, 392],
  ] as const)
    for (const trans of TRANSPOSITIONS) {
      const operands = { a: c.random("a", [m * k]), b: c.random("b", [k * n]), bias: c.random("bias", [n]) };
      product(c, { out: c.input("out", [m, n]), ...operands, m, n, k, ...trans, alpha: 0.5, beta: 1 }, LONG_PRODUCT);
    }
});

testOp("rows of other lengths, offsets, alpha and beta: the thirds of q, k and v", (c) => {
  for (const [m, C] of [
    [1, 20],
    [17, 20],
    [65, 20],
    [17, 21],
    [35, 50],
    [36, 36],
  ] as const)
    for (const third of [0, 1, 2]) {
      const [wide, source] = [c.input("wide", [m, 3 * C]), c.random("source", [m, 3 * C])];
      const [down, B] = [c.random("down", [m, 3]), c.random("B", [C, 3])];
      // Into a third, as an adapter writes; out of a third, by rows and transposed.
      const into = { ldc: 3 * C, outOffset: third * C, alpha: 0.25, beta: 1 };
      const from = { lda: 3 * C, aOffset: third * C, a: source };
      product(c, { out: wide, a: down, b: B, transB: true, m, n: C, k: 3, ...into });
      product(c, { out: c.blank("out", [m, 3]), b: B, m, n: 3, k: C, ...from });
      const onto = { out: c.random("out", [C, 3]), alpha: -2, beta: 1 };
      product(c, { ...onto, b: down, transA: true, m: C, n: 3, k: m, ...from });
    }
});

testOp("contents beyond the edges of a and b are not used", (c) => {
  for (const [m, n, k] of [
    [9, 7, 5],
    [65, 17, 9],
    [129, 66, 1],
    [33, 36, 7],
    [5, 40, 6],
    [40, 8, 6],
  ] as const) {
    const b = c.input("b", [k, n]);
    product(c, { out: c.output("out", [m, n]), a: c.input("a", [m, k]), b, m, n, k });
    // Behind each row of a, and of a^T: NaN up to a multiple of 4, so that four are read at once.
    for (const transA of BOTH) {
      const [rows, columns] = transA ? [k, m] : [m, k];
      const lda = 4 * Math.ceil((columns + 1) / 4);
      const inside = (i: number) => i >= 4 && (i - 4) % lda < columns && i < 4 + rows * lda;
      const padded = c.normals(4 + (rows + 1) * lda).map((x, i) => (inside(i) ? x : Number.NaN));
      const a = c.of(`a, rows ${lda} apart`, [padded.length], padded);
      product(c, { out: c.output("out", [m, n]), a, b, m, n, k, transA, lda, aOffset: 4 });
    }
  }
});

for (const [dtype, transB, sizes] of [
  ...(["f32", "f16"] as const).flatMap((dtype) => BOTH.map((transB) => [dtype, transB, [2180, 36, 2179, 21]] as const)),
  ["q4", false, [2176, 24, 2176, 21]],
] as const) {
  const name = `large and small tiles, b${transB ? "^T" : ""} in ${dtype}: the same bits for any number of rows`;
  for (const [n, k] of [sizes.slice(0, 2), sizes.slice(2)] as [number, number][]) {
    const build = async (c: OpCase) => {
      const b = operand(c, dtype, transB ? [n, k] : [k, n]);
      const values = c.normals(130 * k);
      const products = [1984, 130].map((capacity) => {
        const [out, a] = [c.output("out", [130, n], capacity), c.rows("a", [130, k], values, capacity)];
        return matmul({ out, a, b, m: "tokens", n, k, transB });
      });
      c.run(...products);
      const reading = (k % 4 ? ".scalar" : "") + (b.isInBlocks ? ".quantized" : "");
      assert.equal(
        products.map((product) => chooseShader(product).name),
        [`matmul_wide${reading}`, `matmul_middle${reading}`],
      );
      const outs = products.map((product) => tensorAt(product, "out"));
      const operands = { a: Float64Array.from(values), b: c.data(b) };
      c.after(outs[0]!, () => gemm({ out: new Float64Array(130 * n), ...operands, m: 130, n, k, transB }), PRODUCT);
      await assertSameRows(c, outs, [130, 64, 33, 1], ["webgpu"]);
      return { tokens: 130 };
    };
    // The shaders of b^T in f32 are also those of b in f32, with another constant.
    testOp(`${n} x ${k}: ${name}`, build, ["webgpu"], transB && dtype === "f32");
  }
}

/** x^T dy, added to what is there, of the matrices into and out of an adapter's bottleneck. */
testOp("the gradients of a bottleneck's matrices and biases, over fewer rows than there is room for", (c) => {
  const rows = 35;
  for (const bottleneck of [1, 3, 5, 64])
    for (const [k, n] of [
      [132, bottleneck],
      [bottleneck, 132],
    ] as const) {
      const [x, dy] = [c.input("x", [rows, k], 1, rows + 6), c.input("dy", [rows, n], 1, rows + 6)];
      const [dW, dbias] = [c.random("dW", [k, n]), c.random("dbias", [n])];
      const sizes = { m: k, n, lda: k, transA: true, beta: 1 } as const;
      c.run(matmul({ out: dW, a: x, b: dy, k: "tokens", ...sizes }), matmulBiasBackward(dbias, dy, "tokens"));
      c.after(dW, gemm({ out: c.data(dW), a: c.data(x), b: c.data(dy), k: rows, ...sizes }), PRODUCT);
      c.after(dbias, addColumns(c.data(dbias), c.data(dy)), PRODUCT);
    }
  return { tokens: rows };
});

/** Logits and their gradients: of a whole table, of rows from 64 on, of few. Odd numbers of rows: unaligned strides. */
for (const [dtype, m, rows, sizes, C] of [
  ["q4", 40, "tokens", [141, 77], 192],
  ["q4", 5, "tokens", [20], 192],
  ["q8", 3, "slots", [141, 77], 192],
  ["q8", 40, "tokens", [21], 32],
] as const)
  testOp(`${m} rows of ${rows}, a table in ${dtype} of ${sizes}`, (c) => {
    const table = c.blocks("wte", dtype, [sizes[0], C], "table");
    for (const n of sizes) {
      const b = table.view("part", [n, C], (sizes[0] - n) * C);
      const [x, dlogits] = [c.input("x", [m, C]), c.input("dlogits", [m, n])];
      product(c, { out: c.output("logits", [m, n]), a: x, b, m, n, k: C, transB: true }, LONG_PRODUCT, rows);
      product(c, { out: c.input("dx", [m, C]), a: dlogits, b, m, n: C, k: n, beta: 1 }, LONG_PRODUCT, rows);
    }
    return { [rows]: m };
  });

for (const [rows, cols] of [
  [129, 65],
  [1, 1],
  [17, 20],
  [3, 132],
] as const)
  testOp(`the gradient of the bias adds up ${rows} rows of ${cols}`, (c) => {
    const [dout, dbias] = [c.input("dout", [rows, cols]), c.random("dbias", [cols])];
    c.run(matmulBiasBackward(dbias, dout, "sequences"));
    c.after(dbias, addColumns(c.data(dbias), c.data(dout)), PRODUCT);
    return { sequences: rows };
  });

test("operands that do not fit are refused", () => {
  const c = new OpCase(6);
  const tensor = (...shape: number[]): Tensor => c.blank("t", shape);
  const [out, a, b, bias] = [tensor(4, 5), tensor(4, 3), tensor(3, 5), tensor(4)];
  assertRefused(() => matmul({ out: tensor(2, 2), a: tensor(2, 3), b: tensor(7, 5), m: 2, n: 5, k: 3 }));
  assertRefused(() => matmul({ out, a, b, m: 4, n: 5, k: 3, bias }));
  assertRefused(() => matmul({ out, a, b, m: "tokens", n: 5, k: 3, transA: true }));
  assertShapes({ out: [4, 5], a: [4, 3], b: [3, 5], bias: [5] }, (t) => matmul({ ...t, m: "tokens", n: 5, k: 3 }), [
    "b.0",
  ]);
  assertShapes({ dbias: [5], dout: [4, 5] }, ({ dbias, dout }) => matmulBiasBackward(dbias, dout, "tokens"), [
    "dout.0",
  ]);
});
