/**
 * Virtual tokens in PEFT's files: prompt tuning and prefix tuning. Both are one tensor, prompt_embeddings, as ours.
 */
import type { ModelConfig } from "../../core/config.ts";
import type { ModelTensor } from "../../core/names.ts";
import { METHODS, type Mode } from "../../methods/index.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import { commonConfig, type PeftForm } from "./peft-form.ts";

/** The tensor of the virtual tokens in PEFT's file. */
const EMBEDDINGS = "prompt_embeddings";
/** The prefix of a head's names. The base model is not wrapped, as it is for LoRA. */
export const WRAPPER = "base_model.";

/** The tensor of the virtual tokens in our files. */
function virtualTensor(mode: Mode, model: ModelConfig, num_virtual_tokens: number): ModelTensor {
  return METHODS[mode].tensors!(model, { num_virtual_tokens }, 0)[0]!;
}

/** The base model's dimensions by PEFT's names; of a prefix, which is keys and values, those of their heads. */
export function dimensions(mode: Mode, model: ModelConfig): Record<string, number> {
  const { n_embd, n_layer, n_head, n_kv_head = n_head } = model;
  const heads = METHODS[mode].virtual === "keys" ? n_kv_head : n_head;
  return { token_dim: (n_embd / n_head) * heads, num_layers: n_layer, num_attention_heads: heads };
}

export function virtualForm(meta: AdapterMeta): PeftForm {
  const { mode, model } = meta;
  const num_virtual_tokens = meta.num_virtual_tokens!;
  const { name, shape } = virtualTensor(mode, model, num_virtual_tokens);
  const sizes = { ...dimensions(mode, model), num_transformer_submodules: 1, num_virtual_tokens };
  return {
    config: { ...commonConfig(meta), ...sizes, ...METHODS[mode].peft!.config?.(model) },
    decisive: ["peft_type", "task_type", ...Object.keys(sizes)],
    shapes: new Map([[EMBEDDINGS, shape]]),
    wrapper: WRAPPER,
    modules: null,
    whole: new Map([[EMBEDDINGS, { name, shape }]]),
    from: (peft) => new Map([[name, peft.get(EMBEDDINGS)!]]),
  };
}
