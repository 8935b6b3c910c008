/**
 * LoRA added to a weight: y += scale * (x A^T) B^T, with A [r, in] and B [out, r]; W + B A is never formed. `down` =
 * scale * x A^T is a product of its own, and down B^T is part of `linear`. Their gradients are in lora.ts.
 */
import { ShapeError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Dispatch, RowCount } from "./kernel.ts";
import { matmul } from "./matmul.ts";

/**
 * Adapters of one matrix with the same rank and scale: those of q, k and v. Adapter i writes the columns from column +
 * i * step on, `width` of them; its A and B lie i * stride elements behind the first's. With fewer heads of keys and
 * values than of queries the first is wider, by `skew`, and the others begin so much later.
 */
export interface AdapterGroup {
  count: number;
  r: number;
  scale: number;
  /** Columns of x. */
  input: number;
  width: number;
  column: number;
  step: number;
  skew: number;
  stride: number;
  /** The memory from the first A [r, input] to the end of the last. */
  A: Tensor;
  /** The memory from the first B [width, r] to the end of the last. */
  B: Tensor;
}

/** The columns of adapter i of a group. */
export function adapterColumns(
  { column, step, width, skew }: AdapterGroup,
  i: number,
): { column: number; width: number } {
  return i === 0 ? { column, width: width + skew } : { column: column + i * step + skew, width };
}

/** down [rows, count r] = scale * x A^T, the adapters' columns side by side. */
export function loraDown(down: Tensor, x: Tensor, group: AdapterGroup, rows: RowCount): Dispatch {
  const { count, r, scale: alpha, input, stride, A } = group;
  const parts = Array.from({ length: count }, (_, i) => ({ out: i * r, a: 0, b: i * stride }));
  const sizes = { m: rows, n: r, k: input, ldc: count * r };
  return matmul({ out: down, a: x, b: A, transB: true, alpha, parts, ...sizes });
}

/** Throws ShapeError unless inputs, outputs and the adapters' places among them are multiples of 4. */
export function expectFours(kernel: string, ...sizes: number[]): void {
  if (sizes.some((size) => size % 4 !== 0))
    throw new ShapeError("wrong-shape", `${kernel} reads four columns at a time`, {
      expected: "multiples of 4, as the sizes of a GPT-2",
      found: sizes.join(", "),
    });
}
