/** A device whose answers take long, by a clock of its own. */
import type { Backend, Session } from "../../src/backend/backend.ts";
import type { SegmentName } from "../../src/plan/plan.ts";

interface Times {
  /** Milliseconds until a read or a flush arrives once the work before it is done: as in Firefox. */
  wait: number;
  /** Milliseconds of work of a submission. */
  work: (segments: readonly SegmentName[]) => number;
}

/**
 * Runs `body` on `device` as if it took these times: `performance.now` says so. Returns the milliseconds that `body`
 * took, and how often it waited, which `waits` tells at any time: answers that arrive together are one wait.
 */
export async function onSlowDevice(
  device: Backend,
  { wait, work }: Times,
  body: (slow: Backend, waits: () => number) => Promise<void>,
): Promise<{ ms: number; waits: number }> {
  const { now: realNow } = performance;
  const began = Math.round(realNow.call(performance));
  let [now, free, waits] = [began, began, 0];
  const answer = async <T>(result: Promise<T>): Promise<T> => {
    const at = Math.max(free, now) + wait;
    const value = await result;
    if (at > now) waits++;
    now = Math.max(now, at);
    return value;
  };
  const inner = new WeakMap<Session, Session>();
  const slow: Backend = {
    info: device.info,
    limits: device.limits,
    destroy() {},
    async prepare(program, sharedFrom) {
      const session = await device.prepare(program, sharedFrom && inner.get(sharedFrom));
      const watched: Session = Object.assign(Object.create(session) as Session, {
        write: session.write.bind(session),
        read: (...args: Parameters<Session["read"]>) => answer(session.read(...args)),
        flush: () => answer(session.flush()),
        run(...[segments, values]: Parameters<Session["run"]>) {
          free = Math.max(free, now) + work(segments);
          session.run(segments, values);
        },
        drop: session.drop.bind(session),
        destroy: session.destroy.bind(session),
      });
      inner.set(watched, session);
      return watched;
    },
  };
  performance.now = () => now;
  try {
    await body(slow, () => waits);
  } finally {
    performance.now = realNow;
  }
  return { ms: now - began, waits };
}
