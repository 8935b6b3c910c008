import * as assert from "uvu/assert";
import { ShapeError } from "../../src/errors.ts";
import { cacheShape } from "../../src/ops/cache.ts";
import { cachePrefix, prefixBackward, prefixForward } from "../../src/ops/prefix.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { EXACT, OpCase, testOp } from "../helpers/op-case.ts";

/** One sum in f32. */
const ONE_SUM = { atol: 0, rtol: 6e-8 };

interface Sizes {
  /** Rows of the prefix, and columns of a block's keys or values. */
  n: number;
  C: number;
  heads: number;
  kvHeads: number;
  layers: number;
  l: number;
  /** The prefix's first row of qkv, and how many rows are behind its last. */
  row: number;
  behind: number;
}

const CASES: Sizes[] = [
  { n: 3, C: 4, heads: 6, kvHeads: 2, layers: 3, l: 1, row: 5, behind: 2 },
  { n: 1, C: 1, heads: 1, kvHeads: 1, layers: 1, l: 0, row: 0, behind: 0 },
  { n: 37, C: 33, heads: 3, kvHeads: 3, layers: 2, l: 1, row: 17, behind: 0 },
  { n: 5, C: 100, heads: 4, kvHeads: 1, layers: 4, l: 0, row: 1, behind: 1 },
];

/** Columns of a row of qkv, and those of its queries. */
function rowWidths({ C, heads, kvHeads }: Sizes) {
  const queries = (C / kvHeads) * heads;
  return { queries, columns: queries + 2 * C };
}

/** Calls `visit` for every element of a block's part: where it is in the prefix, and where in qkv. */
function eachElement(sizes: Sizes, visit: (prefix: number, qkv: number) => void): void {
  const { n, C, layers, l, row } = sizes;
  const { queries, columns } = rowWidths(sizes);
  for (let j = 0; j < n; j++)
    for (let i = 0; i < 2 * C; i++) visit(j * layers * 2 * C + l * 2 * C + i, (row + j) * columns + queries + i);
}

test("the reference's gradient is that of its function", () => {
  const sizes = CASES[0]!;
  const { n, C, layers, row } = sizes;
  const make = (count: number) => Float64Array.from({ length: count }, (_, i) => Math.sin(count + i * i));
  const all = (row + n) * rowWidths(sizes).columns;
  const [prefix, qkv, dqkv] = [make(n * layers * 2 * C), make(all), make(all)] as const;
  const dprefix = new Float64Array(prefix.length);
  eachElement(sizes, (from, to) => {
    dprefix[from] = dqkv[to]!;
  });
  const loss = () => {
    eachElement(sizes, (from, to) => {
      qkv[to] = prefix[from]!;
    });
    return dot(qkv, dqkv);
  };
  assertGradient("prefix", loss, prefix, dprefix);
});

for (const sizes of CASES)
  testOp(
    `block ${sizes.l} of ${sizes.layers}: ${sizes.n} rows of ${sizes.C}, ${sizes.heads} heads, ${sizes.kvHeads} of keys and values, from row ${sizes.row} on`,
    async () => {
      const { n, C, heads, kvHeads, layers, l, row, behind } = sizes;
      const c = new OpCase(n + C);
      const [wide, room] = [layers * 2 * C, row + n + behind];
      const { columns } = rowWidths(sizes);
      const grouped = { count: heads, kvCount: kvHeads, scale: 1 };
      // The other blocks' columns, the queries and the other rows are not read.
      const prefix = new Float32Array(n * wide).fill(Number.NaN);
      const dqkv = new Float32Array(room * columns).fill(Number.NaN);
      const values = c.normals(n * 2 * C);
      let at = 0;
      eachElement(sizes, (i, j) => {
        prefix[i] = values[at++]!;
        dqkv[j] = -2 * prefix[i]!;
      });
      const [given, gradient] = [c.of("prefix", [n, wide], prefix), c.of("dqkv", [room, columns], dqkv)];
      const qkv = c.random("qkv", [room, columns]);
      const [fresh, added] = [c.blank("fresh", [n, wide]), c.random("added", [n, wide])];
      c.run(
        prefixForward(qkv, row, given, l, grouped),
        prefixBackward(fresh, l, gradient, row, grouped, 0),
        prefixBackward(added, l, gradient, row, grouped, 1),
      );
      const [written, first, sum] = [c.data(qkv), c.data(fresh), c.data(added)];
      eachElement(sizes, (i, j) => {
        written[j] = prefix[i]!;
        first[i] = dqkv[j]!;
        sum[i]! += dqkv[j]!;
      });
      c.expect("forward", qkv, written, EXACT);
      c.expect("backward", fresh, first, EXACT);
      c.expect("backward, added", added, sum, ONE_SUM);
      await c.check();
    },
  );

for (const { slots, heads, size, positions, n, layers, l } of [
  { slots: 3, heads: 3, size: 4, positions: 5, n: 5, layers: 3, l: 2 },
  { slots: 1, heads: 1, size: 4, positions: 1, n: 1, layers: 1, l: 0 },
  { slots: 2, heads: 5, size: 20, positions: 43, n: 37, layers: 2, l: 0 },
])
  testOp(
    `${n} positions of ${slots} slots of a cache: ${heads} heads of ${size}, block ${l} of ${layers}`,
    async () => {
      const c = new OpCase(slots);
      const C = heads * size;
      const cache = c.random("cache", cacheShape(slots, heads, positions, size));
      const prefix = c.random("prefix", [n, layers * 2 * C]);
      c.run(cachePrefix(cache, prefix, l));
      const [expected, from] = [c.data(cache), c.data(prefix)];
      for (let slot = 0; slot < slots; slot++)
        for (let part = 0; part < 2; part++)
          for (let h = 0; h < heads; h++)
            for (let j = 0; j < n; j++)
              for (let i = 0; i < size; i++)
                expected[(((slot * 2 + part) * heads + h) * positions + j) * size + i] =
                  from[j * layers * 2 * C + (l * 2 + part) * C + h * size + i]!;
      c.expect("cache", cache, expected, EXACT);
      await c.check();
    },
  );

test("a block beyond the last is refused", () => {
  const tensor = (shape: readonly number[]) => new Tensor("t", shape, "output");
  const refused = (error: unknown) => error instanceof ShapeError;
  const heads = { count: 1, kvCount: 1, scale: 1 };
  assert.throws(() => prefixForward(tensor([7, 12]), 4, tensor([3, 16]), 2, heads), refused);
  assert.throws(() => cachePrefix(tensor(cacheShape(2, 3, 5, 4)), tensor([5, 48]), 2), refused);
});
