/**
 * Lowrank's public API in a page. The code for training and for reading data is imported on demand, so that a page that
 * only classifies does not load it.
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

export * from "./api.ts";

/**
 * Makes a model of your own texts: reads rows, trains on them, and gives what classifies, learns on and saves. Rows are
 * in memory, each with a text and a label, several labels, a score or tags; or a file, by its path in the browser's storage, opened or at a
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
  return (await import("./learner/train.ts")).train(rows, options, runViews);
}

/**
 * Loads a model that `Learner.save` or `toBlob` wrote, a run, or a classifier's or language model's adapter that PEFT
 * wrote: from a directory, in the browser's storage or, with a path that begins with / or ., on the page's server, or a zip file. Throws ConfigError if there is none, FormatError if
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
  return (await import("./learner/load.ts")).load(source, options, runViews);
}

const runViews = async () => (await import("./views/run-tables.ts")).runTables;

/**
 * Reads, splits and encodes messages, as in Node. Throws DataError, FormatError or ConfigError if the data, a file or
 * an option is invalid.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank";
 *
 * const data = await loadDataset({ file: "messages.csv" }, { split: "stratified" });
 * console.log(data.labels, data.train.size, data.stats.leaks.test);
 * ```
 */
export async function loadDataset(spec: DatasetSpec, options?: DatasetOptions): Promise<LoadedDataset> {
  return (await import("./data/datasets.ts")).loadDataset(spec, options);
}

/**
 * Reads texts for a language model, as in Node. Throws DataError, FormatError or ConfigError if the data, a file or an
 * option is invalid.
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
 * Reads sentences with a tag for each word, as in Node. Throws DataError, FormatError or ConfigError if the data, a file
 * or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadTagged } from "lowrank";
 *
 * const data = await loadTagged({ file: "entities.conll" });
 * console.log(data.labels);
 * ```
 */
export async function loadTagged(spec: TaggedSpec, options?: TaggedOptions): Promise<LoadedTagged> {
  return (await import("./data/text/tagged.ts")).loadTagged(spec, options);
}

/**
 * Fine-tunes GPT-2 as in Node. `save` writes no charts.
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
  const views = await runViews();
  return (await import("./run/fine-tune.ts")).fineTune(args, views);
}

/**
 * Trains several runs that belong together, as in Node. `save` writes no charts into the runs' directories.
 *
 * @example
 * ```ts
 * import { loadDataset, loadModel, openDevice, study } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const { best, report } = await study({ device, model, data, runs: [{ rank: 4 }, { rank: 16, alpha: 32 }] });
 * await best?.save("runs/best");
 * document.querySelector("iframe")!.srcdoc = report?.toHtml() ?? "";
 * ```
 */
export async function study(args: StudyArguments): Promise<StudyResult> {
  return (await studies()).study(args, await runViews());
}

/**
 * Estimates from all rows what a run on them is worth, and trains it, as in Node.
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
  return (await studies()).crossValidate(args, await runViews());
}

const studies = () => import("./views/study/studies.ts");
