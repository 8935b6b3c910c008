/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { ConfigError, DeviceError } from "../core/errors.ts";
import { engineWork } from "../engine/check-work.ts";
import { type CheckOptions, type Choice, chooseDevice } from "../engine/device-check.ts";
import type { Weights } from "../engine/weights.ts";
import type { AdapterMeta } from "../io/peft/adapter-meta.ts";
import type { ModelKind } from "./model-kind.ts";

/** The device for a model with an adapter, or the CPU in its place: see `chooseDevice`. */
export async function chooseFor<E extends Weights>(
  device: Backend,
  kind: ModelKind<E>,
  meta: AdapterMeta,
  options: CheckOptions = {},
): Promise<Choice> {
  const spec = kind.adapterSpec(meta);
  const plan = kind.plan(device, spec, meta);
  const work = kind.makeWork?.(device, plan) ?? engineWork(device, { spec, optimizer: null }, [plan]);
  return chooseDevice(device, work, options);
}

/**
 * Checks the device of a model for another adapter. Throws DeviceError if it computes wrongly. An adapter that the
 * model cannot have is refused where it is used, as on the CPU.
 */
export async function checkFor<E extends Weights>(
  device: Backend,
  kind: ModelKind<E>,
  meta: AdapterMeta,
): Promise<void> {
  const choice = await chooseFor(device, kind, meta, { began: "webgpu" }).catch((error) => {
    if (!(error instanceof ConfigError)) throw error;
  });
  if (choice && choice.device !== device) throw new DeviceError("device-failed", choice.info.why!);
}
