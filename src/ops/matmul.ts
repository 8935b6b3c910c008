/**
 * The matrix products x W, x W^T and x^T W, as one kernel with a row and a column stride for each operand (BLIS's form
 * of BLAS gemm), of which each backend has several variants, chosen by shape; and the gradient of the bias. A dispatch
 * computes several products, a job each (grouped GEMM, as in cuBLAS): those of the adapters of one matrix.
 */
import { ShapeError } from "../core/errors.ts";
import { expectShape, formatShape, type Tensor } from "../core/tensor.ts";
import { jobsOf, jobTable } from "./jobs.ts";
import {
  ceilDiv,
  type Dispatch,
  defineKernel,
  dispatch,
  type Fields,
  type Product,
  type RowCount,
  scalarAt,
  tensorAt,
  typeCode,
} from "./kernel.ts";

const JOB = {
  // 0: dims.k, the rows of the batch.
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
  alpha: "f32",
} as const satisfies Fields;

type MatmulJob = Record<keyof typeof JOB, number>;

export const matmulKernel = defineKernel(
  "matmul",
  { out: "update", a: "read", b: "read u32", bias: "read?", jobs: "read Job" },
  {
    m: "u32",
    n: "u32",
    // The largest of any job.
    k: "u32",
    beta: "f32",
    count: "u32",
    // Of a matrix in blocks, the elements of its buffer.
    b_size: "u32",
    b_type: "override",
  },
  null,
  undefined,
  {
    job: JOB,
    products: (dispatch): readonly Product[] => jobsOf<typeof JOB>(dispatch),
    preludes: ["matmul"],
    inBlocks: "b",
    // As it is, or transposed; the token table is in blocks along its rows.
    inPanels: (dispatch) => {
      const b = tensorAt(dispatch, "b");
      const [{ k }, ...others] = jobsOf<typeof JOB>(dispatch) as [MatmulJob, ...MatmulJob[]];
      return others.length === 0 && !b.isInBlocks && b.size === (scalarAt(dispatch, "n") as number) * k;
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
  m: RowCount;
  n: number;
  k: RowCount;
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
  const { out, a, b, m, n, k, transA = false, transB = false, bias, alpha = 1, beta = 0 } = args;
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
      k: typeof depth === "number" ? depth : 0,
      out_offset,
      out_row: ldc,
      a_offset,
      a_row: transA ? 1 : lda,
      a_col: transA ? lda : 1,
      b_offset: part.b + (b.isInBlocks ? b.offset : 0),
      b_row: transB ? 1 : ldb,
      b_col: transB ? ldb : 1,
      alpha,
    };
  });
  return dispatch(
    matmulKernel,
    { out, a, b, bias, jobs: jobTable(matmulKernel, JOB, jobs) },
    {
      m,
      n,
      k: typeof k === "string" ? k : Math.max(...jobs.map((job) => job.k)),
      beta,
      count: jobs.length,
      b_size: b.root.size,
      b_type: typeCode(b),
    },
    beta === 0 ? { out: "write" } : {},
  );
}

/** The most elements of a short side: backends compute such products by kernels that split the depth. */
export const SHORT = 32;

/** Whether four neighbouring elements of a and of b are aligned. */
export function isAligned({ a_offset, a_row, a_col, b_offset, b_row, b_col }: Product): boolean {
  const strides = [a_col === 1 ? a_row : a_col, b_row === 1 ? b_col : b_row];
  return [a_offset, b_offset, ...strides].every((count) => count % 4 === 0);
}

export const matmulBiasBackwardKernel = defineKernel(
  "matmul_bias_backward",
  { dbias: "update", dout: "read" },
  { rows: "u32", cols: "u32" },
  ({ cols }) => [ceilDiv(cols, 16), 1, 1],
  "cols, rows cols",
  { preludes: ["column_sum"] },
);

/** dbias [cols] += sum of the rows of dout [rows, cols]. */
export function matmulBiasBackward(dbias: Tensor, dout: Tensor, rows: RowCount): Dispatch {
  return dispatch(matmulBiasBackwardKernel, { dbias, dout }, { rows, cols: dout.shape[1]! });
}
