/** Calls on one model in turns: each begins when the ones before it have ended. */

/** The calls on a model, which has one set of buffers. */
export class Turns {
  private last: Promise<void> = Promise.resolve();
  private waiting = 0;
  private current: ReadAhead<unknown> | null = null;

  /** Runs `work` after the calls before it. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const end = await this.begin();
    try {
      return await work();
    } finally {
      end();
    }
  }

  /**
   * Iterates over `start()` after the calls before it. An element is computed when it is requested, until another call
   * waits: then all are computed, so that a call inside the loop does not wait for the loop's end.
   */
  async *iterate<T>(start: () => AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
    const end = await this.begin();
    let ahead: ReadAhead<T>;
    try {
      ahead = new ReadAhead(start(), end);
    } catch (error) {
      end();
      throw error;
    }
    this.current = ahead;
    if (this.waiting > 0) ahead.finish();
    try {
      for (;;) {
        const { value, done } = await ahead.next();
        if (done) return;
        yield value;
      }
    } finally {
      await ahead.stop();
    }
  }

  /** Waits for the calls before this one; the result ends its turn. */
  private async begin(): Promise<() => void> {
    const before = this.last;
    let end!: () => void;
    this.last = new Promise((resolve) => {
      end = resolve;
    });
    this.waiting++;
    this.current?.finish();
    await before;
    this.waiting--;
    this.current = null;
    return end;
  }
}

/** A generator whose elements can be computed ahead. `onEnd` is called after the last one. */
class ReadAhead<T> {
  private readonly ready: T[] = [];
  private failure: { error: unknown } | undefined;
  private isEnded = false;
  /** The element being computed last. */
  private making: Promise<void> = Promise.resolve();

  constructor(
    private readonly source: AsyncGenerator<T, void, void>,
    private readonly onEnd: () => void,
  ) {}

  /** The next element. Throws what the generator threw, after the elements before it. */
  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.ready.length === 0) await this.make();
    if (this.ready.length > 0) return { value: this.ready.shift()!, done: false };
    if (this.failure) throw this.failure.error;
    return { value: undefined, done: true };
  }

  /** Computes all elements. */
  finish(): void {
    if (!this.isEnded) this.make().then(() => this.finish());
  }

  /** Ends the generator. */
  async stop(): Promise<void> {
    await this.making;
    if (this.isEnded) return;
    await this.source.return();
    this.end();
  }

  private make(): Promise<void> {
    this.making = this.making.then(async () => {
      if (this.isEnded) return;
      try {
        const { value, done } = await this.source.next();
        if (done) this.end();
        else this.ready.push(value);
      } catch (error) {
        this.failure = { error };
        this.end();
      }
    });
    return this.making;
  }

  private end(): void {
    this.isEnded = true;
    this.onEnd();
  }
}
