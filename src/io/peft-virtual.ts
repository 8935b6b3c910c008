/**
 * Virtual tokens in PEFT's files: prompt tuning and prefix tuning. Both are one tensor, prompt_embeddings, as our modes prompt and
 * prefix have it; of a prefix with a projection PEFT saves the projected one too.
 */
import { type GPT2Config, textContext } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { methodShapes } from "../names.ts";
import type { Shape } from "../tensor.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import { checkKinds } from "./common.ts";
import { type PeftConfig, type Rules, refuseVariants, show } from "./peft-config.ts";
import {
  commonConfig,
  HEADS,
  headEntry,
  type ImportEntry,
  type ImportPlan,
  type PeftBase,
  type PeftForm,
} from "./peft-form.ts";

export type VirtualMode = "prompt" | "prefix";

/** The tensor of the virtual tokens in PEFT's file. */
const EMBEDDINGS = "prompt_embeddings";
/** A classifier's head. The base model is not wrapped, as it is for LoRA. */
const SCORE = "base_model.score.weight";

/** Our name of the tensor, and its shape. */
function tensorOf(mode: VirtualMode, model: GPT2Config, num_virtual_tokens: number): [name: string, shape: Shape] {
  return [...methodShapes(model, mode, { num_virtual_tokens })][0]!;
}

/** The base model's dimensions by PEFT's names. */
function dimensions({ n_embd, n_layer, n_head }: GPT2Config): Record<string, number> {
  return { token_dim: n_embd, num_layers: n_layer, num_attention_heads: n_head };
}

export function virtualForm(mode: VirtualMode, meta: AdapterMeta): PeftForm {
  const { model } = meta;
  const num_virtual_tokens = meta.num_virtual_tokens!;
  const [name, shape] = tensorOf(mode, model, num_virtual_tokens);
  const sizes = { ...dimensions(model), num_transformer_submodules: 1, num_virtual_tokens };
  const own =
    mode === "prompt"
      ? { prompt_tuning_init: "RANDOM" }
      : { encoder_hidden_size: model.n_embd, prefix_projection: false };
  return {
    config: { ...commonConfig(mode, meta), ...sizes, ...own },
    decisive: ["peft_type", "task_type", ...Object.keys(sizes)],
    shapes: new Map([[EMBEDDINGS, shape]]),
    score: SCORE,
    to: (tensors) => new Map([[EMBEDDINGS, tensors.get(name)!]]),
    from: (peft) => new Map([[name, peft.get(EMBEDDINGS)!]]),
  };
}

const RULES: Rules = {
  method: "prompt tuning and prefix tuning as PEFT has them",
  plain: {
    task_type: ["SEQ_CLS", "CAUSAL_LM"],
    num_transformer_submodules: [1],
    prefix_projection: [true, false],
  },
  known: [
    ...["num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "encoder_hidden_size", "init_weights"],
    ...["prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"],
  ],
};

/**
 * What the settings of such an adapter say of its tensors. Throws ConfigError for settings that are not supported and for another base
 * model, FormatError for invalid settings.
 */
export function importVirtual(
  mode: VirtualMode,
  settings: PeftConfig,
  peft: ReadonlyMap<string, Shape>,
  { config, directory = "the given base model" }: PeftBase,
  where: string,
): ImportPlan {
  refuseVariants(settings, RULES, where);
  checkKinds(settings, { task_type: "text", num_virtual_tokens: "size", modules_to_save: "texts?" }, where);
  const { task_type, num_virtual_tokens, modules_to_save = [] } = settings as unknown as Settings;
  if (modules_to_save.some((module) => !HEADS.includes(module)))
    throw new ConfigError(`PEFT's modules_to_save = ${show(modules_to_save)} is not supported`, {
      where,
      expected: `nothing but the head (${HEADS.join(", ")}) to be trained beside the virtual tokens`,
    });
  for (const [key, value] of Object.entries(dimensions(config)))
    if (settings[key] !== undefined && settings[key] !== value)
      throw new ConfigError("the adapter belongs to another base model", {
        where,
        expected: `${key} = ${show(settings[key])}`,
        found: `${key} = ${value} (${directory})`,
      });
  textContext(config, { num_virtual_tokens }, where);
  const [name, shape] = tensorOf(mode, config, num_virtual_tokens);
  const classifies = task_type === "SEQ_CLS";
  const classes = classifies ? (peft.get(SCORE)?.[0] ?? 0) : 0;
  const entries = new Map<string, ImportEntry>([[EMBEDDINGS, { name, shape }]]);
  if (classifies) entries.set(SCORE, headEntry(classes, config));
  const decisive = { names: "peft_type", shapes: "num_virtual_tokens" };
  return { own: { mode, lora: null, num_virtual_tokens }, classifies, classes, entries, decisive };
}

interface Settings {
  task_type: string;
  num_virtual_tokens: number;
  modules_to_save?: string[];
}
