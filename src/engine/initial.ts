/** The initial values of a model's parameters. A page that classifies with a trained model does not load it. */
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Tensors } from "../io/peft.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { Rng } from "../rng.ts";
import { numel } from "../tensor.ts";
import { writeTrained } from "./state.ts";
import type { Weights } from "./weights.ts";

/**
 * The initial values of what is not the base model's, drawn as `ModelTensor.initial` says. The numbers depend only on
 * the seed and on the order and shapes of the tensors.
 */
export async function initialTensors(spec: ModelSpec, seed: number, base: GPT2Checkpoint): Promise<Tensors> {
  const rng = new Rng(seed);
  const tensors: Tensors = new Map();
  for (const { name, shape, origin, initial } of parameterList(spec)) {
    if (origin === "base") continue;
    const data = new Float32Array(numel(shape));
    if (initial === "tokens")
      for (let at = 0; at < data.length; at += spec.config.n_embd) {
        const id = rng.below(spec.config.vocab_size);
        data.set(await base.read("wte.weight", id, id + 1), at);
      }
    else if (initial) for (let i = 0; i < data.length; i++) data[i] = initial(rng);
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/** Writes the initial values of what is not the base model's. */
export async function initialize(engine: Weights, seed: number, base: GPT2Checkpoint): Promise<void> {
  writeTrained(engine, await initialTensors(engine.plan.spec, seed, base));
}
