/** The metadata of a model's GGUF file, without its tokens: gguf-config.ts reads it. */
import { innerWidth, type ModelConfig } from "../../core/config.ts";
import { ConfigError } from "../../core/errors.ts";
import type { CommonDtype } from "../../core/tensor.ts";
import { ggufArchitecture } from "./gguf-tensors.ts";
import { f32, text, u32 } from "./gguf-write.ts";

/** llama.cpp's numbers of the types of whole files. */
const FILE_TYPE = { f32: 0, f16: 1, q4: 2, q8: 7 } as const satisfies Record<CommonDtype, number>;

const QUANTIZATION_VERSION = 2;

/** The metadata of a model's architecture. `context`: the longest text that it was made for. */
export function architectureMetadata(
  config: ModelConfig,
  context: number,
  dtype: CommonDtype,
): Map<string, Uint8Array> {
  const { n_embd, n_head, n_kv_head = n_head, n_layer, layer_norm_epsilon, rope, vocab_size } = config;
  const name = ggufArchitecture(config);
  const isLlama = rope !== undefined;
  const own: Record<string, Uint8Array> = {
    context_length: u32(context),
    embedding_length: u32(n_embd),
    block_count: u32(n_layer),
    feed_forward_length: u32(innerWidth(config)),
    "attention.head_count": u32(n_head),
    [`attention.layer_norm_${isLlama ? "rms_" : ""}epsilon`]: f32(layer_norm_epsilon),
  };
  if (isLlama) {
    own["attention.head_count_kv"] = u32(n_kv_head);
    own["rope.freq_base"] = f32(rope.theta);
    own["rope.dimension_count"] = u32(n_embd / n_head);
    own.vocab_size = u32(vocab_size);
    if (rope.scaling?.rope_type === "linear") {
      own["rope.scaling.type"] = text("linear");
      own["rope.scaling.factor"] = f32(rope.scaling.factor);
    }
  }
  return new Map([
    ...Object.entries(own).map(([key, value]): [string, Uint8Array] => [`${name}.${key}`, value]),
    ["general.file_type", u32(FILE_TYPE[dtype])],
    ["general.quantization_version", u32(QUANTIZATION_VERSION)],
  ]);
}

/**
 * Throws ConfigError if llama.cpp computes something else for this architecture: of a GPT-NeoX the tanh form of GELU.
 */
export function checkArchitecture(config: ModelConfig): void {
  const { activation_function = "gelu_new", scale_attn_weights = true, rope, model_type } = config;
  const { scale_attn_by_inverse_layer_idx = false } = config;
  const found = [
    ...(model_type === "gpt_neox" ? ["a GPT-NeoX"] : []),
    ...(activation_function === "gelu_new" ? [] : [`activation_function = ${activation_function}`]),
    ...(scale_attn_weights ? [] : ["scale_attn_weights = false"]),
    ...(scale_attn_by_inverse_layer_idx ? ["scale_attn_by_inverse_layer_idx = true"] : []),
    ...(model_type === "qwen2" && rope?.scaling?.rope_type === "llama3" ? ["a Qwen2 with rope_type llama3"] : []),
  ];
  if (found.length === 0) return;
  throw new ConfigError("not-expressible-in-format", "llama.cpp cannot run a model of this configuration", {
    expected:
      "what all models of this architecture have there: gelu_new, and scores divided by the root of a head's width",
    found: found.join(", "),
    hint: "export it as merged, onnx or peft",
  });
}
