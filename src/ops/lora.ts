/**
 * The gradients of LoRA (see adapters.ts): `down`'s is a product, and those of A and B have a kernel, which handles two
 * matrices at once. Only what trains loads them. Formulas: Hu et al. 2021, section 4.1.
 */
import { ShapeError } from "../errors.ts";
import { expectShape, formatShape, type Tensor } from "../tensor.ts";
import { type AdapterGroup, adapterColumns, expectFours } from "./adapters.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Fields, totalWork } from "./kernel.ts";
import { matmul } from "./matmul.ts";
import {
  bySequence,
  chunked,
  jobsOf,
  jobTable,
  type ProductRows,
  type RowCount,
  type Shares,
  shareRows,
} from "./shares.ts";

/** ddown [rows, count r] = scale * dy B, each adapter from its columns of dy [rows, n]. */
export function loraUpBackward(ddown: Tensor, dy: Tensor, group: AdapterGroup, rows: ProductRows): Dispatch {
  const { count, r, scale: alpha, width, stride, B } = group;
  const parts = Array.from({ length: count }, (_, i) => {
    const { column, width } = adapterColumns(group, i);
    return { out: i * r, a: column, b: i * stride, k: width };
  });
  const sizes = { m: rows, n: r, k: width, lda: dy.shape[1]!, ldc: count * r };
  return matmul({ out: ddown, a: dy, b: B, alpha, parts, ...sizes });
}

const JOB = {
  member: "u32",
  // Whether the matrix is the second: x2 and dy2.
  second: "u32",
  by_sequence: "u32",
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
    shares: "read Share",
  },
  // The longest side and the highest rank of any job.
  { longest: "u32", rank: "u32", count: "u32" },
  ({ longest, rank, count }) => [ceilDiv(longest, 16), ceilDiv(rank, 8), 2 * count],
  undefined,
  {
    job: JOB,
    jobOffsets: { down_at: ["down", "ddown"], a_at: ["grad"], b_at: ["grad"] },
    pairs: { x: "x2", dy: "dy2" },
    preludes: ["shares", "blocks", "parts"],
    work: (_, dispatch, { share_tokens, share_sequences }) => {
      // The adapters of a member at one matrix have the same x.
      const counted = new Set<string>();
      return totalWork(
        jobsOf<typeof JOB>(dispatch).map(({ member, second, by_sequence, r, input, width }) => {
          const rows = by_sequence ? share_sequences : share_tokens;
          const sides = input + width;
          const x = counted.has(`${member} ${second}`) ? 0 : input;
          counted.add(`${member} ${second}`);
          return { flops: 2 * rows * r * sides, bytes: 4 * rows * (x + width + 2 * r) + 8 * r * sides };
        }),
      );
    },
  },
);

/** The adapters of a matrix that a member trains, and the inputs of their gradients. */
export interface LoraJob {
  /** Default: 0. */
  member?: number;
  group: AdapterGroup;
  rows: RowCount;
  /** [rows, input] and [rows, n], with the rows of the whole batch. */
  x: Tensor;
  dy: Tensor;
  /** [rows, count r], the member's own: as from `loraDown` and `loraUpBackward`, at the same offset of two buffers. */
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
function adapterJobs({ member = 0, group, rows, x, dy, down, ddown }: LoraJob, second: number, members: number) {
  const { count, r, input, stride, A, B } = group;
  const last = adapterColumns(group, count - 1);
  const columns = last.column + last.width;
  expectShape(`lora_backward: down (${down.name})`, down.shape, [x.shape[0]! / members, count * r]);
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
    member,
    second,
    by_sequence: bySequence(shareRows(rows)),
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
 * dA [r, input] += ddown^T x and dB [width, r] += dy^T down, over each member's rows, for the adapters of one matrix or
 * of two. Each list has the adapters of all members at one matrix, with the same x and dy.
 */
export function loraBackward(
  first: readonly LoraJob[],
  other: readonly LoraJob[],
  { shares, members = 1 }: Shares,
): Dispatch[] {
  const [{ grad, down, ddown, x, dy }] = first as [LoraJob];
  for (const job of [...first, ...other])
    if (!fitTogether(first[0]!, job))
      throw new ShapeError("buffers-differ", "lora_backward: adapters in different buffers cannot share a dispatch");
  const all = [
    ...first.flatMap((job) => adapterJobs(job, 0, members)),
    ...other.flatMap((job) => adapterJobs(job, 1, members)),
  ];
  return chunked(all).map((jobs) =>
    dispatch(
      loraBackwardKernel,
      {
        grad,
        down: down.root,
        ddown: ddown.root,
        x: x.root,
        dy: dy.root,
        x2: other[0]?.x.root,
        dy2: other[0]?.dy.root,
        jobs: jobTable(loraBackwardKernel, JOB, jobs),
        shares,
      },
      {
        longest: Math.max(...jobs.map(({ input, width }) => Math.max(input, width))),
        rank: Math.max(...jobs.map(({ r }) => r)),
        count: jobs.length,
      },
    ),
  );
}
