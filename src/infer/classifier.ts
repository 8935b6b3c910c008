/** A trained classifier. */
import { checkArguments, checkOptions, type Kind } from "../arguments.ts";
import type { Backend } from "../backend/backend.ts";
import { type Pooling, textContext, type WeightDtype } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { Engine } from "../engine/engine.ts";
import { predictions } from "../engine/predictions.ts";
import { initialize, writeTrained } from "../engine/state.ts";
import { ConfigError, DataError } from "../errors.ts";
import { dtypeOn, specOf } from "../io/adapter-meta.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../io/download-options.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import { Novelty, type NoveltySettings } from "../io/novelty.ts";
import { openAdapter } from "../io/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft.ts";
import type { Batch } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { AdapterModel, loadModelWith, type ModelKind } from "./adapter-model.ts";
import type { TrialOf } from "./device.ts";

/** What a classifier makes of a text. */
export interface Classification {
  label: string;
  /** Probability of the predicted label. */
  probability: number;
  /** Probability of every label. */
  probabilities: Record<string, number>;
  /** Whether the message is unlike the training data, so that its label means little. Absent if the run did not measure it. */
  unlike?: boolean;
}

/** Texts a batch. */
const SEQUENCES = 16;

/** `onProgress` receives the progress of the base model's download, if there is one. */
export interface ClassifierOptions extends DownloadOptions {
  device: Backend;
  /** The base model, in place of the one that the adapter names. */
  model?: string;
  /** Type of the frozen matrices; default: as in training. After full fine-tuning nothing is frozen: f16 throws ConfigError. */
  dtype?: WeightDtype;
}

const OPTIONS = {
  ...DOWNLOAD_OPTIONS,
  device: "device",
  model: "text?",
  dtype: "text?",
} as const satisfies Record<keyof ClassifierOptions, Kind>;

/**
 * A trained text classifier on a device. Calls are done one after the other; `destroy` frees its memory.
 *
 * @example
 * ```ts
 * import { Classifier, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const classifier = await Classifier.load("runs/first", { device });
 * const [first] = await classifier.classify("You have won a prize, call now");
 * console.log(first!.label, first!.probability);
 * classifier.destroy();
 * device.destroy();
 * ```
 */
export class Classifier extends AdapterModel<Engine> {
  private read: { settings: AdapterMeta["settings"]; novelty: Novelty } | undefined;

  /** Names of the classes. */
  get labels(): readonly string[] {
    return this.meta.labels;
  }

  /**
   * Loads a run directory that `fineTune` saved, its adapter/ directory, or a classifier's adapter that PEFT wrote. `model` overrides
   * the base model that the adapter names. Throws ConfigError if there is no adapter or no model, FormatError if a file is damaged.
   */
  static async load(directory: string, options: ClassifierOptions): Promise<Classifier> {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, OPTIONS);
    const { device, model, dtype, ...downloads } = options;
    const { adapter, checkpoint } = await openAdapter(directory, model, downloads);
    try {
      return await Classifier.of(adapter, checkpoint, device, dtype);
    } finally {
      await checkpoint.close();
    }
  }

  /** A classifier from an adapter in memory and its base model. */
  static async of(
    adapter: Adapter,
    checkpoint: GPT2Checkpoint,
    device: Backend,
    dtype?: WeightDtype,
  ): Promise<Classifier> {
    const kinds = { adapter: "adapter", checkpoint: "model", device: "device", dtype: "text?" } as const;
    checkArguments({ adapter, checkpoint, device, dtype }, kinds);
    const { config } = checkpoint;
    const classifierSpec = (meta: AdapterMeta): ModelSpec => {
      if (meta.task.objective !== "classification")
        throw new ConfigError("a language model labels nothing", {
          expected: "an adapter of a classifier (SEQ_CLS)",
          hint: "it writes texts: use generate",
        });
      const weights = dtypeOn(meta, dtype, adapter.meta);
      return specOf(meta, { config, train_head: true, dtype: weights });
    };
    const create: ModelKind<Engine>["create"] = (on, spec, meta, sharedFrom) => {
      const capacity = { tokens: Math.max(1024, 2 * lengthsOf(meta, spec).longest), sequences: SEQUENCES };
      return Engine.create(on, { spec, capacity, optimizer: null }, sharedFrom);
    };
    const loaded = await loadModelWith(device, checkpoint, adapter, { specOf: classifierSpec, trialOf, create });
    return new Classifier(loaded, await Tokenizer.load({ model: checkpoint }));
  }

  /** The model before training: the base model with a random head. */
  static async untrained(
    meta: AdapterMeta,
    seed: number,
    checkpoint: GPT2Checkpoint,
    device: Backend,
  ): Promise<Classifier> {
    checkArguments({ meta, seed, checkpoint }, { meta: "meta", seed: "number", checkpoint: "model" });
    const classifier = await Classifier.of({ meta, tensors: new Map() }, checkpoint, device);
    await initialize(classifier.engine, seed, checkpoint);
    return classifier;
  }

  /**
   * Classifies a text, or several, in order. Texts longer than the context are cut, as in training. Throws DataError if the model gives no
   * finite numbers.
   */
  async classify(texts: string | readonly string[]): Promise<Classification[]> {
    checkArguments({ texts }, { texts: "text or texts" });
    const list = [texts].flat();
    return this.turns.run(async () => {
      const { labels } = this.meta;
      const novelty = this.novelty;
      const logits = await this.logitsOf(list);
      if (!logits.every(Number.isFinite))
        throw new DataError("the model's probabilities are not finite", {
          hint: "its weights are damaged, or it was trained at too high a learning rate: train again at a lower one",
        });
      return predictions(logits, labels.length).map(({ row, label, probability, probabilities }) => ({
        label: labels[label]!,
        probability,
        probabilities: Object.fromEntries(labels.map((name, i) => [name, probabilities[i]!])),
        ...(novelty ? { unlike: novelty.isUnlike(this.idsOf(list[row]!)) } : {}),
      }));
    });
  }

  /** Logits [texts, labels]. */
  async logits(texts: string | readonly string[]): Promise<Float32Array> {
    checkArguments({ texts }, { texts: "text or texts" });
    return this.turns.run(() => this.logitsOf([texts].flat()));
  }

  /** Replaces the trained tensors by those of a later step of the same run. */
  update(tensors: Tensors): void {
    checkArguments({ tensors }, { tensors: "tensors" });
    writeTrained(this.engine, tensors);
  }

  /** The active adapter's. */
  private get novelty(): Novelty | null {
    const { settings } = this.meta;
    if (settings.novelty === undefined) return null;
    if (this.read?.settings !== settings)
      this.read = { settings, novelty: Novelty.from(settings.novelty as NoveltySettings) };
    return this.read.novelty;
  }

  /** The tokens of a text that the model reads. */
  private idsOf(text: string): Uint32Array {
    const { padTo, longest } = lengthsOf(this.meta, this.engine.plan.spec);
    return this.tokenizer.encode(text).subarray(0, padTo || longest);
  }

  private async logitsOf(texts: readonly string[]): Promise<Float32Array> {
    const { padTo } = lengthsOf(this.meta, this.engine.plan.spec);
    const { endOfText } = this.tokenizer;
    const results = new Float32Array(texts.length * this.meta.labels.length);
    const { capacity } = this.engine.plan;
    let rows: Uint32Array[] = [];
    let tokens = 0;
    let at = 0;
    const flush = async () => {
      if (rows.length === 0) return;
      const slot = this.engine.forward(packRows(rows, { padTo, pad: endOfText, pooling: this.meta.task.pooling }));
      const logits = await this.engine.logits(rows.length);
      await this.engine.result(slot);
      results.set(logits, at);
      at += logits.length;
      rows = [];
      tokens = 0;
    };
    for (const text of texts) {
      const ids = this.idsOf(text);
      const row = ids.length > 0 ? ids : Uint32Array.of(endOfText);
      const width = padTo || row.length;
      if (rows.length === capacity.sequences || tokens + width > capacity.tokens) await flush();
      rows.push(row);
      tokens += width;
    }
    await flush();
    return results;
  }
}

/** The logits of a text and its reverse. */
const trialOf: TrialOf<Engine> = (text) => {
  const { length } = text;
  const batch = {
    ids: Uint32Array.from([...text, ...text.toReversed()]),
    starts: Uint32Array.of(0, length, 2 * length),
    rows: Uint32Array.of(length - 1, 2 * length - 1),
    targets: new Int32Array(2),
  };
  return {
    name: "classification",
    create: (backend, spec) =>
      Engine.create(backend, { spec, capacity: { tokens: 2 * length, sequences: 2 }, optimizer: null }),
    async pass(engine) {
      engine.forward(batch);
      return [["logits", await engine.logits(2)]];
    },
  };
};

/** Tokens to which every text is padded (0: none), and the longest text in tokens. */
function lengthsOf({ settings }: AdapterMeta, spec: ModelSpec): { padTo: number; longest: number } {
  const context = textContext(spec.config, spec);
  const { maxLength = context, padTo = 0 } = settings as { maxLength?: number; padTo?: number };
  return { padTo, longest: Math.min(maxLength, context) };
}

/** Token rows as a packed batch; `padTo` > 0 fills them up with `pad`. */
function packRows(
  rows: Uint32Array[],
  { padTo, pad, pooling }: { padTo: number; pad: number; pooling: Pooling },
): Batch {
  const starts = new Uint32Array(rows.length + 1);
  rows.forEach((row, b) => {
    starts[b + 1] = starts[b]! + (padTo || row.length);
  });
  const ids = new Uint32Array(starts[rows.length]!).fill(pad);
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
