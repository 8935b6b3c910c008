/** Learning rate schedules. */
import { ConfigError } from "../core/errors.ts";

export const SCHEDULES = ["constant", "linear", "cosine"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/**
 * The factor of the learning rate at `step` (from 0) of `steps`: linear warm-up over the first `warmup` steps, then
 * constant, linear decay to 0, or cosine decay to 0. As transformers' get_*_schedule_with_warmup, except that the
 * warm-up is (step + 1) / (warmup + 1) instead of step / warmup, so that the first step has a learning rate above 0.
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

/** Warm-up in steps; a number below 1 is a fraction of all steps. Throws ConfigError if it is out of range. */
export function warmupSteps(warmup: number, steps: number): number {
  if (!(warmup >= 0 && warmup <= steps) || (warmup >= 1 && !Number.isInteger(warmup)))
    throw new ConfigError("invalid-value", "the warm-up is invalid", {
      expected: `a fraction of all steps below 1, or a whole number of steps up to ${steps}`,
      found: String(warmup),
    });
  // 1e-9 compensates for rounding: 0.29 * 100 is below 29 in binary.
  return warmup < 1 ? Math.floor(warmup * steps + 1e-9) : warmup;
}
