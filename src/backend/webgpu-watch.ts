/** Notices that a device no longer answers, of which no error tells: its driver hangs, and waiting would never end. */
import { DeviceError } from "../errors.ts";

/** Of the clock, in milliseconds. It counts only while this program runs: a machine may sleep. */
const TICK = 1000;
/** Ticks that a device has without an answer: a driver itself resets one that is busy for a tenth of that. */
const PATIENCE = 60;
/** Or so many times the longest that it ever took. */
const TIMES = 20;

export class Watch {
  private readonly waiting = new Set<(error: DeviceError) => void>();
  private timer: ReturnType<typeof setInterval> | undefined;
  /** Ticks without an answer, now and at most. */
  private silent = 0;
  private longest = 0;

  /** `fail` is told the error with which all that waits is rejected. */
  constructor(
    private readonly fail: (error: DeviceError) => void,
    private readonly tick = TICK,
  ) {}

  /** The device has answered, or ended a submission. */
  hear(): void {
    this.longest = Math.max(this.longest, this.silent);
    this.silent = 0;
  }

  /** A promise of the device, or a DeviceError once that is silent for too long. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    if (this.waiting.size === 0) {
      this.silent = 0;
      this.timer = setInterval(() => this.count(), this.tick);
    }
    let rejectSilent!: (error: DeviceError) => void;
    const silence = new Promise<never>((_, reject) => {
      rejectSilent = reject;
    });
    this.waiting.add(rejectSilent);
    try {
      return await Promise.race([promise, silence]);
    } finally {
      this.hear();
      this.waiting.delete(rejectSilent);
      if (this.waiting.size === 0) clearInterval(this.timer);
    }
  }

  /** A tick has passed. */
  count(): void {
    const most = Math.max(PATIENCE, TIMES * this.longest);
    if (++this.silent <= most) return;
    const error = new DeviceError("device-lost", "the device does not answer", {
      found: `no answer in ${Math.round((most * this.tick) / 1000)} s`,
      hint: "try again: the driver may hang",
    });
    this.fail(error);
    for (const reject of this.waiting) reject(error);
  }
}
