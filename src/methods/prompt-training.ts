/** How a prompt is trained, and what people read of it. */
import type { ModelConfig } from "../config.ts";
import type { Flags, Guide, Setting, SettingWords, Training } from "./method.ts";
import type { VirtualPart } from "./prompt.ts";

export interface VirtualOptions {
  /** Virtual tokens of prompt and prefix tuning. Default: 20. */
  virtualTokens: number;
}

const virtualTokens: Setting<number> = { default: 20, number: { min: 1, whole: true } };

export const training: Training<VirtualOptions, VirtualPart> = {
  settings: { virtualTokens },
  rates: [1e-2, 1e-2],
  describe: describeTokens,
  config: ({ virtualTokens }) => ({ num_virtual_tokens: virtualTokens }),
  options: ({ num_virtual_tokens }) => ({ virtualTokens: num_virtual_tokens }),
};

function describeTokens({ virtualTokens }: VirtualOptions): string {
  return `${virtualTokens} virtual tokens`;
}

export const virtualTokensWords: SettingWords = {
  label: "Virtual tokens",
  isMain: true,
  why: "How many trained vectors stand before each text. More of them can learn more and make every text longer.",
};

/** An eighth of the model's context. */
export const mostTokens = ({ n_positions }: ModelConfig) => Math.max(1, Math.floor(n_positions / 8));

export const guide: Guide<VirtualOptions> = {
  choice: "prompt tuning",
  about: "Trained vectors stand before each text, as if they were words. The model stays as it is.",
  settings: { virtualTokens: virtualTokensWords },
  rates: { lowest: 1e-3, papers: "0.3 with Adafactor (Lester et al. 2021)" },
  size: { setting: "virtualTokens", most: mostTokens },
  duration: 1.4,
};

export const flags: Flags<VirtualOptions> = { virtualTokens: "virtual tokens of prompt and prefix tuning" };
