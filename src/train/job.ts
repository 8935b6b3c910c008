/** A run to train, and how it starts: the arguments of `fineTune`. */
import type { Backend } from "../backend/backend.ts";
import { type FieldKind, hasKeys, isWithin, type Kind, optional } from "../core/checks.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { DEFAULTS } from "./options.ts";
import type { Checkpoint, TrainEvent } from "./records.ts";
import type { TrainOptions } from "./settings.ts";

/** A run: what its results follow from, and the device that computes them. */
export interface Job extends Partial<TrainOptions> {
  device: Backend;
  /** The base model, from `loadModel`. */
  model: BaseModel;
  /** The training data, which sets the objective: that of `loadDataset`, or language modeling (`loadTexts`). */
  data: TrainingData;
  /**
   * An adapter of this model to continue from. It determines the mode and its sizes, head and pooling. Default: a new
   * one.
   */
  adapter?: Adapter;
  /**
   * Bytes of host memory for the features: the outputs of the frozen lower blocks, which then run only once per
   * example. If they do not fit, the whole model runs at every step, with the same bits. Default: a quarter of the free
   * memory, at most 1 GB.
   */
  featureBudget?: number;
}

/** A job before it has a device of its own: only the limits of one are used. */
export type Preparable = Omit<Job, "device"> & { device: Pick<Backend, "limits"> };

/** How a run starts and ends, and to whom it reports: its results do not depend on it. */
export interface Start {
  /**
   * Ends the run within about a second. After the first step, `train` resolves with `aborted` set and the parameters of
   * the last finished step; evaluations that were not made are null. Before, it rejects with the signal's reason.
   */
  signal?: AbortSignal;
  /**
   * Ends training before the next step, as `patience` does: what was learned is evaluated and measured on the test set.
   */
  finish?: AbortSignal;
  /** Called with each step, evaluation and checkpoint. What it throws ends the run. */
  onEvent?: (event: TrainEvent) => void;
  /**
   * The checkpoint to resume from. With the same options, data and kind of device the result is bit-identical to an
   * uninterrupted run's. A device that was opened as `auto` is replaced by the checkpoint's kind; DeviceError if that
   * is WebGPU and not available. Default: the run begins at step 1.
   */
  resume?: Checkpoint;
  /** Steps between checkpoints, or `evaluation`: one after each evaluation; 0 (default): only if the run is aborted. */
  checkpointEvery?: number | "evaluation";
  /** Stores a checkpoint. The run waits for it. */
  onCheckpoint?: (checkpoint: Checkpoint) => Promise<void>;
  /** Called before every step. If it returns a promise, the run emits a checkpoint and waits, off the clock. */
  pause?: () => Promise<void> | undefined;
}

/** The arguments of `fineTune`, with the settings of `TrainOptions`. */
export type TrainArguments = Job & Start;

export function divideArguments(args: TrainArguments): { job: Job; start: Start } {
  const { signal, finish, onEvent, resume, checkpointEvery, onCheckpoint, pause, ...job } = args;
  return { job, start: { signal, finish, onEvent, resume, checkpointEvery, onCheckpoint, pause } as Start };
}

const DATA: Kind = [
  "data, from loadDataset or loadTexts",
  (value) => hasKeys(value) && ["objective", "train", "val", "test"].every((key) => key in value),
];
const CHECKPOINT: Kind = [
  "a checkpoint, from onCheckpoint",
  (value) => hasKeys(value) && Array.isArray(value.steps) && value.tensors instanceof Map,
];
const INTERVAL: Kind = [
  'a whole number of steps, or "evaluation"',
  (value) => value === "evaluation" || isWithin(value, { min: 0, whole: true }),
];

/** The arguments but the settings, which `resolveOptions` checks. */
export const ARGUMENTS = {
  device: "device",
  model: "model",
  data: DATA,
  featureBudget: "number?",
  signal: "signal?",
  finish: "signal?",
  adapter: "adapter?",
  onEvent: "function?",
  resume: optional(CHECKPOINT),
  checkpointEvery: optional(INTERVAL),
  onCheckpoint: "function?",
  pause: "function?",
} as const satisfies Record<Exclude<keyof TrainArguments, keyof TrainOptions>, FieldKind>;

/** Any value: see `ARGUMENTS`. */
export const OPTIONS = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, "any?"] as const));
