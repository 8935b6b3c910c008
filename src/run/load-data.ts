/** Loads the data of a run from what its record says of it. */
import { type DatasetOptions, type DatasetSpec, loadDataset } from "../data/datasets.ts";
import { loadTexts, type TextsOptions, type TextsSpec, type TrainingData } from "../data/texts.ts";
import type { DownloadOptions } from "../io/download-options.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { RunRecord } from "./record.ts";

/** The data of a run, tokenized for a model; see `within` for files in the run's directory. */
export function loadRunData(
  { objective, data }: Pick<RunRecord, "objective" | "data">,
  model: GPT2Checkpoint,
  downloads: DownloadOptions = {},
): Promise<TrainingData> {
  return objective === "lm"
    ? loadTexts(data as unknown as TextsSpec, { ...(data as TextsOptions), model, ...downloads })
    : loadDataset(data as unknown as DatasetSpec, { ...(data as DatasetOptions), model, ...downloads });
}
