/**
 * Tables in uniform memory. A dispatch computes several things at once, a job each (grouped GEMM, as in cuBLAS), such
 * as the products of the adapters of q, k and v: its table `jobs` is part of the plan.
 */
import { ShapeError } from "../core/errors.ts";
import { Tensor } from "../core/tensor.ts";
import { type Dispatch, type Fields, type Kernel, tensorAt } from "./kernel.ts";

/** Entries of a table, used or not. */
export const TABLE_ENTRIES = 64;

export const entryWords = (fields: Fields) => Math.ceil(Object.keys(fields).length / 4) * 4;

/** The first entries of a table. */
export function encodeTable<F extends Fields>(fields: F, entries: readonly Record<keyof F, number>[]): Uint32Array {
  if (entries.length > TABLE_ENTRIES)
    throw new ShapeError("exceeds-limit", "a table has too many entries", {
      expected: `at most ${TABLE_ENTRIES}`,
      found: String(entries.length),
    });
  const words = new Uint32Array(entries.length * entryWords(fields));
  const floats = new Float32Array(words.buffer);
  entries.forEach((entry, i) => {
    Object.entries(fields).forEach(([name, type], j) => {
      (type === "f32" ? floats : words)[i * entryWords(fields) + j] = entry[name]!;
    });
  });
  return words;
}

export const tableShape = (fields: Fields) => [TABLE_ENTRIES, entryWords(fields)] as const;

/** A job: an entry of a dispatch's table. */
type Job<F extends Fields> = Readonly<Record<keyof F, number>>;

/** The table of a dispatch, whose contents are part of the plan. */
class JobTable<F extends Fields> extends Tensor {
  constructor(
    name: string,
    fields: F,
    readonly jobs: readonly Job<F>[],
  ) {
    super(name, tableShape(fields), "table", "u32", undefined, 0, encodeTable(fields, jobs));
  }
}

export const jobTable = <F extends Fields>(
  { name }: Pick<Kernel, "name">,
  fields: F,
  jobs: readonly Job<F>[],
): Tensor => new JobTable(`${name}.jobs`, fields, jobs);

export const jobsOf = <F extends Fields>(dispatch: Dispatch): readonly Job<F>[] =>
  (tensorAt(dispatch, "jobs") as JobTable<F>).jobs;
