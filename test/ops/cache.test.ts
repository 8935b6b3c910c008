import { cacheShape, cacheWrite } from "../../src/ops/cache.ts";
import { test } from "../harness.ts";
import { assertShapes, EXACT, OpCase } from "./case.ts";

for (const { places, slots, heads, size, positions } of [
  { places: [[0, 0]], slots: 1, heads: 1, size: 4, positions: 1 },
  {
    places: [
      [2, 4],
      [0, 0],
      [0, 1],
    ],
    slots: 3,
    heads: 3,
    size: 4,
    positions: 5,
  },
  { places: Array.from({ length: 37 }, (_, n) => [n % 2, 40 - n]), slots: 2, heads: 5, size: 20, positions: 43 },
])
  test(`${places.length} tokens into ${slots} slots of ${positions}: ${heads} heads of ${size}`, async () => {
    const c = new OpCase(places.length);
    const C = heads * size;
    const cache = c.random("cache", cacheShape(slots, heads, positions, size));
    const qkv = c.random("qkv", [places.length + 1, 3 * C], 1, places.length * 3 * C);
    c.run(cacheWrite(cache, qkv, c.of("places", [places.length + 1, 2], Uint32Array.from([...places.flat(), 0, 0]))));
    const [expected, from] = [c.data(cache), c.data(qkv)];
    places.forEach(([slot, position], n) => {
      for (const part of [0, 1])
        for (let h = 0; h < heads; h++)
          for (let i = 0; i < size; i++)
            expected[(((slot! * 2 + part) * heads + h) * positions + position!) * size + i] =
              from[n * 3 * C + (1 + part) * C + h * size + i]!;
    });
    c.expect("write", cache, expected, EXACT);
    await c.check({ tokens: places.length });
  });

test("operands of other shapes are refused, but for slots and positions", () => {
  assertShapes(
    { cache: cacheShape(2, 3, 5, 4), qkv: [6, 36], places: [6, 2] },
    ({ cache, qkv, places }) => cacheWrite(cache, qkv, places),
    ["cache.0", "cache.3"],
  );
});
