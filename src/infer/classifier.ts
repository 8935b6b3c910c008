/** A trained classifier. */

import { backendOf, type Device } from "../backend/backend.ts";
import { checkArguments, checkOptions, type FieldKind } from "../core/checks.ts";
import { concat } from "../core/concat.ts";
import { ConfigError, DataError, DeviceError } from "../core/errors.ts";
import { isBlank, SENTENCES, TEXTS, type TextOrList, type TextOrPair } from "../core/pair.ts";
import type { WeightDtype } from "../core/tensor.ts";
import { Engine } from "../engine/engine.ts";
import { writeTrained } from "../engine/state.ts";
import type { BaseModel } from "../io/hf.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../io/hub/download-options.ts";
import { adaptedSpec, dtypeOn } from "../io/peft/adapter-meta.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft/peft.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { readsTokens, TASKS } from "../tasks/index.ts";
import type { Classification, Labelled, Scored, TaggedText } from "../tasks/predictions.ts";
import { AdapterModel, loadModelWith, tokenizerOf, withAdapter } from "./adapter-model.ts";
import { type Call, Calls, type ClassifyOptions, type Joined } from "./calls.ts";
import type { ModelKind } from "./model-kind.ts";
import { capacityFor, computeRows, encodeTexts, type Rows, textLengths } from "./rows.ts";
import { encodeWords, readEntities } from "./words.ts";

/** `onProgress` receives the progress of the base model's download, if there is one. */
export interface ClassifierOptions extends DownloadOptions {
  /** The device, from `openDevice`. */
  device: Device;
  /**
   * The base model, by name or open (then it stays open). Default: the one that the adapter names, or the bundled one.
   */
  model?: string | BaseModel;
  /** Type of the frozen matrices; default: as in training. After full fine-tuning all but f32 throw ConfigError. */
  dtype?: WeightDtype;
}

/** The arguments of `Classifier.load`. */
export const OPTIONS = {
  ...DOWNLOAD_OPTIONS,
  device: "device",
  model: "name or model?",
  dtype: "text?",
} as const satisfies Record<keyof ClassifierOptions, FieldKind>;

const CLASSIFY_OPTIONS = {
  signal: "signal?",
  latest: "boolean?",
} as const satisfies Record<keyof ClassifyOptions, FieldKind>;

/** The texts of a call, as the adapter reads them. */
interface Reading extends Rows {
  meta: AdapterMeta;
  /** Logits [texts, labels] of the word counts of a linear probe. */
  counts: Float32Array | null;
  /** The same with their words, where each of these has a prediction. */
  words: ReturnType<typeof encodeWords> | null;
}

type Answer = Reading & { logits: Float32Array };
type Asking = Call<readonly TextOrList[], Answer>;

interface Row {
  tokens: Uint32Array;
  take(logits: Float32Array): void;
}

/**
 * A trained text classifier on a device. Calls run in their order, those that wait for the same turn together, with the
 * bits of each alone; `destroy` frees its memory.
 *
 * @example
 * ```ts
 * import { Classifier, openDevice } from "lowrank/engine";
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
  private readonly calls = new Calls<readonly TextOrList[], Answer>(
    this.turns,
    (work) => this.inTurn(work),
    (calls) => this.answer(calls),
  );

  /** Names of the classes; of a regression "score". */
  get labels(): readonly string[] {
    return this.meta.labels;
  }

  /**
   * Loads a run directory that `fineTune` saved, its adapter/ directory, a classifier's adapter that PEFT wrote, or a
   * zip file (.zip) of one of these.
   * `model` overrides the base model that the adapter names. Throws ConfigError if there is no adapter or no model,
   * FormatError if a file is damaged.
   */
  static async load(directory: string, options: ClassifierOptions): Promise<Classifier> {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, OPTIONS);
    const { device, model, dtype, ...downloads } = options;
    return withAdapter(directory, model, downloads, (adapter, baseModel) =>
      Classifier.of(adapter, baseModel, device, dtype),
    );
  }

  /** A classifier from an adapter in memory and its base model. */
  static async of(adapter: Adapter, baseModel: BaseModel, device: Device, dtype?: WeightDtype): Promise<Classifier> {
    const kinds = { adapter: "adapter", baseModel: "model", device: "device", dtype: "text?" } as const;
    checkArguments({ adapter, baseModel, device, dtype }, kinds);
    const { meta } = adapter;
    const spec = classifierSpec(meta, baseModel, dtypeOn(meta, dtype, device));
    const options = { spec, capacity: capacityFor(textLengths(meta, spec).longest), optimizer: null };
    const tokenizer = tokenizerOf(baseModel, meta);
    const kind: ModelKind<Engine> = {
      spec,
      layout: "rows",
      plan: (on) => Engine.plan(on, options),
      create: (on, sharedFrom) => Engine.create(on, options, sharedFrom),
    };
    const loaded = loadModelWith(backendOf(device), baseModel, adapter, kind);
    // At the same time: the tokenizer may come from a server.
    return Promise.all([loaded, tokenizer]).then(
      (both) => new Classifier(...both),
      async (error) => {
        (await loaded).engine.destroy();
        throw error;
      },
    );
  }

  /**
   * Classifies a text, or several, in order. A pair of texts is an array of two:
   * `[["Is it open?", "Until six"]]`. Texts longer than the context are cut, as in training; blank ones have no label.
   * Throws ConfigError for single texts where the model was trained on pairs and the other way round and if it gives
   * scores, DataError if the model gives no finite numbers.
   *
   * @example
   * ```ts
   * import { Classifier, openDevice } from "lowrank/engine";
   *
   * const device = await openDevice();
   * const classifier = await Classifier.load("runs/spam", { device });
   * const [spam] = await classifier.classify("You have won a prize");
   * const other = await Classifier.load("runs/tone", { device }); // the base model is in memory once
   * const [tone] = await other.classify("You have won a prize");
   * console.log(spam!.label, tone!.label);
   * // As a user types: a newer call ends this one, and so does the signal.
   * await classifier.classify("You hav", { latest: true, signal: AbortSignal.timeout(1000) });
   * ```
   */
  async classify(texts: string | readonly TextOrPair[], options: ClassifyOptions = {}): Promise<Classification[]> {
    return this.each<Classification>("classify", texts, options);
  }

  /**
   * Scores a text, or several, in order, with a regression: as `classify` classifies them. Throws ConfigError if the
   * model gives labels.
   *
   * @example
   * ```ts
   * import { Classifier, openDevice } from "lowrank/engine";
   *
   * const classifier = await Classifier.load("runs/stars", { device: await openDevice() });
   * const [first] = await classifier.score("What a lovely day");
   * console.log(first!.score);
   * ```
   */
  async score(texts: string | readonly TextOrPair[], options: ClassifyOptions = {}): Promise<Scored[]> {
    return this.each<Scored>("score", texts, options);
  }

  /**
   * Finds the entities of a text, or of several, in order, with a token classifier: runs of words with a tag. A text is
   * divided into words as the Penn Treebank does; one that is a list of words is read as these, and its places are
   * those of the words with a space between them. Throws ConfigError if the model has a label for whole texts.
   *
   * @example
   * ```ts
   * import { Classifier, openDevice } from "lowrank/engine";
   *
   * const tagger = await Classifier.load("runs/entities", { device: await openDevice() });
   * const [first] = await tagger.tag("John Smith lives in Berlin");
   * for (const { label, text, start, end } of first!.entities) console.log(label, text, start, end);
   * await tagger.tag([["John", "Smith", "lives", "in", "Berlin"]]); // your own words, as in training
   * ```
   */
  async tag(texts: string | readonly TextOrList[], options: ClassifyOptions = {}): Promise<TaggedText[]> {
    return this.each<TaggedText>("tag", texts, options);
  }

  /** What a method makes of texts, in order. */
  private async each<T extends Labelled>(
    method: "classify" | "score" | "tag",
    texts: string | readonly TextOrList[],
    options: ClassifyOptions,
  ): Promise<T[]> {
    checkArguments({ texts }, { texts: method === "tag" ? SENTENCES : TEXTS });
    checkOptions("options", options, CLASSIFY_OPTIONS);
    const predicts = TASKS[this.meta.task.objective].predicts!;
    if (method !== predicts.method)
      throw new ConfigError("wrong-task", "the model is for another task", { hint: `use ${predicts.method}` });
    const list: readonly TextOrList[] = typeof texts === "string" ? [texts] : texts;
    const { meta, words, logits } = await this.calls.make(list, options);
    const results = words
      ? readEntities(words, checkFinite(logits), meta.labels)
      : predicts.of!(checkFinite(logits), meta);
    return results.map((result, i) => (isBlank(list[i]!) ? predicts.blank() : result) as T);
  }

  /** Logits [texts, labels]. */
  async logits(texts: string | readonly TextOrPair[], options: ClassifyOptions = {}): Promise<Float32Array> {
    checkArguments({ texts }, { texts: TEXTS });
    checkOptions("options", options, CLASSIFY_OPTIONS);
    return (await this.calls.make([texts].flat(), options)).logits;
  }

  /** Replaces the trained tensors by those of a later step of the same run. */
  update(tensors: Tensors): void {
    checkArguments({ tensors }, { tensors: ["a Map of tensors", (value) => value instanceof Map] });
    const { loaded, engine } = this;
    if (loaded.adapter) {
      const { meta, tensors: before } = loaded.adapter;
      loaded.adapter = { meta, tensors: new Map([...before, ...tensors]) };
    }
    try {
      writeTrained(engine, tensors);
    } catch (error) {
      // The next call finds a device that has failed, and then writes what was kept.
      if (!(loaded.adapter && error instanceof DeviceError)) throw error;
    }
  }

  /** Answers calls together: their rows go to the device in turns, whatever call they are of. */
  private async answer(calls: Joined<Asking>): Promise<void> {
    const { meta, engine } = this;
    const reader = { ...textLengths(meta, engine.plan.spec), pad: this.tokenizer.endOfText, task: meta.task };
    await computeRows(engine, reader, this.rotate(calls), (row, logits) => row.take(logits));
  }

  /** The rows of all calls, of each one at a time; those of a call that has ended are left out. */
  private async *rotate(calls: Joined<Asking>): AsyncGenerator<Row> {
    let open: { call: Asking; rows: readonly Row[]; next: number }[] = [];
    for (;;) {
      const isLast = open.length === 0;
      const joined = calls.take(isLast);
      if (isLast && joined.length === 0) return;
      for (const call of joined) open.push({ call, rows: (await this.read(call).catch(call.reject)) ?? [], next: 0 });
      open = open.filter(({ call, rows, next }) => !call.isOver && next < rows.length);
      for (const one of open) yield one.rows[one.next++]!;
    }
  }

  /** The rows of a call. The last one's logits answer it. */
  private async read(call: Asking): Promise<Row[]> {
    const reading = await this.encode(call.asked);
    const found: Float32Array[] = [];
    const answer = () => {
      const logits = concat(Float32Array, found);
      for (const [i, value] of reading.counts?.entries() ?? []) logits[i]! += value;
      call.resolve({ ...reading, logits });
    };
    if (reading.tokens.length === 0) answer();
    const take = (logits: Float32Array) => {
      found.push(logits);
      if (found.length === reading.tokens.length) answer();
    };
    return reading.tokens.map((tokens) => ({ tokens, take }));
  }

  /** Texts as the adapter reads them. */
  private async encode(texts: readonly TextOrList[]): Promise<Reading> {
    const { meta } = this;
    const { padTo, longest } = textLengths(meta, this.engine.plan.spec);
    const { endOfText: pad } = this.tokenizer;
    const common = { meta, padTo, pad, task: meta.task };
    if (readsTokens(meta.task)) {
      const words = encodeWords(this.tokenizer, texts, longest);
      return { ...common, words, counts: null, tokens: words.map(({ ids }) => ids) };
    }
    const ids = await encodeTexts(this.tokenizer, texts as TextOrPair[], padTo || longest, meta);
    const counts = await this.countLogits(texts as TextOrPair[]);
    return { ...common, words: null, counts, tokens: ids.map((row) => (row.length > 0 ? row : Uint32Array.of(pad))) };
  }

  private async countLogits(texts: readonly TextOrPair[]): Promise<Float32Array | null> {
    const { counts } = this.loaded;
    if (!counts) return null;
    // Imported on demand: other models have none.
    const { logitsOf, readCounts } = await import("../classic/answers.ts");
    const parts = readCounts(counts);
    return logitsOf(parts, texts, parts.labels);
  }
}

/** Throws ConfigError for the adapter of a model that writes texts. */
function classifierSpec(meta: AdapterMeta, { config }: Pick<BaseModel, "config">, dtype: WeightDtype): ModelSpec {
  if (!TASKS[meta.task.objective].predicts)
    throw new ConfigError("wrong-task", "a language model has no labels", {
      expected: "an adapter of a classifier (SEQ_CLS)",
      hint: "it writes texts: use generate",
    });
  return adaptedSpec(meta, { config, train_head: true, dtype });
}

export function checkFinite(logits: Float32Array, what = "probabilities"): Float32Array {
  if (logits.every(Number.isFinite)) return logits;
  throw new DataError("not-finite", `the model's ${what} are not finite`, {
    hint: "its weights are damaged, or it was trained at too high a learning rate: train again at a lower one",
  });
}
