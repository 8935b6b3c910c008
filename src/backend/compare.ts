/**
 * Finds the first dispatch on which two backends disagree: a backend that runs every plan on both, one dispatch at a
 * time, and compares what each dispatch wrote. Both continue with the first one's results, so that every dispatch is
 * tested separately. The second backend also runs each plan as it is, in whole submissions, and what is read must agree
 * with that, too: a driver may order dispatches wrongly.
 */
import { DeviceError } from "../core/errors.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { boundTensors, type Dispatch, type StepValues } from "../ops/kernel.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { Program, Segment, SegmentName } from "../plan/plan.ts";
import type { Backend, DeviceInfo, Session, TensorData } from "./backend.ts";
import { pipelineName } from "./webgpu-shaders.ts";

/** Largest difference relative to the largest number in the row: kernels add a few thousand terms. */
const COMPARE_TOLERANCE = 1e-4;
const SMALLEST_SCALE = 1e-3;
/**
 * Largest difference of what a whole submission computes, relative to the largest number: another order of a long sum
 * gives 1e-5, and it grows from dispatch to dispatch; a dispatch that began too early gives 1e-2 or more.
 */
const WHOLE_TOLERANCE = 1e-3;
/** Bytes of results that may be on their way from the second backend: an answer takes a browser 5 to 100 ms. */
const MOST_BYTES = 16 << 20;

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

/** The shader that wrote what was compared, in words. */
export const shaderOf = ({ pipeline }: Compared) => pipeline?.split(" ")[0] ?? "all in a whole submission";

/** Throws DeviceError for results that differ. */
export function refuseWrong(compared: Compared): void {
  const { where, isRight, error, expected, found } = compared;
  if (isRight) return;
  const summary = `${where} by ${shaderOf(compared)} differs from the CPU's by ${error.toExponential(1)} of its size`;
  throw new DeviceError("results-differ", summary, { expected: `${expected}`, found: `${found}` });
}

/** Each dispatch as a segment of its own, the first one with what is cleared: backends only look names up. */
const splitSegment = ({ name, clears, dispatches }: Segment): Segment[] =>
  Array.from({ length: Math.max(1, dispatches.length) }, (_, i) => ({
    name: `${name} ${i}` as SegmentName,
    clears: i === 0 ? clears : [],
    dispatches: dispatches.slice(i, i + 1),
  }));

export class CompareBackend implements Backend {
  readonly info: DeviceInfo;
  readonly limits: MemoryLimits;

  constructor(
    readonly first: Backend,
    readonly second: Backend,
    /** Receives every comparison. */
    readonly onCompared: (compared: Compared) => void = refuseWrong,
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

  async prepare(program: Program, sharedFrom?: CompareSession): Promise<Session> {
    const { memory } = program;
    const segments = program.segments.map((one) => ({ ...one, dispatches: one.dispatches.flatMap(this.replace) }));
    const split = new Map(segments.map((segment) => [segment.name, splitSegment(segment)]));
    const single = { memory, segments: [...split.values()].flat() };
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
    return new CompareSession(this.onCompared, split, first, second, whole);
  }

  destroy(): void {
    this.first.destroy();
    this.second.destroy();
  }
}

class CompareSession implements Session {
  private work: Promise<void> = Promise.resolve();
  private failure: unknown;
  /** Comparisons, in order, of results that may still be on their way, and the bytes of these. */
  private comparisons: Promise<void> = Promise.resolve();
  private bytes = 0;

  constructor(
    private readonly onCompared: (compared: Compared) => void,
    private readonly split: ReadonlyMap<SegmentName, readonly Segment[]>,
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
      const found = Promise.all([this.whole.read(tensor, offset, count)]);
      // It is awaited later.
      found.catch(() => {});
      values = await this.first.read(tensor, offset, count);
      await this.compareLater([{ tensor, pipeline: null, where: tensor.name }], [values], found);
    });
    await this.flush();
    return values!;
  }

  run(segments: readonly SegmentName[], values: StepValues): void {
    this.enqueue(async () => {
      this.whole.run(segments, values);
      for (const segment of segments)
        for (const [number, single] of (this.split.get(segment) ?? []).entries())
          if (!this.failure) await this.runSingle(single, `dispatch ${number} (${segment})`, values);
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
  private async runSingle({ name, dispatches }: Segment, title: string, values: StepValues): Promise<void> {
    for (const session of [this.first, this.second]) session.run([name], values);
    const [dispatch] = dispatches;
    if (!dispatch) return;
    const pipeline = pipelineName(dispatch);
    const written = boundTensors(dispatch).flatMap(({ binding, tensor, access }) =>
      access === "read" ? [] : [{ tensor, pipeline, where: `${title}, ${binding} = ${tensor.name}` }],
    );
    const read = (session: Session) => Promise.all(written.map(({ tensor }) => session.read(tensor)));
    const found = read(this.second);
    found.catch(() => {});
    const expected = await read(this.first);
    for (const [i, { tensor }] of written.entries()) this.second.write(tensor, new Uint32Array(expected[i]!.buffer));
    await this.compareLater(written, expected, found);
  }

  /** Compares results that may still be on their way. Waits only if there are many. */
  private async compareLater(results: readonly Result[], expected: Float32Array[], found: Promise<Float32Array[]>) {
    const bytes = expected.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.bytes += bytes;
    this.comparisons = this.comparisons
      .then(async () => {
        for (const [i, values] of (await found).entries()) this.onCompared(compare(results[i]!, expected[i]!, values));
      })
      .catch((error) => {
        this.failure ??= error;
      })
      .finally(() => {
        this.bytes -= bytes;
      });
    if (this.bytes > MOST_BYTES) await this.comparisons;
  }
}

/** A tensor that is compared, and what wrote it. */
interface Result extends Pick<Compared, "pipeline" | "where"> {
  tensor: Tensor;
}

function compare({ tensor, pipeline, where }: Result, expected: Float32Array, found: Float32Array): Compared {
  const { shape, dtype } = tensor;
  const isWhole = pipeline === null;
  const { at, error } =
    dtype === "u32" || dtype === "i32"
      ? firstDifference(expected, found)
      : largestDifference(expected, found, isWhole ? Infinity : shape.at(-1)!);
  return {
    pipeline,
    where: `${where} ${formatShape(shape)}, element ${at}`,
    error,
    isRight: error <= (isWhole ? WHOLE_TOLERANCE : COMPARE_TOLERANCE),
    expected: expected[at]!,
    found: found[at]!,
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
