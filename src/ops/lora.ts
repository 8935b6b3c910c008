/**
 * LoRA beside a weight: y += scale * (x A^T) B^T, with A [r, in] and B [out, r]; W + B A is never formed. `down` = scale * x A^T
 * and its gradient are products of their own; down B^T is part of `linear`; the gradients of A and B have a kernel, which handles two
 * matrices at once. Formulas: Hu et al. 2021, section 4.1.
 */
import { ShapeError } from "../errors.ts";
import { expectShape, showShape, type Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";
import { matmul } from "./matmul.ts";

/**
 * Adapters of one matrix with the same rank and scale: those of q, k and v. Adapter i writes the columns from column + i * step on,
 * `width` of them; its A and B lie i * stride elements behind the first's.
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
  stride: number;
  /** The memory from the first A [r, input] to the end of the last. */
  A: Tensor;
  /** The memory from the first B [width, r] to the end of the last. */
  B: Tensor;
}

/** down [rows, count r] = scale * x A^T, one adapter's columns beside the other's. */
export function loraDown(down: Tensor, x: Tensor, group: AdapterGroup, rows: Scalar): Dispatch {
  const { count, r, scale, input, stride, A } = group;
  const place = { ldc: count * r, batch: { count, out: r, a: 0, b: stride } };
  return matmul({ out: down, a: x, b: A, transB: true, m: rows, n: r, k: input, alpha: scale, ...place });
}

/** ddown [rows, count r] = scale * dy B, each adapter from its columns of dy [rows, n]. */
export function loraUpBackward(ddown: Tensor, dy: Tensor, group: AdapterGroup, rows: Scalar): Dispatch {
  const { count, r, scale, width, column, step, stride, B } = group;
  const place = { lda: dy.shape[1]!, aOffset: column, ldc: count * r, batch: { count, out: r, a: step, b: stride } };
  return matmul({ out: ddown, a: dy, b: B, m: rows, n: r, k: width, alpha: scale, ...place });
}

/** The scalars of one matrix in `lora_backward`; those of the second have a 2 behind their names. */
const JOB = {
  rows: "u32",
  count: "u32",
  r: "u32",
  input: "u32",
  width: "u32",
  dy_row: "u32",
  column: "u32",
  step: "u32",
  stride: "u32",
  down_at: "u32",
  a_at: "u32",
  b_at: "u32",
} as const;

type JobDims = Record<keyof typeof JOB, Scalar>;

export const loraBackwardKernel = defineKernel(
  "lora_backward",
  {
    grad: "update",
    down: "read",
    ddown: "read",
    x: "read vec4f",
    dy: "read vec4f",
    x2: "read vec4f",
    dy2: "read vec4f",
  },
  { ...JOB, ...second(JOB) },
  ({ count, r, input, width, count2, r2, input2, width2 }) => [
    ceilDiv(Math.max(input!, width!, input2!, width2!), 16),
    ceilDiv(Math.max(r!, r2!), 8),
    2 * (count! + count2!),
  ],
);

function second<T>(job: Record<keyof typeof JOB, T>) {
  const entries = Object.entries(job).map(([name, value]) => [`${name}2`, value]);
  return Object.fromEntries(entries) as Record<`${keyof typeof JOB}2`, T>;
}

/** The adapters of a matrix that are trained, and what their gradients are made of. */
export interface LoraJob {
  group: AdapterGroup;
  rows: Scalar;
  /** [rows, input] and [rows, n]. */
  x: Tensor;
  dy: Tensor;
  /** [rows, count r]: as from `loraDown` and `loraUpBackward`, at the same offset of two buffers. */
  down: Tensor;
  ddown: Tensor;
  /** The buffer of the gradients: at the offsets of A and B in their buffer. */
  grad: Tensor;
}

/** Whether two jobs use the same buffers, so that one dispatch can do both. */
export function fitTogether(a: LoraJob, b: LoraJob): boolean {
  return a.grad === b.grad && a.down.root === b.down.root && a.ddown.root === b.ddown.root;
}

function dimsOf({ group, rows, x, dy, down, ddown }: LoraJob): JobDims {
  const { count, r, input, width, column, step, stride, A, B } = group;
  expectShape(`lora_backward: down (${down.name})`, down.shape, [x.shape[0]!, count * r]);
  expectShape(`lora_backward: ddown (${ddown.name})`, ddown.shape, down.shape);
  if (x.shape[1] !== input || dy.shape[0] !== x.shape[0] || dy.shape[1]! < column + (count - 1) * step + width)
    throw new ShapeError("lora_backward: x and dy do not fit the adapters", {
      expected: `${input} columns of x, at least ${column + (count - 1) * step + width} of dy, and equal rows`,
      found: `${showShape(x.shape)} and ${showShape(dy.shape)}`,
    });
  if ([input, dy.shape[1]!, column, step].some((n) => n % 4 !== 0))
    throw new ShapeError("lora_backward: x and dy are read four columns at a time", {
      expected: "sizes that are multiples of 4, as those of a GPT-2",
      found: `${input} columns of x; ${dy.shape[1]} of dy, used from ${column} on, ${step} apart`,
    });
  return {
    rows,
    count,
    r,
    input,
    width,
    dy_row: dy.shape[1]!,
    column,
    step,
    stride,
    down_at: down.offset,
    a_at: A.offset,
    b_at: B.offset,
  };
}

/** dA [r, input] += ddown^T x and dB [width, r] += dy^T down, for the adapters of one or two matrices. */
export function loraBackward(first: LoraJob, other?: LoraJob): Dispatch {
  const { grad, down, ddown, x, dy } = first;
  if (other && !fitTogether(first, other))
    throw new ShapeError("lora_backward: two matrices whose buffers differ cannot be in one dispatch");
  const dims = dimsOf(other ?? first);
  return dispatch(
    loraBackwardKernel,
    { grad, down: down.root, ddown: ddown.root, x, dy, x2: other?.x ?? x, dy2: other?.dy ?? dy },
    { ...dimsOf(first), ...second({ ...dims, count: other ? dims.count : 0 }) },
  );
}
