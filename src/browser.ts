/**
 * Lowrank's public API in a page. The code for training and for reading data is imported on demand, so that a page that
 * only classifies does not load it.
 */
import type { DatasetOptions, DatasetSpec, LoadedDataset } from "./data/datasets.ts";
import type { LoadedTagged, TaggedOptions, TaggedSpec } from "./data/tagged.ts";
import type { LoadedTexts, TextsOptions, TextsSpec } from "./data/texts.ts";
import type { FineTuneArguments, FineTuneRun } from "./run/fine-tune.ts";
import type { StudyArguments, StudyResult } from "./study/study.ts";

export * from "./api.ts";

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
  return (await import("./data/texts.ts")).loadTexts(spec, options);
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
  return (await import("./data/tagged.ts")).loadTagged(spec, options);
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
  const { runTables } = await import("./views/run-tables.ts");
  return (await import("./run/fine-tune.ts")).fineTune(args, runTables);
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
  const { runTables: files } = await import("./views/run-tables.ts");
  const { reportOnDemand: report } = await import("./views/study/report.ts");
  return (await import("./study/study.ts")).study(args, { files, report });
}
