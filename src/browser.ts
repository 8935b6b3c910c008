/**
 * Lowrank's public API in a page: what index.ts is in Node. Training and the reading of data are loaded when they are first
 * asked for, so that a page that classifies carries neither.
 */
import type { DatasetOptions, DatasetSpec, LoadedDataset } from "./data/datasets.ts";
import type { LoadedTexts, TextsOptions, TextsSpec } from "./data/texts.ts";
import type { FineTuneRun } from "./train/saved-run.ts";
import type { FineTuneArguments } from "./train/trainer.ts";

export type { Backend, DeviceInfo } from "./backend/backend.ts";
export type {
  GPT2Config,
  Init,
  LoraConfig,
  Mode,
  Objective,
  Pooling,
  Scaling,
  Target,
  TaskConfig,
  WeightDtype,
} from "./config.ts";
export type { BlockStats, Blocks } from "./data/blocks.ts";
export type { LeftOut } from "./data/corpus.ts";
export type { Dataset, DatasetStats, Padding } from "./data/dataset.ts";
export type { DatasetOptions, DatasetSpec, LoadedDataset } from "./data/datasets.ts";
export type { Split } from "./data/split.ts";
export type { LoadedTexts, TextsOptions, TextsSpec, TrainingData } from "./data/texts.ts";
export { type EncodedBatch, Tokenizer } from "./data/tokenizer.ts";
export { type DeviceName, type DeviceOptions, openDevice } from "./device.ts";
export {
  ConfigError,
  DataError,
  DeviceError,
  DownloadError,
  FormatError,
  LowrankError,
  ShapeError,
  TrainingError,
} from "./errors.ts";
export type { DownloadEvent, DownloadOptions } from "./io/download.ts";
export { type GPT2Checkpoint, loadModel } from "./io/hf.ts";
export { loadAdapter } from "./io/open-adapter.ts";
export type { Adapter, AdapterMeta, Tensors } from "./io/peft.ts";
export { forgetFile, registerFile } from "./platform/files.ts";
export { type Classification, Classifier, type ClassifierOptions } from "./train/classifier.ts";
export type { FinishReason, GenerateOptions, Piece } from "./train/generation.ts";
export {
  type Completion,
  LanguageModel,
  type LanguageModelOptions,
  type TextScore,
} from "./train/language-model.ts";
export type { Evaluation } from "./train/metrics.ts";
export type { TrainOptions } from "./train/options.ts";
export type { Prediction } from "./train/predictions.ts";
export {
  type Checkpoint,
  type EvaluationRecord,
  RunFailed,
  type Splits,
  type StepRecord,
  type TrainEvent,
  type TrainResult,
} from "./train/records.ts";
export type { FineTuneRun } from "./train/saved-run.ts";
export type { FineTuneArguments } from "./train/trainer.ts";

/** Reads, splits and encodes messages: see `loadDataset` in data/datasets.ts. */
export async function loadDataset(spec: DatasetSpec, options?: DatasetOptions): Promise<LoadedDataset> {
  return (await import("./data/datasets.ts")).loadDataset(spec, options);
}

/** Reads texts for a language model: see `loadTexts` in data/texts.ts. */
export async function loadTexts(spec: TextsSpec, options?: TextsOptions): Promise<LoadedTexts> {
  return (await import("./data/texts.ts")).loadTexts(spec, options);
}

/** Fine-tunes a GPT-2, as in Node; a run is saved without charts. */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return (await import("./train/saved-run.ts")).fineTuneWith(() => [], args);
}
