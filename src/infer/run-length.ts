/** How many tokens are generated between two reads. */
import { MOST_STEPS } from "../model/decoder.ts";

/** What a run takes where reads are fast: a person sees text as often. */
const RUN_MS = 100;
/** The work of a run, in waits for its read: a quarter of the time is lost at most. */
const WAITS = 3;
/** The longest wait that is believed: that of Firefox. */
const MOST_WAIT = 100;

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
      this.wait = Math.min(performance.now() - begun, MOST_WAIT);
    };
    // A failure is reported where results are read.
    idle.then(measure, () => {});
  }

  /** A run of so many steps took `ms`, with its read, or, if `isAfterRead`, since the read of the work before it. */
  measure(steps: number, ms: number, isAfterRead: boolean): void {
    const each = Math.max(0, ms - (isAfterRead ? 0 : this.wait)) / steps;
    const work = Math.max(RUN_MS, WAITS * this.wait);
    this.steps = Math.max(1, Math.min(MOST_STEPS, Math.round(work / each)));
  }
}
