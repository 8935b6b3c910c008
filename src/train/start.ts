/** The start of a run: initial parameters, or those of an adapter or a checkpoint. */
import type { Engine } from "../engine/engine.ts";
import { type Initialization, initialize } from "../engine/initial.ts";
import { writeTrained } from "../engine/state.ts";
import { TRAINING } from "../tasks/training.ts";
import type { Job } from "./job.ts";

/**
 * Writes what is not the base model's: the initialization, with what the task knows of the head's bias, and the
 * parameters of the adapter that a run begins with.
 */
export async function writeInitial(
  engine: Engine,
  { model, data, adapter }: Pick<Job, "model" | "data" | "adapter">,
  initialization: Initialization,
): Promise<void> {
  await initialize(engine, initialization, model);
  const { bias } = TRAINING[data.objective];
  if (bias && engine.plan.parameters.all.has("head.bias"))
    engine.writeParameter("head.bias", Float32Array.from(bias(data.train)));
  if (adapter) writeTrained(engine, adapter.tensors);
}
