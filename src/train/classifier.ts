/** A trained model that labels texts. */
import type { Backend } from "../backend/backend.ts";
import type { Pooling, WeightDtype } from "../config.ts";
import { END_OF_TEXT_ID, Tokenizer } from "../data/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import { baseDtype } from "../io/adapter-meta.ts";
import type { DownloadOptions } from "../io/download.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import { openAdapter } from "../io/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft.ts";
import type { Batch } from "../model/batch.ts";
import { initialize, loadBase, writeTrained } from "./contents.ts";
import { Engine } from "./engine.ts";
import { predictions } from "./predictions.ts";

export interface Classification {
  label: string;
  /** Probability of the label. */
  probability: number;
  /** Probability of every label. */
  probabilities: Record<string, number>;
}

/** Texts that go to the device at a time. */
const SEQUENCES = 16;

/** `onProgress` hears of the base model's download, where it must be fetched. */
export interface ClassifierOptions extends DownloadOptions {
  device: Backend;
  /** The base model, in place of the one that is named. */
  model?: string;
  /** What its frozen matrices are kept in; default: as in training. */
  dtype?: WeightDtype;
}

export class Classifier {
  private constructor(
    private readonly engine: Engine,
    private readonly tokenizer: Tokenizer,
    readonly meta: AdapterMeta,
    private readonly padTo: number,
    private readonly maxLength: number,
  ) {}

  /** Names of the classes. */
  get labels(): readonly string[] {
    return this.meta.labels;
  }

  /**
   * Loads what `fineTune` saved: a run directory, or its adapter/ directory; or a classifier's adapter that PEFT wrote. The
   * base model is the one that it names; `model` overrides it. Throws ConfigError where there is no adapter or no model,
   * FormatError where a file is damaged.
   */
  static async load(directory: string, { device, model, dtype, ...options }: ClassifierOptions): Promise<Classifier> {
    const { adapter, checkpoint } = await openAdapter(directory, model, options);
    try {
      return await Classifier.of(adapter, checkpoint, device, dtype);
    } finally {
      await checkpoint.close();
    }
  }

  /** A classifier from an adapter that has been read, and its base model. */
  static of(
    { meta, tensors }: Adapter,
    checkpoint: GPT2Checkpoint,
    device: Backend,
    dtype?: WeightDtype,
  ): Promise<Classifier> {
    return Classifier.make(meta, checkpoint, device, (engine) => writeTrained(engine, tensors), dtype);
  }

  /** What training begins with: the base model with a head of chance. */
  static untrained(meta: AdapterMeta, seed: number, checkpoint: GPT2Checkpoint, device: Backend): Promise<Classifier> {
    return Classifier.make(meta, checkpoint, device, (engine) => initialize(engine, seed));
  }

  private static async make(
    meta: AdapterMeta,
    checkpoint: GPT2Checkpoint,
    device: Backend,
    fill: (engine: Engine) => void,
    dtype: WeightDtype = baseDtype(meta),
  ): Promise<Classifier> {
    if (meta.task.objective !== "classification")
      throw new ConfigError("a language model labels nothing", {
        expected: "an adapter of a classifier (SEQ_CLS)",
        hint: "it writes texts: use generate",
      });
    const { config } = checkpoint;
    const { maxLength = config.n_positions, padTo = 0 } = meta.settings as { maxLength?: number; padTo?: number };
    const longest = Math.min(maxLength, config.n_positions);
    const spec = { config, task: meta.task, mode: meta.mode, lora: meta.lora, train_head: true, dtype };
    const capacity = { tokens: Math.max(1024, 2 * longest), sequences: SEQUENCES };
    const engine = await Engine.create(device, { spec, capacity, optimizer: null });
    try {
      await loadBase(engine, checkpoint);
      fill(engine);
      return new Classifier(engine, await Tokenizer.load(), meta, padTo, longest);
    } catch (error) {
      engine.destroy();
      throw error;
    }
  }

  /** Labels texts, in their order. Texts longer than the context are cut, as in training. */
  async classify(texts: readonly string[]): Promise<Classification[]> {
    const { labels } = this.meta;
    return predictions(await this.logits(texts), labels.length).map(({ label, probability, probabilities }) => ({
      label: labels[label]!,
      probability,
      probabilities: Object.fromEntries(labels.map((name, i) => [name, probabilities[i]!])),
    }));
  }

  /** Logits [texts, labels]: what the probabilities come from. */
  async logits(texts: readonly string[]): Promise<Float32Array> {
    const results = new Float32Array(texts.length * this.meta.labels.length);
    const { capacity } = this.engine.plan;
    let rows: Uint32Array[] = [];
    let tokens = 0;
    let at = 0;
    const flush = async () => {
      if (rows.length === 0) return;
      const logits = await this.run(rows);
      results.set(logits, at);
      at += logits.length;
      rows = [];
      tokens = 0;
    };
    for (const text of texts) {
      const row = this.row(text);
      if (rows.length === capacity.sequences || tokens + this.width(row) > capacity.tokens) await flush();
      rows.push(row);
      tokens += this.width(row);
    }
    await flush();
    return results;
  }

  /** Puts other trained tensors in place: those of a later step of the same run. */
  update(tensors: Tensors): void {
    writeTrained(this.engine, tensors);
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.engine.destroy();
  }

  private row(text: string): Uint32Array {
    const ids = this.tokenizer.encode(text).subarray(0, this.padTo || this.maxLength);
    return ids.length > 0 ? ids : Uint32Array.of(END_OF_TEXT_ID);
  }

  private width(row: Uint32Array): number {
    return this.padTo || row.length;
  }

  private async run(rows: Uint32Array[]): Promise<Float32Array> {
    const slot = this.engine.forward(packRows(rows, this.padTo, this.meta.task.pooling));
    const logits = await this.engine.logits(rows.length);
    await this.engine.result(slot);
    return logits;
  }
}

/** Token rows as a packed batch; `padTo` > 0 fills them up with <|endoftext|>. */
function packRows(rows: Uint32Array[], padTo: number, pooling: Pooling): Batch {
  const starts = new Uint32Array(rows.length + 1);
  rows.forEach((row, b) => {
    starts[b + 1] = starts[b]! + (padTo || row.length);
  });
  const ids = new Uint32Array(starts[rows.length]!).fill(END_OF_TEXT_ID);
  rows.forEach((row, b) => {
    ids.set(row, starts[b]!);
  });
  return {
    ids,
    starts,
    rows: Uint32Array.from(rows, (row, b) => (pooling === "last" ? starts[b + 1]! : starts[b]! + row.length) - 1),
    targets: new Int32Array(rows.length),
  };
}
