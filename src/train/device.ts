/** The device of a run: the given one, if it computes a small step of the run as the CPU does. */

import { type Backend, describeDevice } from "../backend/backend.ts";
import { DeviceError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { engineWork, type Work } from "../engine/check-work.ts";
import { type CheckOptions, type Choice, chooseDevice } from "../engine/device-check.ts";
import { AdamW } from "../model/adamw.ts";
import type { Job } from "./job.ts";
import { type Prepared, prepareRun } from "./prepare.ts";
import type { FeaturePlan } from "./records.ts";

/**
 * Prepares a run on the device that `chooseDevice` chooses. Throws what both throw, and DeviceError if a resumed run
 * cannot continue on its kind of device.
 */
export async function prepareOnDevice(run: Job, options: CheckOptions = {}): Promise<Choice & { prepared: Prepared }> {
  const prepared = prepareRun(run);
  const { info } = run.device;
  if (info.kind !== "webgpu") {
    if (info.why !== undefined && options.began === "webgpu") throw notOnWebGPU(run.device);
    return { device: run.device, info, prepared };
  }
  const choice = await chooseDevice(run.device, trainingOf(run.device, prepared), options);
  const { device } = choice;
  return { ...choice, prepared: device === run.device ? prepared : prepareRun({ ...run, device }) };
}

/** The error of a run that began on WebGPU, if only another device can be opened, or none. */
export function notOnWebGPU(instead: Backend | DeviceError): DeviceError {
  const [reason] = "info" in instead ? [describeDevice(instead.info)] : instead.message.split("\n");
  return new DeviceError("no-webgpu", "the run began on WebGPU, which is not available", {
    expected: "the same kind of device: on another one the results are not bit-identical",
    found: reason!,
    hint: `use ${setting("device", "webgpu")} for a software driver, or ${setting("device", "wasm")} to continue on the CPU`,
  });
}

type Run = Pick<Prepared, "spec" | "capacity" | "optimizer" | "dropout" | "valueLoss" | "plan"> & {
  features?: Pick<FeaturePlan, "plan"> | null;
};

/** The work of a run. */
export function trainingOf(device: Pick<Backend, "info">, run: Run): Work {
  const { plan, features, optimizer } = run;
  // With so large an `eps` an update is about proportional to the gradient.
  const smooth = new AdamW({ ...optimizer.config, eps: 1 });
  const programs = [plan, ...(features ? [features.plan] : [])];
  return engineWork(device, { ...run, recompute: plan.recomputed > 0, optimizer: smooth }, programs);
}
