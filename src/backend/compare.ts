/**
 * Finds the first dispatch on which two backends disagree: a backend that runs every plan on both, one dispatch at a
 * time, and compares what each dispatch wrote. Both continue with the first one's results, so that every dispatch is
 * tested separately.
 */
import { DeviceError } from "../errors.ts";
import type { Dispatch, StepValues } from "../ops/kernel.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { Program, Segment, SegmentName } from "../plan/plan.ts";
import { showShape, type Tensor } from "../tensor.ts";
import type { Backend, DeviceInfo, Session, TensorData } from "./backend.ts";

/** Largest difference relative to the largest number in the row: kernels add a few thousand terms. */
export const COMPARE_TOLERANCE = 1e-4;
const SMALLEST_SCALE = 1e-3;
/** Bytes of results that may be on their way from the second backend: an answer takes a browser 5 to 100 ms. */
const MOST_BYTES = 16 << 20;

/** A segment of a single dispatch, or of the tensors to clear. */
interface Single {
  segment: SegmentName;
  name: SegmentName;
  number: number;
  /** Null if there are only tensors to clear. */
  dispatch: Dispatch | null;
  clears: Tensor[];
}

/** The segments' dispatches, each as a segment named by its number: backends only look names up. */
function singles(segments: readonly Segment[]): Single[] {
  let number = 0;
  return segments.flatMap(({ name: segment, clears, dispatches }) => [
    { segment, name: `${segment} clear` as SegmentName, number: -1, dispatch: null, clears },
    ...dispatches.map((dispatch) => ({
      segment,
      name: `dispatch ${number}` as SegmentName,
      number: number++,
      dispatch,
      clears: [],
    })),
  ]);
}

/** A tensor that a dispatch wrote, on both backends. */
export interface Compared {
  dispatch: Dispatch;
  /** What the second device ran, if it says so. */
  kernel: string | undefined;
  /** "dispatch 12 (backward), out = h.0.attn [36, 768], element 17": where the difference is largest. */
  where: string;
  /** Relative to the largest number in the row; Infinity where one number is NaN. */
  error: number;
  /** The first backend's number there, and the second one's. */
  expected: number;
  found: number;
}

export class CompareBackend implements Backend {
  readonly info: DeviceInfo;
  readonly limits: MemoryLimits;
  /** The number of compared dispatches. */
  compared = 0;

  constructor(
    readonly first: Backend,
    readonly second: Backend,
    /** Gets every comparison; without it, a difference beyond the tolerance is an error. */
    readonly onCompared: (compared: Compared) => void = (compared) => this.refuse(compared),
  ) {
    this.info = first.info;
    const [a, b] = [first.limits, second.limits];
    this.limits = {
      maxBinding: Math.min(a.maxBinding, b.maxBinding),
      maxBuffer: Math.min(a.maxBuffer, b.maxBuffer),
    };
  }

  async prepare(program: Program, sharedFrom?: CompareSession): Promise<Session> {
    const list = singles(program.segments);
    const single: Program = {
      memory: program.memory,
      segments: list.map(({ name, dispatch, clears }) => ({ name, clears, dispatches: dispatch ? [dispatch] : [] })),
    };
    const first = await this.first.prepare(single, sharedFrom?.first);
    const second = await this.second.prepare(single, sharedFrom?.second).catch((error) => {
      first.destroy();
      throw error;
    });
    return new CompareSession(this, list, first, second);
  }

  destroy(): void {
    this.first.destroy();
    this.second.destroy();
  }

  private refuse({ dispatch, where, error, expected, found }: Compared): void {
    if (error <= COMPARE_TOLERANCE) return;
    throw new DeviceError("results-differ", `${dispatch.kernel.name} gives different results`, {
      where,
      expected: `${expected} (${this.first.info.name})`,
      found: `${found} (${this.second.info.name})`,
    });
  }
}

class CompareSession implements Session {
  private work: Promise<void> = Promise.resolve();
  private failure: unknown;
  /** Comparisons, in order, of results that may still be on their way, and the bytes of these. */
  private comparisons: Promise<void> = Promise.resolve();
  private bytes = 0;

  constructor(
    private readonly backend: CompareBackend,
    private readonly list: Single[],
    readonly first: Session,
    readonly second: Session,
  ) {}

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    const copy = data.slice();
    this.enqueue(async () => {
      this.first.write(tensor, copy, offset);
      this.second.write(tensor, copy, offset);
    });
  }

  async flush(): Promise<void> {
    await this.work;
    await this.comparisons;
    if (this.failure) throw this.failure;
    await Promise.all([this.first.flush(), this.second.flush()]);
  }

  async read(tensor: Tensor, offset?: number, count?: number): Promise<Float32Array> {
    await this.flush();
    return this.first.read(tensor, offset, count);
  }

  run(segments: readonly SegmentName[], values: StepValues): void {
    this.enqueue(async () => {
      for (const segment of segments)
        for (const single of this.list.filter((one) => one.segment === segment)) {
          this.first.run([single.name], values);
          this.second.run([single.name], values);
          if (single.dispatch) await this.readBoth(single, single.dispatch);
        }
    });
  }

  /** Nothing is dropped. */
  drop(): void {}

  destroy(): void {
    this.enqueue(async () => {
      await this.comparisons;
      this.first.destroy();
      this.second.destroy();
    });
  }

  private enqueue(work: () => Promise<void>): void {
    this.work = this.work.then(work).catch((error) => {
      this.failure ??= error;
    });
  }

  /** Reads what a dispatch wrote; the second backend goes on with the first one's, before its own has arrived. */
  private async readBoth(single: Single, dispatch: Dispatch): Promise<void> {
    const { kernel, tensors, access } = dispatch;
    const written = Object.keys(kernel.bindings).flatMap((binding, i) =>
      access[i] === "read" || access[i] === "none" ? [] : { binding, tensor: tensors[i]! },
    );
    const found = Promise.all(written.map(({ tensor }) => this.second.read(tensor)));
    found.catch(() => {});
    const expected = await Promise.all(written.map(({ tensor }) => this.first.read(tensor)));
    for (const [i, { tensor }] of written.entries()) this.second.write(tensor, new Uint32Array(expected[i]!.buffer));
    const bytes = written.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
    this.bytes += bytes;
    const compare = async () => {
      for (const [i, values] of (await found).entries())
        this.compare(single, dispatch, written[i]!, expected[i]!, values);
      this.backend.compared++;
    };
    this.comparisons = this.comparisons
      .then(compare)
      .catch((error) => {
        this.failure ??= error;
      })
      .finally(() => {
        this.bytes -= bytes;
      });
    if (this.bytes > MOST_BYTES) await this.comparisons;
  }

  private compare(
    { segment, number }: Single,
    dispatch: Dispatch,
    { binding, tensor }: { binding: string; tensor: Tensor },
    expected: Float32Array,
    found: Float32Array,
  ): void {
    const { at, error } = largestDifference(expected, found, tensor.shape.at(-1)!);
    this.backend.onCompared({
      dispatch,
      kernel: this.second.kernelName?.(dispatch),
      where: `dispatch ${number} (${segment}), ${binding} = ${tensor.name} ${showShape(tensor.shape)}, element ${at}`,
      error,
      expected: expected[at]!,
      found: found[at]!,
    });
  }
}

/**
 * The largest difference and where it is; Infinity if only one of the numbers is NaN. The scale is that of the row, or
 * of the column if there are at most 4: columns of statistics and metrics have different meanings. A scale is at least
 * SMALLEST_SCALE of the largest: a small row may be the rest of large numbers that cancelled.
 */
function largestDifference(a: Float32Array, b: Float32Array, columns: number): { at: number; error: number } {
  const group = (i: number) => (columns <= 4 ? i % columns : Math.floor(i / columns));
  const scales: number[] = [];
  let largest = 0;
  a.forEach((value, i) => {
    const size = Number.isFinite(value) ? Math.abs(value) : 0;
    scales[group(i)] = Math.max(scales[group(i)] ?? 0, size);
    if (columns > 4) largest = Math.max(largest, size);
  });
  const worst = { at: 0, error: 0 };
  a.forEach((value, i) => {
    if (Object.is(value, b[i]!)) return;
    const difference = Math.abs(value - b[i]!);
    const error = difference === 0 ? 0 : difference / Math.max(scales[group(i)]!, SMALLEST_SCALE * largest);
    // Not a number: Infinity.
    if (!(error <= worst.error)) Object.assign(worst, { at: i, error: Number.isNaN(error) ? Infinity : error });
  });
  return worst;
}
