/** What was trained, as to whether the base model's tensors can hold it. */
import { ConfigError } from "../errors.ts";
import { type AdapterMeta, peftForm } from "../io/peft/peft.ts";
import { METHODS } from "../methods/index.ts";

/** Whether a base model has tensors for all that was trained. */
export const isMergeable = (meta: AdapterMeta) => METHODS[meta.mode].isSeparate !== true;

export const nameMethod = ({ mode }: AdapterMeta) => `${METHODS[mode].title} (--mode ${mode})`;

export const alone = ({ mode }: AdapterMeta) => `keep the run's directory: only Lowrank reads ${METHODS[mode].title}`;

/** Throws ConfigError if what was trained cannot be merged. */
export function checkMergeable(meta: AdapterMeta): void {
  if (isMergeable(meta)) return;
  throw new ConfigError("not-mergeable", "base models have no tensors for what was trained", {
    found: nameMethod(meta),
    hint: peftForm(meta) ? "use --to peft" : alone(meta),
  });
}
