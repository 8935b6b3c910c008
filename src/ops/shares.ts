/**
 * A plan can have several members: adapters with their heads, which share the base model and are trained in one batch
 * (plan/fuse.ts). A member's rows lie together: its share of the batch. A plan of one adapter, or of none, has one
 * member with all rows.
 *
 * What a kernel does for each member follows from two tables in uniform memory: `shares`, which the host writes with
 * every batch, and `jobs`, which belongs to the dispatch. A row has the same bits as in its member's own plan (grouped
 * GEMM, as in cuBLAS).
 */
import { ShapeError } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import { type Dispatch, type Fields, type Kernel, type Scalar, type StepValues, tensorAt } from "./kernel.ts";

/** Entries of a table, used or not. */
export const TABLE_ENTRIES = 64;

/** The entry of the whole batch: the last. */
export const WHOLE = TABLE_ENTRIES - 1;

/** The most members of a plan. */
export const MAX_MEMBERS = WHOLE;

/** A member's rows in the batch, and its update. */
export const SHARE = {
  /** Its first token, and how many it has. */
  token: "u32",
  tokens: "u32",
  sequence: "u32",
  sequences: "u32",
  /** 1 / sum of the weights of its rows that have a target, over all batches of a step. */
  loss_scale: "f32",
  /** 1 if AdamW updates the member. */
  is_updated: "u32",
  /** AdamW: 1 - lr * weight_decay, lr * weight_decay, lr / (1 - beta1^t), sqrt(1 - beta2^t). */
  decay: "f32",
  lr_decay: "f32",
  step_size: "f32",
  correction2: "f32",
} as const satisfies Fields;

export type Share = Record<keyof typeof SHARE, number>;

/** What a step tells the update of a member. */
export type StepUpdate = Pick<Share, "decay" | "lr_decay" | "step_size" | "correction2">;

/** A member without rows and without an update. */
export const NO_SHARE: Share = {
  token: 0,
  tokens: 0,
  sequence: 0,
  sequences: 0,
  loss_scale: 0,
  is_updated: 0,
  decay: 1,
  lr_decay: 0,
  step_size: 0,
  correction2: 1,
};

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

/** Writes the shares of a batch, by default one, and the whole of it, into `staging`, of which `tensor` is a view. */
export function encodeShares(
  staging: Uint32Array,
  { offset }: Tensor,
  rows: Pick<Share, "tokens" | "sequences">,
  shares?: readonly Share[],
): void {
  const whole = [{ ...NO_SHARE, ...rows }];
  staging.set(encodeTable(SHARE, shares ?? whole), offset);
  staging.set(encodeTable(SHARE, whole), offset + WHOLE * entryWords(SHARE));
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

/** Which rows of a batch a tensor has: of its tokens, or of its sequences. */
export type ShareRows = "tokens" | "sequences";

/** Which rows of a batch, or their number; slots are sequences with one token each. */
export type RowCount = ShareRows | "slots" | number;

/** Rows of a batch, and the shares that say how many they are. */
export interface BatchRows {
  count: RowCount;
  shares: Tensor;
}

/** The rows of a product: their number, or rows of a batch. */
export type ProductRows = number | BatchRows;

/** The scalar of a product's rows. */
export const rowCount = (rows: ProductRows) => (typeof rows === "number" ? rows : rows.count);

/** The entries of a job table. */
export function chunked<T>(jobs: readonly T[]): T[][] {
  const count = Math.ceil(jobs.length / TABLE_ENTRIES);
  return Array.from({ length: count }, (_, i) => jobs.slice(i * TABLE_ENTRIES, (i + 1) * TABLE_ENTRIES));
}

/** The shares of a batch [TABLE_ENTRIES, entryWords(SHARE)], and how many they are: by default one. */
export interface Shares {
  shares: Tensor;
  members?: number;
}

/** The scalar that tells a kernel which rows these are. */
export const bySequence = (rows: RowCount): number => Number(rows === "sequences" || rows === "slots");

/** The field of a job that tells a kernel their number; 0: those of the member. */
export const fixedRows = (rows: RowCount): number => (typeof rows === "number" ? rows : 0);

/** The rows of the largest share. */
export const LARGEST = { tokens: "share_tokens", sequences: "share_sequences" } as const satisfies Record<
  ShareRows,
  keyof StepValues
>;

/** Throws ShapeError unless the rows are those of a batch. */
export function shareRows(rows: Scalar): ShareRows {
  if (rows === "tokens" || rows === "sequences") return rows;
  throw new ShapeError("rows-out-of-range", "the rows of a member must be rows of a batch", {
    expected: "tokens or sequences",
    found: String(rows),
  });
}
