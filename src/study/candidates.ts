/** Settings that a study with a time budget tries if none are given. */
import { isEncoder, type ModelConfig } from "../core/config.ts";
import { DEFAULT_BASE } from "../io/hf.ts";
import { comparedRuns } from "../methods/training.ts";
import { possibleModes } from "../model/trainable.ts";
import { BUNDLED_GPT2 } from "../record/base-name.ts";
import { DEFAULT_OBJECTIVE, hasHead, isOfMessages } from "../tasks/index.ts";
import { knownBase, pickRate } from "../train/options.ts";
import type { RunSettings } from "../train/settings.ts";
import type { Arm } from "./grid.ts";

/**
 * The learning rates that are tried, in rates that usually suit the method, one round of all methods after the other.
 */
const FACTORS = [1, 3, 1 / 3];

/** The base models that are tried: the bundled ones, the better one first, unless one is given. */
export function candidateBases({ model, objective = DEFAULT_OBJECTIVE }: RunSettings): string[] {
  if (model !== undefined) return [model];
  // An encoder does not write.
  return hasHead({ objective }) ? [DEFAULT_BASE, BUNDLED_GPT2] : [BUNDLED_GPT2];
}

/**
 * Probes, which take seconds, and methods on these base models at several learning rates, the most promising first.
 * Settings that are given are those of all: what is left to try is the rest.
 */
export function candidateArms(bases: readonly { name: string; config: ModelConfig }[], given: RunSettings): Arm[] {
  const { objective = DEFAULT_OBJECTIVE, mode } = given;
  const encoders = isOfMessages(objective) ? bases.filter(({ config }) => isEncoder(config)) : [];
  const probes = encoders.map(({ name }): Arm => ({ mode: "probe", model: name }));
  const arms = FACTORS.flatMap((factor) =>
    bases.flatMap(({ name, config }) =>
      comparedRuns(possibleModes(config, { objective })).map(({ settings, rates }): Arm => {
        const lr = Number((factor * pickRate(rates, knownBase({ config }))).toPrecision(3));
        return { ...settings, lr, model: name };
      }),
    ),
  );
  const isGiven = (key: string) => key !== "model" && given[key as keyof RunSettings] !== undefined;
  return [...probes, ...arms]
    .filter((arm) => mode === undefined || arm.mode === mode)
    .map((arm) => Object.fromEntries(Object.entries(arm).filter(([key]) => !isGiven(key))));
}
