/**
 * Features: the output of a model's frozen lower blocks for every example. There is no dropout, so that they are the
 * same in every epoch: they are computed once and cached in the host's memory, and training and evaluation start from
 * them. A row's features do not depend on its batch, so that a run has the same bits with and without the cache.
 */
import { availableMemory } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import type { TokenBatch, TokenSet } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Batch } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { frozenBlocks } from "../model/trainable.ts";
import { readsTokens } from "../tasks/index.ts";
import { modelBatch } from "./batches.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { loadBase } from "./state.ts";

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
  private constructor(
    /** By data set and position: [tokens, C] or [1, C]. */
    private readonly kept: ReadonlyMap<ExampleSet, readonly Float32Array[]>,
    /** Further batches, with their features. */
    readonly more: readonly Batch[],
    /** Seconds of computing it, without loading the model. */
    readonly seconds: number,
  ) {}

  /**
   * Runs the lower part once over all examples, and over `more` batches, and frees it. Rejects with the signal's reason
   * when it aborts.
   */
  static async compute(
    device: Backend,
    model: BaseModel,
    data: Sets,
    { spec, capacity }: Pick<EngineOptions, "spec" | "capacity">,
    more: readonly Batch[] = [],
    signal?: AbortSignal,
  ): Promise<Features> {
    const engine = await Engine.create(device, { spec, capacity, optimizer: null, part: "lower" });
    try {
      return await engine.until(signal, async () => {
        await loadBase(engine, model, { signal });
        const start = performance.now();
        const kept = new Map<ExampleSet, Float32Array[]>();
        for (const set of exampleSets(data)) kept.set(set, await examples(engine, set, signal));
        const others: Batch[] = [];
        for (const batch of more) others.push({ ...batch, features: await engine.computeFeatures(batch) });
        return new Features(kept, others, (performance.now() - start) / 1000);
      });
    } finally {
      engine.destroy();
    }
  }

  /** Those of the examples at these positions, concatenated: the input of the upper part. */
  select(dataset: ExampleSet, positions: Uint32Array): Float32Array {
    const examples = this.kept.get(dataset)!;
    const whole = new Float32Array(positions.reduce((sum, i) => sum + examples[i]!.length, 0));
    let at = 0;
    for (const i of positions) {
      whole.set(examples[i]!, at);
      at += examples[i]!.length;
    }
    return whole;
  }
}

/** One array per example, as views of the batches' outputs. */
async function examples(
  engine: Engine,
  dataset: Examples<DatasetBatch | TokenBatch>,
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const { features, capacity, spec } = engine.plan;
  const { tensor, rows } = features!;
  const all: Float32Array[] = [];
  for (const packed of evaluationBatches(dataset, capacity)) {
    signal?.throwIfAborted();
    const values = await engine.computeFeatures(modelBatch(packed, spec.task.pooling));
    const bounds = rows === "tokens" ? packed.starts : Uint32Array.from(packed.starts.keys());
    const width = tensor.shape[1]!;
    for (let b = 0; b < packed.starts.length - 1; b++)
      all.push(values.subarray(bounds[b]! * width, bounds[b + 1]! * width));
  }
  return all;
}
