/**
 * Features: the output of a model's frozen lower blocks for every example. There is no dropout, so that they are the
 * same in every epoch: they are computed once, before they are first needed, and cached in the host's memory, and
 * training and evaluation start from them. A row's features do not depend on its batch, so that a run has the same bits
 * with and without the cache.
 */
import { availableMemory } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import type { TokenBatch, TokenSet } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { frozenBlocks } from "../model/trainable.ts";
import { readsTokens } from "../tasks/index.ts";
import { modelBatch } from "./batches.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { isShared, loadBase } from "./state.ts";

type Sets = Pick<TrainingData, "train" | "val" | "test">;
type ExampleSet = Dataset | TokenSet;

const exampleSets = ({ train, val, test }: Sets): ExampleSet[] => [train, val, test];

/** The default limit of the cache: a quarter of the free memory, at most 1 GB. */
function defaultBudget(): number {
  return Math.min(1e9, (availableMemory() ?? Infinity) / 4);
}

/**
 * Bytes of the features: n_embd floats a text if only the head of texts is trained, else n_embd floats a token. 0 if no
 * block is frozen, or if the cache would exceed `budget`: then the whole model runs.
 */
export function featureBytes(spec: ModelSpec, data: Sets, budget = defaultBudget()): number {
  const frozen = frozenBlocks(spec);
  const { n_layer, n_embd } = spec.config;
  const countOutputRows = (set: ExampleSet) =>
    frozen === n_layer && !readsTokens(spec.task)
      ? set.size
      : set.padTo * set.size || set.lengths.reduce((a, b) => a + b, 0);
  const bytes = exampleSets(data).reduce((sum, set) => sum + countOutputRows(set) * n_embd * 4, 0);
  return frozen > 0 && bytes <= budget ? bytes : 0;
}

export class Features {
  /** By data set and position: [tokens, C] or [1, C]. `done`: all are there. */
  private readonly kept = new Map<ExampleSet, { examples: Float32Array[]; done: Promise<void> }>();

  private constructor(private readonly engine: Engine) {}

  /** Puts the lower part on the device, until `destroy`; `shared` has tensors of it there. */
  static async load(
    device: Backend,
    model: BaseModel,
    { spec, capacity }: Pick<EngineOptions, "spec" | "capacity">,
    { signal, shared }: { signal?: AbortSignal | undefined; shared?: Engine | undefined } = {},
  ): Promise<Features> {
    const engine = await Engine.create(device, { spec, capacity, optimizer: null, part: "lower" }, shared);
    try {
      await loadBase(engine, model, { signal, wanted: (parameter) => !isShared(parameter, shared) });
      return new Features(engine);
    } catch (error) {
      engine.destroy();
      throw error;
    }
  }

  /**
   * Runs the lower part once over all examples of a set; `onRows` receives how many, batch by batch. Rejects with the
   * signal's reason when it aborts.
   */
  async compute(
    set: ExampleSet,
    { signal, onRows }: { signal?: AbortSignal | undefined; onRows?: (rows: number) => void } = {},
  ): Promise<void> {
    // Runs that are trained together ask for the same.
    if (!this.kept.has(set)) {
      const examples: Float32Array[] = [];
      const work = () => computeExamples(this.engine, set, examples, { signal, onRows });
      this.kept.set(set, { examples, done: this.engine.until(signal, work) });
    }
    await this.kept.get(set)!.done;
  }

  /** Those of the examples at these positions, concatenated: the input of the upper part. */
  select(dataset: ExampleSet, positions: Uint32Array): Float32Array {
    const { examples } = this.kept.get(dataset)!;
    const whole = new Float32Array(positions.reduce((sum, i) => sum + examples[i]!.length, 0));
    let at = 0;
    for (const i of positions) {
      whole.set(examples[i]!, at);
      at += examples[i]!.length;
    }
    return whole;
  }
  destroy(): void {
    this.engine.destroy();
  }
}

/** Adds one array per example, as views of the batches' outputs. */
async function computeExamples(
  engine: Engine,
  dataset: Examples<DatasetBatch | TokenBatch>,
  all: Float32Array[],
  { signal, onRows }: { signal?: AbortSignal | undefined; onRows?: ((rows: number) => void) | undefined },
): Promise<void> {
  const { features, capacity, spec } = engine.plan;
  const { tensor, rows } = features!;
  for (const packed of evaluationBatches(dataset, capacity)) {
    signal?.throwIfAborted();
    const values = await engine.computeFeatures(modelBatch(packed, spec.task.pooling));
    const bounds = rows === "tokens" ? packed.starts : Uint32Array.from(packed.starts.keys());
    const width = tensor.shape[1]!;
    for (let b = 0; b < packed.starts.length - 1; b++)
      all.push(values.subarray(bounds[b]! * width, bounds[b + 1]! * width));
    onRows?.(packed.starts.length - 1);
  }
}
