/** The published figures of the settings that they apply to. */
import published from "../../data/published/sms-lora.json" with { type: "json" };
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/training-data.ts";
import { ofMode, PAPER, resolveOptions } from "../train/options.ts";
import type { TrainOptions } from "../train/settings.ts";
import { matchesTrial } from "./grid.ts";
import type { Outcome } from "./outcome.ts";

/** The data that they were measured on. */
export const { of: PUBLISHED_OF, rows: PUBLISHED_ROWS } = published;

/** The modes that LoRA is compared with. */
export const PUBLISHED_BASELINES = published.baselines.map(({ mode }) => mode);

/** Settings that the published figures vary, or that do not affect the result. */
const FREE = ["mode", "rank", "alpha", "seed", "evalEvery"] as const satisfies (keyof TrainOptions)[];

/**
 * The published test accuracy of a setting, or undefined. It applies only to the experiment's rows of the SMS
 * collection, padded to the longest, and to GPT-2 124M with the published program's settings.
 */
export function publishedAccuracy(
  { mode, rank, alpha, trials: [trial] }: Outcome,
  data: TrainingData,
): number | undefined {
  if (data.split !== "experiment") return undefined;
  const { origin, train, stats } = data as LoadedDataset;
  const rows = origin.name === published.data && stats.copies === 0;
  const padded = train.padTo === stats.train.max && [stats.train, stats.val, stats.test].every(({ cut }) => cut === 0);
  const { model } = trial!.trial;
  const { options } = trial!;
  const free = Object.fromEntries(FREE.map((key) => [key, options[key]]));
  const settings = matchesTrial(options, { options: resolveOptions(ofMode({ ...PAPER, ...free }, mode)) });
  if (!(rows && padded && settings && published.models.includes(model))) return undefined;
  return mode === "lora"
    ? published.lora.find((cell) => cell.rank === rank && cell.alpha === alpha)?.test
    : published.baselines.find((baseline) => baseline.mode === mode)?.test;
}
