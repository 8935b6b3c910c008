/**
 * Where a model's tensors are in transformers' files. In all but a GPT-2's each matrix is [out, in], as nn.Linear has
 * it; a Llama's and an encoder's queries, keys and values, which are one matrix [in, out] here, are several, and so are
 * gate and up; a GPT-NeoX's are one, by head.
 */
import { type ModelConfig, traits } from "../core/config.ts";
import { baseTensors, columnsIn, type LayerName, lmHeadTensors, type ModelTensor } from "../core/names.ts";
import { numel, type Shape } from "../core/tensor.ts";
import type { NamedTensor, RowOrder } from "./peft/peft-form.ts";

export type Family = ReturnType<typeof traits>["family"];

/** The names of layers in files; of a block's layers with several matrices, side by side, all of them. */
interface Layout {
  /** The prefix of all names but those of heads. */
  prefix: string;
  table: string;
  blocks: string;
  lastNorm: string;
  /** Of an encoder: the norm behind the embedding. The others stand behind the blocks, in which they are. */
  firstNorm?: string;
  /** That of a language model. */
  head: string;
  inBlock: Partial<Record<LayerName, readonly string[]>>;
}

const LAYOUTS: Readonly<Record<Family, Layout>> = {
  gpt2: { prefix: "transformer", table: "wte", blocks: "h", lastNorm: "ln_f", head: "lm_head", inBlock: {} },
  llama: {
    prefix: "model",
    table: "embed_tokens",
    blocks: "layers",
    lastNorm: "norm",
    head: "lm_head",
    inBlock: {
      ln_1: ["input_layernorm"],
      "attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
      "attn.c_proj": ["self_attn.o_proj"],
      ln_2: ["post_attention_layernorm"],
      "mlp.c_fc": ["mlp.gate_proj", "mlp.up_proj"],
      "mlp.c_proj": ["mlp.down_proj"],
    },
  },
  gpt_neox: {
    prefix: "gpt_neox",
    table: "embed_in",
    blocks: "layers",
    lastNorm: "final_layer_norm",
    head: "embed_out",
    inBlock: {
      ln_1: ["input_layernorm"],
      "attn.c_attn": ["attention.query_key_value"],
      "attn.c_proj": ["attention.dense"],
      ln_2: ["post_attention_layernorm"],
      "mlp.c_fc": ["mlp.dense_h_to_4h"],
      "mlp.c_proj": ["mlp.dense_4h_to_h"],
    },
  },
  bert: {
    prefix: "bert",
    table: "embeddings.word_embeddings",
    blocks: "encoder.layer",
    lastNorm: "",
    firstNorm: "embeddings.LayerNorm",
    head: "",
    inBlock: {
      ln_1: ["output.LayerNorm"],
      "attn.c_attn": ["attention.self.query", "attention.self.key", "attention.self.value"],
      "attn.c_proj": ["attention.output.dense"],
      ln_2: ["attention.output.LayerNorm"],
      "mlp.c_fc": ["intermediate.dense"],
      "mlp.c_proj": ["output.dense"],
    },
  },
};

export const layoutOf = (config: Pick<ModelConfig, "model_type">): Layout => {
  const { family } = traits(config);
  return family === "bert" && config.model_type !== "bert" ? { ...LAYOUTS.bert, prefix: "roberta" } : LAYOUTS[family];
};

/**
 * Rows of the table of positions in files before that of the first token: RoBERTa counts on from its padding's id, 1.
 */
export const positionOffset = ({ model_type }: Pick<ModelConfig, "model_type">): number =>
  model_type === "roberta" || model_type === "xlm-roberta" ? 2 : 0;

/** A part of one of our tensors in a file: its columns from `first` on. */
export interface FilePart {
  /** Without the model's prefix, which all have but the heads. */
  key: string;
  /** In the file. */
  shape: Shape;
  first: number;
  order?: RowOrder | undefined;
  /** Whether it is added to the parts before it. */
  isAdded?: true;
}

/** One of our tensors in the files. */
export interface InFiles extends ModelTensor {
  parts: FilePart[];
  /** The parts of a matrix in a block are transposed. */
  isTurned: boolean;
}

/** The names of the modules of a block's layer, without the model's prefix. */
export function modulesIn(layer: LayerName, block: number, config: ModelConfig): string[] {
  const { blocks, inBlock, firstNorm } = layoutOf(config);
  const isBehind = firstNorm !== undefined && layer === "ln_1";
  if (isBehind && block === 0) return [firstNorm];
  return (inBlock[layer] ?? [layer]).map((name) => `${blocks}.${isBehind ? block - 1 : block}.${name}`);
}

/** The tensors of a model in transformers, by ours, in our order. */
export function tensorsInFiles(config: ModelConfig): InFiles[] {
  const { family } = traits(config);
  const { table, lastNorm, firstNorm, head } = layoutOf(config);
  const last = firstNorm ? modulesIn("ln_1", config.n_layer, config)[0]! : lastNorm;
  const outside: Partial<Record<LayerName, string>> = { wte: table, ln_f: last, lm_head: head };
  return [...baseTensors(config), ...lmHeadTensors(config)].map((tensor) => {
    const { block, layer, part, shape } = tensor;
    if (layer === "wpe" && firstNorm) return { ...tensor, parts: positionParts(shape, config), isTurned: false };
    if (block === null)
      return { ...tensor, parts: [{ key: `${outside[layer] ?? layer}.${part}`, shape, first: 0 }], isTurned: false };
    // GPT-2's Conv1D is [in, out].
    const isTurned = shape.length === 2 && family !== "gpt2";
    const names = modulesIn(layer, block, config);
    const columns = names.length > 1 ? columnsIn(layer, config) : [{ first: 0, width: shape.at(-1)! }];
    const parts = columns.map(({ first, width }, i): FilePart => {
      const stored = isTurned ? [width, shape[0]!] : [...shape.slice(0, -1), width];
      return { key: `${names[i]}.${part}`, shape: stored, first, order: rowOrder(layer, config) };
    });
    return { ...tensor, parts, isTurned };
  });
}

/**
 * An encoder's positions [T, C] in files: their table, and the first row of that of token types, which each text has.
 */
function positionParts([positions, C]: Shape, config: ModelConfig): FilePart[] {
  const { type_vocab_size: types = 2 } = config;
  const offset = positionOffset(config);
  const shape = [positions! + offset, C!];
  const table: RowOrder = {
    ours: ({ data }) => ({ shape: [positions!, C!], data: data.subarray(offset * C!) }),
    theirs: ({ data }) => {
      const rows = new Float32Array(numel(shape));
      rows.set(data, offset * C!);
      return { shape, data: rows };
    },
  };
  const type: RowOrder = {
    ours: ({ data }) => {
      const rows = new Float32Array(positions! * C!);
      for (let row = 0; row < positions!; row++) rows.set(data.subarray(0, C), row * C!);
      return { shape: [positions!, C!], data: rows };
    },
    theirs: () => ({ shape: [types, C!], data: new Float32Array(types * C!) }),
  };
  return [
    { key: "embeddings.position_embeddings.weight", shape, first: 0, order: table },
    { key: "embeddings.token_type_embeddings.weight", shape: [types, C!], first: 0, order: type, isAdded: true },
  ];
}

/** The order of the outputs of a layer in files; undefined: ours. */
export function rowOrder(layer: LayerName, config: ModelConfig): RowOrder | undefined {
  if (traits(config).family !== "gpt_neox" || layer !== "attn.c_attn") return undefined;
  // By head: its queries, its keys, its values.
  return {
    ours: (tensor) => swapOuter(tensor, config.n_head, 3),
    theirs: (tensor) => swapOuter(tensor, 3, config.n_head),
  };
}

/** A tensor whose rows are [outer, inner, ...], with them in the order [inner, outer, ...]. */
function swapOuter({ shape, data }: NamedTensor, outer: number, inner: number): NamedTensor {
  const size = numel(shape) / (outer * inner);
  const out = new Float32Array(data.length);
  for (let i = 0; i < outer; i++)
    for (let j = 0; j < inner; j++) {
      const from = (i * inner + j) * size;
      out.set(data.subarray(from, from + size), (j * outer + i) * size);
    }
  return { shape, data: out };
}
