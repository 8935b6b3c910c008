/**
 * The matrix products x W, x W^T and x^T W, as one kernel with a row and a column stride for each operand (BLIS's form
 * of BLAS gemm), of which each backend has several variants, chosen by shape; and the gradient of the bias.
 */
import { ShapeError } from "../errors.ts";
import { expectShape, formatShape, type Tensor } from "../tensor.ts";
import {
  ceilDiv,
  type Dispatch,
  defineKernel,
  dispatch,
  type Fields,
  type Scalar,
  scalarAt,
  tensorAt,
  totalWork,
  typeCode,
} from "./kernel.ts";
import { bySequence, decodeTable, jobTable, type Shares, shareRows } from "./shares.ts";

export const matmulKernel = defineKernel(
  "matmul",
  { out: "update", a: "read", b: "read u32", bias: "read?" },
  {
    m: "u32",
    n: "u32",
    k: "u32",
    out_offset: "u32",
    out_row: "u32",
    a_offset: "u32",
    a_row: "u32",
    a_col: "u32",
    b_row: "u32",
    b_col: "u32",
    alpha: "f32",
    beta: "f32",
    batch: "u32",
    out_batch: "u32",
    a_batch: "u32",
    b_batch: "u32",
    // Where b begins in its buffer of b_size elements, if it is stored in blocks; else 0, and b is the buffer.
    b_offset: "u32",
    b_size: "u32",
    b_type: "override",
  },
  null,
  undefined,
  {
    preludes: ["matmul", "matmul_strided"],
    inBlocks: "b",
    // As it is, or transposed; the token table is in blocks along its rows.
    inPanels: (dispatch) => {
      const b = tensorAt(dispatch, "b");
      return !b.isInBlocks && b.size === (scalarAt(dispatch, "k") as number) * (scalarAt(dispatch, "n") as number);
    },
    gemv: true,
    // The gradient of logits in a vocabulary of any size may be at any place; other matrices that are multiplied by one
    // in blocks cannot.
    variants: {
      wide: ["", ".scalar", ".quantized", ".scalar.quantized"],
      middle: ["", ".scalar", ".quantized", ".scalar.quantized"],
      direct: [""],
      narrow: ["", ".scalar", ".quantized", ".scalar.quantized"],
      flat: ["", ".scalar"],
      gemv: ["", ".scalar", ".quantized"],
    },
    loads: "page",
    work: ({ m, n, k, batch }, { tensors: [, , b], access }) => ({
      flops: 2 * m * n * k * batch,
      bytes: (4 * m * k + b!.elementBytes * k * n + (access[0] === "update" ? 8 : 4) * m * n) * batch,
    }),
  },
);

export interface MatmulArguments {
  /** [m, n], rows `ldc` apart (default n), from element `outOffset` on. */
  out: Tensor;
  /** [m, k], or [k, m] where transA; rows `lda` apart (default: its number of columns), from element `aOffset` on. */
  a: Tensor;
  /** [k, n], or [n, k] where transB, from its beginning. Of any type; in blocks along its rows. */
  b: Tensor;
  m: Scalar;
  n: number;
  k: Scalar;
  transA?: boolean;
  transB?: boolean;
  lda?: number;
  ldc?: number;
  outOffset?: number;
  aOffset?: number;
  alpha?: number;
  /** out = beta * out + ...; default 0. */
  beta?: number;
  /** [n], added to every row. */
  bias?: Tensor;
  /** `count` products, whose out, a and b lie so many elements apart (BLAS gemm_strided_batched). */
  batch?: { count: number; out: number; a: number; b: number };
}

function leading(name: string, given: number | undefined, columns: Scalar): number {
  if (given !== undefined) return given;
  if (typeof columns === "number") return columns;
  throw new ShapeError(
    "wrong-shape",
    `matmul: ${name} is required because its number of columns changes from step to step`,
  );
}

/** Throws ShapeError unless a tensor has rows x columns elements, rows `stride` apart, from element `offset` on. */
function expectRoom(name: string, tensor: Tensor, rows: Scalar, columns: Scalar, stride: number, offset = 0): void {
  const { shape, size } = tensor;
  const [r, c] = [rows, columns].map((n, axis) => (typeof n === "number" ? n : shape[axis]!)) as [number, number];
  const width = shape.length === 1 ? stride : shape[1]!;
  if (stride !== width || c > stride || offset + (r - 1) * stride + c > size)
    throw new ShapeError("wrong-shape", `matmul: ${name} (${tensor.name}) has the wrong shape`, {
      expected: `${r} x ${c} elements from ${offset} on, rows ${stride} apart`,
      found: formatShape(shape),
    });
}

/** Throws ShapeError unless both tensors have the same capacity, if the number of rows changes from step to step. */
function expectSameRows(rows: Scalar, a: Tensor, b: Tensor): void {
  if (typeof rows === "string" && a.shape[0] !== b.shape[0])
    throw new ShapeError("wrong-shape", `matmul: ${a.name} and ${b.name} differ in the number of ${rows}`, {
      expected: formatShape(a.shape),
      found: formatShape(b.shape),
    });
}

/** out = beta * out + bias + alpha * op(a) op(b), named as in BLAS gemm, row-major. */
export function matmul(args: MatmulArguments): Dispatch {
  const { out, a, b, m, n, k, transA = false, transB = false, bias, beta = 0 } = args;
  const lda = leading("lda", args.lda, transA ? m : k);
  const ldb = leading("k", undefined, transB ? k : n);
  const ldc = args.ldc ?? n;
  if (bias) expectShape(`matmul: bias (${bias.name})`, bias.shape, [n]);
  const batch = args.batch ?? { count: 1, out: 0, a: 0, b: 0 };
  const last = batch.count - 1;
  const [outOffset, aOffset] = [args.outOffset ?? 0, args.aOffset ?? 0];
  expectRoom("out", out, m, n, ldc, outOffset + last * batch.out);
  expectRoom("a", a, transA ? k : m, transA ? m : k, lda, aOffset + last * batch.a);
  expectRoom("b", b, transB ? n : k, transB ? k : n, ldb, last * batch.b);
  if (transA) expectSameRows(k, a, b);
  else expectSameRows(m, out, a);
  return dispatch(
    matmulKernel,
    { out, a, b, bias },
    {
      m,
      n,
      k,
      out_offset: outOffset,
      out_row: ldc,
      a_offset: aOffset,
      a_row: transA ? 1 : lda,
      a_col: transA ? lda : 1,
      b_row: transB ? 1 : ldb,
      b_col: transB ? ldb : 1,
      alpha: args.alpha ?? 1,
      beta,
      batch: batch.count,
      out_batch: batch.out,
      a_batch: batch.a,
      b_batch: batch.b,
      b_offset: b.isInBlocks ? b.offset : 0,
      b_size: b.root.size,
      b_type: typeCode(b),
    },
    beta === 0 ? { out: "write" } : {},
  );
}

export const GROUPED_JOB = {
  member: "u32",
  // One of m and k is the member's rows, and is not used.
  m: "u32",
  n: "u32",
  k: "u32",
  out_offset: "u32",
  out_row: "u32",
  a_offset: "u32",
  a_row: "u32",
  a_col: "u32",
  b_offset: "u32",
  b_row: "u32",
  b_col: "u32",
  bias_offset: "u32",
  alpha: "f32",
} as const satisfies Fields;

export type GroupedJob = Record<keyof typeof GROUPED_JOB, number>;

export const matmulGroupedKernel = defineKernel(
  "matmul_grouped",
  { out: "update", a: "read", b: "read u32", bias: "read?", jobs: "read Job", shares: "read Share" },
  {
    // The largest of any job. A job has its own depth.
    m: "u32",
    n: "u32",
    // Those of the first product: the same stride is 1 in all.
    a_col: "u32",
    b_row: "u32",
    b_col: "u32",
    beta: "f32",
    batch: "u32",
    by_sequence: "u32",
    // Whether the members' rows are the depth; else they are the rows of out.
    is_depth: "u32",
    // Whether an operand has the rows of the whole batch; else they are the member's own.
    out_packed: "u32",
    a_packed: "u32",
    b_packed: "u32",
    b_type: "override",
  },
  null,
  undefined,
  {
    job: GROUPED_JOB,
    preludes: ["shares", "matmul", "matmul_grouped"],
    variants: { wide: ["", ".scalar"], middle: ["", ".scalar"], narrow: ["", ".scalar"], flat: ["", ".scalar"] },
    work: ({ is_depth, by_sequence }, dispatch, { share_tokens, share_sequences }) => {
      const rows = by_sequence ? share_sequences : share_tokens;
      const passes = dispatch.access[0] === "update" ? 2 : 1;
      return totalWork(
        decodeMatmulJobs(dispatch).map((job) => {
          const [m, n, k] = is_depth ? [job.m, job.n, rows] : [rows, job.n, job.k];
          return { flops: 2 * m * n * k, bytes: 4 * (m * k + k * n + passes * m * n) };
        }),
      );
    },
  },
);

/** The most elements of a short side: backends compute such products by kernels that split the depth. */
export const SHORT = 32;

/** Whether four neighbouring elements of a and of b are aligned. */
export function isAligned({ a_offset, a_row, a_col, b_offset, b_row, b_col }: GroupedJob): boolean {
  const strides = [a_col === 1 ? a_row : a_col, b_row === 1 ? b_col : b_row];
  return [a_offset, b_offset, ...strides].every((count) => count % 4 === 0);
}

/** The jobs of a `matmul_grouped`. */
export function decodeMatmulJobs(dispatch: Dispatch): GroupedJob[] {
  return decodeTable(GROUPED_JOB, tensorAt(dispatch, "jobs"), scalarAt(dispatch, "batch") as number);
}

const BIAS_JOB = { member: "u32", at: "u32" } as const satisfies Fields;

export const matmulBiasBackwardKernel = defineKernel(
  "matmul_bias_backward",
  { dbias: "update", dout: "read", jobs: "read Job", shares: "read Share" },
  // rows: their number if they are not a share of a batch; else 0.
  { rows: "u32", by_sequence: "u32", cols: "u32", count: "u32" },
  ({ cols, count }) => [ceilDiv(cols, 16), 1, count],
  "gradients, rows cols, entries words, entries share_words",
  { job: BIAS_JOB, jobOffsets: { at: ["dbias"] }, preludes: ["shares", "column_sum"] },
);

/**
 * dbias [cols] += sum of the member's rows of dout [rows, cols], or of all if their number is given. The members'
 * gradients are in one buffer.
 */
export function matmulBiasBackward(
  biases: readonly { member?: number; dbias: Tensor }[],
  dout: Tensor,
  rows: Scalar,
  { shares }: Shares,
): Dispatch {
  const isFixed = typeof rows === "number";
  const cols = dout.shape[1]!;
  for (const { dbias } of biases) expectShape(`matmul_bias_backward: ${dbias.name}`, dbias.shape, [cols]);
  const jobs = biases.map(({ member = 0, dbias }) => ({ member, at: dbias.offset }));
  return dispatch(
    matmulBiasBackwardKernel,
    { dbias: biases[0]!.dbias.root, dout, jobs: jobTable(matmulBiasBackwardKernel, BIAS_JOB, jobs), shares },
    {
      rows: isFixed ? rows : 0,
      by_sequence: isFixed ? 0 : bySequence(shareRows(rows)),
      cols,
      count: jobs.length,
    },
  );
}
