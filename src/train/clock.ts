/** A clock for runs that share a device: the time that passes is divided among those that are trained. In milliseconds. */
export class SharedClock {
  private elapsed = 0;
  private since = performance.now();
  private runs = 0;

  enter(): void {
    this.now();
    this.runs++;
  }

  leave(): void {
    this.now();
    this.runs--;
  }

  now(): number {
    const time = performance.now();
    this.elapsed += (time - this.since) / Math.max(1, this.runs);
    this.since = time;
    return this.elapsed;
  }
}
