import { cacheShape, cacheWrite } from "../../src/ops/cache.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase } from "../helpers/op-case.ts";

for (const { slots, sequences, heads, size, positions } of [
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
  { slots: Array.from({ length: 37 }, (_, n) => [n % 2, 40 - n]), sequences: 2, heads: 5, size: 20, positions: 43 },
])
  test(`${slots.length} tokens into ${sequences} sequences of ${positions}: ${heads} heads of ${size}`, async () => {
    const c = new OpCase(slots.length);
    const C = heads * size;
    const cache = c.random("cache", cacheShape(sequences, heads, positions, size));
    const qkv = c.random("qkv", [slots.length + 1, 3 * C], 1, slots.length * 3 * C);
    c.run(
      cacheWrite(cache, qkv, c.of("slots", [slots.length + 1, 2], Uint32Array.from([...slots.flat(), 0, 0])), {
        count: heads,
        kvCount: heads,
        scale: 1,
      }),
    );
    const [expected, from] = [c.data(cache), c.data(qkv)];
    slots.forEach(([slot, position], n) => {
      for (const part of [0, 1])
        for (let h = 0; h < heads; h++)
          for (let i = 0; i < size; i++)
            expected[(((slot! * 2 + part) * heads + h) * positions + position!) * size + i] =
              from[n * 3 * C + (1 + part) * C + h * size + i]!;
    });
    c.expect("write", cache, expected, EXACT);
    await c.check({ tokens: slots.length });
  });

test("operands of other shapes are refused, but for sequences and positions", () => {
  assertShapes(
    { cache: cacheShape(2, 3, 5, 4), qkv: [6, 36], slots: [6, 2] },
    ({ cache, qkv, slots }) => cacheWrite(cache, qkv, slots, { count: 3, kvCount: 3, scale: 1 }),
    ["cache.0", "cache.3"],
  );
});
