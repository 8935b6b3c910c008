/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { engineWork } from "../engine/check-work.ts";
import { type Choice, chooseDevice } from "../engine/device-check.ts";
import type { Weights } from "../engine/weights.ts";
import type { ModelKind } from "./model-kind.ts";

/** The device for a model with an adapter, or the CPU in its place: see `chooseDevice`. */
export async function chooseFor<E extends Weights>(device: Backend, kind: ModelKind<E>): Promise<Choice> {
  const plan = kind.plan(device);
  const work = kind.makeWork?.(device, plan) ?? engineWork(device, { spec: kind.spec, optimizer: null }, [plan]);
  return chooseDevice(device, work);
}
