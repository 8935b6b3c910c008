/** A packed batch with its tables, as tensors in one buffer. */
import { textContext } from "../core/config.ts";
import { ShapeError } from "../core/errors.ts";
import { alignView, numel, type Role, type Shape, Tensor } from "../core/tensor.ts";
import { METHODS } from "../methods/index.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import type { RowCount } from "../ops/kernel.ts";
import { countOutputs, hasValues, isMean, readsTokens } from "../tasks/index.ts";
import type { ModelSpec } from "./trainable.ts";

/** The rows of a tensor: their number, or the step value that counts them, and the most there can be. */
export interface Rows {
  count: RowCount;
  capacity: number;
}

export function rowTensor(
  name: string,
  { capacity }: Pick<Rows, "capacity">,
  shape: Shape,
  role: Role = "activation",
): Tensor {
  return new Tensor(name, [capacity, ...shape], role);
}

/** A packed batch: sequences concatenated, without padding. */
export interface Batch {
  /** Token ids [N]. */
  ids: Uint32Array;
  /** The sequence bounds (cu_seqlens): where each sequence starts, and N: [B + 1]. */
  starts: Uint32Array;
  /** The row at which each sequence is classified [B]; with mean pooling, the last row of its mean. Of tokens none. */
  rows: Uint32Array;
  /**
   * Class of each sequence [B], or of each token [N], such as the next id; -100 is ignored. Where there are `values`,
   * no number below 0.
   */
  targets: Int32Array;
  /** Of a regression the score of each sequence, of several labels 0 or 1 for each [B, num_labels]; absent: unknown. */
  values?: Float32Array | undefined;
  /** The factor of each target's loss; absent: 1. */
  weights?: Float32Array | undefined;
  /** The number of each sequence among all that the run draws, from 1 on [B]: for dropout; absent: it is off. */
  draws?: Uint32Array | undefined;
  /** [N, C] or [B, C], as the plan's `features`: for the upper part of a model alone. */
  features?: Float32Array | undefined;
}

/** The draws of `count` sequences, of which the first is number `first` of its run. */
export const drawsFrom = (first: number, count: number) => Uint32Array.from({ length: count }, (_, b) => first + b);

/** The batch as tensors: views of one buffer, so that a step writes once. */
export interface BatchInputs {
  root: Tensor;
  ids: Tensor;
  /** [N, 2]: start and end of each token's sequence. */
  bounds: Tensor;
  starts: Tensor;
  rows: Tensor;
  /** [B]: the first row of the mean that each sequence is classified at; without mean pooling as `rows`. */
  firsts: Tensor;
  /** [N, 2]: b + 1 where the row is one that sequence b is classified at, else 0; and the number of these rows. */
  selected: Tensor;
  targets: Tensor;
  weights: Tensor;
  /** [B, num_labels]; empty where rows have a class. */
  values: Tensor;
  /** Token indices sorted by id [N], and the start of each id's run [U + 1]; null unless the token table is trained. */
  byId: { sorted: Tensor; groups: Tensor } | null;
  /** Of each token [N, 2], and of the row at which each sequence is classified [B, 2]; null without dropout. */
  draws: Draws | null;
}

/** The rows' numbers: that of the sequence (0: dropout is off), and the row's position in it. See ops/dropout.ts. */
export type Draws = Record<"tokens" | "sequences", Tensor>;

/** Virtual tokens of a sequence that are rows of the batch: those of a prompt. */
export const promptLength = ({ mode, num_virtual_tokens = 0 }: Pick<ModelSpec, "mode" | "num_virtual_tokens">) =>
  METHODS[mode].virtual === "rows" ? num_virtual_tokens : 0;

/** The rows that batches of `capacity` take, with a prompt's virtual tokens. */
export function roomFor(spec: ModelSpec, { tokens, sequences }: Capacity): Capacity {
  return { tokens: tokens + promptLength(spec) * sequences, sequences };
}

/** Inputs that are not u32. */
const DTYPES: Record<string, "i32" | "f32"> = { targets: "i32", weights: "f32", values: "f32" };

/** Inputs of these shapes as views of one buffer, `root`. */
export function inputViews<N extends string>(shapes: Record<N, Shape>): Record<N | "root", Tensor> {
  const names = Object.keys(shapes) as N[];
  const total = names.reduce((sum, name) => sum + alignView(numel(shapes[name])), 0);
  const views = { root: new Tensor("batch", [total], "input", "u32") } as Record<N | "root", Tensor>;
  let offset = 0;
  for (const name of names) {
    views[name] = new Tensor(name, shapes[name], "input", DTYPES[name] ?? "u32", views.root, offset);
    offset += alignView(numel(shapes[name]));
  }
  return views;
}

/** Tensors for `roomFor` batches, with the tables for the token table's gradient, and with those for dropout. */
export function makeBatchInputs(
  { task }: ModelSpec,
  { tokens, sequences }: Capacity,
  { byId = false, dropout = false } = {},
): BatchInputs {
  const rows = readsTokens(task) ? tokens : sequences;
  const { sorted, groups, tokenDraws, sequenceDraws, ...views } = inputViews({
    ids: [tokens],
    bounds: [tokens, 2],
    starts: [sequences + 1],
    rows: [sequences],
    firsts: [sequences],
    selected: [tokens, 2],
    targets: [rows],
    weights: [rows],
    values: [hasValues(task) ? sequences : 0, task.num_labels],
    sorted: [byId ? tokens : 0],
    groups: [byId ? tokens + 1 : 0],
    tokenDraws: [dropout ? tokens : 0, 2],
    sequenceDraws: [dropout ? sequences : 0, 2],
  });
  return {
    ...views,
    byId: byId ? { sorted, groups } : null,
    draws: dropout ? { tokens: tokenDraws, sequences: sequenceDraws } : null,
  };
}

interface BatchValues {
  tokens: number;
  sequences: number;
  unique: number;
  longest: number;
}

/** Throws ShapeError unless the batch has at most so many rows. */
export function checkCapacity({ ids, starts }: Batch, capacity: Capacity): void {
  const [tokens, sequences] = [ids.length, starts.length - 1];
  if (tokens > capacity.tokens || sequences > capacity.sequences || tokens === 0)
    throw new ShapeError("batch-exceeds-capacity", "the batch does not fit the plan", {
      expected: `1 to ${capacity.tokens} tokens, at most ${capacity.sequences} sequences`,
      found: `${tokens} tokens, ${sequences} sequences`,
    });
}

function checkNumbers(
  name: string,
  numbers: Float32Array,
  count: number,
  what: string,
  isValid: (value: number) => boolean,
): void {
  if (numbers.length !== count || !numbers.every(isValid))
    throw new ShapeError("invalid-batch", `the batch's ${name} are invalid`, {
      expected: `${count} ${what}`,
      found: `${numbers.length}: ${numbers.slice(0, 8).join(", ")}`,
    });
}

/** Throws ShapeError unless the batch is complete, in range and within capacity: kernels do not check. */
function checkBatch(batch: Batch, capacity: Capacity, spec: ModelSpec): void {
  checkCapacity(batch, capacity);
  const { ids, starts, rows, targets, values, weights } = batch;
  const { config, task } = spec;
  const tokens = ids.length;
  const sequences = starts.length - 1;
  const context = textContext(config, spec);
  if (starts[0] !== 0 || starts[sequences] !== tokens)
    throw new ShapeError("invalid-batch", "the sequences do not cover the batch", {
      expected: `0 to ${tokens}`,
      found: `${starts[0]} to ${starts[sequences]}`,
    });
  const ofTokens = readsTokens(task);
  const count = ofTokens ? tokens : sequences;
  if (targets.length !== count || (!ofTokens && rows.length !== sequences))
    throw new ShapeError("invalid-batch", "the batch's targets or rows are invalid", {
      expected: String(count),
      found: `${targets.length} targets, ${rows.length} rows`,
    });
  if (weights) checkNumbers("weights", weights, count, "numbers above 0", (weight) => weight > 0 && weight < Infinity);
  if (values) checkNumbers("values", values, sequences * task.num_labels, "finite numbers", Number.isFinite);
  for (let b = 0; b < sequences; b++) {
    const [start, end] = [starts[b]!, starts[b + 1]!];
    if (end <= start || end - start > context)
      throw new ShapeError("invalid-batch", "a sequence is empty or longer than the model's context", {
        expected: `1 to ${context} tokens`,
        found: `${end - start}`,
        where: `sequence ${b}`,
      });
    if (!ofTokens && !(rows[b]! >= start && rows[b]! < end))
      throw new ShapeError("invalid-batch", "the classified row is outside its sequence", {
        expected: `${start} to ${end - 1}`,
        found: `${rows[b]}`,
        where: `sequence ${b}`,
      });
  }
  const n = ids.findIndex((id) => id >= config.vocab_size);
  if (n >= 0)
    throw new ShapeError("token-out-of-range", "a token id is outside the vocabulary", {
      expected: `0 to ${config.vocab_size - 1}`,
      found: String(ids[n]),
      where: `token ${n}`,
    });
  const classes = hasValues(task) ? Infinity : countOutputs(task, config);
  const i = targets.findIndex((target) => target !== IGNORE_INDEX && (target < 0 || target >= classes));
  if (i >= 0)
    throw new ShapeError("invalid-batch", "a target is not a class", {
      expected: `0 to ${classes - 1}, or ${IGNORE_INDEX}`,
      found: String(targets[i]),
      where: `target ${i}`,
    });
}

/** The batch with a prompt's virtual tokens before each sequence: ids behind the vocabulary, which are not targets. */
function withPrompt(batch: Batch, spec: ModelSpec): Batch {
  const n = promptLength(spec);
  if (n === 0) return batch;
  const count = batch.starts.length - 1;
  const starts = batch.starts.map((start, b) => start + n * b);
  const ids = new Uint32Array(batch.ids.length + n * count);
  const ofTokens = readsTokens(spec.task);
  const targets = ofTokens ? new Int32Array(ids.length).fill(IGNORE_INDEX) : batch.targets;
  const weights = ofTokens && batch.weights ? new Float32Array(ids.length).fill(1) : batch.weights;
  for (let b = 0; b < count; b++) {
    const [from, to, at] = [batch.starts[b]!, batch.starts[b + 1]!, starts[b]! + n];
    for (let j = 0; j < n; j++) ids[at - n + j] = spec.config.vocab_size + j;
    ids.set(batch.ids.subarray(from, to), at);
    if (!ofTokens) continue;
    targets.set(batch.targets.subarray(from, to), at);
    if (batch.weights) weights!.set(batch.weights.subarray(from, to), at);
  }
  return { ids, starts, rows: batch.rows.map((row, b) => row + n * (b + 1)), targets, values: batch.values, weights };
}

/** Fills `into` [inputs.root.size] with the batch and its tables. Throws ShapeError if the batch is invalid. */
export function packBatch(
  given: Batch,
  inputs: BatchInputs,
  into: Uint32Array,
  capacity: Capacity,
  spec: ModelSpec,
): BatchValues {
  checkBatch(given, capacity, spec);
  const batch = withPrompt(given, spec);
  const tokens = batch.ids.length;
  const sequences = batch.starts.length - 1;
  const part = ({ offset, size }: Tensor) => into.subarray(offset, offset + size);
  part(inputs.ids).set(batch.ids);
  part(inputs.starts).set(batch.starts);
  part(inputs.rows).set(batch.rows);
  new Int32Array(into.buffer, into.byteOffset + inputs.targets.offset * 4, inputs.targets.size).set(batch.targets);
  const write = ({ offset, size }: Tensor, numbers: Float32Array | undefined, absent: number) => {
    const floats = new Float32Array(into.buffer, into.byteOffset + offset * 4, size);
    if (numbers) floats.set(numbers);
    else floats.fill(absent);
  };
  write(inputs.weights, batch.weights, 1);
  write(inputs.values, batch.values, 0);
  const bounds = part(inputs.bounds);
  const firsts = part(inputs.firsts);
  const selected = part(inputs.selected).fill(0);
  let longest = 0;
  for (let b = 0; b < sequences; b++) {
    const [start, end] = [batch.starts[b]!, batch.starts[b + 1]!];
    longest = Math.max(longest, end - start);
    // Where tokens have targets there is none.
    const row = batch.rows[b]!;
    const first = isMean(spec.task) ? start + promptLength(spec) : row;
    firsts[b] = first;
    for (let n = first; n <= row; n++) selected.set([b + 1, row - first + 1], 2 * n);
    for (let n = start; n < end; n++) {
      bounds[2 * n] = start;
      bounds[2 * n + 1] = end;
    }
  }
  if (inputs.draws) writeDraws(batch, part(inputs.draws.tokens), part(inputs.draws.sequences));
  const unique = inputs.byId ? groupById(batch.ids, part(inputs.byId.sorted), part(inputs.byId.groups)) : 0;
  return { tokens, sequences, unique, longest };
}

/** Fills the tables for dropout. */
function writeDraws({ starts, rows, draws }: Batch, ofTokens: Uint32Array, ofSequences: Uint32Array): void {
  for (let b = 0; b < starts.length - 1; b++) {
    const [start, end, draw] = [starts[b]!, starts[b + 1]!, draws?.[b] ?? 0];
    for (let n = start; n < end; n++) ofTokens.set([draw, n - start], 2 * n);
    if (rows.length > 0) ofSequences.set([draw, rows[b]! - start], 2 * b);
  }
}

/** Fills the tables for the token table's gradient; returns the number of different ids. */
function groupById(ids: Uint32Array, sorted: Uint32Array, groups: Uint32Array): number {
  const order = Uint32Array.from(ids.keys()).sort((a, b) => ids[a]! - ids[b]! || a - b);
  sorted.set(order);
  let unique = 0;
  order.forEach((n, i) => {
    if (i === 0 || ids[n] !== ids[order[i - 1]!]) groups[unique++] = i;
  });
  groups[unique] = ids.length;
  return unique;
}

/** The most that one batch may hold. */
export interface Capacity {
  tokens: number;
  sequences: number;
}

export function countedRows({ targets }: Pick<Batch, "targets">): number {
  return targets.reduce((count, target) => count + (target === IGNORE_INDEX ? 0 : 1), 0);
}

/** The sum of the weights of rows that have a target: the loss is a sum divided by it. */
export function targetWeight({ targets, weights }: Pick<Batch, "targets" | "weights">): number {
  if (!weights) return countedRows({ targets });
  return weights.reduce((sum, weight, i) => sum + (targets[i] === IGNORE_INDEX ? 0 : weight), 0);
}
