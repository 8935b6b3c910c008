/** A training step of the bundled model: LoRA on gpt2-micro with a batch as the experiment has it. */
import type { Backend } from "../backend/backend.ts";
import { initialize } from "../engine/initial.ts";
import { loadBase } from "../engine/state.ts";
import { loadModel } from "../io/hf.ts";
import { measureSpread, type Spread } from "./spread.ts";
import { exampleBatch, profileStep, type StepProfile, stepEngine, stepSpec, stepTime } from "./step-profile.ts";
import type { Yardsticks } from "./yardsticks.ts";

export interface MicroStep {
  tokens: number;
  /** Of the first step, on which devices agree. */
  loss: number;
  /** Milliseconds of steps one after the other, as in training. */
  ms: Spread;
  tokensPerSecond: number;
  /** Of many steps in one submission. */
  profile: StepProfile;
}

const STEPS = 10;
/** Fewer steps if they take longer. */
const MOST_MS = 3000;

/** Measures with the first messages of the example, 8 in all. */
export async function measureMicroStep(
  device: Backend,
  messages: number,
  yardsticks: Yardsticks | null,
): Promise<MicroStep> {
  const model = await loadModel("gpt2-micro");
  const batch = exampleBatch(messages, model.config.vocab_size);
  const [tokens, sequences] = [batch.ids.length, batch.targets.length];
  const engine = await stepEngine(device, stepSpec(model.config, "lora", "f32"), tokens, sequences);
  try {
    await loadBase(engine, model);
    await initialize(engine, { seed: 1, headInit: "uniform" }, model);
    const { loss } = await stepTime(engine, batch);
    const times: number[] = [];
    const end = performance.now() + MOST_MS;
    while (times.length < STEPS && performance.now() < end) times.push((await stepTime(engine, batch)).ms);
    const ms = measureSpread(times);
    const profile = await profileStep(engine, batch, yardsticks);
    return { tokens, loss, ms, tokensPerSecond: (1000 * tokens) / ms.median, profile };
  } finally {
    engine.destroy();
    await model.close();
  }
}
