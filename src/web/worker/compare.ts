/** The runs of a comparison of methods, each at a learning rate that suits it. */
import type { GPT2Config } from "../../config.ts";
import { ofMode, type TrainOptions } from "../../train/options.ts";
import type { PageSettings } from "../protocol.ts";

interface Method {
  settings: Partial<TrainOptions> & Pick<TrainOptions, "mode">;
  /** The learning rate on a small model and on a large one. */
  lr: [small: number, large: number];
}

const lora = (rank: number, small: number): Method => ({
  settings: { mode: "lora", rank, alpha: 2 * rank },
  lr: [small, 2e-4],
});

/**
 * The rates on a small model are those that the sweep `methods` chose on gpt2-micro (src/bench/README.md), but that
 * LoRA's falls with its rank: on the bundled messages rank 1 reaches .882 at 3e-3 and .857 at 1e-3, rank 16 .858 and
 * .897. Those on a large one are from the methods' papers (`RATES` of the sweep), where they have one.
 */
const METHODS: readonly Method[] = [
  lora(1, 3e-3),
  lora(4, 2e-3),
  lora(16, 1e-3),
  { settings: { mode: "all" }, lr: [1e-3, 5e-5] },
  { settings: { mode: "last_block" }, lr: [1e-3, 1e-3] },
  { settings: { mode: "last_layer" }, lr: [1e-2, 1e-2] },
  { settings: { mode: "bitfit" }, lr: [1e-2, 1e-3] },
];

/** The width from which a model counts as large: GPT-2's smallest has 768. */
const LARGE = 512;

/** The settings of each run: the visitor's, except those of the method. */
export function methodSettings(settings: PageSettings, { n_embd }: Pick<GPT2Config, "n_embd">): PageSettings[] {
  const { adapter: _, ...others } = settings;
  return METHODS.map(({ settings: own, lr: [small, large] }) =>
    ofMode({ ...others, ...own, lr: n_embd < LARGE ? small : large }, own.mode),
  );
}
