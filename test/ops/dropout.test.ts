import * as assert from "uvu/assert";
import { ACTIVATIONS, type Activation } from "../../src/core/config.ts";
import { dropoutBackward, dropoutForward, dropoutMask, type Mask } from "../../src/ops/dropout.ts";
import { FORMULAS, slopes } from "../helpers/activation.ts";
import { factorsAt, makeGroup } from "../helpers/adapter-groups.ts";
import { maskRow, threefry } from "../helpers/dropout.ts";
import { gemm } from "../helpers/gemm.ts";
import { add, times } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase, testOp } from "../helpers/op-case.ts";

/** A product with the scale, rounded once; twice where a scale is not a power of two. */
const ONE_PRODUCT = { atol: 0, rtol: 2e-7 };
/** A sum of up to 132 products of normal numbers, then a derivative. */
const ONE_SUM = { atol: 2e-5, rtol: 2e-6 };

type Pair = readonly [number, number];

/** Random123's known answers for Threefry-2x32 with 20 rounds (kat_vectors): counter, key, result. */
const KNOWN = [
  [0, 0, 0, 0, 0x6b200159, 0x99ba4efe],
  [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
  [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xc4923a9c, 0x483df7a0],
] as const;

test("the reference's generator has Random123's known answers", () => {
  for (const [c0, c1, k0, k1, ...words] of KNOWN) assert.equal(threefry([k0, k1], [c0, c1]), words);
});

for (const [c0, c1, seed, matrix, ...words] of KNOWN.slice(1))
  testOp(`a kernel has the bits of Random123's answer to ${c0.toString(16)} ${c1.toString(16)}`, (c) => {
    const [inp, draws] = [
      c.of("inp", [1, 4], new Float32Array(4).fill(1)),
      c.of("draws", [1, 2], Uint32Array.of(c0, c1)),
    ];
    const all = words.flatMap((word) => [word & 0xffff, word >>> 16]);
    // With one column group the counter is the row's numbers. Each 16 bits keep at their own value, and not above it.
    for (const threshold of all.flatMap((bits) => [bits, bits + 1])) {
      const out = c.blank(`threshold ${threshold}`, [1, 4]);
      c.run(dropoutForward(out, inp, draws, { seed, matrix, threshold, scale: 1 }, 1));
      const kept = all.map((bits) => Number(bits >= threshold));
      c.after(out, kept, EXACT);
    }
  });

/** The numbers of `rows` rows: of two sequences and, where there are three rows or more, of one that drops nothing. */
const numbersOf = (rows: number): Pair[] =>
  Array.from({ length: rows }, (_, row) => (row % 3 === 2 ? [0, row] : [row % 2 ? 7 : 0x80000001, row >> 1]));

/** The factors of all elements. */
const factors = (mask: Mask, numbers: readonly Pair[], cols: number) =>
  Float64Array.from(numbers.flatMap((pair) => [...maskRow(mask, pair, cols)]));

/** As f32 has the scale. */
const rounded = (mask: Mask): Mask => ({ ...mask, scale: Math.fround(mask.scale) });

/** Rows and columns: fewer and more than a workgroup has, and not a whole number of sixteens. */
const SHAPES = [
  [17, 68],
  [1, 4],
  [3, 20],
  [6, 132],
  [5, 1028],
] as const;

testOp("forward: odd shapes, with rows beyond the batch untouched", (c) => {
  for (const [i, [rows, cols]] of SHAPES.entries()) {
    const mask = dropoutMask([0.1, 0.5, 0.9][i % 3]!, 0xdeadbeef + i, i);
    const [inp, out] = [c.input("inp", [rows, cols]), c.output("out", [rows, cols])];
    const numbers = numbersOf(rows);
    c.run(dropoutForward(out, inp, c.rows("draws", [rows, 2], Uint32Array.from(numbers.flat())), mask, rows));
    c.after(out, times(c.data(inp), factors(rounded(mask), numbers, cols)), ONE_PRODUCT);
  }
});

for (const by of [null, ...ACTIVATIONS])
  testOp(`backward${by ? ` through ${by}` : ""}: odd shapes, with rows beyond the batch untouched`, (c) => {
    for (const [i, [rows, cols]] of SHAPES.entries()) checkBackward(c, rows, cols, i, by);
  });

/** Adds a dispatch of `count` adapters of rank `r` to the case. */
function checkBackward(c: OpCase, rows: number, cols: number, i: number, by: Activation | null): void {
  const [count, r] = [1 + (i % 3), [1, 3, 8, 44, 5][i]!];
  const { group } = makeGroup(c, 0.5, { count, r, input: cols, width: cols, column: 0, step: cols });
  const mask = dropoutMask([0.1, 0.5, 0.9][i % 3]!, i, 0xffffffff);
  const numbers = numbersOf(rows);
  const draws = c.rows("draws", [rows, 2], Uint32Array.from(numbers.flat()));
  const depth = count * r;
  const [dx, ddown] = [c.input("dx", [rows, cols]), c.input("ddown", [rows, depth])];
  const [inp, act] = [c.input("inp", [rows, cols], 2), c.output("act", [rows, cols])];
  c.run(dropoutBackward({ dx, ddown, group, draws, mask, rows, ...(by && { activated: { by, inp, act } }) }));
  const kept = factors(rounded(mask), numbers, cols);
  const A = Float64Array.from(Array.from({ length: count }, (_, one) => [...factorsAt(c, group, one).A]).flat());
  const product = gemm({ out: new Float64Array(rows * cols), a: c.data(ddown), b: A, m: rows, n: cols, k: depth });
  const sums = add(c.data(dx), times(kept, product));
  if (!by) {
    c.after(dx, sums, ONE_SUM);
    return;
  }
  c.after(dx, times(sums, slopes(by, c.data(inp))), ONE_SUM);
  c.after(act, c.data(inp).map(FORMULAS[by]), ONE_SUM);
}

test("operands of other shapes are refused", () => {
  const mask = dropoutMask(0.1, 1, 0);
  const { group } = makeGroup(new OpCase(1), 1, { count: 2, r: 3, input: 4, width: 4, column: 0, step: 4 });
  assertShapes(
    { dx: [3, 4], ddown: [3, 6], draws: [3, 2], inp: [3, 4], act: [3, 4] },
    ({ dx, ddown, draws, inp, act }) =>
      dropoutBackward({ dx, ddown, group, draws, mask, rows: "tokens", activated: { by: "relu", inp, act } }),
  );
});

// ------------------------------------------------------------------------------------------ the masks as numbers

/** Kept elements, as 0 and 1, of `rows` rows of a sequence with 64 columns. */
const kept = (mask: Mask, draw: number, rows = 64) =>
  Array.from({ length: rows }, (_, place) => [...maskRow(mask, [draw, place], 64)].map((factor) => Number(factor > 0)));

/** Standard deviations of a share of `count` independent draws; no test of a fixed seed is that far off by chance. */
const MOST = 4;
const deviations = (share: number, p: number, count: number) => Math.abs(share - p) / Math.sqrt((p * (1 - p)) / count);

test("p: the nearest of 65536 thresholds, never all; what is kept is scaled up so that the mean stays", () => {
  for (const p of [1 / 65536, 0.1, 0.5, 0.99, 0.999999]) {
    const { threshold, scale } = dropoutMask(p, 0, 0);
    assert.ok(threshold < 65536 && Math.abs(threshold / 65536 - p) <= 1 / 65536);
    assert.is(scale * (1 - threshold / 65536), 1);
  }
  for (const p of [0.1, 0.5, 0.9]) {
    const all = kept(dropoutMask(p, 1, 2), 3).flat();
    const share = all.reduce((sum, one) => sum + one, 0) / all.length;
    assert.ok(deviations(share, 1 - p, all.length) < MOST, `p ${p}: ${share} kept`);
  }
});

test("rows, columns, matrices, sequences and seeds have masks that are independent of one another", () => {
  const mask = dropoutMask(0.5, 1, 2);
  const base = kept(mask, 1);
  const others = {
    "the next row": kept(mask, 1, 65).slice(1),
    "the next column": base.map((row) => [...row.slice(1), row[0]!]),
    "the next four columns": base.map((row) => [...row.slice(4), ...row.slice(0, 4)]),
    "another matrix": kept({ ...mask, matrix: 3 }, 1),
    "seed and matrix exchanged": kept({ ...mask, seed: 2, matrix: 1 }, 1),
    "the next sequence": kept(mask, 2),
    "another seed": kept({ ...mask, seed: 2 }, 1),
  };
  const own = base.flat();
  for (const [name, rows] of Object.entries(others)) {
    const other = rows.flat();
    const same = own.filter((one, i) => one === other[i]).length / own.length;
    assert.ok(deviations(same, 0.5, own.length) < MOST, `${name}: ${same} are the same`);
  }
});
