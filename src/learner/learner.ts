/** A model that classifies, learns on and saves: what `train` and `load` give. */
import { absolutePath } from "#platform";
import type { Device, DeviceInfo } from "../backend/backend.ts";
import { checkNumber, isObject, isText } from "../core/checks.ts";
import { asyncDispose } from "../core/dispose.ts";
import { ConfigError } from "../core/errors.ts";
import { readsPairs, type TextOrList, type TextOrPair } from "../core/pair.ts";
import type { ClassifyOptions } from "../infer/calls.ts";
import { Classifier } from "../infer/classifier.ts";
import type { Completion, GenerateOptions } from "../infer/text/generation.ts";
import { LanguageModel } from "../infer/text/language-model.ts";
import { Turns } from "../infer/turns.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter } from "../io/peft/peft.ts";
import type { FineTuneRun } from "../run/fine-tune.ts";
import { atLeast } from "../tasks/certainty.ts";
import { hasHead, type Objective, TASKS } from "../tasks/index.ts";
import type { Classification, Labelled, Scored, TaggedText } from "../tasks/predictions.ts";
import type { RowSets, RowSource } from "./rows.ts";
import type { SaveModelOptions } from "./saved.ts";
import type { LearnOptions } from "./training.ts";

type Model = Classifier | LanguageModel;

/** A model on a device with its adapter. */
interface Held {
  model: Model;
  adapter: Adapter;
  /** Calls that have not ended: it is destroyed behind the last one when another has replaced it. */
  calls: number;
  isReplaced: boolean;
}

export interface LearnerParts {
  device: Device;
  base: BaseModel;
  /** Whether its base model is closed with it, and not by the caller. */
  isOwner: boolean;
  adapter: Adapter;
  /** The rows that the adapter has learned; null: they are not known. */
  rows: () => Promise<RowSets | null>;
  /** The training, of one that was not loaded. */
  run: FineTuneRun | null;
  /** Where it was loaded from. */
  directory: string | null;
}

/** How texts get labels. */
export interface LabelOptions extends ClassifyOptions {
  /** No label, and no entity, of a lower probability is given, of texts that the model cannot tell. Default: 0. */
  minProbability?: number;
}

/**
 * A model of your own texts on a device: it answers, learns on and is saved. One text gives one answer, a list a list.
 * It is made by `train` and `load`; `destroy`, or the end of a block that begins with `await using`, frees its memory.
 *
 * @example
 * ```ts
 * import { type Learner, train } from "lowrank";
 *
 * const model: Learner = await train("messages.csv");
 * const { label, probability } = await model.classify("refund, please");
 * const several = await model.classify(["refund, please", "where is my parcel"]);
 * model.destroy();
 * ```
 */
export class Learner {
  private held: Held;
  /** The last training: results, record, the steps. Null of a model that was loaded. */
  run: FineTuneRun | null;
  private readonly learning = new Turns();
  private readonly end = new AbortController();
  /** Directories that it was loaded from or saved in: it may replace itself there. */
  private readonly places: Set<string>;

  private constructor(
    model: Model,
    private readonly parts: LearnerParts,
  ) {
    this.held = hold(model, parts.adapter);
    this.run = parts.run;
    this.places = new Set(parts.directory === null ? [] : [absolutePath(parts.directory)]);
  }

  /** Puts a model with its adapter on the device. Closes its base model if that fails. */
  static async of(given: Omit<LearnerParts, "device"> & { device: Device | Promise<Device> }): Promise<Learner> {
    try {
      const parts = { ...given, device: await given.device };
      return new Learner(await place(parts, parts.adapter), parts);
    } catch (error) {
      if (given.isOwner) await given.base.close();
      throw error;
    }
  }

  /** Its task: "classification", "regression", "multi-label", "tokens" or "lm". */
  get objective(): Objective {
    return this.held.adapter.meta.task.objective;
  }

  /** Its labels, in the order in which they were learned; of a regression "score", of a language model none. */
  get labels(): readonly string[] {
    return this.held.adapter.meta.labels;
  }

  /** The device that computes. */
  get device(): DeviceInfo {
    return this.held.model.device;
  }

  /** The trained tensors and their description, for `fineTune`, `Classifier.of` and the rest of the library. */
  get adapter(): Adapter {
    return this.held.adapter;
  }

  /** Gives a text, or a pair of texts, its label, or its labels; of a list each one. See `Classifier.classify`. */
  classify(text: TextOrPair, options?: LabelOptions): Promise<Classification>;
  classify(texts: readonly TextOrPair[], options?: LabelOptions): Promise<Classification[]>;
  classify(texts: TextOrPair | readonly TextOrPair[], options?: LabelOptions) {
    return this.each(texts, options, (model, list, rest) => model.classify(list, rest));
  }

  /** Gives a text its score by a regression; of a list each one. */
  score(text: TextOrPair, options?: ClassifyOptions): Promise<Scored>;
  score(texts: readonly TextOrPair[], options?: ClassifyOptions): Promise<Scored[]>;
  score(texts: TextOrPair | readonly TextOrPair[], options?: ClassifyOptions) {
    return this.each(texts, options, (model, list) => model.score(list, options));
  }

  /** Finds the entities of a text; of a list those of each one, which may be a list of words. */
  tag(text: string, options?: LabelOptions): Promise<TaggedText>;
  tag(texts: readonly TextOrList[], options?: LabelOptions): Promise<TaggedText[]>;
  tag(texts: string | readonly TextOrList[], options?: LabelOptions) {
    return this.each(texts, options, (model, list, rest) => model.tag(list, rest));
  }

  /** Writes on after a prompt; of a list after each one. `LanguageModel.generate` gives the text as it is written. */
  generate(prompt: string, options?: GenerateOptions): Promise<Completion>;
  generate(prompts: readonly string[], options?: GenerateOptions): Promise<Completion[]>;
  async generate(prompts: string | readonly string[], options?: GenerateOptions) {
    const answers = await this.use((model) => {
      if (model instanceof LanguageModel) return model.complete(prompts, options);
      throw new ConfigError("wrong-task", "a classifier writes no texts", {
        hint: `use ${TASKS[this.objective].predicts!.method}`,
      });
    });
    return isText(prompts) ? answers[0]! : answers;
  }

  /**
   * Learns further rows, new labels included, from where it is, and answers as before until then. With them it learns
   * again rows that it has learned, so that it does not forget; of a model that was loaded these are the ones it was
   * saved with; without them, rows of each of its labels must be given. Rows that were kept to measure with still are.
   * Calls run one after the other. Throws ConfigError or DataError for rows that do not fit, the signal's reason if it
   * was aborted: then nothing has changed.
   *
   * @example
   * ```ts
   * import { load } from "lowrank";
   *
   * await using model = await load("topics");
   * await model.learn([{ text: "where is my parcel", label: "shipping" }]);
   * await model.save("topics", { rows: true });
   * ```
   */
  async learn(rows: RowSource, options: LearnOptions = {}): Promise<void> {
    this.checkAlive();
    const { checkLearning, learn } = await import("./training.ts");
    checkLearning(rows, options);
    await this.learning.run(async () => {
      this.checkAlive();
      const known = await this.keepRows();
      const { run, sets } = await learn(rows, this.held.adapter, known, this.parts, options, this.end.signal);
      const model = await place(this.parts, run.adapter);
      const old = this.held;
      this.held = hold(model, run.adapter);
      this.run = run;
      this.parts.rows = async () => sets;
      old.isReplaced = true;
      if (old.calls === 0) old.model.destroy();
    });
  }

  /**
   * Saves the adapter as a directory for `load`, `Classifier.load` and PEFT: on disk, in a page in its storage (OPFS).
   * Replaces what this model has saved there, or was loaded from, or, with `force`, another saved model; rows that it
   * was saved with there are saved with it again. Throws ConfigError if anything else is there, LowrankError if nothing
   * can be stored.
   */
  async save(directory: string, options: SaveModelOptions = {}): Promise<void> {
    this.checkAlive();
    const { saveModel } = await import("./saved.ts");
    await saveModel(directory, await this.saved(), options, this.places);
    this.places.add(absolutePath(directory));
  }

  /**
   * The same as one file, a zip, which `load` reads: to download, to send, or to store where there is no file system.
   */
  async toBlob(options: Omit<SaveModelOptions, "force"> = {}): Promise<Blob> {
    this.checkAlive();
    const { modelBlob } = await import("./saved.ts");
    return modelBlob(await this.saved(), options);
  }

  /** The rows that it has learned; those that it was saved with are read once. Null: they are not known. */
  async keepRows(): Promise<RowSets | null> {
    const rows = await this.parts.rows();
    this.parts.rows = async () => rows;
    return rows;
  }

  /** Frees its memory, and ends what it learns. */
  destroy(): void {
    if (this.end.signal.aborted) return;
    this.end.abort(destroyed());
    this.held.model.destroy();
    if (this.parts.isOwner) void this.parts.base.close();
  }

  /** Frees it at the end of a block that begins with `await using`. */
  async [asyncDispose](): Promise<void> {
    this.destroy();
  }

  private async saved() {
    return { adapter: this.held.adapter, base: this.parts.base, rows: () => this.keepRows() };
  }

  private async each<T extends Labelled>(
    texts: TextOrPair | readonly TextOrList[],
    options: LabelOptions | undefined,
    work: (model: Classifier, texts: readonly TextOrPair[], options?: ClassifyOptions) => Promise<T[]>,
  ): Promise<T | T[]> {
    const { minProbability: least, ...others } = isObject(options) ? (options as LabelOptions) : {};
    if (least !== undefined) checkNumber("minProbability", least, { min: 0, max: 1 });
    const rest = least === undefined ? options : others;
    const isOne =
      isText(texts) || (readsPairs(this.held.adapter.meta) === true && texts.length === 2 && texts.every(isText));
    const answers = await this.use((model) => {
      if (model instanceof Classifier)
        return work(model, isOne ? [texts as TextOrPair] : (texts as TextOrPair[]), rest);
      throw new ConfigError("wrong-task", "a language model has no labels", { hint: "use generate" });
    });
    const given = least === undefined ? answers : answers.map((answer) => atLeast(answer, least) as T);
    return isOne ? given[0]! : given;
  }

  /** A call on the model as it is now, which ends on that one. */
  private async use<T>(work: (model: Model) => Promise<T>): Promise<T> {
    this.checkAlive();
    const { held } = this;
    held.calls++;
    try {
      return await work(held.model);
    } finally {
      held.calls--;
      if (held.isReplaced && held.calls === 0) held.model.destroy();
    }
  }

  private checkAlive(): void {
    if (this.end.signal.aborted) throw destroyed();
  }
}

const hold = (model: Model, adapter: Adapter): Held => ({ model, adapter, calls: 0, isReplaced: false });

const destroyed = () =>
  new ConfigError("already-destroyed", "the model was destroyed", { hint: "destroy it at the end" });

function place({ base, device }: LearnerParts, adapter: Adapter): Promise<Model> {
  if (hasHead(adapter.meta.task)) return Classifier.of(adapter, base, device);
  return LanguageModel.of(base, adapter, { device });
}
