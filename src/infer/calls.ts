/** Calls on a classifier: each ends by itself, and those that wait for the same turn are answered together. */
import { LowrankError } from "../core/errors.ts";
import type { Turns } from "./turns.ts";

/** How a call may end without an answer. */
export interface ClassifyOptions {
  /** Rejects the call with the signal's reason, at once. Default: none. */
  signal?: AbortSignal;
  /**
   * Of such calls on a classifier only the newest is answered, as a user types; those before it that have not ended
   * reject with an error whose `name` is "AbortError". Default: false.
   */
  latest?: boolean;
}

/** A call, and how it ends. */
export interface Call<Asked, Answer> {
  readonly asked: Asked;
  /** Whether it has been answered, or needs no answer. */
  isOver: boolean;
  resolve(answer: Answer): void;
  reject(reason: unknown): void;
}

/** The calls of a turn. Others join it while it lasts, so that a text behind a long list does not wait for all of it. */
export interface Joined<C> {
  /** Those that have come since this was called; when there are none, and `isLast` is true, none can join any more. */
  take(isLast: boolean): C[];
}

const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/** What ends calls by a signal: one listener for all of them, as Node warns of more than ten. */
function endsBy(signal: AbortSignal): Set<() => void> {
  const known = listeners.get(signal);
  if (known) return known;
  const ends = new Set<() => void>();
  listeners.set(signal, ends);
  signal.addEventListener("abort", () => {
    for (const end of ends) end();
  });
  return ends;
}

export class Calls<Asked, Answer> {
  /** Those of the turn that calls can join, and that turn. */
  private open: Call<Asked, Answer>[] | null = null;
  private turn: Turns["last"] | undefined;
  private latest: Call<Asked, Answer> | undefined;

  /** `answer` answers calls in one of the turns, which `inTurn` waits for. */
  constructor(
    private readonly turns: Turns,
    private readonly inTurn: (work: () => Promise<void>) => Promise<void>,
    private readonly answer: (calls: Joined<Call<Asked, Answer>>) => Promise<void>,
  ) {}

  make(asked: Asked, { signal, latest }: ClassifyOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const ends = signal && endsBy(signal);
      const ending =
        <T>(end: (value: T) => void) =>
        (value: T) => {
          call.isOver = true;
          ends?.delete(abort);
          end(value);
        };
      const call = { asked, isOver: false, resolve: ending(resolve), reject: ending(reject) };
      const abort = () => call.reject(signal!.reason);
      ends?.add(abort);
      if (latest) {
        this.latest?.reject(superseded());
        this.latest = call;
      }
      // A later call, such as another adapter's, comes between them.
      if (this.open && this.turn === this.turns.last) this.open.push(call);
      else this.begin([call]);
    });
  }

  private begin(calls: Call<Asked, Answer>[]): void {
    const close = () => {
      if (this.open === calls) this.open = null;
    };
    this.inTurn(() => {
      // Again from the first, if a device has failed.
      let next = 0;
      const take = (isLast: boolean) => {
        const some = calls.slice(next).filter(({ isOver }) => !isOver);
        next = calls.length;
        if (some.length === 0 && isLast) close();
        return some;
      };
      return this.answer({ take }).finally(close);
    }).catch((error) => {
      close();
      for (const { reject } of calls) reject(error);
    });
    this.open = calls;
    this.turn = this.turns.last;
  }
}

const superseded = () =>
  Object.assign(new LowrankError("newer-call", "a newer call has come"), {
    name: "AbortError",
  });
