/**
 * The matrix products x W, x W^T and x^T W, as one kernel with a row and a column stride for each operand (BLIS's form
 * of BLAS gemm), of which each backend has several variants, chosen by shape; and the gradient of the bias. A dispatch
 * computes several products, a job each (grouped GEMM, as in cuBLAS): those of adapters of one matrix, and those of the
 * members of a plan.
 */
import { ShapeError } from "../errors.ts";
import { expectShape, formatShape, type Tensor } from "../tensor.ts";
import {
  ceilDiv,
  type Dispatch,
  defineKernel,
  dispatch,
  type Fields,
  type Product,
  tensorAt,
  typeCode,
} from "./kernel.ts";
import {
  bySequence,
  fixedRows,
  jobsOf,
  jobTable,
  type ProductRows,
  type RowCount,
  rowCount,
  type Shares,
  shareRows,
} from "./shares.ts";

const JOB = {
  member: "u32",
  // Of m and k, 0 stands for the member's rows.
  m: "u32",
  n: "u32",
  k: "u32",
  out_offset: "u32",
  out_row: "u32",
  a_offset: "u32",
  a_row: "u32",
  a_col: "u32",
  // Of a matrix in blocks, in its buffer.
  b_offset: "u32",
  b_row: "u32",
  b_col: "u32",
  bias_offset: "u32",
  alpha: "f32",
} as const satisfies Fields;

type MatmulJob = Record<keyof typeof JOB, number>;

export const matmulKernel = defineKernel(
  "matmul",
  { out: "update", a: "read", b: "read u32", bias: "read?", jobs: "read Job", shares: "read Share" },
  {
    // The largest of any job: for the grid, and for the work of a dispatch.
    m: "u32",
    n: "u32",
    k: "u32",
    beta: "f32",
    count: "u32",
    by_sequence: "u32",
    // Whether an operand has the rows of the whole batch; else they are the member's own.
    out_packed: "u32",
    a_packed: "u32",
    b_packed: "u32",
    // Of a matrix in blocks, the elements of its buffer.
    b_size: "u32",
    b_type: "override",
  },
  null,
  undefined,
  {
    job: JOB,
    jobOffsets: { out_offset: ["out"], a_offset: ["a"], b_offset: ["b"], bias_offset: ["bias"] },
    products: jobsOf<typeof JOB>,
    preludes: ["shares", "matmul"],
    inBlocks: "b",
    // As it is, or transposed; the token table is in blocks along its rows.
    inPanels: (dispatch) => {
      const b = tensorAt(dispatch, "b");
      const [{ n, k }, ...others] = jobsOf<typeof JOB>(dispatch) as [MatmulJob, ...MatmulJob[]];
      return others.length === 0 && !b.isInBlocks && b.size === n * k;
    },
    gemv: true,
    // The gradient of logits in a vocabulary of any size may be at any place; other matrices that are multiplied by one
    // in blocks cannot.
    variants: {
      wide: ["", ".scalar", ".quantized", ".scalar.quantized"],
      middle: ["", ".scalar", ".quantized", ".scalar.quantized"],
      narrow: ["", ".scalar", ".quantized", ".scalar.quantized"],
      flat: ["", ".scalar"],
      gemv: ["", ".scalar", ".quantized"],
    },
    loads: "page",
  },
);

/** One of several products: how much later its operands begin, and its depth if it is another. */
interface Part {
  out: number;
  a: number;
  b: number;
  k?: number;
}

export interface MatmulArguments {
  /** [m, n], rows `ldc` apart (default n), from element `outOffset` on. */
  out: Tensor;
  /** [m, k], or [k, m] where transA; rows `lda` apart (default: its number of columns), from element `aOffset` on. */
  a: Tensor;
  /** [k, n], or [n, k] where transB, from its beginning. Of any type; in blocks along its rows. */
  b: Tensor;
  m: ProductRows;
  n: number;
  k: ProductRows;
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
  /** Several products instead of one. */
  parts?: readonly Part[];
}

function leading(name: string, given: number | undefined, columns: RowCount): number {
  if (given !== undefined) return given;
  if (typeof columns === "number") return columns;
  throw new ShapeError(
    "wrong-shape",
    `matmul: ${name} is required because its number of columns changes from step to step`,
  );
}

/** Throws ShapeError unless a tensor has rows x columns elements, rows `stride` apart, from element `offset` on. */
function expectRoom(name: string, tensor: Tensor, rows: RowCount, columns: RowCount, stride: number, offset = 0): void {
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
function expectSameRows(rows: RowCount, a: Tensor, b: Tensor): void {
  if (typeof rows === "string" && a.shape[0] !== b.shape[0])
    throw new ShapeError("wrong-shape", `matmul: ${a.name} and ${b.name} differ in the number of ${rows}`, {
      expected: formatShape(a.shape),
      found: formatShape(b.shape),
    });
}

/** out = beta * out + bias + alpha * op(a) op(b), named as in BLAS gemm, row-major. */
export function matmul(args: MatmulArguments): Dispatch {
  const { out, a, b, n, transA = false, transB = false, bias, alpha = 1, beta = 0 } = args;
  const [m, k] = [rowCount(args.m), rowCount(args.k)];
  const { outOffset = 0, aOffset = 0, parts = [{ out: 0, a: 0, b: 0 }] } = args;
  const lda = leading("lda", args.lda, transA ? m : k);
  const ldc = args.ldc ?? n;
  if (bias) expectShape(`matmul: bias (${bias.name})`, bias.shape, [n]);
  if (transA) expectSameRows(k, a, b);
  else expectSameRows(m, out, a);
  const jobs = parts.map((part): MatmulJob => {
    const depth = part.k ?? k;
    const ldb = leading("k", undefined, transB ? depth : n);
    const [out_offset, a_offset] = [outOffset + part.out, aOffset + part.a];
    expectRoom("out", out, m, n, ldc, out_offset);
    expectRoom("a", a, transA ? depth : m, transA ? m : depth, lda, a_offset);
    expectRoom("b", b, transB ? n : depth, transB ? depth : n, ldb, part.b);
    return {
      member: 0,
      m: fixedRows(m),
      n,
      k: fixedRows(depth),
      out_offset,
      out_row: ldc,
      a_offset,
      a_row: transA ? 1 : lda,
      a_col: transA ? lda : 1,
      b_offset: part.b + (b.isInBlocks ? b.offset : 0),
      b_row: transB ? 1 : ldb,
      b_col: transB ? ldb : 1,
      bias_offset: 0,
      alpha,
    };
  });
  const [ofOut, ofDepth] = [typeof m === "string", typeof k === "string"];
  const table = jobTable(matmulKernel, JOB, jobs);
  const rows = ofDepth ? args.k : args.m;
  return dispatch(
    matmulKernel,
    // Shares are not read where both sizes are known.
    { out, a, b, bias, jobs: table, shares: typeof rows === "number" ? table : rows.shares },
    {
      m,
      n,
      k: typeof k === "string" ? k : Math.max(...jobs.map((job) => job.k)),
      beta,
      count: jobs.length,
      by_sequence: bySequence(ofDepth ? k : m),
      out_packed: isPacked(out, ofOut),
      a_packed: isPacked(a, ofOut || ofDepth),
      b_packed: isPacked(b, ofDepth),
      b_size: b.root.size,
      b_type: typeCode(b),
    },
    beta === 0 ? { out: "write" } : {},
  );
}

/** Rows of a batch are a tensor of two axes; what is a member's own is a part of a buffer of one. */
const isPacked = ({ root }: Tensor, hasRows: boolean) => Number(hasRows && root.shape.length > 1);

/** The most elements of a short side: backends compute such products by kernels that split the depth. */
export const SHORT = 32;

/** Whether four neighbouring elements of a and of b are aligned. */
export function isAligned({ a_offset, a_row, a_col, b_offset, b_row, b_col }: Product): boolean {
  const strides = [a_col === 1 ? a_row : a_col, b_row === 1 ? b_col : b_row];
  return [a_offset, b_offset, ...strides].every((count) => count % 4 === 0);
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
  rows: RowCount,
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
