/** Finds the cause of a loss or gradient that is not finite. */

import { TrainingError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { Engine } from "../engine/engine.ts";
import type { BaseModel } from "../io/hf.ts";
import { parameterList } from "../model/trainable.ts";
import type { StepRecord } from "./records.ts";

/**
 * The error of a step whose loss or gradient is not finite; a parameter that is not, such as a damaged weight, is
 * named.
 */
export async function diagnose(
  engine: Engine,
  model: BaseModel,
  { step, epoch, lr, loss, norm }: StepRecord,
  total: number,
): Promise<TrainingError> {
  const isGradient = Number.isFinite(loss);
  const culprit = isGradient ? "the norm of the gradients" : ((await firstParameter(engine, model)) ?? "the loss");
  return new TrainingError("not-finite", `${culprit} is not finite`, {
    where: `step ${step} of ${total} (epoch ${epoch.toFixed(2)}), learning rate ${Number(lr.toPrecision(3))}`,
    found: `loss ${loss}, gradient norm ${norm}`,
    hint: `use a smaller ${setting("lr")}, a longer ${setting("warmup")} or ${setting("clip", 1)}`,
  });
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
