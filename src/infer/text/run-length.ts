/** How many tokens are generated between two reads. */
import { ANSWERS_OF_WORK } from "../../engine/in-flight.ts";
import { MOST_STEPS } from "../../model/decoder.ts";

/** What a run takes where reads are fast: a person sees text as often. */
const RUN_MS = 100;

/**
 * The length of the next run, by the time of the last one. An answer can take 100 ms, whatever was asked: that says
 * nothing of how fast the device is.
 */
export class RunLength {
  steps = 1;
  private answer = 0;

  /** `answerTime` is that of the decoder. */
  constructor(answerTime: Promise<number>) {
    answerTime.then((ms) => {
      this.answer = ms;
    });
  }

  /** A run of so many steps took `ms`, with its read, or, if `isAfterRead`, since the read of the work before it. */
  measure(steps: number, ms: number, isAfterRead: boolean): void {
    const each = Math.max(0, ms - (isAfterRead ? 0 : this.answer)) / steps;
    const work = Math.max(RUN_MS, ANSWERS_OF_WORK * this.answer);
    this.steps = Math.max(1, Math.min(MOST_STEPS, Math.round(work / each)));
  }
}
