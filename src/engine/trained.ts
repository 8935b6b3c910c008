/** What training has made of the parameters. */
import type { Tensors } from "../io/peft/peft.ts";
import type { Engine } from "./engine.ts";

/** The trained tensors as they are on the device now, with a classifier's head. */
export async function readTrained(engine: Engine): Promise<Tensors> {
  const tensors: Tensors = new Map();
  for (const { name, shape, grad, origin } of engine.plan.parameters.all.values())
    if (grad || origin === "head") tensors.set(name, { shape, data: await engine.readParameter(name) });
  return tensors;
}
