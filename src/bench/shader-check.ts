/** Is every shader right? Small plans of a model run on a device and on the CPU, one dispatch at a time. */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { COMPARE_TOLERANCE, CompareBackend, type Compared } from "../backend/compare.ts";
import { chooseShader } from "../backend/webgpu-shaders.ts";
import { type ModelConfig, WEIGHT_DTYPES, type WeightDtype } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { Decoder } from "../engine/decoder.ts";
import { writeRandom } from "../engine/device-check.ts";
import type { Engine } from "../engine/engine.ts";
import { Group } from "../engine/group.ts";
import { loadBase } from "../engine/state.ts";
import { NO_ADAPTERS } from "../infer/adapter-model.ts";
import { generate } from "../infer/generation.ts";
import type { BaseModel } from "../io/hf.ts";
import { loadArchitecture } from "../model/architectures.ts";
import { isSoftwareDriver } from "./products.ts";
import { CONFIGS, randomCheckpoint, type ShapeName } from "./shapes.ts";
import { exampleBatch, STEP_OPTIMIZER, stepEngine, stepSpec, stepTime } from "./step-profile.ts";

/** What a plan is for. */
const PURPOSE_TITLES = {
  lora: "a step of LoRA",
  all: "a step of full fine-tuning",
  adapters: "a step of three adapters",
  generation: "generation",
};
type Purpose = keyof typeof PURPOSE_TITLES;

export interface CheckedPlan {
  model: ShapeName;
  purpose: Purpose;
  dtype: WeightDtype;
}

/** A shader in a plan: the dispatch with its largest error. */
export interface CheckedShader extends CheckedPlan, Omit<Compared, "dispatch" | "kernel"> {
  shader: string;
  /** Dispatches of it. */
  dispatches: number;
  isRight: boolean;
}

const PLANS: readonly [CheckedPlan["model"], CheckedPlan["purpose"], readonly WeightDtype[]][] = [
  ["gpt2-micro", "lora", ["f32", "q4"]],
  ["gpt2-micro", "generation", ["f32", "q4"]],
  ["gpt2-micro", "adapters", ["f32"]],
  ["gpt2-micro", "all", ["f32"]],
  ["gpt2-small", "lora", WEIGHT_DTYPES],
  ["gpt2-small", "generation", WEIGHT_DTYPES],
  ["gpt2-small", "adapters", ["f32", "q4"]],
  ["gpt2-small", "all", ["f32"]],
  ["smollm2-135m", "lora", ["f32", "q8"]],
  ["smollm2-135m", "generation", ["f32", "q8"]],
  ["smollm2-135m", "adapters", ["f32"]],
  ["smollm2-135m", "all", ["f32"]],
  ["gpt2-xl", "lora", WEIGHT_DTYPES],
  ["gpt2-xl", "generation", WEIGHT_DTYPES],
  ["gpt2-xl", "adapters", ["f32"]],
];

/** The plans that are checked on a device: on a software driver, which is slow, some of the smallest model. */
export function plansFor(device: DeviceInfo): CheckedPlan[] {
  const all = PLANS.flatMap(([model, purpose, types]) =>
    types.map((dtype): CheckedPlan => ({ model, purpose, dtype })),
  );
  return isSoftwareDriver(device)
    ? all.filter(({ model, purpose }) => model === "gpt2-micro" && purpose !== "all")
    : all;
}

/** "a step of LoRA, gpt2-small, q4". */
export const planTitle = ({ model, purpose, dtype }: CheckedPlan) => `${PURPOSE_TITLES[purpose]}, ${model}, ${dtype}`;

/** Two blocks have all shapes: one works on all tokens, the last one on a row per message. */
const BLOCKS = 2;
/** Tokens of a classifier's table: only rows that the batch names are read. */
const ROWS = 512;
const MESSAGES = 3;
const MEMBERS = 3;

/** Runs a plan on both devices, with random weights; the shaders with the largest errors first. */
export async function checkShaders(device: Backend, cpu: Backend, plan: CheckedPlan): Promise<CheckedShader[]> {
  const shaders = new Map<string, CheckedShader>();
  // The CPU's results are expected, and both go on with them.
  const both = new CompareBackend(cpu, device, ({ dispatch, kernel, ...compared }) => {
    const shader = kernel ?? chooseShader(dispatch).name;
    const known = shaders.get(shader);
    const worst = known && known.error >= compared.error ? known : { ...plan, shader, ...compared };
    const isRight = worst.error <= COMPARE_TOLERANCE;
    shaders.set(shader, { ...worst, dispatches: (known?.dispatches ?? 0) + 1, isRight });
  });
  const config: ModelConfig = { ...CONFIGS[plan.model], n_layer: BLOCKS };
  await loadArchitecture(config);
  if (plan.purpose === "generation") await generateOnce(both, config, plan.dtype);
  else await stepOnce(both, { ...config, vocab_size: ROWS }, plan);
  return [...shaders.values()].sort((a, b) => b.error - a.error);
}

async function stepOnce(both: Backend, config: ModelConfig, { purpose, dtype }: CheckedPlan): Promise<void> {
  const spec = stepSpec(config, purpose === "all" ? "all" : "lora", dtype);
  const batch = exampleBatch(MESSAGES, config.vocab_size);
  const capacity = { tokens: batch.ids.length, sequences: batch.targets.length };
  const members = Array.from({ length: MEMBERS }, () => ({ spec, capacity, optimizer: STEP_OPTIMIZER }));
  const engines =
    purpose === "adapters"
      ? (await Group.create(both, { members })).engines
      : [await stepEngine(both, spec, capacity.tokens, capacity.sequences)];
  try {
    await fillEngines(engines, randomCheckpoint(config));
    await Promise.all(engines.map((engine) => stepTime(engine, batch)));
  } finally {
    for (const engine of engines) engine.destroy();
  }
}

/** Writes the base model, and adapters that differ. */
export async function fillEngines(engines: readonly Engine[], base: BaseModel): Promise<void> {
  await loadBase(engines[0]!, base);
  for (const [i, engine] of engines.entries()) await writeRandom(engine, i + 1, base);
}

async function generateOnce(both: Backend, config: ModelConfig, dtype: WeightDtype): Promise<void> {
  const task = { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false } as const;
  const prompts = [" word".repeat(20), " word".repeat(3)];
  const decoder = await Decoder.create(both, {
    spec: { config, task, ...NO_ADAPTERS, train_head: false, dtype },
    capacity: { tokens: 32, sequences: prompts.length },
  });
  try {
    await loadBase(decoder, randomCheckpoint(config));
    for await (const _ of generate(decoder, await Tokenizer.load(), prompts, { maxNewTokens: 3 }));
  } finally {
    decoder.destroy();
  }
}
