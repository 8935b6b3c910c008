/** Which trials a sweep has: the product of the values of each arm, without those that would be the same run. */
import { ConfigError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import { nearest } from "../suggest.ts";
import { DEFAULTS, PAPER, resolveOptions, type TrainOptions } from "../train/options.ts";

/** Settings of an arm: a list is tried value by value, in every combination; `targets` is a list of lists. */
export type Arm = Record<string, unknown>;

export interface SweepSpec {
  /** What every trial shares: data, model and training. */
  base: Settings;
  arms: Arm[];
}

export interface Trial {
  /** A name that tells it apart in this sweep and in the file system: "lora-r8-a16-s1-1f3c9a20". */
  name: string;
  /** SHA-256 of everything that decides its result. */
  key: string;
  model: string;
  options: TrainOptions;
}

const RANKS = [4, 8, 16, 32];
const BASELINES = { mode: ["all", "last_block", "last_layer"] };

/**
 * Matrices to adapt at an equal budget: per block and unit of rank q, k, v and o have 2 C values each, fc and proj 5 C; 72 C
 * in all, which is rank 4 on all six.
 */
const EQUAL_BUDGET: Arm[] = [
  { targets: [["v"]], rank: 36 },
  { targets: [["q", "v"]], rank: 18 },
  { targets: [["q", "k", "v"]], rank: 12 },
  { targets: [["q", "k", "v", "o"]], rank: 9 },
  { targets: [["fc", "proj"]], rank: 7 },
  { targets: [["q", "k", "v", "o", "fc", "proj"]], rank: 4 },
].map((arm) => ({ ...arm, mode: "lora", alpha: 2 * arm.rank }));

/** The published experiment and the questions behind it. */
export const SWEEPS: Record<string, SweepSpec> = {
  paper: {
    base: { ...PAPER, model: "gpt2", dataset: "sms", padding: "longest" },
    arms: [{ mode: "lora", rank: RANKS, alpha: RANKS }, BASELINES],
  },
  "paper-text": {
    base: { ...PAPER, model: "gpt2", dataset: "sms", padding: "longest", scaling: "alpha/r", init: "gaussian" },
    arms: [{ mode: "lora", rank: RANKS, alpha: RANKS }, BASELINES],
  },
  targets: { base: {}, arms: EQUAL_BUDGET },
  rank: { base: {}, arms: [1, 2, 4, 8, 16, 32, 64].map((rank) => ({ mode: "lora", rank, alpha: 2 * rank })) },
};

/** Keys that an arm may vary. */
const KEYS = ["model", ...Object.keys(DEFAULTS)];

/** Every combination of an arm's values. */
function combinations(arm: Arm): Record<string, unknown>[] {
  return Object.entries(arm).reduce<Record<string, unknown>[]>(
    (all, [key, value]) => {
      const isList = key === "targets" ? Array.isArray(value) && Array.isArray(value[0]) : Array.isArray(value);
      const values = isList ? (value as unknown[]) : [value];
      return all.flatMap((one) => values.map((v) => ({ ...one, [key]: v })));
    },
    [{}],
  );
}

/** What does not matter in a mode takes its default, so that the same run has the same key. */
function normalize(options: TrainOptions): TrainOptions {
  if (options.mode === "lora") return options;
  const { rank, alpha, scaling, init, targets } = DEFAULTS;
  return { ...options, rank, alpha, scaling, init, targets };
}

/**
 * The trials of a sweep, each once, over `seeds` seeds from the base's on. `identity` is everything else that decides a
 * result: the data. Throws ConfigError, before anything runs, where a value is impossible.
 */
export async function listTrials(spec: SweepSpec, seeds: number, identity: unknown): Promise<Trial[]> {
  if (spec.arms.length === 0) throw new ConfigError("the sweep has no arms", { expected: "one or more" });
  const trials = new Map<string, Trial>();
  for (const arm of spec.arms) {
    for (const key of Object.keys(arm))
      if (!KEYS.includes(key)) {
        const near = nearest(key, KEYS);
        throw new ConfigError(`a sweep cannot vary "${key}"`, {
          expected: KEYS.join(", "),
          ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
        });
      }
    for (const combination of combinations(arm)) {
      const { model, ...given } = { ...spec.base, ...combination } as Settings;
      const known = Object.fromEntries(Object.entries(given).filter(([key]) => key in DEFAULTS));
      const options = normalize(resolveOptions(known));
      for (let i = 0; i < seeds; i++) {
        const trial = await nameTrial(model ?? "gpt2-micro", { ...options, seed: options.seed + i }, identity);
        trials.set(trial.key, trial);
      }
    }
  }
  return [...trials.values()];
}

async function nameTrial(model: string, options: TrainOptions, identity: unknown): Promise<Trial> {
  const sorted = Object.fromEntries(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify({ model, options: sorted, identity });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const key = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const { mode, rank, alpha, seed } = options;
  const words = mode === "lora" ? [mode, `r${rank}`, `a${alpha}`] : [mode];
  return { name: [...words, `s${seed}`, key.slice(0, 8)].join("-"), key, model, options };
}

/** "LoRA, rank 8, alpha 16", with the targets where they are not all. */
export function describeTrial({ options }: Pick<Trial, "options">): string {
  const { mode, rank, alpha, targets } = options;
  if (mode !== "lora") return mode;
  const some = targets.length === DEFAULTS.targets.length ? "" : `, on ${targets.join(" ")}`;
  return `LoRA, rank ${rank}, alpha ${alpha}${some}`;
}
