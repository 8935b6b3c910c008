/**
 * Ops that compute each row by itself: in odd shapes, without what is beyond the batch, and with the same bits alone.
 */
import type { Tensor } from "../../src/tensor.ts";
import { OpCase, type Tolerance, testOp } from "./op-case.ts";
import { assertSameAlone } from "./shares.ts";

/** The tensors of a case. */
export interface Rows {
  c: OpCase;
  rows: number;
  cols: number;
  /** Normal numbers in each row; NaN in a row beyond the batch. */
  input(name: string, width?: number, scale?: number): Tensor;
  output(name: string, width?: number): Tensor;
  /** Normal numbers that all rows share. */
  shared(name: string): Tensor;
  /** The numbers in the rows of the batch. */
  used(tensor: Tensor): Float64Array;
}

/** What a tensor of rows, or one that sums rows, must hold after the run. */
export type RowResult = readonly [tensor: Tensor, expected: Float64Array, tolerance: Tolerance];

/** `count` rows of `all`, from `first` on, and `spare` rows beyond them. */
function makeRows(all: number, cols: number, first = 0, count = all, spare = 1): Rows {
  const [c, draw] = [new OpCase(all * cols), new OpCase(1)];
  return {
    ...{ c, rows: count, cols },
    input(name, width = cols, scale = 1) {
      const data = new Float32Array((count + spare) * width).fill(Number.NaN);
      data.set(draw.normals(all * width, scale).subarray(first * width, (first + count) * width));
      return c.of(name, [count + spare, width], data);
    },
    output: (name, width = cols) => c.blank(name, [count + spare, width]),
    shared: (name) => c.of(name, [cols], draw.normals(cols)),
    used: (tensor) => c.data(tensor).subarray(0, count * tensor.shape[1]!),
  };
}

/** Declares the tests of an op whose dispatches `build` adds to a case; it says what they must leave. */
export function testRows(
  name: string,
  shapes: readonly (readonly [rows: number, cols: number])[],
  build: (rows: Rows) => readonly RowResult[],
): void {
  for (const [rows, cols] of shapes)
    testOp(`${name}: ${rows} x ${cols}, with rows beyond the batch untouched`, async () => {
      const given = makeRows(rows, cols);
      for (const [tensor, expected, tolerance] of build(given)) given.c.expect(name, tensor, expected, tolerance);
      await given.c.check();
    });

  testOp(`${name}: a row has the same bits by itself as among others`, async () => {
    const results = (given: Rows) => ({
      c: given.c,
      tensors: build(given).flatMap(([tensor]) => (tensor.shape.length === 2 ? [tensor] : [])),
    });
    const whole = results(makeRows(7, 68, 0, 7, 0));
    const alone = [0, 3, 6].map((row) => {
      const { c, tensors } = results(makeRows(7, 68, row, 1, 0));
      const parts = tensors.map((own, i) => ({ own, whole: whole.tensors[i]!, at: row * own.size }));
      return { c, values: {}, parts };
    });
    await assertSameAlone(whole.c, {}, alone);
  });
}

/** What `f` makes of each row of `values`. */
export function eachRow(values: Float64Array, cols: number, f: (row: Float64Array) => Float64Array): Float64Array {
  const rows = Array.from({ length: values.length / cols }, (_, i) => f(values.slice(i * cols, (i + 1) * cols)));
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

/** The sums of the columns of rows, on top of `before`: as gradients of what all rows share add up. */
export function addColumns(before: Float64Array, rows: Float64Array): Float64Array {
  const sums = before.slice();
  for (const [i, value] of rows.entries()) sums[i % sums.length]! += value;
  return sums;
}

/** Rows and columns around a workgroup and its vectors, and GPT-2's width. */
export const NORM_SHAPES = [
  [129, 68],
  [1, 4],
  [1, 132],
  [17, 20],
  [3, 64],
  [5, 768],
] as const;
