/** The device that classifies or generates: the given one, if it computes a few tokens as the CPU does. */
import type { Backend } from "../backend/backend.ts";
import type { Choice, Work } from "../engine/device-check.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Program } from "../plan/plan.ts";

/** What a kind of model computes in the check: a prompt, its reverse and, if there is room, one more token of each. */
export type CreateWork<E extends Weights> = (
  prompt: readonly number[],
  hasNext: boolean,
) => Pick<Work<E>, "name" | "pass" | "rest">;

/** A kind of model in its real capacity. */
export interface Kind<E extends Weights> {
  loadWork(): Promise<CreateWork<E>>;
  plan(spec: ModelSpec): Program;
  create(backend: Backend, spec: ModelSpec): Promise<E>;
}

/** The device, or the CPU in its place: see `chooseDevice`, which a page without WebGPU does not load. */
export async function chooseForInference<E extends Weights>(
  device: Backend,
  model: BaseModel,
  spec: ModelSpec,
  kind: Kind<E>,
): Promise<Choice> {
  if (device.info.kind !== "webgpu") return { device, info: device.info };
  return (await import("./inference-check.ts")).chooseChecked(device, model, spec, kind);
}
