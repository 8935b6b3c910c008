/** The device that classifies or generates: the given one, if it computes a few tokens as the CPU does. */
import type { Backend } from "../backend/backend.ts";
import type { Choice } from "../engine/device-check.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Kind } from "./inference-check.ts";

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
