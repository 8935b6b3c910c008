/** The initial values of a model's parameters. A page that classifies with a trained model does not load it. */
import { isBlockDtype } from "../core/blocks.ts";
import { parseChoice } from "../core/checks.ts";
import { floatToHalf, halfToFloat } from "../core/half.ts";
import { HEAD_INITS, type HeadInit, type ModelTensor, tensorName, uniform } from "../core/names.ts";
import { Rng } from "../core/rng.ts";
import { numel, type WeightDtype } from "../core/tensor.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Tensors } from "../io/peft/peft.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { writeTrained } from "./state.ts";
import type { Weights } from "./weights.ts";

/** What initial values depend on, besides the order and the shapes of the tensors. */
export interface Initialization {
  seed: number;
  headInit: HeadInit;
}

/** The initial values of what is not the base model's, drawn as `ModelTensor.initial` and `headInit` say. */
export async function initialTensors(
  spec: ModelSpec,
  { seed, headInit }: Initialization,
  base: BaseModel,
): Promise<Tensors> {
  parseChoice("headInit", headInit, HEAD_INITS);
  const rng = new Rng(seed);
  const tensors: Tensors = new Map();
  for (const tensor of parameterList(spec)) {
    const { name, shape, origin, block, layer } = tensor;
    if (origin === "base") continue;
    const initial = origin === "head" ? headInitial(tensor, headInit, spec.config.n_embd) : tensor.initial;
    const data = new Float32Array(numel(shape));
    if (initial === "norms") {
      const norms = await columnNorms(base, tensorName({ block, layer }), spec.dtype ?? "f32");
      data.set(tensor.columns!.flatMap(({ first, width }) => [...norms.subarray(first, first + width)]));
    } else if (initial === "tokens")
      for (let at = 0; at < data.length; at += spec.config.n_embd) {
        const id = rng.below(spec.config.vocab_size);
        data.set(await base.read("wte.weight", id, id + 1), at);
      }
    else if (initial) for (let i = 0; i < data.length; i++) data[i] = initial(rng);
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/** How a tensor of the head is drawn; undefined: zeros. */
function headInitial({ part }: ModelTensor, headInit: HeadInit, inputs: number): ((rng: Rng) => number) | undefined {
  if (part !== "weight" || headInit === "zeros") return undefined;
  return headInit === "normal" ? (rng) => 0.02 * rng.normal() : uniform(1 / Math.sqrt(inputs));
}

/** The lengths of the columns of a matrix [in, out], whose weights are rounded to a type as on the device. */
async function columnNorms(base: BaseModel, name: string, dtype: WeightDtype): Promise<Float64Array> {
  const [inputs, outputs] = base.shape(name) as [number, number];
  const squares = new Float64Array(outputs);
  if (isBlockDtype(dtype)) {
    const { dequantize } = await import("../core/dequantize.ts");
    const { quantizeMatrix } = await import("../core/quantize.ts");
    const bytes = quantizeMatrix(name, dtype, await base.read(name), inputs, outputs);
    // [out, in].
    for (const [i, value] of dequantize(dtype, bytes, inputs * outputs, inputs).entries())
      squares[Math.floor(i / inputs)]! += value * value;
  } else {
    const values = await base.read(name);
    const rounded = dtype === "f16" ? halfToFloat(floatToHalf(values)) : values;
    for (const [i, value] of rounded.entries()) squares[i % outputs]! += value * value;
  }
  return squares.map(Math.sqrt);
}

/** Writes the initial values of what is not the base model's. */
export async function initialize(engine: Weights, how: Initialization, base: BaseModel): Promise<void> {
  writeTrained(engine, await initialTensors(engine.plan.spec, how, base));
}
