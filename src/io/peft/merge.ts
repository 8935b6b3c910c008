/**
 * Merges a trained model: adds the adapters' products to the base weights and, with DoRA, scales the columns of the
 * sums. Works in chunks, so that the model is never in memory as a whole. Sums are computed in double precision and
 * rounded once.
 */
import { floatToHalf, halfToFloat } from "../../core/half.ts";
import {
  ADAPTED,
  baseShapes,
  firstColumn,
  lmHeadShapes,
  loraDims,
  magnitudeName,
  matrixOutputs,
  scaledColumns,
  tensorName,
} from "../../core/names.ts";
import { numel, type Shape } from "../../core/tensor.ts";
import { loraAdapters } from "../../methods/lora.ts";
import { hasHead } from "../../tasks/index.ts";
import type { BaseModel } from "../hf.ts";
import { splitParts } from "../parts.ts";
import type { ComputedTensor } from "../safetensors/safetensors-write.ts";
import { baseDtype } from "./adapter-meta.ts";
import type { Adapter } from "./peft.ts";
import { type FinalNorm, type NamedTensor, readFactors, type Tensors, transposed } from "./peft-form.ts";
import { headTensors } from "./peft-write.ts";

/** Elements of a weight that are in memory at a time. */
const PIECE_ELEMENTS = 1 << 20;

/** scale * B A, added to a matrix: row i gets the sum over k of scale * left(i, k) * right[k], from `column` on. */
interface LowRankProduct {
  r: number;
  scale: number;
  left: (row: number, k: number) => number;
  /** [r, width]. */
  right: Float32Array;
  width: number;
  column: number;
}

/** A change of a matrix. */
interface Changes {
  products: LowRankProduct[];
  /** The length of each column afterwards; NaN, or undefined: as it comes. */
  magnitude?: Float32Array | undefined;
}

const NO_CHANGES: Changes = { products: [] };

/**
 * The tensors of a merged model, with their names in transformers. A bias of the head is folded into its weight if
 * `finalNorm` allows it, and otherwise dropped. A language model has a separate head if its base model has, or if its
 * tied head has an adapter.
 */
export async function mergedTensors(
  baseModel: BaseModel,
  adapter: Adapter,
  finalNorm: FinalNorm | undefined,
): Promise<ComputedTensor[]> {
  const merged = ownTensors(baseModel, adapter);
  const named = baseModel.config.model_type
    ? splitParts(baseModel.config, merged)
    : merged.map((tensor) =>
        tensor.name === "lm_head.weight" ? tensor : { ...tensor, name: `transformer.${tensor.name}` },
      );
  return [...named, ...headInFiles(adapter, finalNorm)];
}

/** A head of its own, under transformers' names; none of a language model. */
export function headInFiles({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined): ComputedTensor[] {
  return headTensors(meta, tensors, finalNorm).map(([name, tensor]) => wholeTensor(name, tensor));
}

/** The base model's tensors and those of a language model's separate head, merged, by our names. */
export function ownTensors(baseModel: BaseModel, { meta, tensors }: Adapter): ComputedTensor[] {
  const changes = adapterChanges({ meta, tensors });
  const { config } = baseModel;
  // Frozen matrices are rounded to the type that the run stored them in.
  const shapes = new Map([...baseShapes(config), ...lmHeadShapes(config)]);
  const isHalf = (name: string) => baseDtype(meta) === "f16" && shapes.get(name)!.length === 2;
  const rows = (name: string, from: number, to: number): Promise<Float32Array> => {
    const trained = tensors.get(name);
    if (!trained) return baseModel.read(name, from, to).then((values) => (isHalf(name) ? rounded(values) : values));
    const width = numel(trained.shape) / trained.shape[0]!;
    return Promise.resolve(trained.data.slice(from * width, to * width));
  };
  const merged = [...baseShapes(config)].map(([name, shape]) => ({
    name,
    shape,
    dtype: "F32" as const,
    pieces: () => pieces(shape, (from, to) => rows(name, from, to), changes.get(name) ?? NO_CHANGES),
  }));
  if (hasHead(meta.task)) return merged;
  const head = changes.get("head");
  const shape = [config.vocab_size, config.n_embd];
  const table = config.tie_word_embeddings === false ? "lm_head.weight" : "wte.weight";
  if (head || table !== "wte.weight")
    merged.push({
      name: "lm_head.weight",
      shape,
      dtype: "F32",
      pieces: () => pieces(shape, (from, to) => rows(table, from, to), head ?? NO_CHANGES),
    });
  return merged;
}

function rounded(values: Float32Array): Float32Array {
  return halfToFloat(floatToHalf(values));
}

export function wholeTensor(name: string, { shape, data }: NamedTensor): ComputedTensor {
  return {
    name,
    shape,
    dtype: "F32",
    pieces: async function* () {
      yield data;
    },
  };
}

/** The change of each matrix, by its name in the base model (`head` for the head of a language model). */
function adapterChanges({ meta, tensors }: { meta: Adapter["meta"]; tensors: Tensors }): Map<string, Changes> {
  const { model, lora, task } = meta;
  const changes = new Map<string, Changes>();
  const adapters = lora ? loraAdapters(model, lora) : [];
  for (const adapter of adapters) {
    const { target, block, r, scale } = adapter;
    const { A, B } = readFactors(tensors, adapter);
    const dims = loraDims(target, model, model.vocab_size);
    if (target === "head") {
      // The adapter of a head of its own is folded by `foldHead`. nn.Linear: [out, in].
      if (!hasHead(task))
        changes.set("head", {
          products: [{ r, scale, left: (row, k) => B[row * r + k]!, right: A, width: dims.in, column: 0 }],
        });
      continue;
    }
    // The token table and Conv1D: [in, out], transposed.
    const { layer } = ADAPTED[target];
    const name = tensorName({ block, layer });
    const left = (row: number, k: number) => A[k * dims.in + row]!;
    const product = {
      r,
      scale,
      left,
      right: transposed({ shape: [dims.out, r], data: B }).data,
      width: dims.out,
      column: firstColumn(target, model),
    };
    const { products } = changes.get(name) ?? NO_CHANGES;
    const scaled = tensors.get(magnitudeName({ block, layer }))?.data;
    const magnitude = scaled && new Float32Array(matrixOutputs(target, model)).fill(Number.NaN);
    let at = 0;
    for (const { first, width } of magnitude ? scaledColumns({ block, layer }, adapters, model) : []) {
      magnitude!.set(scaled!.subarray(at, at + width), first);
      at += width;
    }
    changes.set(name, { products: [...products, product], magnitude });
  }
  return changes;
}

type ReadRows = (from: number, to: number) => Promise<Float32Array>;

async function* pieces(shape: Shape, read: ReadRows, { products, magnitude }: Changes): AsyncGenerator<Float32Array> {
  if (!magnitude) {
    yield* summed(shape, read, products, (sum, row) => row.set(sum));
    return;
  }
  const squares = new Float64Array(magnitude.length);
  const measured = summed(shape, read, products, (sum) => {
    for (let j = 0; j < sum.length; j++) squares[j]! += sum[j]! * sum[j]!;
  });
  for await (const _ of measured);
  yield* summed(shape, read, products, (sum, row) => {
    for (let j = 0; j < sum.length; j++) {
      const scaled = (magnitude[j]! / Math.sqrt(squares[j]!)) * sum[j]!;
      row[j] = Number.isNaN(magnitude[j]!) ? sum[j]! : scaled;
    }
  });
}

/** The rows, some at a time; `take` gets each with its sum with the products, if there are any. */
async function* summed(
  shape: Shape,
  read: ReadRows,
  products: readonly LowRankProduct[],
  take: (sum: Float64Array, row: Float32Array) => void,
): AsyncGenerator<Float32Array> {
  const rows = shape[0]!;
  const width = numel(shape) / rows;
  const step = Math.max(1, Math.floor(PIECE_ELEMENTS / width));
  for (let from = 0; from < rows; from += step) {
    const piece = await read(from, Math.min(rows, from + step));
    if (products.length > 0)
      for (let i = 0; i < piece.length; i += width) {
        const row = piece.subarray(i, i + width);
        take(addProducts(row, from + i / width, products), row);
      }
    yield piece;
  }
}

function addProducts(row: Float32Array, index: number, products: readonly LowRankProduct[]): Float64Array {
  const sum = Float64Array.from(row);
  for (const { r, scale, left, right, width, column } of products)
    for (let k = 0; k < r; k++) {
      const factor = scale * left(index, k);
      for (let j = 0; j < width; j++) sum[column + j]! += factor * right[k * width + j]!;
    }
  return sum;
}
