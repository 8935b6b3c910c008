import { Tensor } from "../../src/core/tensor.ts";
import { ropeTable } from "../../src/model/rope-table.ts";
import { type RotatedHeads, ropeBackward, ropeForward } from "../../src/ops/rope.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, type OpCase, pairs, rowBounds, testAlone, testOp } from "../helpers/op-case.ts";

/** Two products of normal numbers and a sum, each rounded. */
const ROTATION = { atol: 1e-6, rtol: 0 };
const POSITIONS = 80;

/**
 * Rows of `width` numbers: the first ones of their heads are rotated by the table's angles; by their opposites if sign
 * is -1.
 */
function rotate(
  x: Float64Array,
  table: Float64Array,
  positions: readonly number[],
  { heads, headSize, rotated = headSize }: RotatedHeads,
  sign = 1,
): Float64Array {
  const out = x.slice();
  const [width, half] = [x.length / positions.length, rotated / 2];
  for (const [n, position] of positions.entries())
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < half; i++) {
        const cos = table[position * rotated + i]!;
        const sin = sign * table[position * rotated + half + i]!;
        const at = n * width + h * headSize + i;
        out[at] = x[at]! * cos - x[at + half]! * sin;
        out[at + half] = x[at + half]! * cos + x[at]! * sin;
      }
  return out;
}

interface Shape extends RotatedHeads {
  /** Columns behind the heads. */
  values: number;
  shift: number;
}

function build(c: OpCase, lengths: readonly number[], { values, shift, ...shape }: Shape) {
  const { heads, headSize, rotated: dims = headSize } = shape;
  const positions = lengths.flatMap((length) => Array.from({ length }, (_, at) => at + shift));
  const [N, width] = [positions.length, heads * headSize + values];
  const table = c.of("table", [POSITIONS, dims], ropeTable({ theta: 1e4, dims }, POSITIONS));
  const bounds = c.rows("bounds", [N, 2], rowBounds(lengths));
  // There may be rows behind the tokens: a prefix's keys.
  const [x, dx] = [c.input("x", [N, width], 1, N + 3), c.input("dx", [N, width], 1, N + 3)];
  c.run(ropeForward(x, table, bounds, shape, shift), ropeBackward(dx, table, bounds, shape, shift));
  const rotated = (values: Float64Array, sign = 1) => rotate(values, c.data(table), positions, shape, sign);
  const gradient = rotated(c.data(dx), -1);
  assertGradient("x", c.data(x), gradient, (x) => dot(rotated(x), c.data(dx)));
  c.after(x, rotated(c.data(x)), ROTATION);
  c.after(dx, gradient, ROTATION);
  return { tokens: N };
}

for (const { lengths, ...shape } of [
  { heads: 2, headSize: 36, values: 36, lengths: [33, 64], shift: 16 },
  { heads: 1, headSize: 4, values: 0, lengths: [1], shift: 0 },
  { heads: 3, headSize: 12, values: 5, lengths: [3, 4], shift: 7 },
  { heads: 12, headSize: 64, values: 192, lengths: [5, 1, 17], shift: 0 },
  { heads: 6, headSize: 20, rotated: 4, values: 60, lengths: [2, 9], shift: 3 },
  { heads: 4, headSize: 64, rotated: 24, values: 7, lengths: [40], shift: 0 },
] as (Shape & { lengths: number[] })[]) {
  const { heads, headSize, rotated = headSize, values, shift } = shape;
  testOp(
    `${heads} heads, ${rotated} of ${headSize}, before ${values} values, sequences of ${lengths} from position ${shift}`,
    (c) => build(c, lengths, shape),
  );
}

testAlone("sequences", [5, 9, 2], (c, lengths) => build(c, lengths, { heads: 3, headSize: 20, values: 20, shift: 0 }));

testOp("a decoder's rows are at the positions of their slots: their sequences start before the batch", (c) => {
  const heads = { heads: 4, headSize: 12 };
  const positions = [41, 0, POSITIONS - 1];
  const bounds = Uint32Array.from(positions.flatMap((position, n) => [n - position, n + 1]));
  const table = c.of("table", [POSITIONS, 12], ropeTable({ theta: 1e4, dims: 12 }, POSITIONS));
  const x = c.input("x", [3, 72]);
  c.run(ropeForward(x, table, c.rows("bounds", [3, 2], bounds), heads));
  c.after(x, rotate(c.data(x), c.data(table), positions, heads), ROTATION);
  return { tokens: 3 };
});

test("heads that x does not have are refused", () => {
  for (const [heads, headSize] of pairs(4, 4, 1, 6)) {
    const shapes = [
      [3, 12],
      [9, headSize!],
      [3, 2],
    ] as const;
    const [x, table, bounds] = shapes.map((shape) => new Tensor("t", shape, "output"));
    assertRefused(() => ropeForward(x!, table!, bounds!, { heads, headSize }));
  }
});
