/** What a frozen model makes of texts, kept for the folds, the fits and the rows that come later. */
import type { Backend } from "../backend/backend.ts";
import type { Dataset } from "../data/dataset.ts";
import type { BaseModel } from "../io/hf.ts";
import { Features } from "./features.ts";

/** Bytes that are kept of a model. */
const MOST_BYTES = 64 << 20;

/** By the model and how it reads: the features [C] of a text. */
const known = new WeakMap<BaseModel, Map<string, Map<string, Float32Array>>>();

/** Texts that are cut at another length have others. */
const keyOf = (set: Dataset, row: number) => JSON.stringify([set.text(row), set.batchTokenCount(row)]);

export class TextFeatures {
  /** The model without its head on the device, once there is a text that is not known. */
  private features: Features | undefined;

  private constructor(
    private readonly open: () => Promise<Features>,
    private readonly kept: Map<string, Float32Array>,
  ) {}

  /** Those of a model that is read with a head of these settings. */
  static of(device: Backend, model: BaseModel, ...how: Tail<Parameters<typeof Features.load>>): TextFeatures {
    const { task, dtype } = how[0].spec;
    const ofModel = known.get(model) ?? new Map<string, Map<string, Float32Array>>();
    known.set(model, ofModel);
    const reading = JSON.stringify([task.pooling, dtype, device.info.kind]);
    const before = ofModel.get(reading) ?? new Map<string, Float32Array>();
    const bytes = [...before.values()].reduce((sum, one) => sum + one.byteLength, 0);
    // Whoever has the full one keeps it.
    const kept = bytes > MOST_BYTES ? new Map<string, Float32Array>() : before;
    ofModel.set(reading, kept);
    return new TextFeatures(() => Features.load(device, model, ...how), kept);
  }

  /** Reads the texts of a set that are not known; `onRows` receives how many are done: first the known, then batch by batch. */
  async read(set: Dataset, how: { signal?: AbortSignal | undefined; onRows?: (rows: number) => void }): Promise<void> {
    const keys = Array.from({ length: set.size }, (_, row) => keyOf(set, row));
    const rows = [...new Map(keys.map((key, row) => [key, row])).values()].filter((row) => !this.kept.has(keys[row]!));
    if (rows.length < set.size) how.onRows?.(set.size - rows.length);
    if (rows.length === 0) return;
    this.features ??= await this.open();
    const unknown = set.select(rows);
    await this.features.compute(unknown, how);
    for (const [i, row] of rows.entries()) this.kept.set(keys[row]!, this.features.select(unknown, Uint32Array.of(i)));
  }

  /** The features [C] of a row of a set that was read. */
  readonly of = (set: Dataset, row: number): Float32Array => this.kept.get(keyOf(set, row))!;

  destroy(): void {
    this.features?.destroy();
  }
}

type Tail<T extends unknown[]> = T extends [unknown, unknown, ...infer Rest] ? Rest : never;
