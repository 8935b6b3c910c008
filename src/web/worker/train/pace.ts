/** Estimates of a run: its memory, and its time by the speed of earlier runs in this browser. */
import { type DeviceInfo, describeDevice } from "../../../backend/backend.ts";
import { defaultThreads } from "../../../backend/wasm.ts";
import { countParameters, type RunRecord } from "../../../record/record.ts";
import { peakMemory } from "../../../train/plan-event.ts";
import { completeOptions, type Prepared, prepareRun } from "../../../train/prepare.ts";
import { checkFits } from "../../../train/sizes.ts";
import type { PageRun, PageSettings, RunEstimate } from "../../protocol.ts";
import { Refused, reportOfRun } from "../errors.ts";
import { listRuns } from "../files/store.ts";
import { openSettings } from "./materials.ts";

/** Operations per second and thread of gpt2-micro on laptops, with evaluations: the guess before the first run. */
const GUESS = 16e9;

/** Throws an error with a remedy if the settings are invalid or the run does not fit. */
export async function estimate(settings: PageSettings): Promise<RunEstimate> {
  const { options, ...materials } = await openSettings(settings);
  const run = { ...materials, ...options };
  let prepared: Prepared;
  try {
    prepared = prepareRun(run);
    checkFits(run, prepared, completeOptions(run));
  } catch (error) {
    throw new Refused(reportOfRun(error, run));
  }
  const { total: steps, stepsPerEpoch } = prepared.stepCounts;
  return {
    trainable: prepared.trainable,
    values: countParameters(prepared.spec),
    bytes: peakMemory(prepared),
    steps,
    stepsPerEpoch,
    seconds: estimateSeconds(prepared, run.device.info, defaultThreads(), await listRuns()),
  };
}

/** Seconds of a whole run: the speed is that of the latest finished run on the device, else a guess. */
function estimateSeconds(prepared: Prepared, device: DeviceInfo, threads: number, runs: readonly PageRun[]): number {
  const on = describeDevice(device);
  // What was finished within its first epoch was tested for most of its time.
  const last = runs.find(
    ({ state, record: { device, epoch } }) =>
      state === "finished" && epoch >= 1 && device !== null && describeDevice(device) === on,
  )?.record;
  const speed = last ? (flopsOfStep(last) * last.step) / last.seconds : GUESS * threads;
  return (flopsOfStep(prepared) * prepared.stepCounts.total) / speed;
}

/** Operations in the matrix products of a step. */
function flopsOfStep({ flops, options }: Pick<RunRecord, "flops" | "options">): number {
  return flops * options.accumulate;
}
