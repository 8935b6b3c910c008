/** Imports virtual tokens trained with PEFT. */

import { checkKinds, show } from "../../checks.ts";
import { textContext } from "../../config.ts";
import { ConfigError } from "../../errors.ts";
import type { Mode } from "../../methods/index.ts";
import type { Objective } from "../../tasks/index.ts";
import type { Shape } from "../../tensor.ts";
import { type PeftConfig, type Rules, refuseVariants, TASK_TYPES, type TaskType, tasksOf } from "./peft-config.ts";
import { HEADS, headEntries, type ImportEntry, type ImportPlan, type PeftBase } from "./peft-form.ts";
import { dimensions, EMBEDDINGS, virtualTensor, WRAPPER } from "./peft-virtual.ts";

const RULES: Rules = {
  method: "prompt tuning and prefix tuning as PEFT has them",
  plain: {
    task_type: TASK_TYPES,
    num_transformer_submodules: [1],
    prefix_projection: [true, false],
  },
  known: [
    ...["num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "encoder_hidden_size", "init_weights"],
    ...["prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"],
  ],
};

/**
 * What the settings of such an adapter say of its tensors. Throws ConfigError for settings that are not supported and
 * for another base model, FormatError for invalid settings.
 */
export function importVirtual(
  mode: Mode,
  settings: PeftConfig,
  peft: ReadonlyMap<string, Shape>,
  { config, directory = "the given base model" }: PeftBase,
  where: string,
): ImportPlan {
  refuseVariants(settings, RULES, where);
  checkKinds(settings, { task_type: "text", num_virtual_tokens: "size", modules_to_save: "texts?" }, where);
  const { task_type, num_virtual_tokens, modules_to_save = [] } = settings as Settings;
  if (modules_to_save.some((module) => !HEADS.includes(module)))
    throw new ConfigError(
      "unsupported-adapter-config",
      `PEFT's modules_to_save = ${show(modules_to_save)} is not supported`,
      {
        where,
        expected: `nothing but the head (${HEADS.join(", ")}) to be trained in addition to the virtual tokens`,
      },
    );
  for (const [key, value] of Object.entries(dimensions(mode, config)))
    if (settings[key] !== undefined && settings[key] !== value)
      throw new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
        where,
        expected: `${key} = ${show(settings[key])} (${settings.base_model_name_or_path})`,
        found: `${key} = ${value} (${directory})`,
      });
  textContext(config, { num_virtual_tokens }, where);
  const { name, shape } = virtualTensor(mode, config, num_virtual_tokens);
  const [objective] = tasksOf(task_type) as [Objective];
  const [weight] = headEntries(objective, 0, config);
  const classes = (weight && peft.get(WRAPPER + weight[0])?.[0]) ?? 0;
  const head = headEntries(objective, classes, config).map(([key, entry]) => [WRAPPER + key, entry] as const);
  const entries = new Map<string, ImportEntry>([[EMBEDDINGS, { name, shape }], ...head]);
  const decisive = { names: "peft_type", shapes: "num_virtual_tokens" };
  return { own: { lora: null, num_virtual_tokens }, type: task_type, classes, entries, decisive };
}

type Settings = {
  task_type: TaskType;
  num_virtual_tokens: number;
  modules_to_save?: string[];
};
