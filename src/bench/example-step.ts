/** A training step of LoRA with a batch as the experiment has it. */
import type { Backend } from "../backend/backend.ts";
import { initialize } from "../engine/initial.ts";
import { loadBase } from "../engine/state.ts";
import type { BaseModel } from "../io/hf.ts";
import { memoryTotals } from "../plan/memory.ts";
import type { WeightDtype } from "../tensor.ts";
import { measureSpread, type Spread } from "./spread.ts";
import { exampleBatch, profileStep, type StepProfile, stepEngine, stepSpec, stepTime } from "./step-profile.ts";
import type { Yardsticks } from "./yardsticks.ts";

export interface ExampleStep {
  tokens: number;
  /** Of the first step, on which devices agree. */
  loss: number;
  /** Milliseconds of steps one after the other, as in training. */
  ms: Spread;
  tokensPerSecond: number;
  /** Bytes in the plan. */
  planned: number;
  /** Of many steps in one submission. */
  profile: StepProfile;
}

const STEPS = 10;
/** Fewer steps if they take longer. */
const MOST_MS = 3000;

/** Measures LoRA with the first messages of the example, 8 in all. */
export async function measureStep(
  device: Backend,
  model: BaseModel,
  { dtype, messages }: { dtype: WeightDtype; messages: number },
  yardsticks: Yardsticks | null,
): Promise<ExampleStep> {
  const batch = exampleBatch(messages, model.config.vocab_size);
  const [tokens, sequences] = [batch.ids.length, batch.targets.length];
  const engine = await stepEngine(device, stepSpec(model.config, "lora", dtype), tokens, sequences);
  try {
    await loadBase(engine, model);
    await initialize(engine, { seed: 1, headInit: "uniform" }, model);
    const { loss } = await stepTime(engine, batch);
    const ms = await repeat(async () => (await stepTime(engine, batch)).ms);
    const profile = await profileStep(device, engine, batch, yardsticks);
    const planned = memoryTotals(engine.plan.memory).total;
    return { tokens, loss, ms, tokensPerSecond: (1000 * tokens) / ms.median, planned, profile };
  } finally {
    engine.destroy();
  }
}

/** Repeats a measurement of milliseconds: ten times, or fewer if they take seconds. */
async function repeat(measure: () => Promise<number>): Promise<Spread> {
  const times: number[] = [];
  const end = performance.now() + MOST_MS;
  do times.push(await measure());
  while (times.length < STEPS && performance.now() < end);
  return measureSpread(times);
}
