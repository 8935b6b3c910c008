/** The arguments of `fineTune`: what runs that are trained at once share, and what each has of its own. */
import { type FieldKind, hasKeys, isWithin, type Kind, optional } from "../checks.ts";
import { DEFAULTS } from "./options.ts";
import type { RunArguments } from "./prepare.ts";
import type { Checkpoint, TrainEvent } from "./records.ts";
import type { TrainOptions } from "./settings.ts";

/** The arguments of `fineTune`, with the settings of `TrainOptions`. */
export interface TrainArguments extends RunArguments {
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

/** The context of runs that are trained at once. */
export type SharedArguments = Pick<TrainArguments, "device" | "model" | "data" | "featureBudget">;

export type CommonArguments = SharedArguments & Pick<TrainArguments, "signal">;

/** How a run starts, and to whom it reports: what does not change its results. */
export type Start = Pick<
  TrainArguments,
  "resume" | "finish" | "checkpointEvery" | "onEvent" | "onCheckpoint" | "pause"
>;

/** The options of a run, and the adapter that it continues from. */
export type JobSettings = Omit<TrainArguments, keyof CommonArguments | keyof Start>;

/** A run that may be trained at the same time as others. */
export interface PlannedJob {
  settings: JobSettings;
}

/** A job that has begun, with what it starts from. */
export interface BegunJob extends PlannedJob {
  start: Start;
}

/** Any value: see `ARGUMENTS`. */
export const OPTIONS = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, "any?"] as const));
