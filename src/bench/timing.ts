/** Times programs on a device. Like all that the page of the benchmark uses, it runs in Node and in pages. */
import type { Backend, Session } from "../backend/backend.ts";
import { MOST_TIMED } from "../backend/webgpu-timer.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, NO_VALUES, type StepValues } from "../ops/kernel.ts";
import { planMemory } from "../plan/memory.ts";
import type { SegmentName } from "../plan/plan.ts";

/** Segments of a program, to time. */
export interface Work {
  session: Session;
  segments: readonly SegmentName[];
  values: StepValues;
  /** Written by the work: what is read to wait for its end. */
  result: Tensor;
  /** How many copies of the timed work the segments have. */
  copies: number;
}

/** Whose clock measured: the device's, or the host's, which also sees the submission and the reading of a result. */
type Clock = "timestamps" | "wall clock";

/** About how long a measurement takes, so that the clocks' resolution (in a page 65 us) does not matter. */
const MEASURE_MS = 20;

/** Prepares copies of one dispatch as a program. The CPU's threads get a message for each run of a segment. */
export async function prepareDispatch(
  device: Backend,
  dispatch: Dispatch,
  result: Tensor,
  copies: number,
): Promise<Work> {
  const dispatches = Array.from({ length: copies }, () => dispatch);
  const segments = [{ name: "forward" as const, clears: [], dispatches }];
  const session = await device.prepare({ segments, memory: planMemory(segments) });
  return { session, segments: ["forward"], values: NO_VALUES, result, copies };
}

/** Milliseconds of running the segments `count` times in one submission, until the result is read. */
export async function wallTime({ session, segments, values, result }: Work, count: number): Promise<number> {
  const started = performance.now();
  session.run(Array.from({ length: count }, () => segments).flat(), values);
  await session.read(result, 0, 1);
  return performance.now() - started;
}

/** The same by kernel, on the device; empty if it does not time kernels. */
export async function kernelTimes(work: Work, count: number): Promise<Map<string, number>> {
  const { session } = work;
  const times = new Map<string, number>();
  if (!session.time) return times;
  await session.time(times);
  await wallTime(work, count);
  await session.time(null);
  return times;
}

/** A prepared measurement of single dispatches. */
interface Stopwatch {
  clock: Clock;
  /** Measures the milliseconds of one dispatch among many in one submission. */
  measure(): Promise<number>;
}

/** Chooses the number of repetitions and the clock: the device's where a GPU has one. */
export async function stopwatch(device: Backend, work: Work): Promise<Stopwatch> {
  const most = Math.max(1, Math.floor(MOST_TIMED / work.copies));
  let [count, ms] = [1, await wallTime(work, 1)];
  while (ms < MEASURE_MS && count < most) {
    count = Math.min(most, 2 * count);
    ms = await wallTime(work, count);
  }
  const isTimed = device.info.kind === "webgpu" && (await kernelTimes(work, count)).size > 0;
  const sum = (times: Map<string, number>) => [...times.values()].reduce((total, time) => total + time, 0);
  return {
    clock: isTimed ? "timestamps" : "wall clock",
    measure: async () =>
      (isTimed ? sum(await kernelTimes(work, count)) : await wallTime(work, count)) / count / work.copies,
  };
}
