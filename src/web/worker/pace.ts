/** How long a run will take, from the speed of earlier runs in this browser. */
import { type DeviceInfo, describeDevice } from "../../backend/backend.ts";
import type { RunRecord } from "../../run/record.ts";
import type { PreparedRun } from "../../train/prepare.ts";
import type { PageRun } from "../protocol.ts";

/** Operations per second and thread of gpt2-micro on laptops, with evaluations: the guess before the first run. */
const GUESS = 16e9;

/** Seconds of a whole run: the speed is that of the latest finished run on the device, else a guess. */
export function estimateSeconds(
  prepared: PreparedRun,
  device: DeviceInfo,
  threads: number,
  runs: readonly PageRun[],
): number {
  const on = describeDevice(device);
  const last = runs.find(
    ({ state, record }) => state === "finished" && record.device !== null && describeDevice(record.device) === on,
  )?.record;
  const speed = last ? (flopsOfStep(last) * last.step) / last.seconds : GUESS * threads;
  return (flopsOfStep(prepared) * prepared.stepCounts.total) / speed;
}

/** Operations in the matrix products of a step. */
function flopsOfStep({ flops, options }: Pick<RunRecord, "flops" | "options">): number {
  return flops * options.accumulate;
}
