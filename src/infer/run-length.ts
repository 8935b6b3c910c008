/** How many tokens are generated between two reads. */
import { MOST_STEPS } from "../model/decoder.ts";

/** What a run of tokens takes, beside what a read takes: a person sees text as often. */
const RUN_MS = 100;

/**
 * The length of the next run, by the time of the last one. A read alone can take 100 ms, whatever it waits for: such a
 * wait says nothing of how fast the device is.
 */
export class RunLength {
  steps = 1;
  /** Milliseconds of a read that waits for no work. */
  private wait = 0;

  /** `idle` is a read of a device that has nothing else to do. */
  constructor(idle: Promise<unknown>) {
    const begun = performance.now();
    const measure = () => {
      this.wait = Math.min(performance.now() - begun, RUN_MS);
    };
    // A failure is reported where results are read.
    idle.then(measure, () => {});
  }

  /** A run of so many steps took `ms`, with its read, or, if `isAfterRead`, since the read of the work before it. */
  measure(steps: number, ms: number, isAfterRead: boolean): void {
    const each = Math.max(0, ms - (isAfterRead ? 0 : this.wait)) / steps;
    this.steps = Math.max(1, Math.min(MOST_STEPS, Math.round(RUN_MS / each)));
  }
}
