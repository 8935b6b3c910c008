import { cacheShape, cacheWrite } from "../../src/ops/cache.ts";
import { EXACT, pairs, testOp } from "../helpers/op-case.ts";

const many = Array.from({ length: 37 }, (_, n) => [n % 2, 40 - n] as const);

for (const { slots, sequences, heads, kvHeads = heads, size, positions } of [
  { slots: many, sequences: 2, heads: 5, size: 20, positions: 43 },
  { slots: pairs(0, 0), sequences: 1, heads: 1, size: 4, positions: 1 },
  { slots: pairs(2, 4, 0, 0, 0, 1), sequences: 3, heads: 3, size: 4, positions: 5 },
  { slots: pairs(1, 2, 0, 4), sequences: 2, heads: 9, kvHeads: 3, size: 64, positions: 5 },
  { slots: pairs(0, 1, 0, 0), sequences: 1, heads: 4, kvHeads: 1, size: 12, positions: 3 },
])
  testOp(
    `${slots.length} tokens into ${sequences} sequences of ${positions}: ${heads} heads of ${size}, ${kvHeads} of keys and values`,
    (c) => {
      const [N, columns] = [slots.length, (heads + 2 * kvHeads) * size];
      const cache = c.random("cache", cacheShape(sequences, kvHeads, positions, size));
      const [qkv, places] = [c.input("qkv", [N, columns]), c.rows("slots", [N, 2], Uint32Array.from(slots.flat()))];
      c.run(cacheWrite(cache, qkv, places, { count: heads, kvCount: kvHeads, scale: 1 }));
      const [expected, from] = [c.data(cache), c.data(qkv)];
      for (const [n, [slot, position]] of slots.entries())
        for (const part of [0, 1])
          for (let g = 0; g < kvHeads; g++) {
            const at = n * columns + (heads + part * kvHeads + g) * size;
            expected.set(
              from.subarray(at, at + size),
              (((slot * 2 + part) * kvHeads + g) * positions + position) * size,
            );
          }
      c.after(cache, expected, EXACT);
      return { tokens: N };
    },
  );
