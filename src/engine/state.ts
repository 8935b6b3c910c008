/** Loads, initialises, reads and writes a model's parameters. */
import type { LoraConfig } from "../config.ts";
import { ShapeError } from "../errors.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Tensors } from "../io/peft.ts";
import type { Parameter } from "../model/parameters.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { Rng } from "../rng.ts";
import { sizeOf } from "../tensor.ts";
import type { Engine } from "./engine.ts";
import type { Weights } from "./weights.ts";

/**
 * Elements that are read, converted and uploaded at a time: the host never holds the whole model, and a page's thread is never
 * blocked for long.
 */
const LOAD_ELEMENTS = 1 << 18;

export interface LoadOptions {
  wanted?: (parameter: Parameter) => boolean;
  signal?: AbortSignal | undefined;
}

const isNew = (name: string) => name.startsWith("lora.") || name.startsWith("head.");

/** Whether a parameter belongs to the base model. */
export const isBase = ({ name }: Pick<Parameter, "name">): boolean => !isNew(name);

/** Whether a parameter is shared with `sharedFrom`. */
export function isShared(parameter: Parameter, sharedFrom: Weights | undefined): boolean {
  return sharedFrom?.plan.parameters.all.get(parameter.name) === parameter;
}

/**
 * Writes the checkpoint's tensors into the parameters: all, or those for which `wanted` is true. Rejects with the signal's reason
 * when it aborts.
 */
export async function loadBase(
  engine: Weights,
  checkpoint: GPT2Checkpoint,
  { wanted = () => true, signal }: LoadOptions = {},
): Promise<void> {
  for (const parameter of engine.plan.parameters.all.values()) {
    const { name, shape } = parameter;
    if (isNew(name) || !wanted(parameter)) continue;
    const rows = shape[0]!;
    const step = Math.max(1, Math.floor(LOAD_ELEMENTS / (sizeOf(shape) / rows)));
    for (let first = 0; first < rows; first += step) {
      const data = await checkpoint.read(name, first, Math.min(rows, first + step));
      engine.writeParameter(name, data, first);
      await engine.session.flush();
      signal?.throwIfAborted();
    }
  }
}

/**
 * Initialises adapters and head: B is 0, A as `init` says, the head's weight U(+-1/sqrt(C)) as in nn.Linear, its bias 0. The numbers
 * depend only on the seed and on the order and shapes of the tensors.
 */
export function initialize(engine: Weights, seed: number): void {
  const rng = new Rng(seed);
  const { lora } = engine.plan.spec;
  for (const { name, shape } of engine.plan.parameters.all.values()) {
    if (!isNew(name)) continue;
    const [rows, columns = 1] = shape as [number, number?];
    const values = new Float32Array(sizeOf(shape));
    const fill = (draw: () => number) => {
      for (let i = 0; i < values.length; i++) values[i] = draw();
    };
    if (name === "head.weight") fill(uniform(rng, 1 / Math.sqrt(columns)));
    else if (name.endsWith(".A")) fill(drawA(rng, lora!, rows, columns));
    engine.writeParameter(name, values);
  }
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
export function trainedNames(engine: Engine, spec: ModelSpec): string[] {
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

/** Writes trained tensors over the base model. Throws ShapeError for a tensor that the model does not have. */
export function writeTrained(engine: Weights, tensors: Tensors): void {
  for (const [name, { shape, data }] of tensors) {
    if (sizeOf(shape) !== data.length)
      throw new ShapeError(`${name}: shape and contents differ`, {
        expected: `${sizeOf(shape)} elements`,
        found: `${data.length}`,
      });
    engine.writeParameter(name, data);
  }
}
