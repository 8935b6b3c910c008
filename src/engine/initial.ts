/** The initial values of a model's parameters. A page that classifies with a trained model does not load it. */
import type { LoraConfig } from "../config.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Tensors } from "../io/peft.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { Rng } from "../rng.ts";
import { numel } from "../tensor.ts";
import { writeTrained } from "./state.ts";
import type { Weights } from "./weights.ts";

/**
 * The initial values of what is not the base model's: a matrix and its B, whose result is 0 at first, as LoRA's `init`
 * says; the head as nn.Linear, without a bias; adapter layers as Houlsby et al. 2019, N(0, 0.01^2) cut off at 2
 * standard deviations; a prompt with rows of the token table (Lester et al. 2021, "sampled vocabulary"); a prefix with
 * N(0, 0.02^2), as GPT-2's weights, or its projection as PEFT's. The numbers depend only on the seed and on the order
 * and shapes of the tensors.
 */
export async function initialTensors(spec: ModelSpec, seed: number, base: GPT2Checkpoint): Promise<Tensors> {
  const rng = new Rng(seed);
  const { lora, mode, config } = spec;
  const tensors: Tensors = new Map();
  let inputs = 0;
  for (const { name, shape, origin, part } of parameterList(spec)) {
    if (origin === "base") continue;
    const [rows, columns = 1] = shape as [number, number?];
    // Of a linear layer: its weight is [in, out], and its bias follows.
    if (part === "weight") inputs = rows;
    const fill = (draw: () => number) => Float32Array.from({ length: numel(shape) }, draw);
    const values = async () => {
      if (origin === "head" && part === "weight") return fill(uniform(rng, 1 / Math.sqrt(columns)));
      if (part === "A") return fill(drawA(rng, lora!, rows, columns));
      if (mode === "adapter" && part === "weight") return fill(truncated(rng, 0.01));
      if (name === "prefix.weight") return fill(() => 0.02 * rng.normal());
      if (name === "prefix.embedding") return fill(() => rng.normal());
      if (mode === "prefix" && origin === "method") return fill(uniform(rng, 1 / Math.sqrt(inputs)));
      const data = new Float32Array(numel(shape));
      if (name !== "prompt.weight") return data;
      for (let row = 0; row < rows; row++) {
        const id = rng.below(config.vocab_size);
        data.set(await base.read("wte.weight", id, id + 1), row * columns);
      }
      return data;
    };
    tensors.set(name, { shape, data: await values() });
  }
  return tensors;
}

/** Writes the initial values of what is not the base model's. */
export async function initialize(engine: Weights, seed: number, base: GPT2Checkpoint): Promise<void> {
  writeTrained(engine, await initialTensors(engine.plan.spec, seed, base));
}

/** N(0, sd^2), within 2 sd. */
function truncated(rng: Rng, sd: number): () => number {
  return () => {
    for (;;) {
      const x = rng.normal();
      if (Math.abs(x) <= 2) return sd * x;
    }
  };
}

function uniform(rng: Rng, bound: number): () => number {
  return () => (2 * rng.uniform() - 1) * bound;
}

function drawA(rng: Rng, { init }: LoraConfig, r: number, input: number): () => number {
  switch (init) {
    case "gaussian":
      return () => rng.normal() / r;
    case "kaiming":
      return uniform(rng, 1 / Math.sqrt(input));
    case "paper":
      return uniform(rng, 1 / Math.sqrt(r));
  }
}
