/** Results that a device has been asked for, and that have not arrived: how many are asked for at a time. */

/** Enough to keep a device busy whose answers take no time of their own. */
export const IN_FLIGHT = 4;
const MOST_IN_FLIGHT = 128;

/** How much work a device is given at a time, in times of an answer: so that the answer is the smaller part. */
export const ANSWERS_OF_WORK = 3;

/**
 * Results in the order in which they were asked for. The longer an answer takes compared with the work for a result,
 * the more are in flight, so that their waits are one.
 */
export class InFlight<T> {
  private readonly results: Promise<T>[] = [];
  private answer = 0;
  private most: number;
  /** Since when results are counted, and how many have arrived since then. */
  private since = 0;
  private arrived = 0;

  /** `answerTime` is that of the session; `least`: results in flight at any rate. */
  constructor(
    answerTime: Promise<number>,
    private readonly least = IN_FLIGHT,
  ) {
    this.most = least;
    answerTime.then((ms) => {
      this.answer = ms;
    });
  }

  get length(): number {
    return this.results.length;
  }

  /** Whether the oldest must arrive before more work is submitted. */
  get isFull(): boolean {
    return this.length > this.most;
  }

  add(result: Promise<T>): void {
    if (this.length === 0) this.count();
    // A rejection is handled where the result is awaited, possibly some results later.
    result.catch(() => {});
    this.results.push(result);
  }

  /** The oldest result. */
  async next(): Promise<T> {
    const result = await this.results.shift()!;
    if (++this.arrived > this.most) {
      const each = (performance.now() - this.since) / this.arrived;
      const wanted = Math.ceil((ANSWERS_OF_WORK * this.answer) / each);
      this.most = Math.max(this.least, Math.min(MOST_IN_FLIGHT, wanted));
      this.count();
    }
    return result;
  }

  private count(): void {
    this.since = performance.now();
    this.arrived = 0;
  }

  clear(): void {
    this.results.length = 0;
  }
}
