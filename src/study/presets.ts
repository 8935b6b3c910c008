/** Predefined sweeps: the published experiment, and what follows from it. */
import type { ModelConfig } from "../core/config.ts";
import type { Mode } from "../methods/index.ts";
import { takesSteps } from "../methods/index.ts";
import { GUIDES } from "../methods/training.ts";
import { possibleModes, trainableCount } from "../model/trainable.ts";
import { PRESETS, trainOptions } from "../run/settings.ts";
import { DEFAULT_OBJECTIVE, TASKS } from "../tasks/index.ts";
import { ofMode } from "../train/options.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";
import { runSpec } from "../train/sizes.ts";
import type { Arm } from "./grid.ts";
import { PUBLISHED_BASELINES } from "./published.ts";

/** A predefined sweep; its arms may depend on the model and on the shared settings. */
export interface SweepPreset {
  base: RunSettings;
  arms: Arm[] | ((model: ModelConfig, settings: RunSettings) => Arm[]);
  /** The report's words on the choice of arms. */
  about?: string | undefined;
}

const RANKS = [4, 8, 16, 32];
const BASELINES = { mode: PUBLISHED_BASELINES };

/** The factor between the lowest learning rate that is tried and each: steps of about three. */
const STEPS = [1, 3, 10, 30, 100];

const ratesFrom = (lowest: number) => STEPS.map((step) => Number((lowest * step).toPrecision(3)));

/** Each method, sized to as many trainable parameters as LoRA, at its own learning rate of equally many. */
function methods(config: ModelConfig, settings: RunSettings): Arm[] {
  const { objective = DEFAULT_OBJECTIVE } = settings;
  // Two classes where there are classes: their number hardly matters.
  const data = { objective, labels: ["0", "1"].slice(0, TASKS[objective].outputs.most) };
  const count = (mode: Mode, size: Partial<TrainOptions> = {}) =>
    trainableCount(runSpec({ config }, data, trainOptions(ofMode({ ...settings, ...size, mode }, mode))));
  const target = count("lora");
  /** The size with the nearest count, which is linear in it. */
  const nearest = (countAt: (size: number) => number, most = Infinity) => {
    const size = 1 + Math.round((target - countAt(1)) / (countAt(2) - countAt(1)));
    return Math.min(most, Math.max(1, size));
  };
  const ownSize = (mode: Mode) => {
    const { size } = GUIDES[mode];
    return size && { [size.setting]: nearest((value) => count(mode, { [size.setting]: value }), size.most?.(config)) };
  };
  return possibleModes(config, { objective })
    .filter(takesSteps)
    .map((mode) => ({
      mode,
      ...ownSize(mode),
      lr: { choose: ratesFrom(GUIDES[mode].rates.lowest) },
    }));
}

export const SWEEPS: Record<string, SweepPreset> = {
  paper: { base: PRESETS.paper, arms: [{ mode: "lora", rank: RANKS, alpha: RANKS }, BASELINES] },
  methods: {
    base: {},
    arms: methods,
    about:
      "Sizes: the width of adapter layers and the number of virtual tokens are those with which the number of trainable parameters is nearest to " +
      "LoRA's; virtual tokens take at most an eighth of the model's context. The sizes of the other methods are fixed.",
  },
};
