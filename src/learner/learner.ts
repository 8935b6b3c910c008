/** A model that classifies, learns on and saves: what `train` and `load` give. */
import { absolutePath } from "#platform";
import type { DeviceInfo } from "../backend/backend.ts";
import type { Lease } from "../backend/lease.ts";
import { checkNumber, isObject, isText } from "../core/checks.ts";
import { asyncDispose } from "../core/dispose.ts";
import { ConfigError } from "../core/errors.ts";
import type { TextOrList, TextOrPair } from "../core/pair.ts";
import type { WeightDtype } from "../core/tensor.ts";
import type { ClassifyOptions } from "../infer/calls.ts";
import { Classifier } from "../infer/classifier.ts";
import type { Completion, GenerateOptions, GenerationChunk, Prompt } from "../infer/text/generation.ts";
import { LanguageModel } from "../infer/text/language-model.ts";
import { openWriter } from "../infer/text/writer.ts";
import { Turns } from "../infer/turns.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter } from "../io/peft/peft.ts";
import type { TrainedRun } from "../run/trained-run.ts";
import { atLeast } from "../tasks/certainty.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasHead, type Objective, TASKS } from "../tasks/index.ts";
import type { Classification, Labelled, Scored, TaggedText } from "../tasks/predictions.ts";
import type { Results } from "../tasks/task.ts";
import type { RowSets, RowSource } from "./rows.ts";
import type { Places, SaveModelOptions } from "./saved.ts";
import { notAmong, rowsUnknown, TaughtRows } from "./taught-rows.ts";
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
  lease: Lease;
  base: BaseModel;
  /** Whether its base model is closed with it, and not by the caller. */
  isOwner: boolean;
  adapter: Adapter;
  /** The rows that the adapter has learned; null: they are not known. */
  rows: () => Promise<RowSets | null>;
  /** The training, of one that was not loaded. */
  run: LearnedRun | null;
  /** Where it was loaded from, and what was there. */
  saved: { directory: string; revision: string | null } | null;
  /** Type of the frozen matrices, if it was asked for. */
  dtype?: WeightDtype | undefined;
}

/** A training: its results, its record, and how it is saved as a run. */
export interface LearnedRun extends TrainedRun {
  /** Null: there are no rows to measure with. */
  results: Results | null;
}

/** What a model with several labels a text makes of one: of `labels` the most probable one is `label`. */
export type LabelSet = Classification & { labels: string[] };

/** How a text is written. */
export interface WriteOptions extends GenerateOptions {
  /** Receives the new text of the first prompt, piece by piece. */
  onText?: (text: string) => void;
}

/** How texts get labels. */
export interface LabelOptions extends ClassifyOptions {
  /** No label, and no entity, of a lower probability is given, of texts that the model cannot tell. Default: 0. */
  minProbability?: number;
}

/**
 * A model of your own texts on a device: it answers, learns on and is saved. One text gives one answer, a list a list.
 * Which method answers follows from the task, which `train` takes from the rows. It is made by `train`, `load` and
 * `study`; `destroy`, or the end of a block that begins with `await using`, frees its memory, and the device with the
 * last model that was given none.
 *
 * @example
 * ```ts
 * import { type Learner, train } from "lowrank";
 *
 * const model: Learner = await train("messages.csv");
 * const answer = await model.classify("refund, please");
 * if (answer.label !== null) console.log(answer.label, answer.probability.toFixed(2));
 * const several = await model.classify(["refund, please", "where is my parcel"]);
 * console.log(several.map(({ label }) => label ?? "?"));
 * model.destroy();
 * ```
 */
export class Learner<O extends Objective = "classification"> {
  private held: Held;
  /** The last training; null of a model that was loaded. */
  run: LearnedRun | null;
  /** The rows that it has learned, to list, correct and forget. */
  readonly rows: TaughtRows;
  private readonly learning = new Turns();
  private readonly end = new AbortController();
  /** Directories that it was loaded from or saved in: it may replace itself there. */
  private readonly places: Places;

  private constructor(
    model: Model,
    private readonly parts: LearnerParts,
  ) {
    this.held = hold(model, parts.adapter);
    this.run = parts.run;
    const { saved } = parts;
    this.places = new Map(saved && [[absolutePath(saved.directory), saved.revision]]);
    this.rows = new TaughtRows({
      get: () => this.keepRows(),
      set: (rows) => {
        this.checkAlive();
        this.parts.rows = async () => rows;
      },
      read: async (source) => (await import("./rows.ts")).listRows(source, parts.base, this.adapter.meta),
    });
  }

  /**
   * Puts a model with its adapter on the device.
   * @internal
   */
  static async of(parts: LearnerParts): Promise<Learner<Objective>> {
    return new Learner(await put(parts, parts.adapter), parts);
  }

  /** Its task: "classification", "regression", "multi-label", "tokens" or "lm". */
  get objective(): O {
    return this.held.adapter.meta.task.objective as O;
  }

  /** Its labels, in the order in which they were learned; of a regression "score", of a language model none. */
  get labels(): readonly string[] {
    return this.held.adapter.meta.labels;
  }

  /** The device that computes. */
  get device(): DeviceInfo {
    return this.held.model.device;
  }

  /** The trained tensors and their description, for what `lowrank/engine` has. */
  get adapter(): Adapter {
    return this.held.adapter;
  }

  /**
   * Gives a text its label, or its labels; of a list each one, where a pair of texts is a list of two. A text without a
   * label, being blank or below `minProbability`, has `label: null` and a `reason`. See `Classifier.classify`.
   */
  classify(this: Learner<"classification">, text: string, options?: LabelOptions): Promise<Classification>;
  classify(
    this: Learner<"classification">,
    texts: readonly TextOrPair[],
    options?: LabelOptions,
  ): Promise<Classification[]>;
  classify(this: Learner<"multi-label">, text: string, options?: LabelOptions): Promise<LabelSet>;
  classify(this: Learner<"multi-label">, texts: readonly TextOrPair[], options?: LabelOptions): Promise<LabelSet[]>;
  classify(
    this: Learner<"classification"> | Learner<"multi-label">,
    texts: string | readonly TextOrPair[],
    options?: LabelOptions,
  ) {
    return this.each(texts, options, (model, list, rest) => model.classify(list, rest));
  }

  /** Gives a text its score by a regression; of a list each one. A blank text has none: null. */
  score(this: Learner<"regression">, text: string, options?: ClassifyOptions): Promise<Scored>;
  score(this: Learner<"regression">, texts: readonly TextOrPair[], options?: ClassifyOptions): Promise<Scored[]>;
  score(this: Learner<"regression">, texts: string | readonly TextOrPair[], options?: ClassifyOptions) {
    return this.each(texts, options, (model, list) => model.score(list, options));
  }

  /** Finds the entities of a text; of a list those of each one, which may be a list of words. */
  tag(this: Learner<"tokens">, text: string, options?: LabelOptions): Promise<TaggedText>;
  tag(this: Learner<"tokens">, texts: readonly TextOrList[], options?: LabelOptions): Promise<TaggedText[]>;
  tag(this: Learner<"tokens">, texts: string | readonly TextOrList[], options?: LabelOptions) {
    return this.each(texts, options, (model, list, rest) => model.tag(list, rest));
  }

  /**
   * Writes on after a prompt, or answers the messages of a chat; of a list of prompts after each one. `onText` receives
   * the new text of the first, as it is written.
   */
  generate(this: Learner<"lm">, prompt: Prompt, options?: WriteOptions): Promise<Completion>;
  generate(this: Learner<"lm">, prompts: readonly string[], options?: WriteOptions): Promise<Completion[]>;
  async generate(this: Learner<"lm">, given: Prompt | readonly string[], { onText, ...options }: WriteOptions = {}) {
    const isOne = !Array.isArray(given) || isObject(given[0]);
    const prompts = (isOne ? [given] : given) as readonly Prompt[];
    const { joinChunks } = await import("../infer/text/generation.ts");
    const answers = await this.use((model) => {
      const chunks = asWriter(model, this.objective).generate(prompts, options);
      return joinChunks(prompts, onText ? tapped(chunks, onText) : chunks);
    });
    return isOne ? answers[0]! : answers;
  }

  /** The new text of a prompt, or of the answer to a chat, piece by piece, as it is written. */
  async *stream(this: Learner<"lm">, prompt: Prompt, options?: GenerateOptions): AsyncGenerator<string, void, void> {
    const { held } = this.enter();
    try {
      for await (const { text } of asWriter(held.model, this.objective).generate([prompt], options))
        if (text !== "") yield text;
    } finally {
      this.leave(held);
    }
  }

  /**
   * Learns further rows, new labels included, from where it is, and answers as before until then; without any, what
   * was changed in `rows`. It learns those that it has learned, too, so that it does not forget; of a model that was
   * loaded these are the ones it was saved with; without them, rows of each of its labels must be given. Rows that were
   * kept to measure with still are. A probe reads new texts alone, and is fitted in well under a second. Calls run one
   * after the other. Throws ConfigError or DataError for rows that do not fit, the signal's reason if it was aborted:
   * then nothing has changed.
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
  async learn(rows: RowSource = [], options: LearnOptions = {}): Promise<void> {
    return this.relearn(rows, options, false);
  }

  /**
   * Trains anew on its rows, by LoRA unless another `mode` is given, and answers as before until then; a probe that is
   * as good stays. Throws as `learn` does.
   *
   * @example
   * ```ts
   * import { train } from "lowrank";
   *
   * await using model = await train("tickets.csv"); // a probe, in seconds
   * await model.tune({ epochs: 3, signal: AbortSignal.timeout(600_000) }); // some minutes
   * ```
   */
  async tune(options: LearnOptions = {}): Promise<void> {
    return this.relearn([], options, true);
  }

  /**
   * What it makes of rows that it has not learned: the loss, and the measures of its task. Throws DataError for rows
   * that do not fit, ConfigError for tags and texts, which `run.results` measures alone.
   */
  async evaluate(rows: RowSource): Promise<Evaluation> {
    this.checkAlive();
    const { evaluate } = await import("./training.ts");
    return this.use((model) => evaluate(rows, model, this.parts.base, this.adapter.meta));
  }

  /**
   * Saves the adapter as a directory for `load`, `Classifier.load` and PEFT: on disk, in a page in its storage (OPFS).
   * Replaces what this model has saved there, or was loaded from, or, with `force`, another saved model; rows that it
   * was saved with there are saved with it again. Throws ConfigError if anything else is there, or if another program
   * has saved there since (see `merge`), LowrankError if nothing can be stored.
   */
  async save(directory: string, options: SaveModelOptions = {}): Promise<void> {
    this.checkAlive();
    const { saveModel } = await import("./saved.ts");
    await saveModel(directory, await this.saved(), options, this.places, () => this.learnFrom(directory));
  }

  /**
   * The same as one file, a zip, which `load` reads: to download, to send, or to store where there is no file system.
   */
  async toBlob(options: Pick<SaveModelOptions, "rows"> = {}): Promise<Blob> {
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
    // What learns on it has ended then.
    void this.learning.run(async () => this.parts.lease.giveBack());
    if (this.parts.isOwner) void this.parts.base.close();
  }

  /** Frees it at the end of a block that begins with `await using`. */
  async [asyncDispose](): Promise<void> {
    this.destroy();
  }

  /** Learns `more` rows, from where it is or `anew`, and then answers with what was learned. */
  private async relearn(more: RowSource, options: LearnOptions, anew: boolean): Promise<void> {
    this.checkAlive();
    const { checkLearning, learn } = await import("./training.ts");
    checkLearning(more, options);
    await this.learning.run(async () => {
      this.checkAlive();
      const { lease, base } = this.parts;
      const known = await this.keepRows();
      const signal = options.signal ? AbortSignal.any([options.signal, this.end.signal]) : this.end.signal;
      const place = { device: lease.device, base };
      const { run, sets } = await learn(more, this.adapter, known, place, { ...options, signal }, anew);
      const model = await put(this.parts, run.adapter);
      const old = this.held;
      this.held = hold(model, run.adapter);
      this.run = run;
      const now = await this.keepRows();
      // What was changed meanwhile is learned the next time.
      const added = sets.train.slice(0, sets.train.length - (known?.train.length ?? 0));
      const all = now && now !== known ? { ...now, train: [...added, ...now.train] } : sets;
      this.parts.rows = async () => all;
      old.isReplaced = true;
      if (old.calls === 0) old.model.destroy();
    });
  }

  /** Learns the rows of the model in a directory that this one does not have. */
  private async learnFrom(directory: string): Promise<void> {
    const { revisionOf } = await import("./saved.ts");
    const { savedRows } = await import("./rows.ts");
    const revision = await revisionOf(directory);
    const [others, own] = [await savedRows(directory), await this.keepRows()];
    if (!others || !own) throw rowsUnknown(others ? undefined : directory);
    const more = notAmong(others.train, own);
    if (more.length > 0) await this.learn(more as RowSource);
    this.places.set(absolutePath(directory), revision);
  }

  private async saved() {
    return { adapter: this.held.adapter, base: this.parts.base, rows: () => this.keepRows() };
  }

  private async each<T extends Labelled>(
    texts: string | readonly TextOrList[],
    options: LabelOptions | undefined,
    work: (model: Classifier, texts: readonly TextOrPair[], options?: ClassifyOptions) => Promise<T[]>,
  ): Promise<T | T[]> {
    const { minProbability: least, ...others } = isObject(options) ? (options as LabelOptions) : {};
    if (least !== undefined) checkNumber("minProbability", least, { min: 0, max: 1 });
    const rest = least === undefined ? options : others;
    const answers = await this.use((model) => {
      // What is no text is refused by it, in its words.
      if (model instanceof Classifier) return work(model, (isText(texts) ? [texts] : texts) as TextOrPair[], rest);
      throw new ConfigError("wrong-task", "a language model has no labels", { hint: "use generate" });
    });
    const given = least === undefined ? answers : answers.map((answer) => atLeast(answer, least) as T);
    return isText(texts) ? given[0]! : given;
  }

  /** A call on the model as it is now, which ends on that one. */
  private async use<T>(work: (model: Model) => Promise<T>): Promise<T> {
    const { held } = this.enter();
    try {
      return await work(held.model);
    } finally {
      this.leave(held);
    }
  }

  private enter(): { held: Held } {
    this.checkAlive();
    this.held.calls++;
    return { held: this.held };
  }

  private leave(held: Held): void {
    held.calls--;
    if (held.isReplaced && held.calls === 0) held.model.destroy();
  }

  private checkAlive(): void {
    if (this.end.signal.aborted) throw destroyed();
  }
}

const hold = (model: Model, adapter: Adapter): Held => ({ model, adapter, calls: 0, isReplaced: false });

const destroyed = () =>
  new ConfigError("already-destroyed", "the model was destroyed", { hint: "destroy it at the end" });

function put({ base, lease: { device }, dtype }: LearnerParts, adapter: Adapter): Promise<Model> {
  if (hasHead(adapter.meta.task)) return Classifier.of(adapter, base, device, dtype);
  return openWriter(base, adapter, { device, dtype });
}

function asWriter(model: Model, objective: Objective): LanguageModel {
  if (model instanceof LanguageModel) return model;
  throw new ConfigError("wrong-task", "a classifier writes no texts", {
    hint: `use ${TASKS[objective].predicts!.method}`,
  });
}

/** Chunks, of whose first prompt the text is told, too. */
async function* tapped(chunks: AsyncIterable<GenerationChunk>, onText: (text: string) => void) {
  for await (const chunk of chunks) {
    if (chunk.prompt === 0 && chunk.text !== "") onText(chunk.text);
    yield chunk;
  }
}
