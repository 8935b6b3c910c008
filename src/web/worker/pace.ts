/** How long a run will take, from the speed of earlier runs in this browser. */
import type { PreparedRun } from "../../train/prepare.ts";
import type { RunRecord } from "../protocol.ts";

/** Operations per second and thread in a run of gpt2-micro on laptops, with its evaluations: the guess before the first run. */
const GUESS = 16e9;

/** Operations in the matrix products of a step. */
export function flopsOfStep({ flops, options }: PreparedRun): number {
  return flops * options.accumulate;
}

/** Seconds of a whole run: the speed is that of the latest finished run on the device, else a guess. */
export function secondsOf(prepared: PreparedRun, device: string, threads: number, runs: readonly RunRecord[]): number {
  const last = runs.find((run) => run.state === "finished" && run.device === device);
  const speed = last ? (last.flops * last.step) / last.seconds : GUESS * threads;
  return (flopsOfStep(prepared) * prepared.stepCounts.total) / speed;
}
