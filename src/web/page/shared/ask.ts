/** Questions to the worker from effects, of which the latest answer counts, and texts that are read when they rest. */
import { effect, type Signal, signal } from "@preact/signals";
import type { ErrorReport } from "../../protocol.ts";
import { failureReport } from "./client.ts";

const tries = signal(0);

/** Asks again what effects have asked last: the worker has ended, and the next one knows nothing. */
export function askAgain(): void {
  tries.value++;
}

/**
 * Asks after `pause` milliseconds. Returns the effect's cleanup: when the effect runs again, an answer is dropped. The
 * end of the worker is no answer: `setup.ts` tells it.
 */
export function ask<T>(
  question: () => Promise<T>,
  take: (answer: T) => void,
  fail: (report: ErrorReport) => void,
  pause = 0,
): () => void {
  void tries.value;
  let isLatest = true;
  const asking = async () => {
    try {
      const answer = await question();
      if (isLatest) take(answer);
    } catch (error) {
      const report = failureReport(error);
      if (isLatest && report.name !== "WorkerError") fail(report);
    }
  };
  const timer = setTimeout(asking, pause);
  return () => {
    isLatest = false;
    clearTimeout(timer);
  };
}

/** Milliseconds without input after which a typed text is read. */
const REST = 500;

/** Follows a text that is typed when it has not changed for a while. */
export function settled<T>(typed: Signal<T>): Signal<T> {
  const copy = signal(typed.peek());
  effect(() => {
    const value = typed.value;
    const timer = setTimeout(() => {
      copy.value = value;
    }, REST);
    return () => clearTimeout(timer);
  });
  return copy;
}
