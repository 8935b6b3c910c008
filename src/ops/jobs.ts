/**
 * The jobs of several dispatches in one, for the members of a plan. Each row has the bits that its member's own dispatch
 * gives it. Loaded only for such plans.
 */
import { ShapeError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { type Dispatch, findTensor, type Product, type Scalar, scalarAt } from "./kernel.ts";
import { isAligned, SHORT } from "./matmul.ts";
import { chunked, jobsOf, jobTable, LARGEST, WHOLE } from "./shares.ts";

/** A dispatch with the jobs of one member, as in a plan of its own. */
export interface MemberDispatch {
  member: number;
  of: Dispatch;
}

/** A job, as the numbers of its table's entry. */
export type Job = Record<string, number>;

/**
 * Dispatches of one kernel as few. Tensors in which a job has an offset may be parts of one buffer; others are the same
 * in all.
 */
export function joinJobs(list: readonly MemberDispatch[]): Dispatch[] {
  const alike = new Map<string, MemberDispatch[]>();
  for (const one of list) {
    const key = commonKey(one.of);
    alike.set(key, [...(alike.get(key) ?? []), one]);
  }
  return [...alike.values()].flatMap((some) =>
    withJobs(
      some.map(({ of }) => of),
      some.flatMap(memberJobs),
    ),
  );
}

/** What jobs of one dispatch have in common. */
function commonKey(one: Dispatch): string {
  const { kernel, scalars, tensors } = one;
  const constants = Object.values(kernel.dims).map((type, i) => (type === "u32" ? "" : scalars[i]));
  return [...constants, kernel.products ? productKey(one) : tensors.map(Boolean)].join();
}

/** What selects the variant of a product, and what its jobs do not say. */
function productKey(one: Dispatch): string {
  const products = one.kernel.products!(one);
  const [{ m, n, k, a_row, a_col, b_row, b_col }] = products as [Product];
  const isShort = [m, n].map((side) => side > 0 && side <= SHORT);
  const along = [a_row, a_col, b_row, b_col].map((stride) => stride === 1);
  const flags = ["by_sequence", "out_packed", "a_packed", "b_packed"].map((dim) => scalarAt(one, dim));
  const hasBias = findTensor(one, "bias") !== null;
  return JSON.stringify([isShort, m === 0, k === 0, along, products.every(isAligned), flags, hasBias]);
}

/** The jobs of a member, with their offsets in whole buffers. */
export function memberJobs({ member, of }: MemberDispatch): Job[] {
  const { jobOffsets = {} } = of.kernel;
  return jobsOf(of).map((one) => {
    const moved = Object.entries(jobOffsets).map(([field, bindings]) => {
      const tensors = bindings.flatMap((name) => findTensor(of, name) ?? []);
      const [at = 0, ...others] = new Set(tensors.map(offset));
      if (others.length > 0)
        throw new ShapeError("buffers-differ", `${of.kernel.name}: ${bindings.join(" and ")} are at other offsets`);
      return [field, one[field]! + at] as const;
    });
    return { ...one, member, ...Object.fromEntries(moved) };
  });
}

/** A matrix in blocks is bound as a whole: its jobs know where they begin. */
const offset = (tensor: Tensor) => (tensor.isInBlocks ? 0 : tensor.offset);

/** Dispatches with these jobs, as many as a table holds in each. */
export function withJobs(
  list: readonly Dispatch[],
  jobs: readonly Job[],
  replaced: Readonly<Record<string, Tensor | null>> = {},
): Dispatch[] {
  const [{ kernel, access }] = list as [Dispatch];
  const moved = new Set(Object.values(kernel.jobOffsets ?? {}).flat());
  return chunked(jobs).map((some) => {
    const given: Readonly<Record<string, Tensor | null>> = { ...replaced, jobs: jobTable(kernel, kernel.job!, some) };
    const tensors = Object.keys(kernel.bindings).map((name, i) => {
      if (name in given) return given[name]!;
      // What some members lack is another's.
      const tensor = list.find(({ tensors }) => tensors[i])?.tensors[i];
      return (moved.has(name) ? tensor?.root : tensor) ?? null;
    });
    const scalars = Object.keys(kernel.dims).map((dim): Scalar => {
      if (dim === "count") return some.length;
      const values = list.map((one) => scalarAt(one, dim));
      const [value] = values as [Scalar];
      // Sizes of the grid: the largest.
      if (typeof value === "number") return Math.max(...(values as number[]));
      return some[0]!.member !== WHOLE && value in LARGEST ? LARGEST[value as keyof typeof LARGEST] : value;
    });
    return { kernel, tensors, access, scalars };
  });
}
