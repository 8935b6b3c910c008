/** Finds the cause of a loss or gradient that is not finite. */

import type { Engine } from "../engine/engine.ts";
import { TrainingError } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Batch } from "../model/batch.ts";
import { parameterList } from "../model/trainable.ts";
import { setting } from "../setting.ts";
import type { StepRecord } from "./records.ts";

/** The step as reported by the device, the total number of steps, and the step's batches. */
interface BadStep {
  record: StepRecord;
  total: number;
  batches: readonly Batch[];
}

/** Names the first tensor that is not finite: parameters have not changed since, so batches give the same values. */
export async function diagnose(engine: Engine, model: BaseModel, bad: BadStep): Promise<TrainingError> {
  const { step, epoch, lr, loss, norm } = bad.record;
  const culprit = Number.isFinite(loss)
    ? ((await firstGradient(engine, bad.batches)) ?? "the norm of the gradients")
    : ((await firstParameter(engine, model)) ?? "the loss");
  return new TrainingError("not-finite", `${culprit} is not finite`, {
    where: `step ${step} of ${bad.total} (epoch ${epoch.toFixed(2)}), learning rate ${Number(lr.toPrecision(3))}`,
    found: `loss ${loss}, gradient norm ${norm}`,
    hint: `use a smaller ${setting("lr")}, a longer ${setting("warmup")} or ${setting("clip", 1)}`,
  });
}

/** The first gradient in the backward pass that is not finite. */
async function firstGradient(engine: Engine, batches: readonly Batch[]): Promise<string | undefined> {
  for (const batch of batches) {
    await engine.result(engine.gradients(batch));
    for (const name of engine.trainableNames.toReversed())
      if (!(await engine.readGradient(name)).every(Number.isFinite)) return `the gradient of ${name}`;
  }
  return undefined;
}

/** The first parameter that is not finite, frozen or trained. */
async function firstParameter(engine: Engine, model: BaseModel): Promise<string | undefined> {
  for (const { name } of parameterList(engine.plan.spec))
    if (!(await readTensor(engine, model, name)).every(Number.isFinite)) return name;
  return undefined;
}

/** The current values of a parameter: from the device, or from the base model if it belongs to the lower part. */
export function readTensor(engine: Engine, model: BaseModel, name: string): Promise<Float32Array> {
  return engine.plan.parameters.all.has(name) ? engine.readParameter(name) : model.read(name);
}
