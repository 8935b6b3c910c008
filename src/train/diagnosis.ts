/** What went wrong where a loss or a gradient is not finite. */

import type { Engine } from "../engine/engine.ts";
import { TrainingError } from "../errors.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Batch } from "../model/batch.ts";
import { parameterList } from "../model/trainable.ts";
import type { StepRecord } from "./records.ts";

/** The step as the device gave it, how many there are, and its batches. */
export interface BadStep {
  record: StepRecord;
  total: number;
  batches: readonly Batch[];
}

/** Names the tensor that went wrong. Parameters have not changed since, so the same batches give the same values. */
export async function diagnose(engine: Engine, model: GPT2Checkpoint, bad: BadStep): Promise<TrainingError> {
  const { step, epoch, lr, loss, norm } = bad.record;
  const culprit = Number.isFinite(loss)
    ? ((await firstGradient(engine, bad.batches)) ?? "the norm of the gradients")
    : ((await firstParameter(engine, model)) ?? "the loss");
  return new TrainingError(`${culprit} is not finite`, {
    where: `step ${step} of ${bad.total} (epoch ${epoch.toFixed(2)}), learning rate ${lr}`,
    found: `loss ${loss}, gradient norm ${norm}`,
    hint: "use a smaller --lr, a longer --warmup or --clip 1; what was learned before this step is kept",
  });
}

/** The gradient nearest to the loss that is not finite. */
async function firstGradient(engine: Engine, batches: readonly Batch[]): Promise<string | undefined> {
  for (const batch of batches) {
    await engine.result(engine.gradients(batch));
    for (const name of engine.trainableNames.toReversed())
      if (!(await engine.readGradient(name)).every(Number.isFinite)) return `the gradient of ${name}`;
  }
  return undefined;
}

/** The first parameter that is not finite, of the base model or of what was trained. */
async function firstParameter(engine: Engine, model: GPT2Checkpoint): Promise<string | undefined> {
  for (const { name } of parameterList(engine.plan.spec))
    if (!(await readTensor(engine, model, name)).every(Number.isFinite)) return name;
  return undefined;
}

/** A parameter as it is now: from the device, or from the base model where it belongs to the frozen prefix. */
export function readTensor(engine: Engine, model: GPT2Checkpoint, name: string): Promise<Float32Array> {
  return engine.plan.parameters.all.has(name) ? engine.readParameter(name) : model.read(name);
}
