/** Loads, initialises, reads and writes a model's parameters. */

import { BLOCKS } from "../blocks.ts";
import type { LoraConfig } from "../config.ts";
import { ShapeError } from "../errors.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { NamedTensor, Tensors } from "../io/peft.ts";
import type { Parameter } from "../model/parameters.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { isAdded } from "../names.ts";
import { Rng } from "../rng.ts";
import { numel } from "../tensor.ts";
import type { Engine } from "./engine.ts";
import type { Weights } from "./weights.ts";

/**
 * Elements that are read, converted and uploaded at a time: the host never holds the whole model, and a page's thread
 * is never blocked for long.
 */
const LOAD_ELEMENTS = 1 << 18;
/** Rows are read in multiples of this number: the inputs of a matrix's block. */
const LOAD_ROWS = Math.max(...Object.values(BLOCKS));

export interface LoadOptions {
  wanted?: (parameter: Parameter) => boolean;
  signal?: AbortSignal | undefined;
}

/** Whether a parameter belongs to the base model. */
export const isBase = ({ name }: Pick<Parameter, "name">): boolean => !isAdded(name);

/** Whether a parameter is shared with `sharedFrom`. */
export function isShared(parameter: Parameter, sharedFrom: Weights | undefined): boolean {
  return sharedFrom?.plan.parameters.all.get(parameter.name) === parameter;
}

/**
 * Writes the checkpoint's tensors into the parameters: all, or those for which `wanted` is true. Rejects with the
 * signal's reason when it aborts.
 */
export async function loadBase(
  engine: Weights,
  checkpoint: GPT2Checkpoint,
  { wanted = () => true, signal }: LoadOptions = {},
): Promise<void> {
  let written = 0;
  const pause = async (count: number) => {
    written += count;
    // Not for every bias: a device that also trains would finish its pending steps first.
    if (written < LOAD_ELEMENTS) return;
    written = 0;
    await engine.session.flush();
    signal?.throwIfAborted();
  };
  for (const parameter of engine.plan.parameters.all.values()) {
    const { name, shape, pieces } = parameter;
    if (isAdded(name) || !wanted(parameter)) continue;
    const parts = pieces[0]!.tensor.dtype === "q4" ? await checkpoint.quantized?.(name) : undefined;
    if (parts) {
      engine.writeNF4(name, parts);
      await pause(numel(shape));
      continue;
    }
    const rows = shape[0]!;
    // Whole blocks of any type.
    const step = Math.ceil(LOAD_ELEMENTS / (numel(shape) / rows) / LOAD_ROWS) * LOAD_ROWS;
    for (let first = 0; first < rows; first += step) {
      const data = await checkpoint.read(name, first, Math.min(rows, first + step));
      engine.writeParameter(name, data, first);
      await pause(data.length);
    }
  }
}

/**
 * The initial values of what is not the base model's: a matrix and its B, whose result is 0 at first, as LoRA's `init`
 * says; the head as nn.Linear, without a bias; adapter layers as Houlsby et al. 2019, N(0, 0.01^2) cut off at 2
 * standard deviations; a prompt with rows of the token table (Lester et al. 2021, "sampled vocabulary"); a prefix with
 * N(0, 0.02^2), as GPT-2's weights, or its projection as PEFT's. The numbers depend only on the seed and on the order
 * and shapes of the tensors.
 */
export async function initialTensors(spec: ModelSpec, seed: number, base: GPT2Checkpoint): Promise<Tensors> {
  const rng = new Rng(seed);
  const { lora, config } = spec;
  const shapes = new Map(parameterList(spec).map(({ name, shape }) => [name, shape]));
  const tensors: Tensors = new Map();
  for (const [name, shape] of shapes) {
    if (!isAdded(name)) continue;
    const [rows, columns = 1] = shape as [number, number?];
    const fill = (draw: () => number) => Float32Array.from({ length: numel(shape) }, draw);
    const values = async () => {
      if (name === "head.weight") return fill(uniform(rng, 1 / Math.sqrt(columns)));
      if (name.endsWith(".A")) return fill(drawA(rng, lora!, rows, columns));
      if (/\.adapter\..*weight$/.test(name)) return fill(truncated(rng, 0.01));
      if (name === "prefix.weight") return fill(() => 0.02 * rng.normal());
      if (name === "prefix.embedding") return fill(() => rng.normal());
      // Of the inputs of a linear layer: its weight is [in, out].
      if (name.startsWith("prefix."))
        return fill(uniform(rng, 1 / Math.sqrt(shapes.get(name.replace(/bias$/, "weight"))![0]!)));
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

/** Names of the tensors that a trained model has in addition to its base: the trained ones, and the head. */
function trainedNames(engine: Engine, spec: ModelSpec): string[] {
  const isTrained = new Set(engine.trainableNames);
  return [...engine.plan.parameters.all.keys()].filter(
    (name) => isTrained.has(name) || (spec.task.objective === "classification" && name.startsWith("head.")),
  );
}

/** The trained tensors as they are on the device now. */
export async function readTrained(engine: Engine): Promise<Tensors> {
  const tensors: Tensors = new Map();
  for (const name of trainedNames(engine, engine.plan.spec))
    tensors.set(name, { shape: engine.parameter(name).shape, data: await engine.readParameter(name) });
  return tensors;
}

/** Trained tensors as they are saved: like PEFT, with the projected prefix in place of its projection. Sums in f64. */
export function asSaved(tensors: Tensors): Tensors {
  const [E, fc, fcBias, proj, projBias] = PROJECTION.map((name) => tensors.get(name));
  if (!E || !fc || !fcBias || !proj || !projBias) return tensors;
  const hidden = product(E, fc, fcBias);
  hidden.data = hidden.data.map(Math.tanh);
  const rest = [...tensors].filter(([name]) => !PROJECTION.includes(name));
  return new Map([...rest, ["prefix.weight", product(hidden, proj, projBias)]]);
}

const PROJECTION = ["prefix.embedding", "prefix.fc.weight", "prefix.fc.bias", "prefix.proj.weight", "prefix.proj.bias"];

/** x [n, k] W [k, m] + bias [m]. */
function product(x: NamedTensor, W: NamedTensor, bias: NamedTensor): NamedTensor {
  const [n, k, m] = [x.shape[0]!, W.shape[0]!, W.shape[1]!];
  const data = new Float32Array(n * m);
  for (let i = 0; i < n; i++) {
    const sums = Float64Array.from(bias.data);
    for (let j = 0; j < k; j++) {
      const factor = x.data[i * k + j]!;
      for (let c = 0; c < m; c++) sums[c]! += factor * W.data[j * m + c]!;
    }
    data.set(sums, i * m);
  }
  return { shape: [n, m], data };
}

/** Writes trained tensors over the base model. Throws ShapeError for a tensor that the model does not have. */
export function writeTrained(engine: Weights, tensors: Tensors): void {
  for (const [name, { shape, data }] of tensors) {
    if (numel(shape) !== data.length)
      throw new ShapeError("wrong-shape", `${name}: shape and contents differ`, {
        expected: `${numel(shape)} elements`,
        found: `${data.length}`,
      });
    engine.writeParameter(name, data);
  }
}
