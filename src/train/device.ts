/** The device of a run: the given one, if it computes a small step of the run as the CPU does. */

import { type Backend, describeDevice } from "../backend/backend.ts";
import type { CheckOptions, Choice } from "../engine/device-check.ts";
import { DeviceError } from "../errors.ts";
import { setting } from "../setting.ts";
import { type PreparedRun, prepareRun, type RunArguments } from "./prepare.ts";

export interface ChosenDevice extends Choice {
  prepared: PreparedRun;
}

/**
 * Prepares a run on the device that `chooseDevice` chooses. Throws what both throw, and DeviceError if a resumed run
 * cannot continue on its kind of device.
 */
export async function prepareOnDevice(run: RunArguments, options: CheckOptions = {}): Promise<ChosenDevice> {
  const prepared = prepareRun(run);
  const { info } = run.device;
  if (info.kind !== "webgpu") {
    if (info.why !== undefined && options.began === "webgpu") throw notOnWebGPU(run.device);
    return { device: run.device, info, prepared };
  }
  const { chooseForRun } = await import("./training-check.ts");
  const choice = await chooseForRun(run.device, prepared, options);
  const { device } = choice;
  return { ...choice, prepared: device === run.device ? prepared : prepareRun({ ...run, device }) };
}

/** The error of a run that began on WebGPU, if only another device can be opened, or none. */
export function notOnWebGPU(instead: Backend | DeviceError): DeviceError {
  const [found] = "info" in instead ? [describeDevice(instead.info)] : instead.message.split("\n");
  return new DeviceError("no-webgpu", "the run began on WebGPU, which is not available", {
    expected: "the same kind of device: on another one the results are not bit-identical",
    found: found!,
    hint: `use ${setting("device", "webgpu")} for a software driver, or ${setting("device", "wasm")} to continue on the CPU`,
  });
}
