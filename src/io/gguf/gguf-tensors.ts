/**
 * A model's tensors as GGUF files have them: llama.cpp's names, every matrix [out, in], and a Llama's queries and keys
 * with their rows in the order of interleaved rotary positions. gguf-model.ts reads them.
 */
import type { ModelConfig } from "../../core/config.ts";
import { type CommonDtype, numel, type Shape } from "../../core/tensor.ts";
import { turned } from "../parts.ts";
import { collect } from "../safetensors/collect.ts";
import type { ComputedTensor } from "../safetensors/safetensors-write.ts";
import { ENCODINGS, type Encoding } from "./ggml-encode.ts";
import { ARCHITECTURES } from "./gguf-architectures.ts";
import { HEAD, ROPE_FREQS, TOKEN_TABLE } from "./gguf-config.ts";
import { interleavedRow, llama3Factors } from "./gguf-rope.ts";
import type { GgufOutput } from "./gguf-write.ts";

/** The name of a model's architecture in GGUF files. */
export const ggufArchitecture = ({ model_type }: Pick<ModelConfig, "model_type">): string => model_type ?? "gpt2";

/** A module of transformers in a GGUF file: `model.layers.3.self_attn.q_proj` is attn_q of block 3. */
interface GgufModule {
  /** `blk.3.attn_q` */
  name: string;
  /** Its matrix is [in, out] in transformers. */
  isTurned: boolean;
  /** Queries or keys of this many heads, whose rows are interleaved. */
  heads?: number;
}

function ggufPlace(module: string, config: ModelConfig): GgufModule {
  const { outside, blocks, inBlock, turned = [], isInterleaved } = ARCHITECTURES[ggufArchitecture(config)]!;
  const { n_head, n_kv_head = n_head } = config;
  const ofModel = module.replace(/^transformer\./, "");
  const [, block, inside] = ofModel.startsWith(`${blocks}.`) ? /(\d+)\.(.+)$/.exec(ofModel)! : [];
  const names = Object.entries(block === undefined ? outside : inBlock);
  const [layer] = names.find(([, theirs]) => theirs === (inside ?? ofModel))!;
  const heads = { attn_q: n_head, attn_k: n_kv_head }[layer];
  return {
    name: block === undefined ? layer : `blk.${block}.${layer}`,
    isTurned: turned.includes(layer),
    ...(isInterleaved && heads !== undefined ? { heads } : {}),
  };
}

/** A matrix's rows of queries or keys in the order of the file. */
function interleaved(values: Float32Array, rows: number, heads: number): Float32Array<ArrayBuffer> {
  const width = values.length / rows;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    out.set(values.subarray(row * width, (row + 1) * width), interleavedRow(row, rows / heads) * width);
  return out;
}

/** The tensors of a GGUF file, from those of a merged model by their names in transformers. */
export function ggufTensors(
  config: ModelConfig,
  merged: readonly ComputedTensor[],
  dtype: CommonDtype,
): { tensors: GgufOutput[]; notes: string[] } {
  const isTied = merged.every(({ name }) => name !== "lm_head.weight");
  const uneven: string[] = [];
  const tensors = merged.map((tensor): GgufOutput => {
    const [, module, part] = /^(.*)\.(\w+)$/.exec(tensor.name)!;
    const place = ggufPlace(module!, config);
    const name = `${place.name}.${part}`;
    const isHead = name === (isTied ? TOKEN_TABLE : HEAD);
    const { shape, pieces } = arranged(tensor, place);
    const wanted = usualType(name, shape, dtype, isHead);
    const fits = shape.at(-1)! % wanted.values === 0;
    if (!fits) uneven.push(name);
    return { name, shape, type: fits ? wanted : ENCODINGS.f16, pieces };
  });
  const notes =
    uneven.length > 0
      ? [`in F16, because their rows are not of a multiple of 32 values: ${uneven.length} of the matrices`]
      : [];
  const factors = ropeFactors(config);
  return { tensors: factors ? [factors, ...tensors] : tensors, notes };
}

/**
 * The type that llama.cpp's tools give a tensor: vectors and the table of positions stay in F32, and next to matrices
 * of Q4_0 the head is finer. There it is Q6_K where rows have a multiple of 256 values, and Q8_0 otherwise; here Q8_0.
 */
function usualType(name: string, shape: Shape, dtype: CommonDtype, isHead: boolean): Encoding {
  if (shape.length < 2 || name === "position_embd.weight") return ENCODINGS.f32;
  return ENCODINGS[dtype === "q4" && isHead ? "q8" : dtype];
}

/** A tensor in the order of the file. */
function arranged(tensor: ComputedTensor, { isTurned, heads }: GgufModule): Pick<ComputedTensor, "shape" | "pieces"> {
  const { shape } = tensor;
  if (isTurned && shape.length === 2) {
    const [inputs, outputs] = shape as [number, number];
    return {
      shape: [outputs, inputs],
      pieces: async function* () {
        yield turned(await collect(tensor), shape, 0, outputs);
      },
    };
  }
  if (heads === undefined) return tensor;
  return {
    shape,
    pieces: async function* () {
      yield interleaved(await collect(tensor), shape[0]!, heads);
    },
  };
}

/** Llama 3's factors of the wavelengths of rotary positions. */
function ropeFactors({ rope, n_embd, n_head }: ModelConfig): GgufOutput | undefined {
  const { theta, scaling } = rope ?? {};
  if (scaling?.rope_type !== "llama3") return undefined;
  const shape = [n_embd / n_head / 2];
  const pieces = async function* () {
    yield llama3Factors(scaling, theta!, numel(shape));
  };
  return { name: ROPE_FREQS, shape, type: ENCODINGS.f32, pieces };
}
