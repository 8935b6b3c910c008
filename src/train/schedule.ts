/** Learning rates over a run. */
import { ConfigError } from "../errors.ts";

export const SCHEDULES = ["constant", "linear", "cosine"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/**
 * The factor of the learning rate at `step` (from 0) of `steps`: a linear rise over the first `warmup` steps, then
 * constant, linear to 0, or half a cosine to 0. After the warm-up these are transformers' get_*_schedule_with_warmup; in it
 * the rise is (step + 1) / (warmup + 1) instead of step / warmup, so that no step is spent at a rate of 0.
 */
export function scheduleFactor(name: ScheduleName, step: number, steps: number, warmup: number): number {
  const rise = Math.min(1, (step + 1) / (warmup + 1));
  const progress = Math.min(1, Math.max(0, (step - warmup) / Math.max(1, steps - warmup)));
  switch (name) {
    case "constant":
      return rise;
    case "linear":
      return Math.min(rise, 1 - progress);
    case "cosine":
      return Math.min(rise, 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
}

/** Warm-up in steps: a number below 1 is a share of all steps. Throws ConfigError where it makes no sense. */
export function warmupSteps(warmup: number, steps: number): number {
  if (!(warmup >= 0 && warmup <= steps) || (warmup >= 1 && !Number.isInteger(warmup)))
    throw new ConfigError("the warm-up makes no sense", {
      expected: `a share of the run below 1, or a whole number of steps up to ${steps}`,
      found: String(warmup),
    });
  // The small sum makes 0.29 of 100 steps 29 in binary too.
  return warmup < 1 ? Math.floor(warmup * steps + 1e-9) : warmup;
}
