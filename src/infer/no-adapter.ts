/** A base model without an adapter, as a model with one is described. */
import type { Mode } from "../methods/index.ts";
import type { LoraConfig } from "../methods/lora.ts";

/** LoRA without a single adapter: the base model, and the head where there is one. */
export const NO_ADAPTERS: { mode: Mode; lora: LoraConfig } = {
  mode: "lora",
  lora: { r: 1, lora_alpha: 1, scaling: "alpha/r", init: "kaiming", target_modules: [], sites: [] },
};
