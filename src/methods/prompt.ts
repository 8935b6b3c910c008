/** Prompt tuning (Lester et al. 2021): trained vectors before each text, rows like those of tokens. */
import { addedTensors, outside } from "../names.ts";
import type { Method } from "./method.ts";

export interface VirtualPart {
  /** Virtual tokens, n. */
  num_virtual_tokens: number;
}

export const method: Method<VirtualPart> = {
  title: "prompt tuning",
  keys: ["num_virtual_tokens"],
  // "Sampled vocabulary".
  tensors: ({ n_embd }, { num_virtual_tokens: n }) =>
    addedTensors("prompt", outside("wte"), { weight: [n, n_embd] }, { weight: "tokens" }),
  isSeparate: true,
  virtual: "rows",
  peft: { type: "PROMPT_TUNING", config: () => ({ prompt_tuning_init: "RANDOM" }) },
};
