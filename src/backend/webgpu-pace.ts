/**
 * How much work a submission holds. A driver resets a device that is busy with one for too long (Windows after 2
 * seconds), and the screen waits while it runs, so that a list is submitted in parts of about 75 ms: by the work of its
 * dispatches, roughly, and the rate at which the device has done such work before.
 */
/** The time that a submission should take. */
const SECONDS = 0.075;

/** Operations for which a device moves a byte: graphics cards have 10 to 30, and most dispatches are products. */
const PER_BYTE = 20;

/** Operations a second before any is measured: those of a slow graphics card. */
const GUESS = 1e11;

/** Runs that are measured. */
const SAMPLES = 20;

/** The work of a dispatch with these scalars, which reads and writes so many bytes. */
export function estimateWork({ m = 0, n = 0, k = 0, count = 1 }: Record<string, number>, bytes: number): number {
  return 2 * m * n * k * count + PER_BYTE * bytes;
}

export class Pace {
  private rate = GUESS;
  private runs = 0;
  /** Runs that have not ended. */
  private open = 0;

  /** The most work of a submission. */
  get most(): number {
    return this.rate * SECONDS;
  }

  /**
   * Measures a run that has just been submitted, unless enough were, or others are still running. The fastest counts:
   * a browser may say late that a run has ended.
   */
  measure(work: number, ended: () => Promise<unknown>): void {
    if (this.runs === SAMPLES) return;
    const began = this.open++ === 0 && performance.now();
    const end = () => {
      this.open--;
      if (began === false) return;
      const rate = (1000 * work) / Math.max(1, performance.now() - began);
      this.rate = this.runs++ > 0 ? Math.max(this.rate, rate) : rate;
    };
    // A lost device is reported where its results are read.
    ended().then(end, () => {});
  }
}
