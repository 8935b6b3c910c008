/**
 * Features: the output of a model's frozen lower blocks for every example. There is no dropout, so that they are the
 * same in every epoch: they are computed once, before they are first needed, and kept in the host's memory, and
 * training and evaluation start from them. They depend on a text's tokens alone, not on its batch, so that a run has
 * the same bits with and without them, and runs that freeze the same blocks of the same model share them.
 */
import { availableMemory } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import type { TokenBatch, TokenSet } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import { fingerprint } from "../io/fingerprint.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { frozenBlocks, modelPart } from "../model/trainable.ts";
import { shareBase } from "./bases.ts";
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
  const { n_embd } = spec.config;
  const countOutputRows = (set: ExampleSet) =>
    modelPart(spec, "lower").features === "pooled"
      ? set.size
      : set.padTo * set.size || set.lengths.reduce((a, b) => a + b, 0);
  const bytes = exampleSets(data).reduce((sum, set) => sum + countOutputRows(set) * n_embd * 4, 0);
  return frozen > 0 && bytes <= budget ? bytes : 0;
}

/** What a model makes of texts when it is read in one way. */
interface Reading {
  /** [tokens, C] or [1, C], by the tokens of a text. */
  kept: Map<string, Float32Array>;
  bytes: number;
  /** Runs that are trained at once ask for the same: each waits for what the one before it computes. */
  last: Promise<unknown>;
}

/** Features that outlive a run, for other folds, settings and rows. */
export class FeatureStore {
  private readonly readings = new Map<string, Reading>();

  /** `most`: the bytes that it may have; beyond them the reading goes that was asked for the longest ago. */
  constructor(private readonly most: number) {}

  static ofStudy = () => new FeatureStore(defaultBudget());

  reading(name: string): Reading {
    const one = this.readings.get(name) ?? { kept: new Map(), bytes: 0, last: Promise.resolve() };
    this.readings.delete(name);
    this.readings.set(name, one);
    return one;
  }

  trim(): void {
    let bytes = [...this.readings.values()].reduce((sum, one) => sum + one.bytes, 0);
    for (const [name, one] of this.readings) {
      if (bytes <= this.most) break;
      this.readings.delete(name);
      bytes -= one.bytes;
    }
  }
}

interface Reader {
  signal?: AbortSignal | undefined;
  /** Has tensors of the lower part on the device. */
  shared?: Engine | undefined;
  /** Default: what is read is this run's own. */
  store?: FeatureStore | undefined;
}

export class Features {
  /** The lower part on the device, once there is a text that is not known. */
  private engine: Engine | undefined;
  private readonly sets = new Map<ExampleSet, Float32Array[]>();

  private constructor(
    private readonly open: () => Promise<Engine>,
    private readonly reading: Reading,
    private readonly store: FeatureStore | undefined,
  ) {}

  /** Those of a model that is read with these settings; it has to be open until `destroy`. */
  static async of(
    device: Backend,
    model: BaseModel,
    size: Pick<EngineOptions, "spec" | "capacity">,
    { signal, shared, store }: Reader = {},
  ): Promise<Features> {
    const load = async (from: Engine | undefined) => {
      const engine = await Engine.create(device, { ...size, optimizer: null, part: "lower" }, from);
      try {
        await loadBase(engine, model, { signal, wanted: (parameter) => !isShared(parameter, from) });
        return engine;
      } catch (error) {
        engine.destroy();
        throw error;
      }
    };
    const { task, dtype } = size.spec;
    const of = [device.info.kind, dtype, modelPart(size.spec, "lower").features, task.pooling];
    const print = store ? await fingerprint(model) : "";
    const name = JSON.stringify([print, ...of]);
    const open = () => (shared || !print ? load(shared) : shareBase(device, `${print} ${dtype} rows`, load));
    return new Features(open, (store ?? new FeatureStore(Infinity)).reading(name), store);
  }

  /**
   * Runs the lower part over the texts of a set that are not known; `onRows` receives how many are done: first the
   * known, then batch by batch. Rejects with the signal's reason when it aborts.
   */
  async compute(set: ExampleSet, how: HowToRead = {}): Promise<void> {
    if (this.sets.has(set)) return;
    const turn = this.reading.last.then(() => this.read(set, how));
    this.reading.last = turn.catch(() => {});
    await turn;
    this.store?.trim();
  }

  private async read(set: ExampleSet, { signal, onRows }: HowToRead): Promise<void> {
    const { kept } = this.reading;
    const keys = Array.from({ length: set.size }, (_, row) => keyOf(set, row));
    const rows = [...new Map(keys.map((key, row) => [key, row])).values()].filter((row) => !kept.has(keys[row]!));
    if (rows.length < set.size) onRows?.(set.size - rows.length);
    if (rows.length > 0) {
      this.engine ??= await this.open();
      await this.engine.until(signal, () => this.run(set, rows, keys, { signal, onRows }));
    }
    this.sets.set(
      set,
      keys.map((key) => kept.get(key)!),
    );
  }

  /** Reads the examples of a set at these positions. */
  private async run(set: Batches, at: readonly number[], keys: readonly string[], { signal, onRows }: HowToRead) {
    const engine = this.engine!;
    const { features, capacity, spec } = engine.plan;
    const { tensor, rows } = features!;
    const width = tensor.shape[1]!;
    const some = {
      size: at.length,
      batchTokenCount: (i: number) => set.batchTokenCount(at[i]!),
      batch: (order: ArrayLike<number>) => set.batch(Array.from(order, (i) => at[i]!)),
    };
    for (const packed of evaluationBatches(some, capacity)) {
      signal?.throwIfAborted();
      const values = await engine.computeFeatures(modelBatch(packed, spec.task.pooling));
      const bounds = rows === "tokens" ? packed.starts : Uint32Array.from(packed.starts.keys());
      for (const [b, position] of packed.positions.entries()) {
        const one = values.subarray(bounds[b]! * width, bounds[b + 1]! * width);
        this.reading.kept.set(keys[position]!, one);
        this.reading.bytes += one.byteLength;
      }
      onRows?.(packed.positions.length);
    }
  }

  /** Those of an example whose text was in a set that was computed. */
  readonly of = (set: ExampleSet, row: number): Float32Array =>
    this.sets.get(set)?.[row] ?? this.reading.kept.get(keyOf(set, row))!;

  /** Those of the examples at these positions, concatenated: the input of the upper part. */
  select(set: ExampleSet, positions: Uint32Array): Float32Array {
    const examples = Array.from(positions, (i) => this.of(set, i));
    const whole = new Float32Array(examples.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of examples) {
      whole.set(one, at);
      at += one.length;
    }
    return whole;
  }

  destroy(): void {
    this.engine?.destroy();
  }
}

interface HowToRead {
  signal?: AbortSignal | undefined;
  onRows?: ((rows: number) => void) | undefined;
}

type Batches = Examples<DatasetBatch | TokenBatch>;

/** The tokens of an example, and how many of them are no padding. */
const keyOf = (set: ExampleSet, row: number) => `${set.lengths[row]} ${(set as Batches).batch([row]).ids.join()}`;
