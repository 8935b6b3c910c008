/**
 * Where a Llama-type model's tensors are in transformers' files. There each matrix is alone and [out, in], as nn.Linear
 * has it; here queries, keys and values are one matrix [in, out], and so are gate and up.
 */
import type { ModelConfig } from "../config.ts";
import { baseTensors, columnsIn, type Layer, lmHeadTensors, type ModelTensor } from "../names.ts";
import type { Shape } from "../tensor.ts";

/** The names of a block's layers in transformers; of those with several matrices, side by side, all of them. */
export const IN_BLOCK: Partial<Record<Layer, readonly string[]>> = {
  ln_1: ["input_layernorm"],
  "attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "attn.c_proj": ["self_attn.o_proj"],
  ln_2: ["post_attention_layernorm"],
  "mlp.c_fc": ["mlp.gate_proj", "mlp.up_proj"],
  "mlp.c_proj": ["mlp.down_proj"],
};

const OUTSIDE: Partial<Record<Layer, string>> = {
  wte: "embed_tokens",
  ln_f: "norm",
  lm_head: "lm_head",
};

/** A part of one of our tensors in a file: its columns from `first` on. */
export interface FilePart {
  /** Without `model.`, which all have but the heads. */
  key: string;
  /** In the file. */
  shape: Shape;
  first: number;
}

/** One of our tensors in the files. */
export interface InFiles extends ModelTensor {
  parts: FilePart[];
  /** The parts of a matrix in a block are transposed. */
  isTurned: boolean;
}

/** The tensors of a model in transformers, by ours, in our order. */
export function llamaTensorsInFiles(config: ModelConfig): InFiles[] {
  return [...baseTensors(config), ...lmHeadTensors(config)].map((tensor) => {
    const { block, layer, part, shape } = tensor;
    if (block === null)
      return { ...tensor, parts: [{ key: `${OUTSIDE[layer]}.${part}`, shape, first: 0 }], isTurned: false };
    const isTurned = shape.length === 2;
    const names = IN_BLOCK[layer]!;
    const columns = names.length > 1 ? columnsIn(layer, config) : [{ first: 0, width: shape.at(-1)! }];
    const parts = columns.map(({ first, width }, i) => ({
      key: `layers.${block}.${names[i]}.${part}`,
      shape: isTurned ? [width, shape[0]!] : [width],
      first,
    }));
    return { ...tensor, parts, isTurned };
  });
}
