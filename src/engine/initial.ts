/** The initial values of a model's parameters. A page that classifies with a trained model does not load it. */
import { isBlockDtype } from "../blocks.ts";
import type { WeightDtype } from "../config.ts";
import { floatToHalf, halfToFloat } from "../half.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Tensors } from "../io/peft.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { tensorName } from "../names.ts";
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
  for (const { name, shape, origin, initial, block, layer } of parameterList(spec)) {
    if (origin === "base") continue;
    const data = new Float32Array(numel(shape));
    if (initial === "norms") data.set(await columnNorms(base, tensorName({ block, layer }), spec.dtype ?? "f32"));
    else if (initial === "tokens")
      for (let at = 0; at < data.length; at += spec.config.n_embd) {
        const id = rng.below(spec.config.vocab_size);
        data.set(await base.read("wte.weight", id, id + 1), at);
      }
    else if (initial) for (let i = 0; i < data.length; i++) data[i] = initial(rng);
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/** The lengths of the columns of a matrix [in, out], whose weights are rounded to a type as on the device. */
async function columnNorms(base: GPT2Checkpoint, name: string, dtype: WeightDtype): Promise<Float64Array> {
  const [inputs, outputs] = base.shape(name) as [number, number];
  const squares = new Float64Array(outputs);
  if (isBlockDtype(dtype)) {
    const { dequantize, encodeNF4, quantizeMatrix } = await import("../quantize.ts");
    const stored = dtype === "q4" ? await base.quantized?.(name) : undefined;
    const bytes = stored ? encodeNF4(stored) : quantizeMatrix(name, dtype, await base.read(name), inputs, outputs);
    // [out, in].
    for (const [i, value] of dequantize(dtype, bytes, inputs * outputs).entries())
      squares[Math.floor(i / inputs)]! += value * value;
  } else {
    const values = await base.read(name);
    const rounded = dtype === "f16" ? halfToFloat(floatToHalf(values)) : values;
    for (const [i, value] of rounded.entries()) squares[i % outputs]! += value * value;
  }
  return squares.map(Math.sqrt);
}

/** Writes the initial values of what is not the base model's. */
export async function initialize(engine: Weights, seed: number, base: GPT2Checkpoint): Promise<void> {
  writeTrained(engine, await initialTensors(engine.plan.spec, seed, base));
}
