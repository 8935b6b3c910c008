/** An iteration as one of the calls on a model: other calls do not wait for the loop that it is in. */
import type { Turns } from "../turns.ts";

/**
 * Iterates over `start()` after the calls before it. An element is computed when it is requested, until another call
 * waits: then all are computed, so that a call inside the loop does not wait for the loop's end.
 */
export async function* iterate<T>(
  turns: Turns,
  start: () => AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  const end = await turns.begin();
  try {
    const source = start();
    /** Elements that have not been taken. */
    const ahead: Promise<IteratorResult<T, void>>[] = [];
    /** Computes the next element. Returns whether there are no more, which ends the turn. */
    const make = async () => {
      const next = source.next();
      ahead.push(next);
      // An error is for whoever takes the element.
      const isLast = await next.then(
        ({ done }) => done,
        () => true,
      );
      if (isLast) end();
      return isLast;
    };
    turns.onWait(async () => {
      while (!(await make()));
    });
    try {
      for (;;) {
        if (ahead.length === 0) void make();
        const { value, done } = await ahead.shift()!;
        if (done) return;
        yield value;
      }
    } finally {
      await source.return();
    }
  } finally {
    end();
  }
}
