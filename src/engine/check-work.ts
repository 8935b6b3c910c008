/**
 * What a device computes in its check: an excerpt of the model that is to run, with random weights, whose plan has
 * every shader of the whole with the same constants.
 */
import type { Backend } from "../backend/backend.ts";
import { CompareBackend, type Compared, refuseWrong } from "../backend/compare.ts";
import { chooseVariant, listPipelines } from "../backend/webgpu-shaders.ts";
import { type ModelConfig, textContext } from "../core/config.ts";
import { DeviceError } from "../core/errors.ts";
import { baseTensors, lmHeadTensors, siteName } from "../core/names.ts";
import { Rng } from "../core/rng.ts";
import { numel } from "../core/tensor.ts";
import type { BaseModel } from "../io/hf.ts";
import { GPT2_VOCABULARY } from "../io/tokenizer/vocabulary.ts";
import { loraAdapters } from "../methods/lora.ts";
import { type Batch, drawsFrom } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { crossentropyForwardKernel } from "../ops/crossentropy.ts";
import { type Dispatch, tensorAt } from "../ops/kernel.ts";
import { dispatchesOf, type Program } from "../plan/plan.ts";
import { countOutputs, hasHead, hasValues, readsTokens } from "../tasks/index.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { initialize } from "./initial.ts";
import { loadBase } from "./state.ts";
import type { Weights } from "./weights.ts";

/** What is to run on a device. */
export interface Work<E extends Weights = Weights> {
  name: "training" | "classification" | "generation";
  /** The model that is to run. */
  spec: ModelSpec;
  programs: readonly Program[];
  /** Puts an excerpt of the model on a device. */
  create(backend: Backend, excerpt: ModelSpec): Promise<E>;
  /** Computes once and reads the results. Several passes may be begun before the first one ends. */
  pass(engine: E): Promise<unknown>;
}

/** Passes that are timed together, as a browser waits for each answer of a GPU, and how often; the fastest counts. */
const PASSES = { webgpu: 3, wasm: 1 };
const TRIALS = 2;

/** The rate of a step. An optimizer should have a large `eps`: an update is then about proportional to the gradient. */
const RATE = 1;

/** A model as it is to run, but for its capacity. */
type Options = Pick<EngineOptions, "spec" | "optimizer" | "dropout" | "valueLoss" | "recompute">;

/** A forward pass, or, with an optimizer, a training step. */
export function engineWork(
  { info: { software } }: Pick<Backend, "info">,
  { spec, optimizer, dropout, valueLoss, recompute = false }: Options,
  programs: readonly Program[],
): Work<Engine> {
  return {
    name: optimizer ? "training" : "classification",
    spec,
    programs,
    create(backend, excerpt) {
      const { ids, starts } = excerptBatch(excerpt, software);
      const capacity = { tokens: ids.length, sequences: starts.length - 1 };
      return Engine.create(backend, { spec: excerpt, capacity, optimizer, dropout, valueLoss, recompute });
    },
    async pass(engine) {
      const batch = excerptBatch(engine.plan.spec, software);
      const [slot] = optimizer ? engine.step([batch], RATE) : [engine.forward(batch)];
      // The logits of a vocabulary are in pieces, and the loss tells of all.
      await Promise.all([engine.result(slot!), hasHead(spec.task) && engine.logits(batch.targets.length)]);
    },
  };
}

/** Rows of the token table of a classifier, whose size no shader depends on but by its remainder. */
const ROWS = 32;
/** The longest sequences, and the tokens of a batch. A software driver takes seconds for what a card does at once. */
const LENGTH = 128;
const TOKENS = { hardware: 256, software: 32 };
/** A language model has fewer tokens for a larger vocabulary: most of its work is logits. */
const LOGITS = 4096;

/** The model cut to its first, a middle and its last block, of those that have adapters. */
export function excerptOf({ spec, programs }: Pick<Work, "spec" | "programs">): ModelSpec {
  const { config, lora } = spec;
  const layers = chooseLayers(spec);
  const virtual = config.n_positions - textContext(config, spec);
  const small = {
    ...config,
    n_layer: layers.length,
    vocab_size: countVocabulary(spec, programs),
    n_positions: Math.min(config.n_positions, virtual + LENGTH),
  };
  if (!lora) return { ...spec, config: small };
  const rename = (name: string) => name.replace(/^h\.(\d+)\./, (_, layer) => `h.${layers.indexOf(Number(layer))}.`);
  const isIn = (name: string) => !name.startsWith("h.-1.");
  const { layers_to_transform: _, modulesToSave, ...rest } = lora;
  const sites = loraAdapters(config, lora).map(({ r, scale, ...site }) => ({ site: rename(siteName(site)), r, scale }));
  const saved = modulesToSave && { modulesToSave: modulesToSave.map(rename).filter(isIn) };
  return { ...spec, config: small, lora: { ...rest, ...saved, sites: sites.filter(({ site }) => isIn(site)) } };
}

/**
 * The last block, which may work on the classified rows alone; of those with adapters, of all if there are none, the
 * first one, below which nothing is trained, and a middle one; and one with each other set of adapters.
 */
function chooseLayers({ config, lora }: ModelSpec): number[] {
  const all = [...Array(config.n_layer).keys()];
  const sets = new Map<number, string>();
  for (const { block, target, r } of lora ? loraAdapters(config, lora) : [])
    if (block !== null) sets.set(block, `${sets.get(block) ?? ""} ${target} ${r}`);
  const adapted = sets.size > 0 ? all.filter((layer) => sets.has(layer)) : all;
  const firsts = adapted.filter((layer, i) => adapted.findIndex((other) => sets.get(other) === sets.get(layer)) === i);
  const chosen = new Set([...firsts, adapted[adapted.length >> 1]!, config.n_layer - 1]);
  return all.filter((layer) => chosen.has(layer));
}

/** A product of an excerpt by the tiles of what is to run, which are chosen by its many rows. */
export function variantsOf(programs: readonly Program[]): (dispatch: Dispatch) => Dispatch[] {
  const hasTiles = (one: Dispatch) => one.kernel.variants && /wide|middle/.test(chooseVariant(one));
  const products = dispatchesOf(programs).filter(hasTiles);
  return (one) => {
    const variants = new Set(products.filter(({ kernel }) => kernel === one.kernel).map(chooseVariant));
    return hasTiles(one) && variants.size > 0 ? [...variants].map((variant) => ({ ...one, variant })) : [one];
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

/** A batch of two sequences of other lengths. */
export function excerptBatch(spec: ModelSpec, isSoftware: boolean): Batch {
  const { config, task } = spec;
  const most = TOKENS[isSoftware ? "software" : "hardware"];
  const tokens = hasHead(task) ? most : Math.min(most, Math.ceil((most * LOGITS) / config.vocab_size));
  const lengths = [0.6, 0.4].map((part) => Math.min(Math.ceil(part * tokens), textContext(config, spec)));
  const starts = Uint32Array.of(0, lengths[0]!, lengths[0]! + lengths[1]!);
  // Some ids are repeated.
  const ids = Uint32Array.from({ length: starts[2]! }, (_, n) => (7 * n) % Math.min(config.vocab_size, 23));
  const [outputs, ofTokens] = [countOutputs(task, config), readsTokens(task)];
  return {
    ids,
    starts,
    rows: ofTokens ? new Uint32Array() : Uint32Array.of(starts[1]! - 1, starts[2]! - 1),
    targets: ofTokens
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

/**
 * Runs work on a device and on the CPU. Throws DeviceError at the first result that differs, unless `onCompared` takes
 * it, and if there is a shader that was not compared.
 */
export async function compareWork(
  device: Backend,
  cpu: Backend,
  work: Work,
  onCompared: (one: Compared) => void = refuseWrong,
): Promise<void> {
  const missing = new Set(listPipelines(dispatchesOf(work.programs)));
  const note = (one: Compared) => {
    missing.delete(one.pipeline!);
    onCompared(one);
  };
  await withEngine(new CompareBackend(cpu, device, note, variantsOf(work.programs)), work, async (engine) => {
    // Some drivers are right in the first pass only.
    for (let i = 0; i < 2; i++) await work.pass(engine);
    for (const { grad, pieces } of engine.plan.parameters.all.values())
      for (const { tensor } of grad ? [...grad, ...pieces] : []) await engine.session.read(tensor);
  });
  if (missing.size > 0)
    throw new DeviceError("results-differ", `${[...missing].join(", ")} could not be compared with the CPU`);
}

async function withEngine<T>(backend: Backend, work: Work, use: (engine: Weights) => Promise<T>): Promise<T> {
  const excerpt = excerptOf(work);
  const engine = await work.create(backend, excerpt);
  try {
    await fillEngine(engine, excerpt.config);
    return await use(engine);
  } finally {
    engine.destroy();
  }
}

/** Milliseconds of a pass, without the wait for its results: that takes a browser 5 to 100 ms, whatever is computed. */
export function measure(backend: Backend, work: Work): Promise<number> {
  return withEngine(backend, work, async (engine) => {
    const together = PASSES[backend.info.kind];
    const pass = () => work.pass(engine);
    await pass(); // warm-up
    let [passes, wait] = [Infinity, Infinity];
    for (let i = 0; i < TRIALS; i++) {
      const started = performance.now();
      await Promise.all(Array.from({ length: together }, pass));
      passes = Math.min(passes, performance.now() - started);
      wait = Math.min(wait, await engine.answerTime());
    }
    return Math.max(passes - wait, passes / 10) / together;
  });
}
