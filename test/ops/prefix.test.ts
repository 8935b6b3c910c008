import { Tensor } from "../../src/core/tensor.ts";
import { cacheShape } from "../../src/ops/cache.ts";
import { cachePrefix, prefixBackward, prefixForward } from "../../src/ops/prefix.ts";
import { add } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, EXACT, testOp } from "../helpers/op-case.ts";

/** One sum in f32. */
const ONE_SUM = { atol: 0, rtol: 6e-8 };

/** n rows of C columns of a block's keys or values, in qkv from `row` on, where `behind` rows are after their last. */
for (const { n, C, heads, kvHeads, layers, l, row, behind } of [
  { n: 3, C: 4, heads: 6, kvHeads: 2, layers: 3, l: 1, row: 5, behind: 2 },
  { n: 1, C: 1, heads: 1, kvHeads: 1, layers: 1, l: 0, row: 0, behind: 0 },
  { n: 37, C: 33, heads: 3, kvHeads: 3, layers: 2, l: 1, row: 17, behind: 0 },
  { n: 5, C: 100, heads: 4, kvHeads: 1, layers: 4, l: 0, row: 1, behind: 1 },
])
  testOp(
    `block ${l} of ${layers}: ${n} rows of ${C}, ${heads} heads, ${kvHeads} of keys and values, from row ${row} on`,
    (c) => {
      const [wide, room, queries] = [layers * 2 * C, row + n + behind, (C / kvHeads) * heads];
      const columns = queries + 2 * C;
      const grouped = { count: heads, kvCount: kvHeads, scale: 1 };
      /** Copies the block's columns, of the prefix to its rows of qkv or back: the one is the other's gradient. */
      const copy = <T extends Float32Array | Float64Array>(to: T, from: T): T => {
        for (let j = 0; j < n; j++) {
          const [inPrefix, inQkv] = [j * wide + l * 2 * C, (row + j) * columns + queries];
          const [at, of] = to.length === n * wide ? [inPrefix, inQkv] : [inQkv, inPrefix];
          to.set(from.subarray(of, of + 2 * C), at);
        }
        return to;
      };
      // The other blocks' columns, the queries and the other rows are not read.
      const empty = (count: number) => new Float32Array(count).fill(Number.NaN);
      const [inside, outside] = [c.normals(n * wide), c.normals(room * columns)];
      const prefix = c.of("prefix", [n, wide], copy(empty(n * wide), outside));
      const dqkv = c.of("dqkv", [room, columns], copy(empty(room * columns), inside));
      const [qkv, added] = [c.random("qkv", [room, columns]), c.random("added", [n, wide])];
      c.run(prefixForward(qkv, row, prefix, l, grouped), prefixBackward(added, l, dqkv, row, grouped));
      c.after(qkv, copy(c.data(qkv), c.data(prefix)), EXACT);
      c.after(added, add(c.data(added), copy(new Float64Array(n * wide), c.data(dqkv))), ONE_SUM);
    },
  );

for (const { slots, heads, size, positions, n, layers, l } of [
  { slots: 3, heads: 3, size: 4, positions: 5, n: 5, layers: 3, l: 2 },
  { slots: 1, heads: 1, size: 4, positions: 1, n: 1, layers: 1, l: 0 },
  { slots: 2, heads: 5, size: 20, positions: 43, n: 37, layers: 2, l: 0 },
])
  testOp(`${n} positions of ${slots} slots of a cache: ${heads} heads of ${size}, block ${l} of ${layers}`, (c) => {
    const C = heads * size;
    const cache = c.random("cache", cacheShape(slots, heads, positions, size));
    const prefix = c.random("prefix", [n, layers * 2 * C]);
    c.run(cachePrefix(cache, prefix, l));
    const [expected, from] = [c.data(cache), c.data(prefix)];
    for (let slot = 0; slot < slots; slot++)
      for (let part = 0; part < 2; part++)
        for (let h = 0; h < heads; h++)
          for (let j = 0; j < n; j++) {
            const at = j * layers * 2 * C + (l * 2 + part) * C + h * size;
            expected.set(from.subarray(at, at + size), (((slot * 2 + part) * heads + h) * positions + j) * size);
          }
    c.after(cache, expected, EXACT);
  });

test("a block beyond the last is refused", () => {
  const tensor = (shape: readonly number[]) => new Tensor("t", shape, "output");
  const heads = { count: 1, kvCount: 1, scale: 1 };
  assertRefused(() => prefixForward(tensor([7, 12]), 4, tensor([3, 16]), 2, heads));
  assertRefused(() => cachePrefix(tensor(cacheShape(2, 3, 5, 4)), tensor([5, 48]), 2));
});
