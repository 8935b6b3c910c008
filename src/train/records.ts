/** What a run tells: its steps, evaluations, events, result, and what it needs to go on. */
import type { DeviceInfo } from "../backend/backend.ts";
import type { TrainingData } from "../data/texts.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import type { Prediction } from "../engine/predictions.ts";
import { TrainingError } from "../errors.ts";
import type { FinalNorm, Tensors } from "../io/peft.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { memoryTotals } from "../plan/memory.ts";
import type { Confusion } from "../report/statistics.ts";
import type { TrainOptions } from "./options.ts";

/** One step, as it came back from the device. */
export interface StepRecord {
  /** From 1. */
  step: number;
  /** Epochs done, as a fraction. */
  epoch: number;
  /** Messages, or blocks of text, that the model has been trained on. */
  examples: number;
  lr: number;
  loss: number;
  /** Share of the step's messages that were classified right before the update; of a language model, of its tokens. */
  accuracy: number;
  /** Global gradient norm before clipping. */
  norm: number;
}

/** The state of a run at an evaluation: training figures are means over the steps since the last one. */
export interface EvaluationRecord {
  step: number;
  epoch: number;
  examples: number;
  lr: number;
  /** Absent before the first step. */
  train?: { loss: number; accuracy: number; norm: number };
  val: Evaluation;
}

/** Where frozen lower blocks run once a message, before the first step: their plan, and the bytes that they leave with the host. */
export interface PrefixPlan {
  plan: ModelPlan;
  bytes: number;
}

/** The most bytes that a run takes at a time. */
export function memoryOf({ plan, prefix }: { plan: ModelPlan; prefix: PrefixPlan | null }): number {
  const [own, before] = [plan, prefix?.plan].map((some) => (some ? memoryTotals(some.memory).total : 0)) as [
    number,
    number,
  ];
  return Math.max(own, before) + (prefix?.bytes ?? 0);
}

export type TrainEvent =
  | {
      type: "plan";
      plan: ModelPlan;
      device: DeviceInfo;
      trainable: number;
      prefix: PrefixPlan | null;
    }
  | { type: "start"; steps: number; stepsPerEpoch: number }
  | { type: "step"; record: StepRecord; steps: number; examplesPerSecond: number; secondsLeft: number }
  | { type: "evaluation"; record: EvaluationRecord }
  | { type: "end"; result: TrainResult };

export interface Splits<T> {
  train: T;
  val: T;
  test: T;
}

export interface TrainResult {
  options: TrainOptions;
  spec: ModelSpec;
  plan: ModelPlan;
  prefix: PrefixPlan | null;
  device: DeviceInfo;
  /** Number of values that learned. */
  trainable: number;
  stats: Pick<TrainingData["stats"], keyof Splits<unknown>>;
  /**
   * As the run began, and after the last step; null where the run was aborted before that was measured. Training accuracy is over
   * at most as many rows as the test set has.
   */
  before: Splits<Evaluation> | null;
  after: Splits<Evaluation> | null;
  steps: StepRecord[];
  evaluations: EvaluationRecord[];
  /** On the test set; none of a language model, and none without `after`. */
  predictions: Prediction[];
  /** What test rows of each class were labelled; none of a language model. */
  confusions: Confusion[];
  /** The trained tensors and the head. */
  tensors: Tensors;
  /** The final layer norm [C], through which a bias of the head can be told to PEFT. */
  finalNorm: FinalNorm;
  /** Seconds of training, evaluation included, loading not. */
  seconds: number;
  /** Whether the run was ended by its AbortSignal, after some of its steps. */
  aborted: boolean;
}

/** A run between two steps: everything that the rest of it depends on, beside its options, its data and its base model. */
export interface Checkpoint {
  /** Steps done. */
  step: number;
  /** Seconds of training so far. */
  seconds: number;
  steps: StepRecord[];
  /** From the one before the first step on. */
  evaluations: EvaluationRecord[];
  /** What learns, and AdamW's moments of it as `m.<name>` and `v.<name>`. */
  tensors: Tensors;
}

/** A run that ended before its time, with the last good state of what was trained. */
export class RunFailed extends TrainingError {
  constructor(
    error: TrainingError,
    readonly contents: Pick<TrainResult, "tensors" | "finalNorm">,
  ) {
    super(error.message, { cause: error });
  }
}
