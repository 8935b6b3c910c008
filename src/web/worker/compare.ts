/** The runs of a comparison of methods, each at a learning rate that suits it. */
import type { GPT2Config, Mode } from "../../config.ts";
import { ofMode, type TrainOptions } from "../../train/options.ts";
import type { PageSettings } from "../protocol.ts";

const lora = (rank: number) => ({ mode: "lora" as const, rank, alpha: 2 * rank });

const METHODS = [
  ...[1, 4, 16].map(lora),
  { mode: "all" },
  { mode: "last_block" },
  { mode: "last_layer" },
  { mode: "bitfit" },
] as const satisfies Partial<TrainOptions>[];

/** The width from which a model counts as large: GPT-2's smallest has 768. */
const LARGE = 512;

/**
 * For a small model the rates that the sweep `methods` chose on gpt2-micro (src/bench/README.md). For a large one those of the
 * methods' papers (`RATES` of the sweep), and for the last block and the head, which no paper has, the middle of the sweep's range.
 */
const RATES: Record<(typeof METHODS)[number]["mode"], { small: number; large: number }> = {
  lora: { small: 3e-3, large: 2e-4 },
  all: { small: 1e-3, large: 5e-5 },
  last_block: { small: 1e-3, large: 1e-3 },
  last_layer: { small: 1e-2, large: 1e-2 },
  bitfit: { small: 1e-2, large: 1e-3 },
};

/** The settings of each run: the visitor's, except those of the method. */
export function methodsOf(settings: PageSettings, { n_embd }: Pick<GPT2Config, "n_embd">): PageSettings[] {
  return METHODS.map((method) => {
    const mode: Mode = method.mode;
    const lr = RATES[method.mode][n_embd < LARGE ? "small" : "large"];
    const options = ofMode<Partial<TrainOptions>>({ ...settings.options, ...method, lr }, mode);
    return { ...settings, adapter: null, options };
  });
}
