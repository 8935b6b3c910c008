/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import type { Choice, Work } from "../engine/device-check.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";

/** Tokens of the longest of two sequences. */
const TOKENS = 32;

/** What a kind of model computes in the check: a prompt, its reverse and, if there is room, one more token of each. */
export type CreateWork<E extends Weights> = (
  prompt: readonly number[],
  hasNext: boolean,
) => Pick<Work<E>, "name" | "pass">;

/** The device, or the CPU in its place: see `chooseDevice`, which a page without WebGPU does not load. */
export async function chooseForInference<E extends Weights>(
  device: Backend,
  model: BaseModel,
  spec: ModelSpec,
  loadWork: () => Promise<CreateWork<E>>,
  create: (backend: Backend, spec: ModelSpec) => Promise<E>,
): Promise<Choice> {
  if (device.info.kind !== "webgpu") return { device, info: device.info };
  const { chooseDevice } = await import("../engine/device-check.ts");
  const context = textContext(spec.config, spec);
  const length = Math.max(1, Math.min(TOKENS, context - 1));
  const vocabulary = Array.from({ length: length + 1 }, (_, id) => id);
  const createWork = await loadWork();
  const trial = createWork(vocabulary.slice(0, length), length < context);
  const createOne: Work<E>["create"] = async (backend, spec) => [await create(backend, spec)];
  return chooseDevice(device, { model, spec, vocabulary, tokens: 2 * length, create: createOne, ...trial });
}
