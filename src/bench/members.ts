/** Several adapters in one plan, beside as many runs one after the other. */
import type { Backend } from "../backend/backend.ts";
import { Group } from "../engine/group.ts";
import type { BaseModel } from "../io/hf.ts";
import { repeat } from "./example-step.ts";
import { fillEngines } from "./shader-check.ts";
import type { Spread } from "./spread.ts";
import { exampleBatch, STEP_OPTIMIZER, stepSpec, stepTime } from "./step-profile.ts";

export interface MembersFigures {
  members: number;
  /** Messages of each. */
  messages: number;
  /** Milliseconds of a step of all. */
  together: Spread;
  /** Milliseconds of a step of one, alone. */
  alone: Spread;
}

export async function measureMembers(
  device: Backend,
  model: BaseModel,
  members: number,
  messages: number,
): Promise<MembersFigures> {
  const batch = exampleBatch(messages, model.config.vocab_size);
  const capacity = { tokens: batch.ids.length, sequences: batch.targets.length };
  const member = { spec: stepSpec(model.config, "lora", "f32"), capacity, optimizer: STEP_OPTIMIZER };
  const measure = async (count: number) => {
    const { engines } = await Group.create(device, { members: Array.from({ length: count }, () => member) });
    try {
      await fillEngines(engines, model);
      const step = async () =>
        Math.max(...(await Promise.all(engines.map((one) => stepTime(one, batch)))).map(({ ms }) => ms));
      await step(); // warm-up
      return await repeat(step);
    } finally {
      for (const engine of engines) engine.destroy();
    }
  };
  return { members, messages, alone: await measure(1), together: await measure(members) };
}
