/**
 * lowrank/engine: devices, base models, adapters, runs and studies of them, and what answers with an adapter. It changes
 * more often than the root: see README.
 */

import type { FineTuneArguments, FineTuneRun } from "../run/fine-tune.ts";
import type { CrossValidateArguments, CrossValidation } from "../study/cross-validate.ts";
import type { StudyArguments, StudyResult } from "../study/study.ts";

export type { Device, DeviceInfo } from "../backend/backend.ts";
export { type DeviceOptions, openDevice } from "../backend/device.ts";
export { ClassicModel } from "../classic/model.ts";
export type { ClassicParts } from "../classic/parts.ts";
export type { Activation, ModelConfig, ModelType, RopeScaling } from "../core/config.ts";
export type { ErrorCodes } from "../core/error-codes.ts";
export { type ErrorDetails, ShapeError } from "../core/errors.ts";
export type { Points, Ranking, Reliability, ReliabilityBin } from "../core/measures.ts";
export type { HeadInit, Target } from "../core/names.ts";
export type { Pair, PairSettings, TextOrList, TextOrPair } from "../core/pair.ts";
export type { Estimate, Interval, LabelMeasures, Measured, Standing } from "../core/statistics.ts";
export type { Role, Shape, WeightDtype } from "../core/tensor.ts";
export type { ClassifyOptions } from "../infer/calls.ts";
export { Classifier, type ClassifierOptions } from "../infer/classifier.ts";
export type { LanguageModelOptions, TextScore } from "../infer/text/decoding.ts";
export type { FinishReason, GenerateOptions, GenerationChunk } from "../infer/text/generation.ts";
export { LanguageModel } from "../infer/text/language-model.ts";
export type { SamplingOptions } from "../infer/text/sampling.ts";
export { type BaseModel, loadModel } from "../io/hf.ts";
export type { DownloadEvent, DownloadOptions } from "../io/hub/download-options.ts";
export type { AdapterMeta } from "../io/peft/adapter-meta.ts";
export { loadAdapter } from "../io/peft/open-adapter.ts";
export type { Adapter } from "../io/peft/peft.ts";
export type { FinalNorm, NamedTensor, Tensors } from "../io/peft/peft-form.ts";
export type { Dtype, TensorFile, TensorInfo } from "../io/safetensors/tensor-file.ts";
export type { Kind } from "../io/tokenizer/parts.ts";
export type { Pretokenizer } from "../io/tokenizer/pretokenizers.ts";
export type { ChatTemplate, NamedToken, Vocabulary } from "../io/tokenizer/vocabulary.ts";
export type { Combined } from "../labels/cells.ts";
export type { Outputs } from "../labels/kind.ts";
export type { ReadRows, RowSets, Rows } from "../learner/rows.ts";
export type { MethodConfig, Mode } from "../methods/index.ts";
export type { Init, LoraConfig, LoraSite, Scaling } from "../methods/lora.ts";
export type { MethodOptions } from "../methods/training.ts";
export type { FetchOptions } from "../platform/http.ts";
export type { NodeFileHandle } from "../platform/reader.ts";
export type { Curve } from "../record/curve.ts";
export type { ErrorRecord, RunIdentity, RunOutcome, RunProgress, RunRecord, TrialName } from "../record/record.ts";
export type { FineTuneArguments, FineTuneRun } from "../run/fine-tune.ts";
export type { SaveOptions, TrainedRun } from "../run/trained-run.ts";
export type { CrossValidateArguments, CrossValidation, LabelToReview, OutOfFold } from "../study/cross-validate.ts";
export type { FoldedData } from "../study/folds.ts";
export type { Trial } from "../study/grid.ts";
export type { StudyReport } from "../study/report/report.ts";
export type { Progress as StudyProgress, StudyEvent } from "../study/runner.ts";
export type { TrialRecord } from "../study/store.ts";
export type { StudyArguments, StudyResult } from "../study/study.ts";
export type { ClassDetails, ClassResults } from "../tasks/classification/classification-training.ts";
export type { Against, Columns, Compared, Competitor } from "../tasks/compare.ts";
export type { Evaluations, Splits } from "../tasks/evaluation.ts";
export type { MessagesObjective, Pooling, TaskConfig } from "../tasks/index.ts";
export type { TextDetails, Units } from "../tasks/lm/lm-training.ts";
export type { Answer, Decision } from "../tasks/predictions.ts";
export type { ScoreBin, ScoreDetails } from "../tasks/regression/regression-training.ts";
export type {
  Answered,
  ChosenDecision,
  Message as TasksMessage,
  PartEvaluation,
  Predicted,
  Results,
  TestResults,
} from "../tasks/task.ts";
export type { EntityDetails, EntityResult } from "../tasks/tokens/tokens-training.ts";
export type { ClassWeights } from "../train/class-weights.ts";
export type { TrainArguments } from "../train/job.ts";
export {
  type Answers,
  type Checkpoint,
  type EvaluationRecord,
  type FeaturePlan,
  RunFailed,
  type StepRecord,
  type TrainEvent,
  type TrainResult,
} from "../train/records.ts";
export type { ScheduleName } from "../train/schedule.ts";
export type { Keep, Recompute, RunSettings, TrainOptions } from "../train/settings.ts";

/**
 * Fine-tunes GPT-2: as a text classifier on data from `loadDataset`, as a token classifier on data from
 * `loadTagged`, as a language model on data from `loadTexts`.
 * Deterministic: the same device, data and options give the same bits. `save` also writes its report.
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or the device
 * fails, and RunFailed (a TrainingError with the last good tensors) if loss or gradients are not finite.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank/data";
 * import { fineTune, loadModel, openDevice } from "lowrank/engine";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const run = await fineTune({ device, model, data, rank: 8, epochs: 3, save: "runs/first" });
 * console.log(`test accuracy: ${run.results?.after.test.accuracy}`);
 * ```
 */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return (await import("../run/fine-tune.ts")).fineTune(args);
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
 * import { loadDataset } from "lowrank/data";
 * import { Classifier, loadModel, openDevice, study } from "lowrank/engine";
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
  return (await import("../study/study.ts")).study(args);
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
 * import { loadDataset } from "lowrank/data";
 * import { crossValidate, loadModel, openDevice } from "lowrank/engine";
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
  return (await import("../study/cross-validate.ts")).crossValidate(args);
}
