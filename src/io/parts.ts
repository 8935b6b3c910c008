/**
 * Reads and writes the tensors of models other than GPT-2 as files have them: see layouts.ts. Loaded only for such a
 * model.
 */
import { isEncoder, type ModelConfig } from "../core/config.ts";
import type { Shape } from "../core/tensor.ts";
import { type FilePart, type InFiles, layoutOf, tensorsInFiles } from "./layouts.ts";
import { collect } from "./safetensors/collect.ts";
import type { ComputedTensor } from "./safetensors/safetensors-write.ts";
import {
  checkNames,
  checkRows,
  checkShape,
  OF_CONFIG,
  OTHER_TENSORS,
  type Stored,
  type TensorSource,
} from "./safetensors/tensor-file.ts";

/**
 * The tensors of a merged model under transformers' names, from `merged`, which has ours: in blocks each matrix is one
 * of its own, [out, in].
 */
export function splitParts(config: ModelConfig, merged: readonly ComputedTensor[]): ComputedTensor[] {
  const ours = new Map(merged.map((tensor) => [tensor.name, tensor]));
  const { prefix } = layoutOf(config);
  // A tied head that has an adapter becomes a tensor of its own.
  const tie_word_embeddings = !ours.has("lm_head.weight");
  return tensorsInFiles({ ...config, tie_word_embeddings }).flatMap((place) => {
    const { name, layer, shape: whole, parts, isTurned } = place;
    const tensor = ours.get(name);
    if (!tensor) return [];
    const named = (key: string) => (layer === "lm_head" ? key : `${prefix}.${key}`);
    if (isAsItIs(place)) return [{ ...tensor, name: named(parts[0]!.key) }];
    // Read once for all its parts, which are written one after the other.
    let values: Promise<Float32Array> | null = null;
    return parts.map(
      ({ key, shape, first, order }, i): ComputedTensor => ({
        ...{ name: named(key), shape, dtype: "F32" },
        pieces: async function* () {
          values ??= collect(tensor);
          const all = await values;
          if (i === parts.length - 1) values = null;
          const isPart = !isTurned && whole.length === 1;
          const data = isTurned
            ? turned(all, whole, first, shape[0]!)
            : isPart
              ? all.slice(first, first + shape[0]!)
              : all;
          yield order ? order.theirs({ shape, data }).data : data;
        },
      }),
    );
  });
}

/** Whether the tensor of the file is ours. */
const isAsItIs = ({ isTurned, parts: [first, ...others] }: InFiles) =>
  !isTurned && others.length === 0 && !first!.order;

/** Redundant tensors of old checkpoints: frequencies, and the causal mask. */
const REDUNDANT = /^layers\.\d+\.(self_attn|attention)\.(rotary_emb\.inv_freq|bias|masked_bias)$/;
/** Of encoders: the numbers of positions, and heads, which belong to what a checkpoint was trained for. */
const OF_ENCODERS = /^(embeddings\.(position|token_type)_ids$|(pooler|cls|classifier|lm_head|qa_outputs)\.)/;

/**
 * The tensors of such a model under our names, from `found`, which has those of its files. A tensor that is no
 * part of ours keeps its name. Throws FormatError if one is missing or has a wrong shape.
 */
export function joinParts(
  found: ReadonlyMap<string, Stored<TensorSource>>,
  config: ModelConfig,
  where: string,
): Map<string, Stored<TensorSource>> {
  const rest = new Map<string, Stored<TensorSource>>(found);
  const joined = new Map<string, Stored<TensorSource>>();
  const all = tensorsInFiles(config);
  const keys = all.flatMap(({ layer, parts }) => (layer === "lm_head" ? [] : parts.map(({ key }) => key)));
  const redundant = isEncoder(config) ? OF_ENCODERS : REDUNDANT;
  const names = [...found.keys()].filter((key) => !redundant.test(key));
  if (!keys.every((key) => found.has(key))) checkNames(names, keys, OTHER_TENSORS, where, OF_CONFIG);
  for (const place of all) {
    const { name, shape, parts, isTurned } = place;
    const stored = parts.flatMap(({ key }) => found.get(key) ?? []);
    for (const { key } of parts) rest.delete(key);
    // A classifier may lack the head of a language model.
    if (stored.length < parts.length) continue;
    for (const [i, { key, shape }] of parts.entries()) checkShape(key, stored[i]!.info.shape, shape, where);
    const [only] = stored as [Stored<TensorSource>];
    if (isAsItIs(place)) joined.set(name, only);
    else {
      // Of any type, it is read as floats.
      const info = { ...only.info, dtype: "F32" as const, shape };
      joined.set(name, { file: new JoinedTensor(shape, parts, stored, isTurned, where), key: name, info });
    }
  }
  for (const [key, stored] of rest) if (!redundant.test(key)) joined.set(key, stored);
  return joined;
}

/** One of our tensors that is several in the files, turned, or in another order. */
class JoinedTensor implements TensorSource {
  /** All of it, while its rows are read. */
  private values: Promise<Float32Array<ArrayBuffer>> | null = null;

  constructor(
    private readonly shape: Shape,
    private readonly parts: readonly FilePart[],
    private readonly stored: readonly Stored<TensorSource>[],
    private readonly isTurned: boolean,
    private readonly where: string,
  ) {}

  /** Rows [start, end). All parts are read at once: rows here are columns there. */
  async readF32(name: string, start = 0, end = this.shape[0]!): Promise<Float32Array<ArrayBuffer>> {
    checkRows(name, this.shape, start, end, this.where);
    this.values ??= this.readAll().catch((error) => {
      this.values = null;
      throw error;
    });
    const values = await this.values;
    const width = values.length / this.shape[0]!;
    if (end === this.shape[0]) this.values = null;
    return start === 0 && end === this.shape[0] ? values : values.slice(start * width, end * width);
  }

  private async readAll(): Promise<Float32Array<ArrayBuffer>> {
    const [rows, columns] = this.shape.length === 2 ? (this.shape as [number, number]) : [1, this.shape[0]!];
    const values = new Float32Array(rows * columns);
    for (const [i, { first, shape, order, isAdded }] of this.parts.entries()) {
      const { file, key } = this.stored[i]!;
      const data = await file.readF32(key);
      const part = order ? order.ours({ shape, data }).data : data;
      if (this.isTurned) turn(part, rows, values.subarray(first), columns, shape[0]!, rows);
      else if (isAdded) for (let at = 0; at < part.length; at++) values[at]! += part[at]!;
      else values.set(part, first);
    }
    return values;
  }
}

/** Rows and columns that are copied at a time, so that both sides stay in the cache. */
const TILE = 32;

/** The columns of values [inputs, columns] from `first` on, turned: [outputs, inputs]. */
export function turned(values: Float32Array, shape: Shape, first: number, outputs: number): Float32Array<ArrayBuffer> {
  const [inputs, columns] = shape as [number, number];
  const part = new Float32Array(outputs * inputs);
  turn(values.subarray(first), columns, part, inputs, inputs, outputs);
  return part;
}

/**
 * Writes from [rows, columns], turned, into `to`: [columns, rows]. The rows of each begin at multiples of its width.
 */
function turn(
  from: Float32Array,
  fromWidth: number,
  to: Float32Array,
  toWidth: number,
  rows: number,
  columns: number,
): void {
  for (let i0 = 0; i0 < rows; i0 += TILE)
    for (let j0 = 0; j0 < columns; j0 += TILE)
      for (let i = i0; i < Math.min(rows, i0 + TILE); i++)
        for (let j = j0; j < Math.min(columns, j0 + TILE); j++) to[j * toWidth + i] = from[i * fromWidth + j]!;
}
