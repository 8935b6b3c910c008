/** The check of a WebGPU device before it classifies or generates: a few tokens, forward only. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import { type CheckOptions, type Choice, chooseDevice } from "../engine/device-check.ts";
import { excerptVocabulary } from "../engine/excerpt.ts";
import type { Weights } from "../engine/weights.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import type { AdapterMeta } from "../io/adapter-meta.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Program } from "../plan/plan.ts";
import type { CreateWork, ModelKind } from "./model-kind.ts";

/** Tokens of the longest of two sequences. A software driver, which is never timed, takes long for them. */
const TOKENS = 32;
const SOFTWARE_TOKENS = 16;

/** A kind of model in its real capacity, or several in one plan. */
interface Kind<E extends Weights> {
  loadWork(): Promise<CreateWork<E>>;
  plan(specs: readonly ModelSpec[]): Program;
  create(backend: Backend, specs: readonly ModelSpec[]): Promise<readonly [E, ...E[]]>;
}

/** A kind of model with one adapter. */
const alone = <E extends Weights>(device: Backend, kind: ModelKind<E>, meta: AdapterMeta): Kind<E> => ({
  loadWork: kind.loadWork,
  plan: ([spec]) => kind.plan(device, spec!, meta),
  create: async (on, [spec]) => [await kind.create(on, spec!, meta)],
});

/** The device for a model with an adapter, or the CPU in its place: see `chooseDevice`. */
export const chooseFor = <E extends Weights>(
  device: Backend,
  model: BaseModel,
  kind: ModelKind<E>,
  meta: AdapterMeta,
): Promise<Choice> => choose(device, model, [kind.adapterSpec(meta)], alone(device, kind, meta), {});

/**
 * Checks the device of a model for another adapter. Throws DeviceError if it computes wrongly. An adapter that the model
 * cannot have is refused where it is used, as on the CPU.
 */
export async function checkFor<E extends Weights>(
  device: Backend,
  model: BaseModel,
  kind: ModelKind<E>,
  meta: AdapterMeta,
): Promise<void> {
  try {
    await checkInference(device, model, [kind.adapterSpec(meta)], alone(device, kind, meta));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
}

async function checkInference<E extends Weights>(
  device: Backend,
  model: BaseModel,
  specs: readonly [ModelSpec, ...ModelSpec[]],
  kind: Kind<E>,
): Promise<void> {
  const began = device.info.kind;
  const { device: chosen, info } = await choose(device, model, specs, kind, { began });
  if (chosen !== device)
    throw new DeviceError("device-failed", info.why!, { hint: "load the model on the CPU: --device wasm" });
}

async function choose<E extends Weights>(
  device: Backend,
  model: BaseModel,
  specs: readonly [ModelSpec, ...ModelSpec[]],
  { loadWork, plan, create }: Kind<E>,
  options: CheckOptions,
): Promise<Choice> {
  const [{ config, task }] = specs;
  const context = Math.min(...specs.map((spec) => textContext(spec.config, spec)));
  const length = Math.max(1, Math.min(device.info.software ? SOFTWARE_TOKENS : TOKENS, context - 1));
  const used = Array.from({ length: length + 1 }, (_, id) => id);
  const programs = [plan(specs)];
  const vocabulary = task.objective === "lm" ? excerptVocabulary(used, config.vocab_size, programs) : used;
  const trial = (await loadWork())(used.slice(0, length), length < context);
  const tokens = 2 * length;
  return chooseDevice(device, { ...{ model, specs, programs, vocabulary, tokens, plan, create }, ...trial }, options);
}
