/** Prompt tuning (Lester et al. 2021): trained vectors before each text, rows like those of tokens. */
import type { ModelConfig } from "../core/config.ts";
import { addedTensors, outside } from "../core/names.ts";
import { type Flags, type Guide, inPage, type Method, type Training } from "./method.ts";

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

export interface VirtualOptions {
  /** Virtual tokens of prompt and prefix tuning. Default: 20. */
  virtualTokens: number;
}

export const training: Training<VirtualOptions, VirtualPart> = {
  settings: {
    virtualTokens: inPage(
      { default: 20, number: { min: 1, whole: true }, isMain: true, others: ["num_virtual_tokens"] },
      "Virtual tokens: How many trained vectors stand before each text. More of them can learn more and make every text longer.",
    ),
  },
  rates: [1e-2, 1e-2],
  describe: describeTokens,
  config: ({ virtualTokens }) => ({ num_virtual_tokens: virtualTokens }),
  options: ({ num_virtual_tokens }) => ({ virtualTokens: num_virtual_tokens }),
};

function describeTokens({ virtualTokens }: VirtualOptions): string {
  return `${virtualTokens} virtual tokens`;
}

/** An eighth of the model's context. */
export const mostTokens = ({ n_positions }: ModelConfig) => Math.max(1, Math.floor(n_positions / 8));

export const guide: Guide<VirtualOptions> = {
  choice: "prompt tuning",
  about: "Trained vectors stand before each text, as if they were words. The model stays as it is.",
  // In papers: 0.3 with Adafactor (Lester et al. 2021).
  rates: { lowest: 1e-3 },
  size: { setting: "virtualTokens", most: mostTokens },
  duration: 1.4,
};

export const flags: Flags<VirtualOptions> = { virtualTokens: "virtual tokens of prompt and prefix tuning" };
