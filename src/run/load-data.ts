/** Loads the data of a run, as its settings or its record say. */
import { textContext } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import type { DatasetOptions, DatasetSpec } from "../data/dataset-options.ts";
import { type LoadedDataset, loadDataset } from "../data/datasets.ts";
import { divideFolds } from "../data/sets/folds.ts";
import { loadTagged, type TaggedOptions, type TaggedSpec } from "../data/text/tagged.ts";
import { type LoadedTexts, loadTexts, type TextsOptions, type TextsSpec } from "../data/text/texts.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { DownloadOptions } from "../io/hub/download-options.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { methodConfig } from "../methods/training.ts";
import { expectWriter, nameBase } from "../record/base-name.ts";
import { isInMemory, type RunRecord } from "../record/record.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { knownRun, usualMode, withAdapter } from "../train/options.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";
import { dataOptions, dataSpec, trainOptions } from "./settings.ts";

/** A source of data and how it is read, as a run's record has them. */
export type DataSource = Pick<RunRecord, "objective" | "data">;

/**
 * The data tokenized for a model, or a fold of it; see `within` for files in the run's directory. `onTable` describes
 * a table.
 */
export async function loadData(
  { objective, data: { folds, fold, ...data } }: DataSource,
  model: BaseModel,
  downloads: DownloadOptions = {},
  onTable?: DatasetOptions["onTable"],
): Promise<TrainingData> {
  if (typeof folds === "number") {
    const all = await loadData({ objective, data }, model, downloads, onTable);
    return divideFolds(all as Exclude<TrainingData, LoadedTexts>, folds)[Number(fold) - 1]!;
  }
  if (isInMemory(data))
    throw new ConfigError("not-stored", "the rows of this run were in memory, and are not stored", {
      found: `${data.rows} rows`,
      hint: "load them again in the program that has them",
    });
  const load = {
    text: () => loadDataset(data as DatasetSpec, { ...(data as DatasetOptions), model, ...downloads, onTable }),
    word: () => loadTagged(data as TaggedSpec, { ...(data as TaggedOptions), model }),
    nothing: () => loadTexts(data as TextsSpec, { ...(data as TextsOptions), model, ...downloads }),
  };
  return load[TRAINING[objective].labels.of]();
}

/** The data and all options of a run with a model, and with the adapter that it starts from. `load` loads the data. */
export async function resolveSettings(
  settings: RunSettings,
  model: BaseModel,
  adapter: Adapter | undefined,
  load: (source: DataSource) => Promise<TrainingData>,
): Promise<{ data: TrainingData; options: TrainOptions }> {
  const { objective = DEFAULT_OBJECTIVE } = settings;
  expectWriter(nameBase(model.directory).name, objective);
  const ofRun = adapter ? withAdapter(settings, adapter.meta, objective) : settings;
  const { seed, ...sizes } = trainOptions(ofRun);
  const context = textContext(model.config, methodConfig(sizes));
  const data = await load({ objective, data: { ...dataSpec(settings), ...dataOptions(settings, seed, context) } });
  const mode = usualMode(ofRun, data as LoadedDataset, model.config);
  return { data, options: trainOptions({ ...ofRun, mode }, knownRun(data, model)) };
}
