/** Waits for a WebGPU device. Nothing else does, so that whatever waits ends when the device fails. */
import { DeviceError, LowrankError } from "../core/errors.ts";

/** Seconds that a graphics card has for a submission, or a pipeline: its driver resets one that is busy for ten. */
const PATIENCE = 60;

export const refusal = (found: string, cause?: unknown) =>
  new DeviceError("device-failed", "the device refused an operation", { found, cause });

export class Watch {
  /** The first error that the device reported by itself, or that it was released. */
  failure: DeviceError | null = null;
  /** Rejects each promise that is waited for. */
  private readonly waiting = new Set<(failure: DeviceError) => void>();
  private timer: ReturnType<typeof setInterval> | undefined;
  /** Since the last answer. */
  private seconds = 0;

  /** `isPatient`: waits for as long as it takes, as a software driver may be as slow as it is. */
  constructor(private readonly isPatient: boolean) {}

  /** Throws the error that the device reported, if any. */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /**
   * A promise of the device; an error once that is lost or released, or is silent for too long: no error tells of a
   * driver that hangs. Seconds count while this program runs, as its machine may sleep.
   */
  wait<T>(promise: Promise<T>): Promise<T> {
    if (this.isPatient) return promise;
    return new Promise((resolve, reject) => {
      this.waiting.add(reject);
      this.timer ??= setInterval(() => ++this.seconds < PATIENCE || this.lose("no answer"), 1000);
      const end = () => {
        this.seconds = 0;
        this.waiting.delete(reject);
        if (this.waiting.size === 0) this.stop();
      };
      promise.finally(end).then(resolve, reject);
    });
  }

  /** Throws what the device throws as a DeviceError. */
  readonly refuse = (error: unknown): never => {
    if (error instanceof LowrankError) throw error;
    this.check();
    throw refusal(String(error), error);
  };

  lose(found: string): void {
    this.fail(
      new DeviceError("device-lost", "the device was lost", {
        found,
        hint: "try again, or a smaller batch: the driver may have run out of memory",
      }),
    );
  }

  /** Ends all waits. */
  fail(failure: DeviceError): void {
    this.failure ??= failure;
    this.stop();
    for (const reject of this.waiting) reject(this.failure);
  }

  private stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
