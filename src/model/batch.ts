/** A packed batch with its tables, as tensors in one buffer. */
import { textContext } from "../config.ts";
import { ShapeError } from "../errors.ts";
import { METHODS } from "../methods/index.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import { SHARE, tableShape } from "../ops/shares.ts";
import { alignView, numel, type Shape, Tensor } from "../tensor.ts";
import type { ModelSpec } from "./trainable.ts";

/** A packed batch: sequences concatenated, without padding. */
export interface Batch {
  /** Token ids [N]. */
  ids: Uint32Array;
  /** The sequence bounds (cu_seqlens): where each sequence starts, and N: [B + 1]. */
  starts: Uint32Array;
  /** Classification: the row at which each sequence is classified [B]. */
  rows: Uint32Array;
  /** Class of each sequence [B], or, for a language model, the next id of each token [N]; -100 is ignored. */
  targets: Int32Array;
  /** The factor of each target's loss; absent: 1. */
  weights?: Float32Array | undefined;
  /** [N, C] or [B, C], as the plan's `features`: for the upper part of a model alone. */
  features?: Float32Array | undefined;
}

/** The batch as tensors: views of one buffer, so that a step writes once. */
export interface BatchInputs {
  root: Tensor;
  ids: Tensor;
  /** [N, 2]: start and end of each token's sequence. */
  bounds: Tensor;
  starts: Tensor;
  rows: Tensor;
  /** [N]: b + 1 where the row is the one that sequence b is classified at, else 0. */
  selected: Tensor;
  targets: Tensor;
  weights: Tensor;
  /** See ops/shares.ts. */
  shares: Tensor;
  /** Token indices sorted by id [N], and the start of each id's run [U + 1]; null unless the token table is trained. */
  byId: { sorted: Tensor; groups: Tensor } | null;
}

/** Virtual tokens of a sequence that are rows of the batch: those of a prompt. */
export const promptLength = ({ mode, num_virtual_tokens = 0 }: Pick<ModelSpec, "mode" | "num_virtual_tokens">) =>
  METHODS[mode].virtual === "rows" ? num_virtual_tokens : 0;

/** The rows that batches of `capacity` take, with a prompt's virtual tokens. */
export function roomFor(spec: ModelSpec, { tokens, sequences }: Capacity): Capacity {
  return { tokens: tokens + promptLength(spec) * sequences, sequences };
}

/** Inputs that are not u32. */
const DTYPES: Record<string, "i32" | "f32"> = { targets: "i32", weights: "f32" };

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

/** Tensors for `roomFor` batches; `byId`: with the tables for the token table's gradient. */
export function makeBatchInputs({ task }: ModelSpec, { tokens, sequences }: Capacity, byId: boolean): BatchInputs {
  const rows = task.objective === "lm" ? tokens : sequences;
  const { sorted, groups, ...views } = inputViews({
    ids: [tokens],
    bounds: [tokens, 2],
    starts: [sequences + 1],
    rows: [sequences],
    selected: [tokens],
    targets: [rows],
    weights: [rows],
    shares: tableShape(SHARE),
    sorted: [byId ? tokens : 0],
    groups: [byId ? tokens + 1 : 0],
  });
  return { ...views, byId: byId ? { sorted, groups } : null };
}

/** The step values of a batch. */
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
      expected: `1 to ${capacity.tokens} tokens in at most ${capacity.sequences} sequences`,
      found: `${tokens} tokens in ${sequences} sequences`,
    });
}

/** Throws ShapeError unless the batch is complete, in range and within capacity: kernels do not check. */
function checkBatch(batch: Batch, capacity: Capacity, spec: ModelSpec): void {
  checkCapacity(batch, capacity);
  const { ids, starts, rows, targets, weights } = batch;
  const { config, task } = spec;
  const tokens = ids.length;
  const sequences = starts.length - 1;
  const context = textContext(config, spec);
  if (starts[0] !== 0 || starts[sequences] !== tokens)
    throw new ShapeError("invalid-batch", "the sequences do not cover the batch", {
      expected: `starts from 0 to ${tokens}`,
      found: `from ${starts[0]} to ${starts[sequences]}`,
    });
  const isClassifier = task.objective === "classification";
  const count = isClassifier ? sequences : tokens;
  if (targets.length !== count || (isClassifier && rows.length !== sequences))
    throw new ShapeError("invalid-batch", "the batch has the wrong number of targets or rows", {
      expected: isClassifier ? `${count} targets and rows, one a sequence` : `${count} targets, one a token`,
      found: `${targets.length} targets, ${rows.length} rows`,
    });
  if (weights && (weights.length !== count || !weights.every((weight) => weight > 0 && weight < Infinity)))
    throw new ShapeError("invalid-batch", "the batch's weights are invalid", {
      expected: `${count} numbers above 0, one a target`,
      found: `${weights.length}: ${weights.slice(0, 8).join(", ")}`,
    });
  for (let b = 0; b < sequences; b++) {
    const [start, end] = [starts[b]!, starts[b + 1]!];
    if (end <= start || end - start > context)
      throw new ShapeError("invalid-batch", "a sequence is empty or longer than the model's context", {
        expected: `1 to ${context} tokens`,
        found: `${end - start}`,
        where: `sequence ${b}`,
      });
    if (isClassifier && !(rows[b]! >= start && rows[b]! < end))
      throw new ShapeError("invalid-batch", "the row that is classified lies outside its sequence", {
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
  const classes = isClassifier ? task.num_labels : config.vocab_size;
  const i = targets.findIndex((target) => target !== IGNORE_INDEX && (target < 0 || target >= classes));
  if (i >= 0)
    throw new ShapeError("invalid-batch", "a target is not a class", {
      expected: `0 to ${classes - 1}, or ${IGNORE_INDEX} where the row is ignored`,
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
  const isLm = spec.task.objective === "lm";
  const targets = isLm ? new Int32Array(ids.length).fill(IGNORE_INDEX) : batch.targets;
  const weights = isLm && batch.weights ? new Float32Array(ids.length).fill(1) : batch.weights;
  for (let b = 0; b < count; b++) {
    const [from, to, at] = [batch.starts[b]!, batch.starts[b + 1]!, starts[b]! + n];
    for (let j = 0; j < n; j++) ids[at - n + j] = spec.config.vocab_size + j;
    ids.set(batch.ids.subarray(from, to), at);
    if (!isLm) continue;
    targets.set(batch.targets.subarray(from, to), at);
    if (batch.weights) weights!.set(batch.weights.subarray(from, to), at);
  }
  return { ids, starts, rows: batch.rows.map((row, b) => row + n * (b + 1)), targets, weights };
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
  const weights = new Float32Array(into.buffer, into.byteOffset + inputs.weights.offset * 4, inputs.weights.size);
  if (batch.weights) weights.set(batch.weights);
  else weights.fill(1);
  const bounds = part(inputs.bounds);
  const selected = part(inputs.selected).fill(0);
  let longest = 0;
  for (let b = 0; b < sequences; b++) {
    const [start, end] = [batch.starts[b]!, batch.starts[b + 1]!];
    longest = Math.max(longest, end - start);
    for (let n = start; n < end; n++) {
      bounds[2 * n] = start;
      bounds[2 * n + 1] = end;
    }
  }
  batch.rows.forEach((row, b) => {
    selected[row] = b + 1;
  });
  const unique = inputs.byId ? groupById(batch.ids, part(inputs.byId.sorted), part(inputs.byId.groups)) : 0;
  return { tokens, sequences, unique, longest };
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

/** Rows of a batch that have a target. */
export function countedRows({ targets }: Pick<Batch, "targets">): number {
  return targets.reduce((count, target) => count + (target === IGNORE_INDEX ? 0 : 1), 0);
}

/** The sum of the weights of rows that have a target: the loss is a sum divided by it. */
export function targetWeight({ targets, weights }: Pick<Batch, "targets" | "weights">): number {
  if (!weights) return countedRows({ targets });
  return weights.reduce((sum, weight, i) => sum + (targets[i] === IGNORE_INDEX ? 0 : weight), 0);
}
