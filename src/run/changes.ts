/** How far training moved the matrices of a model, relative to their size. */

import {
  ADAPTED,
  baseTensors,
  columnsIn,
  type LayerName,
  type LoraAdapter,
  lmHeadTensors,
  type ModelTensor,
  type Place,
  tensorName,
} from "../core/names.ts";
import { numel } from "../core/tensor.ts";
import { initialTensors } from "../engine/initial.ts";
import type { BaseModel } from "../io/hf.ts";
import { adaptedSpec, baseDtype } from "../io/peft/adapter-meta.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft/peft.ts";
import { readFactors } from "../io/peft/peft-form.ts";
import { loraAdapters } from "../methods/lora.ts";
import { methodConfig } from "../methods/training.ts";
import { hasHead } from "../tasks/index.ts";
import { DEFAULTS } from "../train/options.ts";
import type { TrainOptions } from "../train/settings.ts";
import { productNorm } from "./spectrum.ts";

/** The change of a matrix, or of a bias. */
export interface Change {
  /** null: outside the blocks. */
  block: number | null;
  /**
   * A target; c_attn: one adapter for q, k and v. Else the layer: ln_1, ln_2; outside blocks wte, wpe, ln_f, lm_head.
   */
  part: string;
  /** The Frobenius norm of the change, and of what is changed. */
  norm: number;
  of: number;
}

export interface Changes {
  /** The tensors to compare: biases where no weight of the blocks is trained. */
  kind: "weight" | "bias";
  blocks: number;
  /** In the order of the forward pass. */
  changes: Change[];
}

/** The tensors with which a run began that started from no adapter, and that are not the base model's. */
export async function startTensors(
  meta: AdapterMeta,
  options: Partial<TrainOptions>,
  base: BaseModel,
): Promise<Tensors> {
  const all = { ...DEFAULTS, ...options };
  const spec = {
    ...methodConfig(all),
    ...adaptedSpec(meta, { config: base.config, train_head: true, dtype: baseDtype(meta) }),
  };
  return initialTensors(spec, all, base);
}

/**
 * The changes of a trained model: ||s B A|| / ||W|| of adapters, without DoRA's magnitudes, the difference between
 * trained and frozen values of other tensors of the base model, and between a classifier's head and its initial values
 * in `start`, if they are known. Adapter layers, prompts and prefixes change no matrix: only the head remains.
 */
export async function measureChanges(adapter: Adapter, base: BaseModel, start: Tensors | null): Promise<Changes> {
  const { meta, tensors } = adapter;
  const { model, lora, task } = meta;
  const moved = [...baseTensors(model), ...lmHeadTensors(model)].filter(({ name }) => tensors.has(name));
  const inBlocks = (one: ModelTensor["part"]) => moved.some(({ block, part }) => block !== null && part === one);
  const kind = inBlocks("weight") || !inBlocks("bias") ? "weight" : "bias";
  const sizes = new Sizes(base);
  const changes: Change[] = [];
  for (const adapter of lora ? loraAdapters(model, lora) : []) {
    const { target, block } = adapter;
    if (target === "head" && hasHead(task)) continue;
    const factors = { ...readFactors(tensors, adapter), ...adapter };
    const [norm, of] = [productNorm(factors), await sizes.adapted(adapter)];
    changes.push({ block, part: target, norm, of });
  }
  for (const tensor of moved.filter(({ part }) => part === kind))
    changes.push(...(await sizes.moved(tensor, tensors.get(tensor.name)!.data)));
  const before = start?.get("head.weight")?.data;
  if (before && tensors.has("head.weight")) changes.push(headChange(adapter, before));
  return { kind, blocks: base.config.n_layer, changes };
}

/** A classifier's head is small: its adapter's product is formed. */
function headChange({ meta: { lora, model }, tensors }: Adapter, before: Float32Array): Change {
  const { data, shape } = tensors.get("head.weight")!;
  const change = Float64Array.from(data, (value, i) => value - before[i]!);
  const adapter = (lora ? loraAdapters(model, lora) : []).find(({ target }) => target === "head");
  if (adapter) {
    const { A, B, r, scale } = { ...readFactors(tensors, adapter), ...adapter };
    const columns = shape[1]!;
    for (let i = 0; i < change.length; i++)
      for (let k = 0; k < r; k++)
        change[i]! += scale * B[Math.floor(i / columns) * r + k]! * A[k * columns + (i % columns)]!;
  }
  const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));
  return { block: null, part: "head", norm: norm(change), of: norm(before) };
}

/** Elements of a tensor that are read at a time. */
const PIECE = 1 << 18;

type Size = Omit<Change, "block">;

/** Norms of the base model's tensors, each read once. */
class Sizes {
  private readonly known = new Map<string, Promise<Size[]>>();

  constructor(private readonly base: BaseModel) {}

  /** The norm of the matrix that an adapter adapts. */
  async adapted({ target, block }: LoraAdapter): Promise<number> {
    const head = this.base.config.tie_word_embeddings === false ? "lm_head" : "wte";
    const layer = target === "head" ? head : ADAPTED[target].layer;
    const sizes = await this.of({ block, layer });
    return sizes.find(({ part }) => part === target)?.of ?? Math.hypot(...sizes.map(({ of }) => of));
  }

  /** A tensor's parts, and how far they are from the trained values. */
  async moved({ name, block, layer }: ModelTensor, trained: Float32Array): Promise<Change[]> {
    const sizes = await this.measure(name, layer, trained);
    return sizes.map((size) => ({ block, ...size }));
  }

  private of(place: Place): Promise<Size[]> {
    const name = tensorName(place);
    const known = this.known.get(name) ?? this.measure(name, place.layer);
    this.known.set(name, known);
    return known;
  }

  private async measure(name: string, layer: LayerName, trained?: Float32Array): Promise<Size[]> {
    const shape = this.base.shape(name);
    const columns = shape.at(-1)!;
    const parts = columnsIn(layer, this.base.config);
    const sums = (parts.length > 1 ? parts : [{ target: parts[0]?.target ?? layer, first: 0 }]).map(
      ({ target: part, first }) => ({ part, first, of: 0, norm: 0 }),
    );
    const rowWidth = numel(shape) / shape[0]!;
    const step = Math.max(1, Math.floor(PIECE / rowWidth));
    for (let first = 0; first < shape[0]!; first += step) {
      const piece = await this.base.read(name, first, Math.min(shape[0]!, first + step));
      for (let i = 0; i < piece.length; i++) {
        const at = first * rowWidth + i;
        const sum = sums.findLast(({ first }) => first <= at % columns)!;
        sum.of += piece[i]! ** 2;
        if (trained) sum.norm += (trained[at]! - piece[i]!) ** 2;
      }
    }
    return sums.map(({ part, of, norm }) => ({ part, of: Math.sqrt(of), norm: Math.sqrt(norm) }));
  }
}
