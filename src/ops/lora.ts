/**
 * The gradients of LoRA (see adapters.ts): `down`'s is a product, and those of A and B have a kernel, which handles two
 * matrices at once. Only what trains loads them. Formulas: Hu et al. 2021, section 4.1.
 */
import { ShapeError } from "../core/errors.ts";
import { expectShape, formatShape, type Tensor } from "../core/tensor.ts";
import { type AdapterGroup, adapterColumns, expectFours } from "./adapters.ts";
import { jobsOf, jobTable } from "./jobs.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Fields, type RowCount, totalWork } from "./kernel.ts";
import { matmul } from "./matmul.ts";

/** ddown [rows, count r] = scale * dy B, each adapter from its columns of dy [rows, n]. */
export function loraUpBackward(ddown: Tensor, dy: Tensor, group: AdapterGroup, rows: RowCount): Dispatch {
  const { count, r, scale: alpha, width, stride, B } = group;
  const parts = Array.from({ length: count }, (_, i) => {
    const { column, width } = adapterColumns(group, i);
    return { out: i * r, a: column, b: i * stride, k: width };
  });
  const sizes = { m: rows, n: r, k: width, lda: dy.shape[1]!, ldc: count * r };
  return matmul({ out: ddown, a: dy, b: B, alpha, parts, ...sizes });
}

const JOB = {
  // Whether the matrix is the second: x2 and dy2, with rows2 rows.
  second: "u32",
  r: "u32",
  input: "u32",
  width: "u32",
  dy_row: "u32",
  column: "u32",
  down_row: "u32",
  down_at: "u32",
  a_at: "u32",
  b_at: "u32",
} as const satisfies Fields;

export const loraBackwardKernel = defineKernel(
  "lora_backward",
  {
    grad: "update",
    down: "read",
    ddown: "read",
    x: "read vec4f",
    dy: "read vec4f",
    x2: "read? vec4f",
    dy2: "read? vec4f",
    jobs: "read Job",
  },
  // The longest side and the highest rank of any job.
  { rows: "u32", rows2: "u32", longest: "u32", rank: "u32", count: "u32" },
  ({ longest, rank, count }) => [ceilDiv(longest, 16), ceilDiv(rank, 8), 2 * count],
  undefined,
  {
    job: JOB,
    preludes: ["blocks", "parts"],
    work: (dims, dispatch) => {
      // The adapters of one matrix have the same x.
      const counted = new Set<number>();
      return totalWork(
        jobsOf<typeof JOB>(dispatch).map(({ second, r, input, width }) => {
          const rows = second ? dims.rows2 : dims.rows;
          const sides = input + width;
          const x = counted.has(second) ? 0 : input;
          counted.add(second);
          return { flops: 2 * rows * r * sides, bytes: 4 * rows * (x + width + 2 * r) + 8 * r * sides };
        }),
      );
    },
  },
);

/** The adapters of a matrix, and the inputs of their gradients. */
export interface LoraJob {
  group: AdapterGroup;
  rows: RowCount;
  /** [rows, input] and [rows, n]. */
  x: Tensor;
  dy: Tensor;
  /** [rows, count r], as from `loraDown` and `loraUpBackward`, at the same offset of two buffers. */
  down: Tensor;
  ddown: Tensor;
  /** The buffer of the gradients: at the offsets of A and B in their buffer. */
  grad: Tensor;
}

/** Whether two jobs use the same buffers and can share a dispatch. */
export function fitTogether(a: LoraJob, b: LoraJob): boolean {
  return a.grad === b.grad && a.down.root === b.down.root && a.ddown.root === b.ddown.root;
}

/** The jobs of a group, one for each adapter. */
function adapterJobs({ group, x, dy, down, ddown }: LoraJob, second: number) {
  const { count, r, input, stride, A, B } = group;
  const last = adapterColumns(group, count - 1);
  const columns = last.column + last.width;
  expectShape(`lora_backward: down (${down.name})`, down.shape, [x.shape[0]!, count * r]);
  expectShape(`lora_backward: ddown (${ddown.name})`, ddown.shape, down.shape);
  if (x.shape[1] !== input || dy.shape[0] !== x.shape[0] || dy.shape[1]! < columns)
    throw new ShapeError("wrong-shape", "lora_backward: x and dy do not fit the adapters", {
      expected: `${input} columns of x, at least ${columns} of dy, and equal rows`,
      found: `${formatShape(x.shape)} and ${formatShape(dy.shape)}`,
    });
  expectFours(
    "lora_backward",
    input,
    dy.shape[1]!,
    ...Array.from({ length: count }, (_, i) => adapterColumns(group, i).column),
  );
  return Array.from({ length: count }, (_, i) => ({
    second,
    r,
    input,
    dy_row: dy.shape[1]!,
    ...adapterColumns(group, i),
    down_row: count * r,
    down_at: down.offset + i * r,
    a_at: A.offset + i * stride,
    b_at: B.offset + i * stride,
  }));
}

/**
 * dA [r, input] += ddown^T x and dB [width, r] += dy^T down, for the adapters of one matrix or of two. Each list has
 * those of one matrix, with the same rows, x and dy.
 */
export function loraBackward(first: readonly LoraJob[], other: readonly LoraJob[]): Dispatch {
  const [{ grad, rows, down, ddown, x, dy }] = first as [LoraJob];
  const [second] = other;
  for (const job of [...first, ...other])
    if (!fitTogether(first[0]!, job))
      throw new ShapeError("buffers-differ", "lora_backward: adapters in different buffers cannot share a dispatch");
  const jobs = [...first.flatMap((job) => adapterJobs(job, 0)), ...other.flatMap((job) => adapterJobs(job, 1))];
  return dispatch(
    loraBackwardKernel,
    {
      grad,
      down: down.root,
      ddown: ddown.root,
      x,
      dy,
      x2: second?.x,
      dy2: second?.dy,
      jobs: jobTable(loraBackwardKernel, JOB, jobs),
    },
    {
      rows,
      rows2: second?.rows ?? 0,
      longest: Math.max(...jobs.map(({ input, width }) => Math.max(input, width))),
      rank: Math.max(...jobs.map(({ r }) => r)),
      count: jobs.length,
    },
  );
}
