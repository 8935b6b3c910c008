import * as assert from "uvu/assert";
import { ShapeError } from "../../src/errors.ts";
import { ropeTable } from "../../src/model/rope-table.ts";
import { type RotatedHeads, ropeBackward, ropeForward } from "../../src/ops/rope.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { OpCase, sequenceStarts, testOp } from "../helpers/op-case.ts";
import { assertSameAlone } from "../helpers/shares.ts";

/** Two products of normal numbers and a sum, each rounded. */
const ROTATION = { atol: 1e-6, rtol: 0 };
const THETA = 1e4;
const POSITIONS = 80;

/** Rows of `width` numbers, whose first heads are rotated by the table's angles; by their opposites if sign is -1. */
function rotate(
  x: Float64Array,
  table: Float64Array,
  positions: readonly number[],
  { heads, headSize }: RotatedHeads,
  sign = 1,
): Float64Array {
  const out = x.slice();
  const [width, half] = [x.length / positions.length, headSize / 2];
  for (const [n, position] of positions.entries())
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < half; i++) {
        const cos = table[position * headSize + i]!;
        const sin = sign * table[position * headSize + half + i]!;
        const at = n * width + h * headSize + i;
        out[at] = x[at]! * cos - x[at + half]! * sin;
        out[at + half] = x[at + half]! * cos + x[at]! * sin;
      }
  return out;
}

/** The positions of rows in sequences of these lengths, and their bounds. */
function placeRows(lengths: readonly number[]) {
  const starts = sequenceStarts(lengths);
  const each = <T>(make: (b: number, at: number) => T) =>
    lengths.flatMap((length, b) => Array.from({ length }, (_, at) => make(b, at)));
  return { positions: each((_, at) => at), bounds: each((b) => [starts[b]!, starts[b + 1]!]).flat() };
}

const tableData = (headSize: number) => ropeTable({ theta: THETA, headSize }, POSITIONS);

test("the reference's gradient is that of its function, and rotates back", () => {
  const heads = { heads: 2, headSize: 6 };
  const table = Float64Array.from(tableData(6));
  const positions = [0, 1, 7, 40];
  const [x, dout] = [1, 2].map((at) => Float64Array.from({ length: 4 * 17 }, (_, i) => Math.sin(at + i * i)));
  const loss = () => dot(rotate(x!, table, positions, heads), dout!);
  assertGradient("x", loss, x!, rotate(dout!, table, positions, heads, -1));
});

for (const { heads, headSize, values, lengths, shift } of [
  { heads: 2, headSize: 36, values: 36, lengths: [33, 64], shift: 16 },
  { heads: 1, headSize: 4, values: 0, lengths: [1], shift: 0 },
  { heads: 3, headSize: 12, values: 5, lengths: [3, 4], shift: 7 },
  { heads: 12, headSize: 64, values: 192, lengths: [5, 1, 17], shift: 0 },
])
  testOp(
    `${heads} heads of ${headSize} before ${values} values, sequences of ${lengths} from position ${shift}`,
    async () => {
      const c = new OpCase(headSize);
      const { positions, bounds } = placeRows(lengths);
      const N = positions.length;
      const width = heads * headSize + values;
      const table = c.of("table", [POSITIONS, headSize], tableData(headSize));
      const places = c.of("bounds", [N + 1, 2], Uint32Array.from([...bounds, 0, 0]));
      // Of rows behind the tokens: a prefix's keys.
      const [x, dx] = [c.random("x", [N + 3, width]), c.random("dx", [N + 3, width])];
      const shape = { heads, headSize };
      c.run(ropeForward(x, table, places, shape, shift), ropeBackward(dx, table, places, shape, shift));
      const shifted = positions.map((position) => position + shift);
      const used = (of: Tensor) => c.data(of).subarray(0, N * width);
      c.expect("forward", x, rotate(used(x), c.data(table), shifted, shape), ROTATION);
      c.expect("backward", dx, rotate(used(dx), c.data(table), shifted, shape, -1), ROTATION);
      await c.check({ tokens: N });
    },
  );

testOp("a decoder's rows are at the positions of their slots: their sequences start before the batch", async () => {
  const c = new OpCase(4);
  const heads = { heads: 4, headSize: 12 };
  const positions = [41, 0, POSITIONS - 1];
  const bounds = Uint32Array.from(positions.flatMap((position, n) => [n - position, n + 1]));
  const table = c.of("table", [POSITIONS, 12], tableData(12));
  const x = c.random("x", [4, 72]);
  c.run(ropeForward(x, table, c.of("bounds", [4, 2], Uint32Array.from([...bounds, 0, 0])), heads));
  c.expect("decode", x, rotate(c.data(x).subarray(0, 3 * 72), c.data(table), positions, heads), ROTATION);
  await c.check({ tokens: 3 });
});

testOp("a sequence has the same bits by itself as in a batch", async () => {
  const [lengths, heads, width] = [[5, 9, 2], { heads: 3, headSize: 20 }, 80];
  const starts = sequenceStarts(lengths);
  const inputs = new OpCase(5).normals(starts.at(-1)! * width);
  /** The program of sequences first .. first + count. */
  const build = (first: number, count: number) => {
    const c = new OpCase(first);
    const [from, to] = [starts[first]!, starts[first + count]!];
    const { bounds } = placeRows(lengths.slice(first, first + count));
    const x = c.of("x", [to - from, width], inputs.slice(from * width, to * width));
    const table = c.of("table", [POSITIONS, 20], tableData(20));
    c.run(ropeForward(x, table, c.of("bounds", [to - from, 2], Uint32Array.from(bounds)), heads));
    return { c, x, at: from * width, values: { tokens: to - from } };
  };
  const whole = build(0, lengths.length);
  const alone = lengths.map((_, b) => {
    const { c, x, at, values } = build(b, 1);
    return { c, values, parts: [{ own: x, whole: whole.x, at }] };
  });
  await assertSameAlone(whole.c, whole.values, alone);
});

test("heads that x does not have are refused", () => {
  for (const heads of [
    { heads: 4, headSize: 4 },
    { heads: 1, headSize: 6 },
  ]) {
    const [x, table, bounds] = [
      [3, 12],
      [9, heads.headSize],
      [3, 2],
    ].map((shape) => new Tensor("t", shape, "output"));
    assert.throws(
      () => ropeForward(x!, table!, bounds!, heads),
      (error: unknown) => error instanceof ShapeError,
    );
  }
});
