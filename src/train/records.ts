/** The output of a run: steps, evaluations, events, result and checkpoints. */
import type { DeviceInfo } from "../backend/backend.ts";
import type { ClassicModel } from "../classic/model.ts";
import { errorParts, TrainingError } from "../core/errors.ts";
import type { Role } from "../core/tensor.ts";
import type { FinalNorm, Tensors } from "../io/peft/peft.ts";
import type { ModelPlan } from "../model/model.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import type { Answered, Predicted, Results } from "../tasks/task.ts";
import type { TrainOptions } from "./settings.ts";

/** The results of one step. */
export interface StepRecord {
  /** From 1. */
  step: number;
  /** Epochs finished, as a fraction. */
  epoch: number;
  /** Messages, or blocks of text, trained on so far. */
  examples: number;
  lr: number;
  loss: number;
  /**
   * Fraction of the step's messages classified correctly before the update; for a language model, of its tokens; 0 for
   * a regression.
   */
  accuracy: number;
  /** Global gradient norm before clipping. */
  norm: number;
}

/**
 * The state of a run at an evaluation, of which a run without a validation set has none. Training figures are means
 * over the steps since the previous evaluation.
 */
export interface EvaluationRecord {
  step: number;
  epoch: number;
  examples: number;
  lr: number;
  /** Absent before the first step. */
  train?: { loss: number; accuracy: number; norm: number };
  val: Evaluation;
}

/** The plan that computes the features once per message before the first step, and the bytes of the features. */
export interface FeaturePlan {
  plan: ModelPlan;
  bytes: number;
}

/** An event of a run: plain JSON, in which a figure that is not finite is null. */
export type TrainEvent =
  | {
      type: "plan";
      /** As resolved: `dtype` is the one that was chosen. */
      options: TrainOptions;
      spec: ModelSpec;
      device: DeviceInfo;
      trainable: number;
      /** See `PreparedRun`. */
      flops: number;
      /** Tokens of a batch, at most. */
      tokens: number;
      /** Blocks whose activations are recomputed in the backward pass. */
      recomputed: number;
      /**
       * Bytes: the peak, and those on the device by what they are for; the peak has the features that are kept, too.
       */
      memory: { peak: number; byRole: Partial<Record<Role, number>> };
      /** Bytes to compute the features, and to keep them. */
      features: { plan: number; kept: number } | null;
    }
  | { type: "start"; steps: number; stepsPerEpoch: number }
  /** It resumes from a checkpoint. */
  | { type: "resume"; checkpoint: Omit<Checkpoint, "tensors"> }
  | {
      type: "step";
      record: StepRecord;
      steps: number;
      /** Seconds of training so far. */
      seconds: number;
      examplesPerSecond: number;
      /** Of all steps, and of measuring after the last one. */
      secondsLeft: number;
    }
  | { type: "evaluation"; record: EvaluationRecord }
  /** Texts were read by the frozen model, before a linear probe is fitted. */
  | { type: "features"; done: number; rows: number; secondsLeft: number }
  /** A batch was measured after the last step. */
  | { type: "measure"; secondsLeft: number }
  /** The whole result is what `fineTune` resolves with. */
  | ({ type: "end" } & Pick<TrainResult, "results" | "keptStep" | "seconds" | "aborted">);

/** The answers to the messages of a run; null: there is no validation set. */
export interface Answers {
  val: Answered | null;
  test: Answered;
}

/** The result of a run. */
export interface TrainResult {
  options: TrainOptions;
  spec: ModelSpec;
  plan: ModelPlan;
  features: FeaturePlan | null;
  device: DeviceInfo;
  /** Number of trainable parameters. */
  trainable: number;
  /** Operations in the matrix products of a batch of mean length, forward and backward: a multiply-add is two. */
  flops: number;
  /** The results after the last step; null if the run was aborted before, or has no test set. */
  results: Results | null;
  steps: StepRecord[];
  evaluations: EvaluationRecord[];
  /** Its predictions for the test set; null if `results` is. */
  predicted: Predicted | null;
  /** The answers to all messages of the validation and the test set; null of texts, or if `results` is null. */
  answers: Answers | null;
  /** The classic model that the run was compared with; null: there is none, or `results` is null. */
  classic: ClassicModel | null;
  /** The probe that answers in place of the run, being as good on the test set and cheaper; null: the run does. */
  probe: (Pick<TrainResult, "tensors" | "counts"> & { spec: ModelSpec }) | null;
  /**
   * The step of the saved tensors: the best evaluation's with `keep: "best"`, unless the run was aborted or has no
   * validation set.
   */
  keptStep: number;
  /** The trained tensors and the head. */
  tensors: Tensors;
  /** Of a linear probe: see `Adapter`. */
  counts?: Uint8Array;
  /** The final layer norm [C]: a bias of the head is folded into it for PEFT. An RMS norm: undefined. */
  finalNorm: FinalNorm | undefined;
  /** Seconds of training, including evaluation, excluding loading. */
  seconds: number;
  /** Whether the run was ended by its AbortSignal before the last step. */
  aborted: boolean;
}

/** The complete state of a run between two steps, except options, data and base model. */
export interface Checkpoint {
  /** Steps finished. */
  step: number;
  /** Seconds of training so far. */
  seconds: number;
  /** The kind of device that computed it, on which a resumed run continues; without it the device is chosen again. */
  device?: DeviceInfo["kind"];
  steps: StepRecord[];
  /** Including the one before the first step. */
  evaluations: EvaluationRecord[];
  /**
   * The trained tensors, and AdamW's moments as `m.<name>` and `v.<name>`; with `keep: "best"`, those of the best
   * evaluation as `best.<name>`, unless it is the one after this step.
   */
  tensors: Tensors;
}

/**
 * Thrown by a run that fails during training, with the last good trained tensors.
 *
 * @example
 * ```ts
 * import { type FineTuneArguments, fineTune, RunFailed } from "lowrank/engine";
 *
 * declare const args: FineTuneArguments;
 * try {
 *   await fineTune(args);
 * } catch (error) {
 *   if (error instanceof RunFailed) console.error(error.message, [...error.contents.tensors.keys()]);
 * }
 * ```
 */
export class RunFailed extends TrainingError {
  constructor(
    error: TrainingError,
    readonly contents: Pick<TrainResult, "spec" | "tensors" | "finalNorm">,
  ) {
    const { summary, details } = errorParts(error);
    super(error.code, summary, { ...details, cause: error });
  }
}

/** How fast a run is, and what it reaches meanwhile. */
export interface Speed {
  /** Means over the last steps. */
  loss: number;
  accuracy: number;
  examplesPerSecond: number;
  secondsLeft: number;
}
