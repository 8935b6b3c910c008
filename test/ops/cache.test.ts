import { cacheShape, cacheWrite } from "../../src/ops/cache.ts";
import { EXACT, OpCase, testOp } from "../helpers/op-case.ts";

for (const { slots, sequences, heads, kvHeads = heads, size, positions } of [
  { slots: Array.from({ length: 37 }, (_, n) => [n % 2, 40 - n]), sequences: 2, heads: 5, size: 20, positions: 43 },
  { slots: [[0, 0]], sequences: 1, heads: 1, size: 4, positions: 1 },
  {
    slots: [
      [2, 4],
      [0, 0],
      [0, 1],
    ],
    sequences: 3,
    heads: 3,
    size: 4,
    positions: 5,
  },
  {
    slots: [
      [1, 2],
      [0, 4],
    ],
    sequences: 2,
    heads: 9,
    kvHeads: 3,
    size: 64,
    positions: 5,
  },
  {
    slots: [
      [0, 1],
      [0, 0],
    ],
    sequences: 1,
    heads: 4,
    kvHeads: 1,
    size: 12,
    positions: 3,
  },
])
  testOp(
    `${slots.length} tokens into ${sequences} sequences of ${positions}: ${heads} heads of ${size}, ${kvHeads} of keys and values`,
    async () => {
      const c = new OpCase(slots.length);
      const columns = (heads + 2 * kvHeads) * size;
      const cache = c.random("cache", cacheShape(sequences, kvHeads, positions, size));
      const qkv = c.random("qkv", [slots.length + 1, columns], 1, slots.length * columns);
      const pairs = c.of("slots", [slots.length + 1, 2], Uint32Array.from([...slots.flat(), 0, 0]));
      c.run(cacheWrite(cache, qkv, pairs, { count: heads, kvCount: kvHeads, scale: 1 }));
      const [expected, from] = [c.data(cache), c.data(qkv)];
      slots.forEach(([slot, position], n) => {
        for (const part of [0, 1])
          for (let g = 0; g < kvHeads; g++)
            for (let i = 0; i < size; i++)
              expected[(((slot! * 2 + part) * kvHeads + g) * positions + position!) * size + i] =
                from[n * columns + (heads + part * kvHeads + g) * size + i]!;
      });
      c.expect("write", cache, expected, EXACT);
      await c.check({ tokens: slots.length });
    },
  );
