/** A clock for runs that share a device: the time that passes is divided among those that are trained. */
export class SharedClock {
  private elapsed = 0;
  private since = performance.now();
  private runs = 0;

  /** Trains a run; `now` gives its milliseconds. */
  async share<T>(train: (now: () => number) => Promise<T>): Promise<T> {
    this.now();
    this.runs++;
    try {
      return await train(() => this.now());
    } finally {
      this.now();
      this.runs--;
    }
  }

  private now(): number {
    const time = performance.now();
    this.elapsed += (time - this.since) / Math.max(1, this.runs);
    this.since = time;
    return this.elapsed;
  }
}
