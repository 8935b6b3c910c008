/** The public API that is common to Node (index.ts) and pages (browser.ts). */
export type { Device, DeviceInfo } from "./backend/backend.ts";
export { type DeviceOptions, openDevice } from "./backend/device.ts";
export type { DeviceName } from "./backend/device-name.ts";
export { ClassicModel } from "./classic/model.ts";
export type { ModelConfig } from "./config.ts";
export type { LeftOut } from "./data/corpus.ts";
export type { Dataset, DatasetStats, Padding } from "./data/dataset.ts";
export type { DatasetOptions, DatasetSpec } from "./data/dataset-options.ts";
export type { LoadedDataset } from "./data/datasets.ts";
export type { LabelledRow } from "./data/sets/memory-rows.ts";
export type { Split } from "./data/sets/split.ts";
export type { BlockStats, Blocks } from "./data/text/blocks.ts";
export type { LoadedTagged, Tagged, TaggedOptions, TaggedRow, TaggedSpec, TaggedStats } from "./data/text/tagged.ts";
export type { LoadedTexts, TextRow, TextsOptions, TextsSpec } from "./data/text/texts.ts";
export { type EncodedBatch, Tokenizer } from "./data/tokenizer.ts";
export type { TrainingData } from "./data/training-data.ts";
export type { Block } from "./document/blocks.ts";
export type { ErrorCode, ErrorCodes } from "./error-codes.ts";
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
export type * from "./globals.ts";
export {
  Classifier,
  type ClassifierOptions,
  type ClassifyOptions,
} from "./infer/classifier.ts";
export type { LanguageModelOptions, TextScore } from "./infer/text/decoding.ts";
export type { Completion, FinishReason, GenerateOptions, GenerationChunk, Prompt } from "./infer/text/generation.ts";
export { LanguageModel } from "./infer/text/language-model.ts";
export { type BaseModel, loadModel } from "./io/hf.ts";
export type { DownloadEvent, DownloadOptions } from "./io/hub/download-options.ts";
export type { AdapterMeta } from "./io/peft/adapter-meta.ts";
export { loadAdapter } from "./io/peft/open-adapter.ts";
export type { Adapter } from "./io/peft/peft.ts";
export type { Tensors } from "./io/peft/peft-form.ts";
export type { LabelOptions, Learner } from "./learner/learner.ts";
export type { LoadModelOptions } from "./learner/load.ts";
export type { RowSource } from "./learner/rows.ts";
export type { SaveModelOptions } from "./learner/saved.ts";
export type { TrainModelOptions } from "./learner/train.ts";
export type { LearnOptions, Progress } from "./learner/training.ts";
export type { Mode } from "./methods/index.ts";
export type { Init, LoraConfig, Scaling } from "./methods/lora.ts";
export type { Target } from "./names.ts";
export { type FileSource, forgetFile, registerFile } from "./platform/files.ts";
export { setPackageUrl } from "./platform/package-url.ts";
export type { FineTuneArguments, FineTuneRun } from "./run/fine-tune.ts";
export type { RunRecord } from "./run/record.ts";
export type { SaveOptions, TrainedRun } from "./run/trained-run.ts";
export type { CrossValidateArguments, CrossValidation, LabelToReview, OutOfFold } from "./study/cross-validate.ts";
export type { Trial } from "./study/grid.ts";
export type { StudyEvent } from "./study/runner.ts";
export type { StudyArguments, StudyReport, StudyResult } from "./study/study.ts";
export type { ClassDetails } from "./tasks/classification/classification-training.ts";
export type { Compared } from "./tasks/compare.ts";
export type { Evaluation, Splits } from "./tasks/evaluation.ts";
export type { MessagesObjective, Objective, Pooling, TaskConfig } from "./tasks/index.ts";
export type { TextDetails } from "./tasks/lm/lm-training.ts";
export type { Answer, Classification, Scored, TaggedSpan, TaggedText } from "./tasks/predictions.ts";
export type { ScoreDetails } from "./tasks/regression/regression-training.ts";
export type { Answered, Results, TestResults } from "./tasks/task.ts";
export type { EntityDetails } from "./tasks/tokens/tokens-training.ts";
export type { WeightDtype } from "./tensor.ts";
export {
  type Checkpoint,
  type EvaluationRecord,
  RunFailed,
  type StepRecord,
  type TrainEvent,
  type TrainResult,
} from "./train/records.ts";
export type { TrainOptions } from "./train/settings.ts";
