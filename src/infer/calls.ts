/** Calls on a classifier: each ends by itself, and those that wait for the same turn are answered together. */
import { LowrankError } from "../errors.ts";

/** How a call may end without an answer. */
export interface CallOptions {
  /** Rejects the call with the signal's reason, at once. Default: none. */
  signal?: AbortSignal;
  /**
   * Of such calls on a classifier only the newest is answered, as a user types; those before it that have not ended
   * reject with an error whose `name` is "AbortError". Default: false.
   */
  latest?: boolean;
}

/** What was asked, and how it ends. */
export interface Call<Asked, Answer> {
  readonly asked: Asked;
  /** Whether it has been answered, or needs no answer. */
  isOver: boolean;
  resolve(answer: Answer): void;
  reject(reason: unknown): void;
}

export class Calls<Asked, Answer> {
  /** Those that wait for the same turn. */
  private waiting: Call<Asked, Answer>[] | null = null;
  private latest: Call<Asked, Answer> | undefined;

  /** `answer` answers calls in a turn, which `inTurn` waits for. */
  constructor(
    private readonly inTurn: (work: () => Promise<void>) => Promise<void>,
    private readonly answer: (calls: readonly Call<Asked, Answer>[]) => Promise<void>,
  ) {}

  make(asked: Asked, { signal, latest }: CallOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const ending =
        <T>(end: (value: T) => void) =>
        (value: T) => {
          call.isOver = true;
          signal?.removeEventListener("abort", abort);
          end(value);
        };
      const call = { asked, isOver: false, resolve: ending(resolve), reject: ending(reject) };
      const abort = () => call.reject(signal!.reason);
      signal?.addEventListener("abort", abort);
      if (latest) {
        this.latest?.reject(superseded());
        this.latest = call;
      }
      if (this.waiting) this.waiting.push(call);
      else this.begin([call]);
    });
  }

  /** What is called from now on is not joined to the calls that wait. */
  close(): void {
    this.waiting = null;
  }

  private begin(calls: Call<Asked, Answer>[]): void {
    this.inTurn(() => {
      if (this.waiting === calls) this.close();
      return this.answer(calls.filter(({ isOver }) => !isOver));
    }).catch((error) => {
      for (const { reject } of calls) reject(error);
    });
    this.waiting = calls;
  }
}

const superseded = () =>
  Object.assign(new LowrankError("newer-call", "a newer call with `latest` has taken its place"), {
    name: "AbortError",
  });
