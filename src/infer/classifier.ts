/** A trained classifier. */
import { checkArguments, checkOptions, type Kind } from "../arguments.ts";
import type { Backend } from "../backend/backend.ts";
import type { WeightDtype } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { Engine } from "../engine/engine.ts";
import type { Initialization } from "../engine/initial.ts";
import { decide, predictions } from "../engine/predictions.ts";
import { writeTrained } from "../engine/state.ts";
import { ConfigError, DataError } from "../errors.ts";
import { adaptedSpec, dtypeOn } from "../io/adapter-meta.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../io/download-options.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import { Novelty, type NoveltySettings } from "../io/novelty.ts";
import { openAdapter } from "../io/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { AdapterModel, DEFAULT_NAME, loadModelWith, type ModelKind } from "./adapter-model.ts";
import type { CreateWork } from "./device.ts";
import type { MixedPlans } from "./mixed.ts";
import { capacityFor, computeLogits, type Rows, textLengths } from "./rows.ts";

/** What a classifier makes of a text. */
export interface Classification {
  label: string;
  /** Probability of the predicted label. */
  probability: number;
  /** Probability of every label. */
  probabilities: Record<string, number>;
  /** Whether the message is unlike the training data: its label means little. Absent if the run did not measure it. */
  unlike?: boolean;
}

/** `onProgress` receives the progress of the base model's download, if there is one. */
export interface ClassifierOptions extends DownloadOptions {
  device: Backend;
  /** The base model, in place of the one that the adapter names. */
  model?: string;
  /** Type of the frozen matrices; default: as in training. After full fine-tuning all but f32 throw ConfigError. */
  dtype?: WeightDtype;
  /** The adapter's name among those of `loadAdapter`; default: "default". */
  adapterName?: string;
}

const OPTIONS = {
  ...DOWNLOAD_OPTIONS,
  device: "device",
  model: "text?",
  dtype: "text?",
  adapterName: "text?",
} as const satisfies Record<keyof ClassifierOptions, Kind>;

/** How texts are classified. */
export interface ClassifyOptions {
  /** The adapter of each text, by its name, as PEFT's `adapter_names`; default: the active one for all. */
  adapterNames?: readonly string[];
}

const CLASSIFY_OPTIONS = { adapterNames: "texts?" } as const satisfies Record<keyof ClassifyOptions, Kind>;

/** Texts for one adapter, as it reads them. */
interface Reading extends Rows {
  meta: AdapterMeta;
  /** Their places in the call's list. */
  places: readonly number[];
  /** Their tokens; an empty text has none. */
  ids: readonly Uint32Array[];
}

/**
 * A trained text classifier on a device. Calls run one after the other; `destroy` frees its memory.
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
  private readonly novelties = new WeakMap<AdapterMeta["settings"], Novelty>();

  /** Names of the classes. */
  get labels(): readonly string[] {
    return this.meta.labels;
  }

  /**
   * Loads a run directory that `fineTune` saved, its adapter/ directory, or a classifier's adapter that PEFT wrote.
   * `model` overrides the base model that the adapter names. Throws ConfigError if there is no adapter or no model,
   * FormatError if a file is damaged.
   */
  static async load(directory: string, options: ClassifierOptions): Promise<Classifier> {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, OPTIONS);
    const { device, model, dtype, adapterName, ...downloads } = options;
    const { adapter, checkpoint } = await openAdapter(directory, model, downloads);
    try {
      return await Classifier.of(adapter, checkpoint, device, dtype, adapterName);
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
    adapterName = DEFAULT_NAME,
  ): Promise<Classifier> {
    const kinds = {
      adapter: "adapter",
      checkpoint: "model",
      device: "device",
      dtype: "text?",
      adapterName: "text",
    } as const;
    checkArguments({ adapter, checkpoint, device, dtype, adapterName }, kinds);
    const { config } = checkpoint;
    const classifierSpec = (meta: AdapterMeta): ModelSpec => {
      if (meta.task.objective !== "classification")
        throw new ConfigError("wrong-task", "a language model has no labels", {
          expected: "an adapter of a classifier (SEQ_CLS)",
          hint: "it writes texts: use generate",
        });
      const weights = dtypeOn(meta, dtype, adapter.meta);
      return adaptedSpec(meta, { config, train_head: true, dtype: weights });
    };
    const create: ModelKind<Engine>["create"] = (on, spec, meta, sharedFrom) => {
      const capacity = capacityFor(textLengths(meta, spec).longest);
      return Engine.create(on, { spec, capacity, optimizer: null }, sharedFrom);
    };
    const kind = { adapterSpec: classifierSpec, createWork, create };
    const loaded = await loadModelWith(device, checkpoint, adapter, kind, adapterName);
    return new Classifier(loaded, await Tokenizer.load({ model: checkpoint }));
  }

  /** The model before training: the base model, with the head and the adapter that a run begins with. */
  static async untrained(
    meta: AdapterMeta,
    options: Initialization,
    checkpoint: GPT2Checkpoint,
    device: Backend,
  ): Promise<Classifier> {
    checkArguments({ meta, checkpoint }, { meta: "meta", checkpoint: "model" });
    checkOptions("options", options, { seed: "number", headInit: "text" });
    const classifier = await Classifier.of({ meta, tensors: new Map() }, checkpoint, device);
    const { initialize } = await import("../engine/initial.ts");
    await initialize(classifier.engine, options, checkpoint);
    return classifier;
  }

  /**
   * Classifies a text, or several, in order, with the active adapter or each with the one that `adapterNames` has for
   * it, to the same bits. Texts longer than the context are cut, as in training. Throws DataError if the model gives no
   * finite numbers.
   *
   * @example
   * ```ts
   * import { Classifier, openDevice } from "lowrank";
   *
   * const device = await openDevice();
   * const classifier = await Classifier.load("runs/spam", { device, adapterName: "spam" });
   * await classifier.loadAdapter("runs/tone", "tone"); // the base model is in memory once
   * const texts = ["You have won a prize", "What a lovely day"];
   * const [first, second] = await classifier.classify(texts, { adapterNames: ["spam", "tone"] });
   * console.log(first!.label, second!.label); // each is a label of its own adapter
   * ```
   */
  async classify(texts: string | readonly string[], options: ClassifyOptions = {}): Promise<Classification[]> {
    checkArguments({ texts }, { texts: "text or texts" });
    checkOptions("options", options, CLASSIFY_OPTIONS);
    const list = [texts].flat();
    const { adapterNames } = options;
    if (adapterNames && adapterNames.length !== list.length)
      throw new ConfigError("wrong-name-count", "adapterNames: not one name a text", {
        expected: `${list.length} names`,
        found: `${adapterNames.length}`,
      });
    return this.turns.run(async () => {
      const results: Classification[] = [];
      for (const [reading, logits] of await (adapterNames ? this.mixed(list, adapterNames) : this.active(list)))
        for (const [i, result] of this.classified(reading, logits).entries()) results[reading.places[i]!] = result;
      return results;
    });
  }

  /** Logits [texts, labels]. */
  async logits(texts: string | readonly string[]): Promise<Float32Array> {
    checkArguments({ texts }, { texts: "text or texts" });
    return this.turns.run(async () => (await this.active([texts].flat()))[0]![1]);
  }

  /** Replaces the trained tensors by those of a later step of the same run. */
  update(tensors: Tensors): void {
    checkArguments({ tensors }, { tensors: "tensors" });
    writeTrained(this.engine, tensors);
    this.hasChanged = true;
  }

  /** The logits of texts with the active adapter. */
  private async active(texts: readonly string[]): Promise<[Reading, Float32Array][]> {
    const reading = this.read(texts, [...texts.keys()], this.meta, this.engine.plan.spec);
    const [logits] = await computeLogits(this.engine, [reading]);
    return [[reading, logits!]];
  }

  /** The logits of texts with the adapters that are named for them. */
  private async mixed(texts: readonly string[], names: readonly string[]): Promise<[Reading, Float32Array][]> {
    const places = new Map<string, number[]>();
    for (const [i, name] of names.entries()) {
      this.checkLoaded(name, `adapterNames[${i}]`);
      const own = places.get(name);
      if (own) own.push(i);
      else places.set(name, [i]);
    }
    const { loaded } = this;
    const readings = new Map(
      [...places].map(([name, own]) => {
        const meta = this.metaOf(name);
        return [name, this.read(texts, own, meta, loaded.kind.adapterSpec(meta))];
      }),
    );
    const logits = await (await this.plans()).logits(readings, {
      active: { name: this.activeAdapter, engine: this.engine },
      sharedFrom: () => this.sharedFrom,
      directory: loaded.directory,
      loadedAdapter: (name) => this.loadedAdapter(name),
    });
    return [...readings].map(([name, reading]) => [reading, logits.get(name)!]);
  }

  /** The plans of all loaded adapters. */
  private async plans(): Promise<MixedPlans> {
    const { MixedPlans } = await import("./mixed.ts");
    const { loaded } = this;
    if (loaded.mixed instanceof MixedPlans && !this.hasChanged) return loaded.mixed;
    loaded.mixed?.destroy();
    loaded.mixed = null;
    this.hasChanged = false;
    const adapters = this.adapters.map((name) => {
      const spec = loaded.kind.adapterSpec(this.metaOf(name));
      const { padTo, longest } = textLengths(this.metaOf(name), spec);
      return { name, spec, longest: padTo || longest };
    });
    const plans = new MixedPlans(loaded.backend, this.engine, adapters);
    loaded.mixed = plans;
    return plans;
  }

  /** The texts at these places as an adapter reads them. */
  private read(texts: readonly string[], places: readonly number[], meta: AdapterMeta, spec: ModelSpec): Reading {
    const { padTo, longest } = textLengths(meta, spec);
    const { endOfText: pad } = this.tokenizer;
    const ids = places.map((i) => this.tokenizer.encode(texts[i]!).subarray(0, padTo || longest));
    const tokens = ids.map((row) => (row.length > 0 ? row : Uint32Array.of(pad)));
    return { meta, places, ids, tokens, padTo, pad, pooling: meta.task.pooling };
  }

  private classified({ meta, ids }: Reading, logits: Float32Array): Classification[] {
    if (!logits.every(Number.isFinite))
      throw new DataError("not-finite", "the model's probabilities are not finite", {
        hint: "its weights are damaged, or it was trained at too high a learning rate: train again at a lower one",
      });
    const { labels, settings } = meta;
    const novelty = this.openNovelty(settings);
    const decided = predictions(logits, labels.length).map((one) => decide(one, settings));
    return decided.map(({ row, label, probability, probabilities }) => ({
      label: labels[label]!,
      probability,
      probabilities: Object.fromEntries(labels.map((name, i) => [name, probabilities[i]!])),
      ...(novelty ? { unlike: novelty.isUnlike(ids[row]!) } : {}),
    }));
  }

  private openNovelty(settings: AdapterMeta["settings"]): Novelty | null {
    if (settings.novelty === undefined) return null;
    const known = this.novelties.get(settings) ?? Novelty.from(settings.novelty as NoveltySettings);
    this.novelties.set(settings, known);
    return known;
  }
}

/** The logits of a text and its reverse. */
const createWork: CreateWork<Engine> = (text) => {
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
