/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import { type Choice, chooseDevice } from "../engine/device-check.ts";
import { excerptVocabulary } from "../engine/excerpt.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Kind } from "./device.ts";

/** Tokens of the longest of two sequences. */
const TOKENS = 32;

/** The device, or the CPU in its place: see `chooseDevice`. */
export async function chooseChecked<E extends Weights>(
  device: Backend,
  model: BaseModel,
  spec: ModelSpec,
  { loadWork, plan, create }: Kind<E>,
): Promise<Choice> {
  const { config, task } = spec;
  const context = textContext(config, spec);
  const length = Math.max(1, Math.min(TOKENS, context - 1));
  const used = Array.from({ length: length + 1 }, (_, id) => id);
  const programs = [plan(spec)];
  const vocabulary = task.objective === "lm" ? excerptVocabulary(used, config.vocab_size, programs) : used;
  const trial = (await loadWork())(used.slice(0, length), length < context);
  return chooseDevice(device, {
    ...{ model, specs: [spec], programs, vocabulary, tokens: 2 * length },
    plan: ([spec]) => plan(spec!),
    create: async (backend, [spec]) => [await create(backend, spec!)],
    ...trial,
  });
}
