/** The trials of a sweep: the product of the values of each arm, without duplicates. */
import { createHasher } from "#platform";
import type { GPT2Config, Target } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { LIMITS } from "../io/limits.ts";
import { checkNumber } from "../number-range.ts";
import { titleOf } from "../run/directory.ts";
import { type RunSettings, trainOptions } from "../run/settings.ts";
import { nearest } from "../suggest.ts";
import { BEFORE, DEFAULTS, ofMode, PAPER, type TrainOptions } from "../train/options.ts";

/** Settings of an arm. A list is tried value by value, in every combination; `targets` and `layers` are lists of lists. */
export type Arm = Record<string, unknown>;

export interface SweepSpec {
  /** Settings shared by all trials: data, model and training. */
  base: RunSettings;
  arms: Arm[];
}

export interface Trial {
  /** Unique in the sweep, and a directory name: "lora-r8-a16-s1-1f3c9a20". */
  name: string;
  /** SHA-256 of everything that determines the result, with only the options that differ from `BEFORE`. */
  key: string;
  model: string;
  options: TrainOptions;
}

/** A predefined sweep; its arms may depend on the model. */
export interface SweepPreset {
  base: RunSettings;
  arms: Arm[] | ((model: GPT2Config) => Arm[]);
}

const RANKS = [4, 8, 16, 32];
const BASELINES = { mode: ["all", "last_block", "last_layer"] };

const IN_BLOCKS: Target[] = ["q", "k", "v", "o", "fc", "proj"];

/**
 * Which matrices to adapt with an equal number of parameters: per block and unit of rank, q, k, v and o have 2 C parameters
 * each, fc and proj 5 C. The total per block is 72 C, which is rank 4 on all six.
 */
const EQUAL_BUDGET: Arm[] = [
  { targets: [["v"]], rank: 36 },
  { targets: [["q", "v"]], rank: 18 },
  { targets: [["q", "k", "v"]], rank: 12 },
  { targets: [["q", "k", "v", "o"]], rank: 9 },
  { targets: [["fc", "proj"]], rank: 7 },
  { targets: [IN_BLOCKS], rank: 4 },
].map((arm) => ({ ...arm, mode: "lora", alpha: 2 * arm.rank }));

/** Which blocks to adapt with a nearly equal number of parameters (ranks are whole): all with rank 4, each half, each block. */
function whichLayers({ n_layer }: GPT2Config): Arm[] {
  const all = Array.from({ length: n_layer }, (_, layer) => layer);
  const half = Math.ceil(n_layer / 2);
  const some = [all.slice(0, half), all.slice(half), ...all.map((layer) => [layer])];
  return [null, ...some.filter(({ length }) => length > 0 && length < n_layer)].map((layers) => {
    const rank = Math.round((4 * n_layer) / (layers?.length ?? n_layer));
    return { mode: "lora", targets: [IN_BLOCKS], layers: [layers], rank, alpha: 2 * rank };
  });
}

/** The published experiment, and sweeps over targets, layers and rank. */
export const SWEEPS: Record<string, SweepPreset> = {
  paper: {
    base: { ...PAPER, model: "gpt2", dataset: "sms", balance: true, padding: "longest" },
    arms: [{ mode: "lora", rank: RANKS, alpha: RANKS }, BASELINES],
  },
  "paper-text": {
    base: {
      ...PAPER,
      model: "gpt2",
      dataset: "sms",
      balance: true,
      padding: "longest",
      scaling: "alpha/r",
      init: "gaussian",
    },
    arms: [{ mode: "lora", rank: RANKS, alpha: RANKS }, BASELINES],
  },
  targets: { base: {}, arms: EQUAL_BUDGET },
  layers: { base: {}, arms: whichLayers },
  rank: { base: {}, arms: [1, 2, 4, 8, 16, 32, 64].map((rank) => ({ mode: "lora", rank, alpha: 2 * rank })) },
};

/** Keys that an arm can set. */
const KEYS = ["model", ...Object.keys(DEFAULTS)];

/** Keys whose values are themselves lists (or null: all). */
const SETS = ["targets", "layers"];

/** The values of each setting of an arm. */
function axes(arm: Arm): [key: string, values: unknown[]][] {
  const isSet = (one: unknown) => one === null || Array.isArray(one);
  return Object.entries(arm).map(([key, value]) => {
    const isList = Array.isArray(value) && (!SETS.includes(key) || value.some(isSet));
    return [key, isList ? (value as unknown[]) : [value]];
  });
}

/** Every combination of an arm's values. */
function combinations(arm: Arm): Record<string, unknown>[] {
  return axes(arm).reduce<Record<string, unknown>[]>(
    (all, [key, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [key]: value }))),
    [{}],
  );
}

/** Throws ConfigError if there are more than `LIMITS.trials`. Counts them without creating them. */
export function checkCount(arms: readonly Arm[], seeds: number): void {
  checkNumber("--seeds", seeds, { min: 1, whole: true });
  const settings = arms.reduce((sum, arm) => sum + axes(arm).reduce((all, [, values]) => all * values.length, 1), 0);
  if (settings * seeds > LIMITS.trials)
    throw new ConfigError("the sweep has too many trials", {
      expected: `at most ${LIMITS.trials}`,
      found: `${settings * seeds}: ${settings} combinations of settings, with ${seeds} seeds each`,
    });
}

/** Resets the options that have no effect in the mode to their defaults, so that equal runs have equal keys. */
export function normalize(options: TrainOptions): TrainOptions {
  return { ...DEFAULTS, ...ofMode(options, options.mode) };
}

/**
 * The distinct trials of a sweep, with `seeds` consecutive seeds starting at the base's. `identify` returns everything else that
 * determines the results with a model: its contents and the data. Throws ConfigError if a value is invalid.
 */
export async function listTrials(
  spec: SweepSpec,
  seeds: number,
  identify: (model: string) => unknown,
): Promise<Trial[]> {
  if (spec.arms.length === 0) throw new ConfigError("the sweep has no arms", { expected: "one or more" });
  checkCount(spec.arms, seeds);
  const trials = new Map<string, Trial>();
  for (const arm of spec.arms) {
    for (const key of Object.keys(arm))
      if (!KEYS.includes(key)) {
        const near = nearest(key, KEYS);
        throw new ConfigError(`unknown setting "${key}" in an arm of a sweep`, {
          expected: KEYS.join(", "),
          ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
        });
      }
    for (const combination of combinations(arm)) {
      const settings = { ...spec.base, ...combination } as RunSettings;
      const { model = "gpt2-micro", ...given } = ofMode(settings, settings.mode ?? DEFAULTS.mode);
      const options = normalize(trainOptions(given));
      const identity = await identify(model);
      for (let i = 0; i < seeds; i++) {
        const trial = await nameTrial(model, { ...options, seed: options.seed + i }, identity);
        trials.set(trial.key, trial);
      }
    }
  }
  return [...trials.values()];
}

async function nameTrial(model: string, options: TrainOptions, identity: unknown): Promise<Trial> {
  // Only options that differ from `BEFORE` are hashed, so that options added in later versions do not change existing keys.
  const special = Object.entries(options).filter(([name, value]) => !isAsBefore(name as keyof TrainOptions, value));
  const sorted = Object.fromEntries(special.sort(([a], [b]) => (a < b ? -1 : 1)));
  const hash = await createHasher("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify({ model, options: sorted, identity })));
  const key = hash.digest();
  const { mode, rank, alpha, seed } = options;
  const words = mode === "lora" ? [mode, `r${rank}`, `a${alpha}`] : [mode];
  return { name: [...words, `s${seed}`, key.slice(0, 8)].join("-"), key, model, options };
}

const isAsBefore = (name: keyof TrainOptions, value: unknown) => JSON.stringify(value) === JSON.stringify(BEFORE[name]);

/** Whether a trial was started with these options. A missing option did not exist at the time. */
export function isTrialOf(begun: Partial<TrainOptions>, { options }: Pick<Trial, "options">): boolean {
  const all = { ...BEFORE, ...begun };
  return (Object.keys(options) as (keyof TrainOptions)[]).every(
    (name) => JSON.stringify(all[name]) === JSON.stringify(options[name]),
  );
}

/** "LoRA, rank 8, alpha 16", with targets and blocks unless they are all, and the base model's type unless it is f32. */
export function describeTrial({ options }: Pick<Trial, "options">): string {
  const { mode, targets, layers, dtype } = options;
  const base = dtype === "f16" ? ", base model in f16" : "";
  if (mode !== "lora") return titleOf(options) + base;
  const some = targets.length === DEFAULTS.targets.length ? "" : `, on ${targets.join(" ")}`;
  return `${titleOf(options)}${some}${layers ? `, in ${showLayers(layers)}` : ""}${base}`;
}

/** "block 3" or "blocks 0-2,5". */
function showLayers(layers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const layer of layers) {
    const open = runs.at(-1);
    if (open && open[1] === layer - 1) open[1] = layer;
    else runs.push([layer, layer]);
  }
  const words = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  return `block${layers.length > 1 ? "s" : ""} ${words.join(",")}`;
}
