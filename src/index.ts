/**
 * Lowrank's public API, in Node and in a page. The code for training and for reading data is imported on demand, so
 * that a page that only classifies does not load it.
 */

import type { DatasetOptions, DatasetSpec } from "./data/dataset-options.ts";
import type { LoadedDataset } from "./data/datasets.ts";
import type { LoadedTagged, TaggedOptions, TaggedSpec } from "./data/text/tagged.ts";
import type { LoadedTexts, TextsOptions, TextsSpec } from "./data/text/texts.ts";
import type { Learner } from "./learner/learner.ts";
import type { LoadModelOptions } from "./learner/load.ts";
import type { RowSource } from "./learner/rows.ts";
import type { TrainModelOptions } from "./learner/train.ts";
import type { FineTuneArguments, FineTuneRun } from "./run/fine-tune.ts";
import type { CrossValidateArguments, CrossValidation } from "./study/cross-validate.ts";
import type { StudyArguments, StudyResult } from "./study/study.ts";

export type { Device, DeviceInfo } from "./backend/backend.ts";
export type { DeviceName } from "./backend/device.ts";
export { type DeviceOptions, openDevice } from "./backend/device.ts";
export { ClassicModel } from "./classic/model.ts";
export type { ModelConfig } from "./core/config.ts";
export type { ErrorCode, ErrorCodes } from "./core/error-codes.ts";
export {
  ConfigError,
  DataError,
  DeviceError,
  DownloadError,
  FormatError,
  LowrankError,
  ShapeError,
  TrainingError,
} from "./core/errors.ts";
export type { Target } from "./core/names.ts";
export type { LeftOut } from "./core/places.ts";
export type { WeightDtype } from "./core/tensor.ts";
export type { Dataset, DatasetStats, Padding } from "./data/dataset.ts";
export type { DatasetOptions, DatasetSpec } from "./data/dataset-options.ts";
export type { LoadedDataset } from "./data/datasets.ts";
export type { LabelledRow } from "./data/sets/memory-rows.ts";
export type { Split } from "./data/sets/split.ts";
export type { BlockStats, Blocks } from "./data/text/blocks.ts";
export type { LoadedTagged, Tagged, TaggedOptions, TaggedRow, TaggedSpec, TaggedStats } from "./data/text/tagged.ts";
export type { LoadedTexts, TextRow, TextsOptions, TextsSpec } from "./data/text/texts.ts";
export { Tokenizer } from "./data/tokenizer.ts";
export type { TrainingData } from "./data/training-data.ts";
export type { Block } from "./document/blocks.ts";
export type * from "./globals.ts";
export type { ClassifyOptions } from "./infer/calls.ts";
export { Classifier, type ClassifierOptions } from "./infer/classifier.ts";
export { Embedder } from "./infer/embedder.ts";
export type { LanguageModelOptions, TextScore } from "./infer/text/decoding.ts";
export type { Completion, FinishReason, GenerateOptions, GenerationChunk, Prompt } from "./infer/text/generation.ts";
export { LanguageModel } from "./infer/text/language-model.ts";
export { type BaseModel, loadModel } from "./io/hf.ts";
export type { DownloadEvent, DownloadOptions } from "./io/hub/download-options.ts";
export type { AdapterMeta } from "./io/peft/adapter-meta.ts";
export { loadAdapter } from "./io/peft/open-adapter.ts";
export type { Adapter } from "./io/peft/peft.ts";
export type { Tensors } from "./io/peft/peft-form.ts";
export type { Progress } from "./learner/devices.ts";
export type { LabelOptions, Learner } from "./learner/learner.ts";
export type { LoadModelOptions } from "./learner/load.ts";
export type { RowSource } from "./learner/rows.ts";
export type { SaveModelOptions } from "./learner/saved.ts";
export type { TrainModelOptions } from "./learner/train.ts";
export type { LearnOptions } from "./learner/training.ts";
export type { Mode } from "./methods/index.ts";
export type { Init, LoraConfig, Scaling } from "./methods/lora.ts";
export { type FileSource, forgetFile, registerFile } from "./platform/files.ts";
export { setPackageUrl } from "./platform/package-url.ts";
export type { RunRecord } from "./record/record.ts";
export type { FineTuneArguments, FineTuneRun } from "./run/fine-tune.ts";
export type { SaveOptions, TrainedRun } from "./run/trained-run.ts";
export type { CrossValidateArguments, CrossValidation, LabelToReview, OutOfFold } from "./study/cross-validate.ts";
export type { Trial } from "./study/grid.ts";
export type { StudyReport } from "./study/report/report.ts";
export type { StudyEvent } from "./study/runner.ts";
export type { StudyArguments, StudyResult } from "./study/study.ts";
export type { ClassDetails } from "./tasks/classification/classification-training.ts";
export type { Compared } from "./tasks/compare.ts";
export type { Evaluation, Splits } from "./tasks/evaluation.ts";
export type { MessagesObjective, Objective, Pooling, TaskConfig } from "./tasks/index.ts";
export type { TextDetails } from "./tasks/lm/lm-training.ts";
export type { Answer, Classification, Scored, TaggedSpan, TaggedText } from "./tasks/predictions.ts";
export type { ScoreDetails } from "./tasks/regression/regression-training.ts";
export type { Answered, Results, TestResults } from "./tasks/task.ts";
export type { EntityDetails } from "./tasks/tokens/tokens-training.ts";
export {
  type Checkpoint,
  type EvaluationRecord,
  RunFailed,
  type StepRecord,
  type TrainEvent,
  type TrainResult,
} from "./train/records.ts";
export type { TrainOptions } from "./train/settings.ts";

/**
 * Makes a model of your own texts: reads rows, trains on them, and gives what classifies, learns on and saves. Rows are
 * in memory, each with a text and a label, several labels, a score or tags; or a file, by its path, opened or at a
 * URL (in a page a path in the browser's storage); or a data set by its name. Of 50 rows and more, a part measures the
 * model: `model.run.results`. All settings of `fineTune` and `loadDataset` are options. Throws ConfigError, DataError
 * or FormatError for what is invalid, the signal's reason if it was aborted.
 *
 * @example
 * ```ts
 * import { train } from "lowrank";
 *
 * const rows = [
 *   { text: "I want my money back", label: "refund" },
 *   { text: "refund, please", label: "refund" },
 *   { text: "where is my parcel", label: "shipping" },
 *   { text: "when will it arrive", label: "shipping" },
 * ];
 * await using model = await train(rows, { onProgress: ({ fraction }) => console.log(fraction) });
 * const { label, probability } = await model.classify("could I get a refund");
 * console.log(label, probability);
 * await model.save("topics");
 * ```
 */
export async function train(rows: RowSource, options: TrainModelOptions = {}): Promise<Learner> {
  return (await import("./learner/train.ts")).train(rows, options);
}

/**
 * Loads a model that `Learner.save` or `toBlob` wrote, a run, or a classifier's or language model's adapter that PEFT
 * wrote: from a directory, on disk or at a URL, or a zip file. Throws ConfigError if there is none, FormatError if
 * it is damaged.
 *
 * @example
 * ```ts
 * import { load } from "lowrank";
 *
 * await using model = await load("topics");
 * const { label } = await model.classify("could I get a refund");
 * ```
 */
export async function load(source: string | URL | Blob, options: LoadModelOptions = {}): Promise<Learner> {
  return (await import("./learner/load.ts")).load(source, options);
}

/**
 * Loads a data set. Throws DataError, FormatError or ConfigError if the data, a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank";
 *
 * const data = await loadDataset({ file: "messages.csv" });
 * console.log(data.labels, data.train.size, data.stats.nearDuplicates); // each is in one set with its copies
 *
 * const reviews = await loadDataset({ name: "stanfordnlp/imdb" }); // of the Hugging Face hub, downloaded once
 *
 * const rows = [{ text: "see you at noon", label: "ham" }, { text: "you have won", label: "spam" }]; // and many more
 * const mine = await loadDataset({ rows });
 * ```
 */
export async function loadDataset(spec: DatasetSpec, options?: DatasetOptions): Promise<LoadedDataset> {
  return (await import("./data/datasets.ts")).loadDataset(spec, options);
}

/**
 * Loads texts for a language model. A plain text file is one document; with `file`, each is split at line ends into
 * train, val and test parts, in this order. JSON lines (.jsonl, .ndjson) have one document per line (.json also in an
 * array), with the key `text`, or with `prompt` and `completion`, or with `messages`, a chat, of which the answers are
 * learned; so are those of Alpaca (`instruction`, `input`, `output`) and ShareGPT (`conversations`). An instruction is
 * a question of a chat if the model has a chat template, else a prompt that ends with an empty line. They are shuffled
 * by the seed and then split. Throws DataError, FormatError or ConfigError if the texts, a file or an option are
 * invalid.
 *
 * @example
 * ```ts
 * import { loadTexts } from "lowrank";
 *
 * const data = await loadTexts({ file: "book.txt" }, { maxLength: 256 });
 * console.log(data.stats.train.tokens);
 * ```
 */
export async function loadTexts(spec: TextsSpec, options?: TextsOptions): Promise<LoadedTexts> {
  return (await import("./data/text/texts.ts")).loadTexts(spec, options);
}

/**
 * Loads sentences with a tag for each word, of entities (B-PER, I-PER, O) or parts of speech. A CoNLL file has a word a
 * line, its tag last, white space between columns and an empty line behind each sentence; JSON lines (.jsonl, .ndjson,
 * or .json with an array) have two lists, `tokens` and `tags`, or a `text` and its `entities` with start, end and
 * label. A single file is shuffled by the seed and split 70/10/20, near-duplicates into one set. Throws DataError,
 * FormatError or ConfigError if a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadTagged } from "lowrank";
 *
 * const data = await loadTagged({ file: "entities.conll" });
 * console.log(data.labels, data.stats.train.words);
 * ```
 */
export async function loadTagged(spec: TaggedSpec, options?: TaggedOptions): Promise<LoadedTagged> {
  return (await import("./data/text/tagged.ts")).loadTagged(spec, options);
}

/**
 * Fine-tunes GPT-2: as a text classifier on data from `loadDataset`, as a token classifier on data from
 * `loadTagged`, as a language model on data from `loadTexts`.
 * Deterministic: the same device, data and options give the same bits. `save` also writes its report.
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or the device
 * fails, and RunFailed (a TrainingError with the last good tensors) if loss or gradients are not finite.
 *
 * @example
 * ```ts
 * import { fineTune, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const run = await fineTune({ device, model, data, rank: 8, epochs: 3, save: "runs/first" });
 * console.log(`test accuracy: ${run.results?.after.test.accuracy}`);
 * ```
 */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return (await import("./run/fine-tune.ts")).fineTune(args);
}

/**
 * Trains several runs that belong together on the same model and data, such as settings to choose from, each with some
 * seeds: on the CPU at the same time, each on threads of its own, on WebGPU one after the other. Each has the bits of
 * `fineTune` with its settings alone. Resolves when all have ended, with what became of each; one that
 * fails leaves the others as they are. `best` is chosen by the validation loss, and `report` compares all settings on
 * the test set: intervals, paired tests, the spread of their seeds.
 * With `save` the study is a directory, as those of the commands `sweep` and `train --seeds`: the same call does not
 * repeat what has ended, and resumes what was interrupted or killed.
 * Throws ConfigError or DataError, with the run's index, before anything is trained.
 *
 * @example
 * ```ts
 * import { Classifier, loadDataset, loadModel, openDevice, study } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const runs = [4, 16].flatMap((rank) => [1, 2, 3].map((seed) => ({ rank, alpha: 2 * rank, seed })));
 * const { best, report } = await study({ device, model, data, runs, save: "runs/ranks" });
 * console.log(best?.record.options.rank, report?.toMarkdown());
 * await best?.save("runs/best");
 * const classifier = await Classifier.load("runs/best", { device });
 * ```
 */
export async function study(args: StudyArguments): Promise<StudyResult> {
  return (await import("./study/study.ts")).study(args);
}

/**
 * Estimates from all rows what a run on them is worth, and trains it: the rows are divided into folds, each of which is
 * answered by a run that has learned from the others alone; then a run learns from all rows, for as many epochs as the
 * folds' validation sets have chosen. Classes are in equal shares in all folds, and near-duplicates and rows of one
 * group (the `groupColumn` of the data) are in one. Also finds the labels that are probably wrong. With `save` it is a
 * study in a directory, as of `train --folds`: the same call resumes what was interrupted. Throws ConfigError or
 * DataError before anything is trained; rejects with the error of the first fold that fails, and with the signal's
 * reason if it was aborted.
 *
 * @example
 * ```ts
 * import { crossValidate, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ file: "tickets.csv" }, { model, fractions: [1, 0, 0] });
 * const { estimate, answers, review, final } = await crossValidate({ device, model, data, folds: 5, epochs: 3 });
 * if (estimate) console.log(estimate.measure, estimate.value, "from", estimate.low, "to", estimate.high);
 * console.log(answers.filter(({ truth, predicted }) => truth !== predicted).length, "errors");
 * for (const { text, label, suggested } of review ?? []) console.log(`${label}, or ${suggested}? ${text}`);
 * await final?.save("runs/all");
 * ```
 */
export async function crossValidate(args: CrossValidateArguments): Promise<CrossValidation> {
  return (await import("./study/cross-validate.ts")).crossValidate(args);
}
