/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import { type Choice, chooseDevice, type Work } from "../engine/device-check.ts";
import { excerptVocabulary } from "../engine/excerpt.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Program } from "../plan/plan.ts";

/** Tokens of the longest of two sequences. */
const TOKENS = 32;

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
