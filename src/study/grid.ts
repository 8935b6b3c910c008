/** The cells and trials of a sweep: the product of the values of each arm, without duplicates. */

import { createHasher } from "#platform";
import { checkNumber, isObject } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { didYouMean } from "../core/suggest.ts";
import { WEIGHT_DTYPES } from "../core/tensor.ts";
import { LIMITS } from "../io/limits.ts";
import { takesSteps } from "../methods/index.ts";
import { describeMethod, hasSetting } from "../methods/training.ts";
import { trainOptions } from "../run/settings.ts";
import { DEFAULTS, type Known, ofMode } from "../train/options.ts";
import type { RunSettings } from "../train/settings.ts";
import { SETTING_NAMES, SETTINGS, type TrainOptions } from "../train/settings.ts";

/**
 * Settings of an arm. A list is tried value by value, in every combination; `targets` and `layers` are lists of lists.
 * With `lr: { choose: [rates] }` every combination has a learning rate of its own, chosen on the validation set.
 */
export type Arm = Record<string, unknown>;

export interface SweepSpec {
  /** Settings shared by all trials: data, model and training. */
  base: RunSettings;
  arms: Arm[];
  /** The inputs of the defaults of a model's trials, once it is known. */
  known?: (model: string) => Known;
}

/** A run of a study: its settings, and how it is known. */
export interface Trial {
  /** Unique in the sweep, and a directory name: "lora-r8-a16-s1-1f3c9a20". */
  name: string;
  /** SHA-256 of everything that determines the result. */
  key: string;
  model: string;
  options: TrainOptions;
}

/**
 * A combination of settings: `rates[i][j]` is the trial at the i-th learning rate with the j-th seed. The first seed is
 * trained at every rate, the others only at the one that is then chosen.
 */
export interface Cell {
  rates: Trial[][];
}

/** Keys that an arm can set. */
const KEYS = ["model", ...SETTING_NAMES];

/** Keys whose values are themselves lists (or null: all). */
const SETS = ["targets", "layers"];

function axes(arm: Arm): [key: string, values: unknown[]][] {
  const isSet = (one: unknown) => one === null || Array.isArray(one);
  return Object.entries(arm).map(([key, value]) => {
    const isList = Array.isArray(value) && (!SETS.includes(key) || value.some(isSet));
    return [key, isList ? (value as unknown[]) : [value]];
  });
}

function combinations(arm: Arm): Record<string, unknown>[] {
  return axes(arm).reduce<Record<string, unknown>[]>(
    (all, [key, values]) => all.flatMap((settings) => values.map((value) => ({ ...settings, [key]: value }))),
    [{}],
  );
}

/** The learning rates that an arm's cells choose from; undefined: they do not choose. */
function rateChoices({ lr }: Arm): unknown[] | undefined {
  if (!isObject(lr)) return undefined;
  const { choose, ...others } = lr;
  const isList = Array.isArray(choose) && choose.length > 1 && new Set(choose).size === choose.length;
  if (isList && Object.keys(others).length === 0) return choose;
  throw new ConfigError("invalid-sweep", "the learning rates to choose from are invalid", {
    expected: "lr: { choose: [two or more different rates] }",
    found: JSON.stringify(lr),
  });
}

/** Throws ConfigError for more than `LIMITS.trials` (counted without creating them), or if arms are unequal. */
export function checkArms(arms: readonly Arm[], seeds: number): void {
  checkNumber(setting("seeds"), seeds, { min: 1, whole: true });
  const choices = arms.map((arm) => rateChoices(arm)?.length ?? 1);
  const counts = new Set(choices.filter((count) => count > 1));
  if (counts.size > 1)
    throw new ConfigError("invalid-sweep", "some arms choose from more learning rates than others", {
      expected: "the same number of rates in each arm: the best of more trials is better by chance",
      found: [...counts].join(" and "),
    });
  const cells = arms.map((arm) => axes(arm).reduce((all, [, values]) => all * values.length, 1));
  const sum = (of: (i: number) => number) => cells.reduce((total, count, i) => total + count * of(i), 0);
  const trials = sum((i) => choices[i]! + seeds - 1);
  if (trials > LIMITS.trials)
    throw new ConfigError("exceeds-limit", "there are too many trials", {
      expected: `at most ${LIMITS.trials}`,
      found: `${trials}: ${sum(() => 1)} combinations of settings, with ${seeds} seeds each`,
    });
}

/**
 * The distinct cells of a sweep, with `seeds` consecutive seeds starting at the base's. `identify` returns everything
 * else that determines the results with a model: its contents and the data. Throws ConfigError if a value is invalid.
 */
export async function listCells(spec: SweepSpec, seeds: number, identify: (model: string) => unknown): Promise<Cell[]> {
  if (spec.arms.length === 0)
    throw new ConfigError("invalid-sweep", "the sweep has no arms", { expected: "one or more" });
  checkArms(spec.arms, seeds);
  const cells = new Map<string, Cell>();
  for (const { model, rates: tried } of expandArms(spec)) {
    const identity = await identify(model);
    const rates: Trial[][] = [];
    for (const options of tried) {
      const trials = Array.from({ length: seeds }, (_, i) =>
        nameTrial(model, { ...options, seed: options.seed + i }, identity),
      );
      rates.push(await Promise.all(trials));
    }
    cells.set(rates.map(([first]) => first!.key).join(), { rates });
  }
  return gatherSeeds([...cells.values()]);
}

/** Cells that differ only in their seed are one, unless each chooses its rate. */
export function gatherSeeds(cells: readonly Cell[]): Cell[] {
  const gathered = new Map<string, Cell>();
  for (const cell of cells) {
    const firsts = cell.rates.map(([first]) => first!);
    const [{ model, options }, another] = firsts as [Trial, ...Trial[]];
    const settings = another ? firsts.map(({ key }) => key) : [model, { ...options, seed: 0 }];
    const same = gathered.get(JSON.stringify(settings));
    const rates = same ? [distinct([...same.rates, ...cell.rates].flat())] : cell.rates;
    gathered.set(JSON.stringify(settings), { rates });
  }
  return [...gathered.values()];
}

const distinct = (trials: readonly Trial[]) => [...new Map(trials.map((trial) => [trial.key, trial])).values()];

/**
 * The model, and the options at each learning rate, of each combination, which is trained for a share of its epochs.
 * Throws ConfigError if a value is invalid.
 */
export function* expandArms(
  { base, arms, known }: SweepSpec,
  share = 1,
): Generator<{ model: string; rates: TrainOptions[] }> {
  for (const arm of arms) {
    checkKeys(arm, KEYS, "an arm");
    const choices = rateChoices(arm);
    for (const combination of combinations(arm)) {
      const settings = { ...base, ...combination } as RunSettings;
      const { model = "gpt2-micro", ...given } = ofMode(settings, settings.mode ?? DEFAULTS.mode);
      refuseAuto(given);
      const rates = (choices ?? [given.lr]).map((lr) => {
        const atRate = { ...given, lr } as RunSettings;
        const options = trainOptions(atRate, known?.(model));
        if (share === 1 || !takesSteps(options.mode)) return options;
        const epochs = Math.max(1, Math.round(share * options.epochs));
        return trainOptions({ ...atRate, epochs }, known?.(model));
      });
      yield { model, rates };
    }
  }
}

/** Throws ConfigError for a type of weights that depends on the machine. */
export function refuseAuto({ dtype }: { dtype?: TrainOptions["dtype"] }): void {
  if (dtype === "auto")
    throw new ConfigError("invalid-value", "dtype auto is invalid in a study", {
      expected: WEIGHT_DTYPES.join(", "),
      found: "auto, which depends on the machine's memory",
    });
}

/** Throws ConfigError for a key that is none of `known`. */
export function checkKeys(settings: object, known: readonly string[], part: string, where?: string): void {
  const key = Object.keys(settings).find((name) => !known.includes(name));
  if (key !== undefined)
    throw new ConfigError("unknown-option", `unknown setting "${key}" in ${part} of a sweep`, {
      where,
      expected: known.join(", "),
      hint: didYouMean(key, known),
    });
}

/**
 * The distinct trials that can be run: the first seed at every rate, and the other seeds at the rate that is chosen,
 * which is the only one of most cells. `chosen` returns its index in `cell.rates`; undefined: it is not known yet.
 */
export function runnableTrials<C extends Cell>(
  cells: readonly C[],
  chosen: (cell: C) => number | undefined = () => undefined,
): Trial[] {
  const trials = cells.flatMap((cell) => {
    const { rates } = cell;
    const rate = rates.length === 1 ? 0 : chosen(cell);
    return [...rates.map(([first]) => first!), ...(rate === undefined ? [] : rates[rate]!.slice(1))];
  });
  return distinct(trials);
}

/** Those that are not among others. */
export function without(trials: readonly Trial[], others: readonly { key: string }[]): Trial[] {
  const keys = new Set(others.map(({ key }) => key));
  return trials.filter(({ key }) => !keys.has(key));
}

/** A trial with its name and key; `identity` is everything but its settings that determines its result. */
export async function nameTrial(model: string, options: TrainOptions, identity: unknown): Promise<Trial> {
  const decisive = SETTING_NAMES.filter((setting) => !SETTINGS[setting].sameBits).sort();
  const sorted = Object.fromEntries(decisive.map((setting) => [setting, options[setting]]));
  const hash = await createHasher("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify({ model, options: sorted, identity })));
  const key = hash.digest();
  const { mode, rank, alpha, seed } = options;
  const words = hasSetting(mode, "rank") ? [mode, `r${rank}`, `a${alpha}`] : [mode];
  return { name: [...words, `s${seed}`, key.slice(0, 8)].join("-"), key, model, options };
}

/** Whether a trial was started with these options, or with others that give the same result. */
export function matchesTrial(begun: Partial<TrainOptions>, { options }: Pick<Trial, "options">): boolean {
  return SETTING_NAMES.every(
    (name) => SETTINGS[name].sameBits || JSON.stringify(begun[name]) === JSON.stringify(options[name]),
  );
}

/** "0.001", "3e-4". */
export function formatRate(lr: number): string {
  return lr < 0.001 ? lr.toExponential() : String(lr);
}

/** "rate 0.001", where steps are taken. */
export const rateWords = ({ mode, lr }: Pick<TrainOptions, "mode" | "lr">) =>
  takesSteps(mode) ? [`rate ${formatRate(lr)}`] : [];

/**
 * How the trials of some cells are called, without what none of them differ in: "LoRA, rank 8, alpha 16, rate 0.001,
 * seed 1".
 */
export function titleTrials(cells: readonly Cell[]): (trial: Trial) => string {
  if (cells.length === 1 && cells[0]!.rates.length === 1) return ({ options: { seed } }) => `seed ${seed}`;
  const trials = cells.flatMap(({ rates }) => rates.flat());
  const models = new Set(trials.map(({ model }) => model));
  const describe = describeAmong(trials);
  return (trial) => {
    const { model, options } = trial;
    const words = [describe(trial), ...rateWords(options), `seed ${options.seed}`];
    return [...(models.size > 1 ? [model] : []), ...words].join(", ");
  };
}

/** "LoRA, rank 8, alpha 16", with targets and blocks unless all, and the base model's type unless f32. */
export function describeTrial({ options }: Pick<Trial, "options">): string {
  return describeMethod(options) + describePlace(options);
}

/** As `describeTrial`, without the targets, blocks and type that all trials of a method have on a base model. */
export function describeAmong<T extends Pick<Trial, "options" | "model">>(trials: readonly T[]): (trial: T) => string {
  const key = ({ options, model }: T) => `${options.mode} ${model}`;
  const place = ({ options }: T) => describePlace(options);
  const places = new Map(trials.map((trial) => [key(trial), place(trial)]));
  const differing = new Set(trials.filter((trial) => place(trial) !== places.get(key(trial))).map(key));
  return (trial) => describeMethod(trial.options) + (differing.has(key(trial)) ? place(trial) : "");
}

function describePlace({ mode, targets, layers, dtype }: TrainOptions): string {
  const base = dtype === "f32" ? "" : `, base model in ${dtype}`;
  if (!hasSetting(mode, "targets")) return base;
  const some = targets.length === DEFAULTS.targets.length ? "" : `, on ${targets.join(" ")}`;
  const blocks = layers ? `, in block${layers.length > 1 ? "s" : ""} ${showRanges(layers)}` : "";
  return some + blocks + base;
}

/** "0-2,5" of ascending numbers. */
function showRanges(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const open = ranges.at(-1);
    if (open && open[1] === number - 1) open[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
