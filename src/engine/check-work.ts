/**
 * What a device computes in its check: a small version of what is to run, with random weights, whose plan has every
 * shader of the whole with the same constants.
 */
import type { Backend } from "../backend/backend.ts";
import { CompareBackend, type Compared } from "../backend/compare.ts";
import { chooseVariant, listPipelines } from "../backend/webgpu-shaders.ts";
import { type ModelConfig, textContext } from "../config.ts";
import { LowrankError } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { GPT2_VOCABULARY } from "../io/tokenizer/vocabulary.ts";
import { type LoraConfig, loraAdapters } from "../methods/lora.ts";
import { type Batch, drawsFrom } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { baseTensors, lmHeadTensors, siteName, tensorName } from "../names.ts";
import { crossentropyForwardKernel } from "../ops/crossentropy.ts";
import { type Dispatch, type ProductVariant, scalarAt, tensorAt } from "../ops/kernel.ts";
import { dispatchesOf, type Program } from "../plan/plan.ts";
import { Rng } from "../rng.ts";
import { countOutputs, hasHead, hasValues, readsTokens } from "../tasks/index.ts";
import { numel } from "../tensor.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { initialize } from "./initial.ts";
import { loadBase } from "./state.ts";
import type { Weights } from "./weights.ts";

export interface Work<E extends Weights = Weights> {
  /** The model that is to run. */
  spec: ModelSpec;
  /** What is to run. */
  programs: readonly Program[];
  /** The plan of a small model; null if it can have none. */
  plan(small: ModelSpec): Program | null;
  create(backend: Backend, small: ModelSpec): Promise<E>;
  /** Computes once. Several passes may be begun before the first one ends. */
  pass(engine: E): Promise<unknown>;
  /** Computes once more, and all else that is to be right, and reads the results. */
  results(engine: E): Promise<unknown>;
}

/** Passes that are timed together, as a browser waits for each answer of a GPU, and how often; the fastest counts. */
const PASSES = { webgpu: 3, wasm: 1 };
const TRIALS = 2;

/** A model as it is to run, but for its capacity. */
type Options = Pick<EngineOptions, "spec" | "optimizer" | "dropout" | "valueLoss" | "recompute">;

/** The rate of a step. An optimizer should have a large `eps`: an update is then about proportional to the gradient. */
const RATE = 1;

/** A forward pass, or, with an optimizer, a step with its update. */
export function engineWork(
  device: Pick<Backend, "limits" | "info">,
  { spec, optimizer, dropout, valueLoss, recompute = false }: Options,
  programs: readonly Program[],
): Work<Engine> {
  const batchOf = (small: ModelSpec) => excerptBatch(small, countTokens(spec, device.info.software));
  const optionsOf = (small: ModelSpec): EngineOptions => {
    const { ids, starts } = batchOf(small);
    const capacity = { tokens: ids.length, sequences: starts.length - 1 };
    return { spec: small, optimizer, dropout, valueLoss, recompute, capacity };
  };
  const readLogits = (engine: Engine, { targets }: Batch) =>
    // Those of a vocabulary are in pieces, and the loss tells of all.
    hasHead(spec.task) ? engine.logits(targets.length) : null;
  async function classify(engine: Engine): Promise<void> {
    const batch = batchOf(engine.plan.spec);
    engine.forward(batch);
    await readLogits(engine, batch);
  }
  async function step(engine: Engine): Promise<void> {
    const batch = batchOf(engine.plan.spec);
    const [slot] = engine.step([batch], RATE);
    await Promise.all([engine.result(slot!), readLogits(engine, batch)]);
    await Promise.all(engine.trainableNames.flatMap((name) => [engine.readGradient(name), engine.readParameter(name)]));
  }
  return {
    spec,
    programs,
    plan(small) {
      try {
        return Engine.plan(device, optionsOf(small));
      } catch (error) {
        if (error instanceof LowrankError) return null;
        throw error;
      }
    },
    create: (backend, small) => Engine.create(backend, optionsOf(small)),
    pass: optimizer ? (engine) => engine.result(engine.gradients(batchOf(engine.plan.spec))) : classify,
    results: optimizer ? step : classify,
  };
}

/** Rows of the token table of a classifier, whose size no shader depends on but by its remainder. */
const ROWS = 32;
/** The longest sequences, and the tokens of a batch. A software driver takes seconds for what a card does at once. */
const LENGTH = 128;
const TOKENS = { hardware: 256, software: 32 };
/** A language model has fewer tokens for a larger vocabulary: most of its work is logits. */
const LOGITS = 4096;

/** The model cut to the fewest blocks, or nearly, whose plan has every shader of what is to run. */
export function excerptOf({ spec, programs, plan }: Work): ModelSpec {
  const vocabulary = countVocabulary(spec, programs);
  const { n_layer } = spec.config;
  const wanted = listPipelines(dispatchesOf(programs));
  const asWhole = variantsOf(programs);
  const cut = (layers: readonly number[]) => excerptSpec(spec, layers, vocabulary);
  const countMissing = (layers: readonly number[]) => {
    const small = plan(cut(layers));
    const has = new Set(listPipelines(small ? dispatchesOf([small]).flatMap(asWhole) : []));
    return wanted.filter((one) => !has.has(one)).length;
  };
  // The last block works on the classified rows alone.
  let layers: readonly number[] = [...new Set([0, n_layer - 1])];
  let missing = countMissing(layers);
  while (missing > 0) {
    const others = [...Array(n_layer).keys()].filter((l) => !layers.includes(l));
    const more = others.map((l) => [...layers, l].sort((a, b) => a - b));
    const better = more.find((some) => countMissing(some) < missing);
    if (!better) break;
    layers = better;
    missing = countMissing(better);
  }
  return cut(layers);
}

/**
 * The products of an excerpt by the tiles of what is to run, which are chosen by its many rows: those of the product of
 * the same sizes; of logits, which may be in other pieces, all that there are.
 */
export function variantsOf(programs: readonly Program[]): (dispatch: Dispatch) => Dispatch[] {
  const hasTiles = (one: Dispatch) => one.kernel.variants && /wide|middle/.test(chooseVariant(one));
  const keysOf = (one: Dispatch) => {
    const [m, n, k] = ["m", "n", "k"].map((dim) => scalarAt(one, dim));
    const { name } = one.kernel;
    return [[name, m, n, k].join(), [name, typeof m === "number" || m].join()] as const;
  };
  const variants = new Map<string, Set<ProductVariant>>();
  for (const one of dispatchesOf(programs).filter(hasTiles))
    for (const key of keysOf(one)) variants.set(key, (variants.get(key) ?? new Set()).add(chooseVariant(one)));
  return (one) => {
    const [exact, rough] = hasTiles(one) ? keysOf(one) : ["", ""];
    const found = variants.get(exact) ?? variants.get(rough);
    return found ? [...found].map((variant) => ({ ...one, variant })) : [one];
  };
}

/**
 * Rows of the token table. A language model has as many as the largest piece of its logits and the last one, as
 * products are chosen by that.
 */
function countVocabulary({ config: { vocab_size }, task }: ModelSpec, programs: readonly Program[]): number {
  if (hasHead(task)) return Math.min(vocab_size, ROWS + (vocab_size % 8));
  const widths = dispatchesOf(programs)
    .filter(({ kernel }) => kernel === crossentropyForwardKernel)
    .map((one) => tensorAt(one, "logits").shape[1]!);
  const [most, last] = [Math.max(...widths), widths.at(-1)!];
  return Math.min(vocab_size, most === last ? most : most + last);
}

function excerptSpec(spec: ModelSpec, layers: readonly number[], vocab_size: number): ModelSpec {
  const { n_positions } = spec.config;
  const virtual = n_positions - textContext(spec.config, spec);
  const config = {
    ...spec.config,
    n_layer: layers.length,
    vocab_size,
    n_positions: Math.min(n_positions, virtual + LENGTH),
  };
  return { ...spec, config, lora: spec.lora && excerptLora(spec.lora, spec.config, config, layers) };
}

/** The adapters of these blocks, and that of the head. */
function excerptLora(lora: LoraConfig, config: ModelConfig, small: ModelConfig, layers: readonly number[]): LoraConfig {
  const { layers_to_transform: _, modulesToSave, ...rest } = lora;
  const sites = loraAdapters(config, lora).flatMap(({ target, block, r, scale }) => {
    const at = block === null ? null : layers.indexOf(block);
    return at === -1 ? [] : [{ site: siteName({ target, block: at }), r, scale }];
  });
  const saved = [...baseTensors(small), ...lmHeadTensors(small)].flatMap(({ name, block, layer, part }) =>
    modulesToSave?.includes(tensorName({ block: block === null ? null : layers[block]!, layer }, part)) ? [name] : [],
  );
  return { ...rest, sites, ...(modulesToSave ? { modulesToSave: saved } : {}) };
}

/** How many tokens a batch of a small model has. */
export function countTokens({ task, config }: ModelSpec, isSoftware: boolean): number {
  const most = TOKENS[isSoftware ? "software" : "hardware"];
  return Math.ceil(hasHead(task) ? most : Math.min(most, (most * LOGITS) / config.vocab_size));
}

/** A batch of two sequences of other lengths with about so many tokens. */
export function excerptBatch(spec: ModelSpec, tokens: number): Batch {
  const { config, task } = spec;
  const lengths = [0.6, 0.4].map((part) => Math.min(Math.ceil(part * tokens), textContext(config, spec)));
  const starts = Uint32Array.of(0, lengths[0]!, lengths[0]! + lengths[1]!);
  // Some ids are repeated.
  const ids = Uint32Array.from({ length: starts[2]! }, (_, n) => (7 * n) % Math.min(config.vocab_size, 23));
  const outputs = countOutputs(task, config);
  return {
    ids,
    starts,
    rows: readsTokens(task) ? new Uint32Array() : Uint32Array.of(starts[1]! - 1, starts[2]! - 1),
    targets: readsTokens(task)
      ? Int32Array.from(ids, (_, n) => (11 * n + 5) % outputs)
      : Int32Array.of(0, Math.min(1, outputs - 1)),
    ...(hasValues(task) && { values: Float32Array.from({ length: 2 * task.num_labels }, (_, i) => i % 2) }),
    draws: drawsFrom(1, 2),
  };
}

/** Size of the block of random numbers that is repeated in the weights. */
const BLOCK = 1 << 18;

/** A base model of normal random numbers; weights of norms are 1. */
export function randomCheckpoint(config: ModelConfig, deviation = 0.02): BaseModel {
  const tensors = new Map([...baseTensors(config), ...lmHeadTensors(config)].map((tensor) => [tensor.name, tensor]));
  const rng = new Rng(1);
  const block = Float32Array.from({ length: BLOCK }, () => rng.normal() * deviation);
  return {
    directory: "",
    config,
    vocabulary: GPT2_VOCABULARY,
    names: [...tensors.keys()],
    shape: (name) => tensors.get(name)!.shape,
    read: async (name, rowStart = 0, end) => {
      const { shape, part } = tensors.get(name)!;
      const rowEnd = end ?? shape[0]!;
      const values = new Float32Array(((rowEnd - rowStart) * numel(shape)) / shape[0]!);
      if (part === "weight" && shape.length === 1) return values.fill(1);
      for (let at = 0; at < values.length; at += BLOCK) values.set(block.subarray(0, values.length - at), at);
      return values;
    },
    close: async () => {},
  };
}

/** Writes numbers that hide no product and no activation. */
async function fillEngine(engine: Weights, config: ModelConfig): Promise<void> {
  // Outputs of a layer are about as large as its inputs.
  const base = randomCheckpoint(config, config.n_embd ** -0.5);
  await loadBase(engine, base);
  // From a head of zeros no gradient would reach the blocks.
  await initialize(engine, { seed: 1, headInit: "uniform" }, base);
  const rng = new Rng(2);
  // A of the token table begins with zeros, others' B.
  for (const { name, shape, part, layer } of engine.plan.parameters.all.values())
    if (part === "B" || (part === "A" && layer === "wte"))
      engine.writeParameter(
        name,
        Float32Array.from({ length: numel(shape) }, () => 0.02 * rng.normal()),
      );
}

/** What the device computes wrongly, in words, or what was not compared; null: nothing. */
export async function findMismatch(
  device: Backend,
  cpu: Backend,
  work: Work,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const WRONG = new Error();
  let wrong: Compared | null = null;
  const missing = new Set(listPipelines(dispatchesOf(work.programs)));
  const onCompared = (compared: Compared) => {
    signal?.throwIfAborted();
    missing.delete(compared.pipeline!);
    if (compared.isRight) return;
    wrong ??= compared;
    throw WRONG;
  };
  await compareWork(device, cpu, work, onCompared).catch((error) => {
    if (error !== WRONG) throw error;
  });
  // Assigned in `onCompared`.
  const found = wrong as Compared | null;
  if (found) {
    const what = found.pipeline === null ? "in a whole submission" : `by ${found.pipeline.split(" ")[0]}`;
    return `${found.where} ${what} differs from the CPU's by ${found.error.toExponential(1)} of its size`;
  }
  return missing.size > 0 ? `${[...missing].join(", ")} could not be compared with the CPU` : null;
}

/** Runs work on a device and on the CPU, and reports every comparison. Rejects with what `onCompared` throws. */
export async function compareWork(
  device: Backend,
  cpu: Backend,
  work: Work,
  onCompared: (one: Compared) => void,
): Promise<void> {
  await withEngine(new CompareBackend(cpu, device, onCompared, variantsOf(work.programs)), work, async (engine) => {
    // Some drivers are right in the first pass only.
    await work.pass(engine);
    await work.results(engine);
  });
}

async function withEngine<T>(backend: Backend, work: Work, use: (engine: Weights) => Promise<T>): Promise<T> {
  const small = excerptOf(work);
  const engine = await work.create(backend, small);
  try {
    await fillEngine(engine, small.config);
    return await use(engine);
  } finally {
    engine.destroy();
  }
}

/** Milliseconds of a pass, without the wait for its results: that takes a browser 5 to 100 ms, whatever is computed. */
export function measure(backend: Backend, work: Work): Promise<number> {
  return withEngine(backend, work, async (engine) => {
    const { plan, session } = engine;
    const { pieces } = [...plan.parameters.all.values()].reduce((a, b) => (numel(b.shape) < numel(a.shape) ? b : a));
    const together = PASSES[backend.info.kind];
    const pass = () => work.pass(engine);
    const time = async (work: () => Promise<unknown>) => {
      const start = performance.now();
      await work();
      return performance.now() - start;
    };
    await pass(); // warm-up
    let [passes, wait] = [Infinity, Infinity];
    for (let i = 0; i < TRIALS; i++) {
      passes = Math.min(passes, await time(() => Promise.all(Array.from({ length: together }, pass))));
      wait = Math.min(wait, await time(() => session.read(pieces[0]!.tensor)));
    }
    return Math.max(passes - wait, passes / 10) / together;
  });
}
