/** Lowrank's public API in Node. browser.ts is its counterpart for pages. */

import type { Learner } from "./learner/learner.ts";
import type { LoadModelOptions } from "./learner/load.ts";
import type { RowSource } from "./learner/rows.ts";
import type { TrainModelOptions } from "./learner/train.ts";
import { type FineTuneArguments, type FineTuneRun, fineTune as fineTuneWith } from "./run/fine-tune.ts";
import type { CrossValidateArguments, CrossValidation } from "./study/cross-validate.ts";
import type { StudyArguments, StudyResult } from "./study/study.ts";
import { runFiles } from "./views/run-files.ts";

export * from "./api.ts";
export { loadDataset } from "./data/datasets.ts";
export { loadTagged } from "./data/text/tagged.ts";
export { loadTexts } from "./data/text/texts.ts";

/**
 * Makes a model of your own texts: reads rows, trains on them, and gives what classifies, learns on and saves. Rows are
 * in memory, each with a text and a label, several labels, a score or tags; or a file, by its path, opened or at a
 * URL; or a data set by its name. Of 50 rows and more, a part measures the model: `model.run.results`. All settings of
 * `fineTune` and `loadDataset` are options. Throws ConfigError, DataError or FormatError for what is invalid, the
 * signal's reason if it was aborted.
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
  return (await import("./learner/train.ts")).train(rows, options, async () => runFiles);
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
  return (await import("./learner/load.ts")).load(source, options, async () => runFiles);
}

/**
 * Fine-tunes GPT-2: as a text classifier on data from `loadDataset`, as a token classifier on data from
 * `loadTagged`, as a language model on data from `loadTexts`.
 * Deterministic: the same device, data and options give the same bits. `save` also writes charts.
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
  return fineTuneWith(args, runFiles);
}

/**
 * Trains several runs that belong together on the same model and data, such as settings to choose from, each with some
 * seeds, at the same time where that is faster: on the CPU each on threads of its own, on WebGPU those with LoRA and
 * the same type of frozen weights in one batch, as many as fit into memory; the others one after the other. Each has
 * the bits of `fineTune` with its settings alone. Resolves when all have ended, with what became of each; one that
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
  return (await studies()).study(args, runFiles);
}

/**
 * Estimates from all rows what a run on them is worth, and trains it: the rows are divided into folds, each of which is
 * answered by a run that has learned from the others alone; then a run learns from all rows, for as many epochs as the
 * folds' validation sets have chosen. Classes are in equal shares in all folds, and rows of one group (the
 * `groupColumn` of the data) are in one. Also finds the labels that are probably wrong. With `save` it is a study in a
 * directory, as of `train --folds`: the same call resumes what was interrupted.
 * Throws ConfigError or DataError before anything is trained; rejects with the error of the first fold that fails, and
 * with the signal's reason if it was aborted.
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
  return (await studies()).crossValidate(args, runFiles);
}

const studies = () => import("./views/study/studies.ts");
