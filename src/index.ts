/**
 * Lowrank's public API, in Node and in a page: a model of your own texts. What it is made of is in lowrank/data and
 * lowrank/engine. The code for training is imported on demand, so that a page that only classifies does not load it.
 */

import type { Learner } from "./learner/learner.ts";
import type { LoadModelOptions } from "./learner/load.ts";
import type { RowSource } from "./learner/rows.ts";
import type { Study, StudyOptions } from "./learner/study.ts";
import type { ObjectiveOf, TrainModelOptions } from "./learner/train.ts";
import type { Objective } from "./tasks/index.ts";

export type { DeviceName } from "./backend/device.ts";
export type { ErrorCode } from "./core/error-codes.ts";
export {
  ConfigError,
  DataError,
  DeviceError,
  DownloadError,
  FormatError,
  LowrankError,
  TrainingError,
} from "./core/errors.ts";
export type { LabelledRow } from "./data/sets/memory-rows.ts";
export type { TaggedRow } from "./data/text/tagged.ts";
export type { TextRow } from "./data/text/texts.ts";
export type * from "./globals.ts";
export { Embedder, type EmbedderOptions, type Similar } from "./infer/embedder.ts";
export type { Completion, Prompt } from "./infer/text/generation.ts";
export type { Progress } from "./learner/devices.ts";
export type { LabelOptions, LabelSet, LearnedRun, Learner, WriteOptions } from "./learner/learner.ts";
export type { LoadModelOptions } from "./learner/load.ts";
export type { RowSource } from "./learner/rows.ts";
export type { SaveModelOptions } from "./learner/saved.ts";
export type { Study, StudyOptions } from "./learner/study.ts";
export type { TaughtRow, TaughtRows } from "./learner/taught-rows.ts";
export type { ObjectiveOf, TrainModelOptions } from "./learner/train.ts";
export type { LearnOptions } from "./learner/training.ts";
export { type FileSource, forgetFile, registerFile } from "./platform/files.ts";
export { setPackageUrl } from "./platform/package-url.ts";
export type { Evaluation } from "./tasks/evaluation.ts";
export type { Objective } from "./tasks/index.ts";
export type { Classification, Classified, Scored, TaggedSpan, TaggedText, Unclassified } from "./tasks/predictions.ts";

/**
 * Makes a model of your own texts: reads rows, trains on them, and gives what classifies, learns on and saves. Rows are
 * in memory, each with a text and a label, several labels, a score or tags; or a file, by its path, opened or at a
 * URL (in a page a path in the browser's storage); or a data set by its name. Of 50 rows and more, a part measures the
 * model: `model.run.results`. All settings of `fineTune` and `loadDataset` of lowrank/engine and
 * lowrank/data are options. Throws ConfigError, DataError
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
 * if (label !== null) console.log(label, probability.toFixed(2));
 * await model.save("topics");
 * ```
 */
export function train<O extends Objective>(
  rows: RowSource,
  options: TrainModelOptions & { objective: O },
): Promise<Learner<O>>;
export function train<R extends RowSource>(rows: R, options?: TrainModelOptions): Promise<Learner<ObjectiveOf<R>>>;
export async function train(rows: RowSource, options: TrainModelOptions = {}) {
  return (await import("./learner/train.ts")).train(rows, options);
}

/**
 * Loads a model that `Learner.save` or `toBlob` wrote, a run, or a classifier's or language model's adapter that PEFT
 * wrote: from a directory, on disk or at a URL, or a zip file. Throws ConfigError if there is none, FormatError if
 * it is damaged. What it is for is known when it is loaded, by `objective`; for types, `load<"regression">` says it.
 *
 * @example
 * ```ts
 * import { load } from "lowrank";
 *
 * await using model = await load("topics");
 * const { label } = await model.classify("could I get a refund");
 * const scores = await load<"regression">("stars");
 * const { score } = await scores.score("What a lovely day");
 * console.log(label, score);
 * ```
 */
export async function load<O extends Objective = "classification">(
  source: string | URL | Blob,
  options: LoadModelOptions = {},
): Promise<Learner<O>> {
  return (await (await import("./learner/load.ts")).load(source, options)) as Learner<O>;
}

/**
 * Makes a model of rows as `train` does, and says better what it is worth. Without `runs` all rows test it, in folds: each
 * by a run that has learned from the others alone; `estimate` is their figure with its 95 % interval, `review` has the
 * labels that are probably wrong, and the model has learned from all rows. With `runs`, settings to choose from, a
 * validation set chooses, and `report` compares them on the test set. Throws as `train` does; rejects with the error of
 * the first run that fails.
 *
 * @example
 * ```ts
 * import { study } from "lowrank";
 *
 * const { model, estimate, review } = await study("tickets.csv");
 * if (estimate) console.log(estimate.measure, estimate.value, "from", estimate.low, "to", estimate.high);
 * for (const { text, label, suggested } of review ?? []) console.log(`${label}, or ${suggested}? ${text}`);
 * await model.save("tickets");
 * const ranks = await study("tickets.csv", { mode: "lora", runs: [{ rank: 4 }, { rank: 16 }] });
 * console.log(ranks.report.toMarkdown());
 * ```
 */
export function study<O extends Objective>(
  rows: RowSource,
  options: StudyOptions & { objective: O },
): Promise<Study<O>>;
export function study<R extends RowSource>(rows: R, options?: StudyOptions): Promise<Study<ObjectiveOf<R>>>;
export async function study(rows: RowSource, options: StudyOptions = {}) {
  return (await import("./learner/study.ts")).study(rows, options);
}
