/**
 * Finds the first dispatch on which two backends disagree: a backend that runs every plan on both, one dispatch at a
 * time, and compares what each dispatch wrote; a product by every variant that the second backend may choose. Both
 * continue with the first one's results, so that every dispatch is tested separately. The second backend also runs each
 * plan as it is, in whole submissions, and what is read must agree with that, too: a driver may order dispatches
 * wrongly.
 */
import { DeviceError } from "../errors.ts";
import { type Bound, boundTensors, type Dispatch, type StepValues } from "../ops/kernel.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { Program, Segment, SegmentName } from "../plan/plan.ts";
import { formatShape, type Tensor } from "../tensor.ts";
import type { Backend, DeviceInfo, Session, TensorData } from "./backend.ts";
import { pipelineName } from "./webgpu-shaders.ts";

/** Largest difference relative to the largest number in the row: kernels add a few thousand terms. */
const COMPARE_TOLERANCE = 1e-4;
const SMALLEST_SCALE = 1e-3;
/**
 * Largest error of what a whole submission computes, ||second - first|| / ||first||. Rounding gives some 1e-6, another
 * order of a long sum 1e-5; a wrong tile of 32 x 32 in a product of 256 x 768 gives 7e-2.
 */
const WHOLE_TOLERANCE = 1e-3;
/** Bytes of results that may be on their way from the second backend: an answer takes a browser 5 to 100 ms. */
const MOST_BYTES = 16 << 20;

/** A dispatch, or the tensors to clear, as segments of their own: backends only look names up. */
interface Single {
  segment: SegmentName;
  number: number;
  /** Its segment's name. */
  name: SegmentName;
  clears: Tensor[];
  /** Null if there are only tensors to clear. */
  dispatch: Dispatch | null;
}

/** The segments' dispatches, each as a segment named by its number. */
function singles(segments: readonly Segment[]): Single[] {
  let number = 0;
  return segments.flatMap(({ name: segment, clears, dispatches }): Single[] => [
    { segment, number: -1, name: `${segment} clear` as SegmentName, clears, dispatch: null },
    ...dispatches.map((dispatch) => {
      const name = `dispatch ${number}` as SegmentName;
      return { segment, number: number++, name, clears: [], dispatch };
    }),
  ]);
}

/** A comparison of a tensor that a dispatch wrote on both backends, or that was read after whole submissions. */
export interface Compared {
  /** The shader with its constants, as `pipelineName` gives it; null: a whole submission. */
  pipeline: string | null;
  /** "dispatch 12 (backward), out = h.0.attn [36, 768], element 17": where the difference is largest. */
  where: string;
  /** Relative to the largest number in the row, or, of a whole submission, to all; Infinity where one number is NaN. */
  error: number;
  isRight: boolean;
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
    /** Runs in the place of a dispatch, on both: a product by other variants. */
    readonly replace: (dispatch: Dispatch) => Dispatch[] = (dispatch) => [dispatch],
  ) {
    this.info = first.info;
    const [a, b] = [first.limits, second.limits];
    this.limits = {
      maxBinding: Math.min(a.maxBinding, b.maxBinding),
      maxBuffer: Math.min(a.maxBuffer, b.maxBuffer),
    };
  }

  async prepare({ memory, segments: given }: Program, sharedFrom?: CompareSession): Promise<Session> {
    const segments = given.map((segment) => ({ ...segment, dispatches: segment.dispatches.flatMap(this.replace) }));
    const list = singles(segments);
    const single: Program = {
      memory,
      segments: list.map(({ name, clears, dispatch }) => ({ name, clears, dispatches: dispatch ? [dispatch] : [] })),
    };
    const ready: Session[] = [];
    try {
      ready.push(await this.first.prepare(single, sharedFrom?.first));
      ready.push(await this.second.prepare(single, sharedFrom?.second));
      ready.push(await this.second.prepare({ memory, segments }, sharedFrom?.whole));
    } catch (error) {
      for (const session of ready) session.destroy();
      throw error;
    }
    const [first, second, whole] = ready as [Session, Session, Session];
    return new CompareSession(this, list, first, second, whole);
  }

  destroy(): void {
    this.first.destroy();
    this.second.destroy();
  }

  private refuse({ pipeline, where, isRight, expected, found }: Compared): void {
    if (isRight) return;
    throw new DeviceError("results-differ", `${pipeline ?? "a whole submission"} gives different results`, {
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
    /** The second backend's, with the program as it is. */
    readonly whole: Session,
  ) {}

  private get all(): Session[] {
    return [this.first, this.second, this.whole];
  }

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    const copy = data.slice();
    this.enqueue(async () => {
      for (const session of this.all) session.write(tensor, copy, offset);
    });
  }

  async flush(): Promise<void> {
    await this.work;
    await this.comparisons;
    if (this.failure) throw this.failure;
    await Promise.all(this.all.map((session) => session.flush()));
  }

  async read(tensor: Tensor, offset?: number, count?: number): Promise<Float32Array> {
    let values: Float32Array;
    this.enqueue(async () => {
      const actual = this.whole.read(tensor, offset, count);
      // It is awaited later.
      actual.catch(() => {});
      values = await this.first.read(tensor, offset, count);
      await this.compareLater(values.byteLength, async () => {
        this.backend.onCompared(compareWhole(tensor, values, await actual));
      });
    });
    await this.flush();
    return values!;
  }

  run(segments: readonly SegmentName[], values: StepValues): void {
    this.enqueue(async () => {
      this.whole.run(segments, values);
      for (const segment of segments)
        for (const single of this.list.filter((candidate) => candidate.segment === segment))
          if (!this.failure) await this.runSingle(single, values);
    });
  }

  /** Nothing is dropped. */
  drop(): void {}

  destroy(): void {
    this.enqueue(async () => {
      await this.comparisons;
      for (const session of this.all) session.destroy();
    });
  }

  private enqueue(work: () => Promise<void>): void {
    this.work = this.work.then(work).catch((error) => {
      this.failure ??= error;
    });
  }

  /**
   * Runs a dispatch on both; the second backend continues with the first one's results, before its own have arrived.
   */
  private async runSingle(single: Single, values: StepValues): Promise<void> {
    const { name, dispatch } = single;
    for (const session of [this.first, this.second]) session.run([name], values);
    if (!dispatch) return;
    const written = boundTensors(dispatch).filter(({ access }) => access !== "read");
    const read = (session: Session) => Promise.all(written.map(({ tensor }) => session.read(tensor)));
    const actual = read(this.second);
    actual.catch(() => {});
    const expected = await read(this.first);
    for (const [i, { tensor }] of written.entries()) this.second.write(tensor, new Uint32Array(expected[i]!.buffer));
    const bytes = written.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
    await this.compareLater(bytes, async () => {
      for (const [i, values] of (await actual).entries())
        this.compare(single, dispatch, written[i]!, expected[i]!, values);
      this.backend.compared++;
    });
  }

  /** Compares results that may still be on their way. Waits only if there are many. */
  private async compareLater(bytes: number, compare: () => Promise<void>): Promise<void> {
    this.bytes += bytes;
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
    { binding, tensor }: Bound,
    expected: Float32Array,
    found: Float32Array,
  ): void {
    const { at, error } = isWhole(tensor)
      ? firstDifference(expected, found)
      : largestDifference(expected, found, tensor.shape.at(-1)!);
    this.backend.onCompared({
      pipeline: pipelineName(dispatch),
      where: `dispatch ${number} (${segment}), ${binding} = ${tensor.name} ${formatShape(tensor.shape)}, element ${at}`,
      error,
      isRight: error <= COMPARE_TOLERANCE,
      expected: expected[at]!,
      found: found[at]!,
    });
  }
}

const isWhole = ({ dtype }: Tensor) => dtype === "u32" || dtype === "i32";

/** Compares what is read after whole submissions; numbers finite in neither count as equal. */
function compareWhole(tensor: Tensor, expected: Float32Array, actual: Float32Array): Compared {
  let [difference, norm, at] = [0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i]) && !Number.isFinite(expected[i])) continue;
    const gap = Math.abs(actual[i]! - expected[i]!);
    difference += gap ** 2;
    norm += expected[i]! ** 2;
    if (!(gap <= Math.abs(actual[at]! - expected[at]!))) at = i;
  }
  const ratio = Math.sqrt(difference / norm);
  const error = difference === 0 ? 0 : Number.isFinite(ratio) ? ratio : Infinity;
  return {
    pipeline: null,
    where: `${tensor.name} ${formatShape(tensor.shape)}, element ${at}`,
    error,
    isRight: error <= WHOLE_TOLERANCE,
    expected: expected[at]!,
    found: actual[at]!,
  };
}

/** The first of whole numbers that differ: they have the same bits, or are wrong. */
function firstDifference(a: Float32Array, b: Float32Array): { at: number; error: number } {
  const [expected, actual] = [a, b].map(({ buffer }) => new Uint32Array(buffer)) as [Uint32Array, Uint32Array];
  const at = expected.findIndex((value, i) => value !== actual[i]);
  return at < 0 ? { at: 0, error: 0 } : { at, error: Infinity };
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
