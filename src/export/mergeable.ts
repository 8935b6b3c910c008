/** Whether the base model's tensors can hold what was trained. */
import { architectureName, isEncoder } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { type AdapterMeta, peftForm } from "../io/peft/peft.ts";
import { METHODS } from "../methods/index.ts";

/** Whether a base model has tensors for all that was trained. */
export const isMergeable = (meta: AdapterMeta) => METHODS[meta.mode].isSeparate !== true;

export const nameMethod = ({ mode }: AdapterMeta) => `${METHODS[mode].title} (--mode ${mode})`;

export function alone({ mode }: AdapterMeta): string {
  const other = METHODS[mode].isFitted ? `train with ${setting("mode", "lora")}, or ` : "";
  return `${other}keep the run's directory: only Lowrank reads ${METHODS[mode].title}`;
}

/** Throws ConfigError for what ONNX does not have: the word counts of a probe, and encoders. */
export function refuseForOnnx(meta: AdapterMeta): void {
  const { model, mode } = meta;
  if (METHODS[mode].isFitted)
    throw new ConfigError("not-expressible-in-format", "ONNX has no word counts", {
      found: nameMethod(meta),
      hint: alone(meta),
    });
  if (isEncoder(model))
    throw new ConfigError("not-expressible-in-format", "ONNX has no encoders", {
      expected: "a GPT-2, Llama-type model or GPT-NeoX",
      found: architectureName(model),
      hint: "use --to merged or peft",
    });
}

/** Throws ConfigError if what was trained cannot be merged. */
export function checkMergeable(meta: AdapterMeta): void {
  if (isMergeable(meta)) return;
  throw new ConfigError("not-mergeable", "base models have no tensors for what was trained", {
    found: nameMethod(meta),
    hint: peftForm(meta) ? "use --to peft" : alone(meta),
  });
}
