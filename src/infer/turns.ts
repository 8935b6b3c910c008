/** The calls on a model, which has one set of buffers, in turns: each begins when the ones before it have ended. */
export class Turns {
  /** The end of the last call, another one for each. */
  last: Promise<void> = Promise.resolve();
  private waiting = 0;
  private hurry: (() => void) | null = null;

  /** Runs `work` after the calls before it. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const end = await this.begin();
    try {
      return await work();
    } finally {
      end();
    }
  }

  /** Waits for the calls before this one; the result ends its turn. */
  async begin(): Promise<() => void> {
    const before = this.last;
    let end!: () => void;
    this.last = new Promise((resolve) => {
      end = resolve;
    });
    this.waiting++;
    this.hurry?.();
    await before;
    this.waiting--;
    this.hurry = null;
    return end;
  }

  /** Calls `hurry` whenever another call waits for the one that has begun, at once if there is one. */
  onWait(hurry: () => void): void {
    this.hurry = hurry;
    if (this.waiting > 0) hurry();
  }
}
