/**
 * A run as one record: plain JSON, run.json in its directory. What trains, shows, compares and stores runs has no other
 * form of it. It is folded from the trainer's events by `advance`.
 */
import { joinPath, platformName } from "#platform";
import { version } from "../../package.json";
import type { DeviceInfo } from "../backend/backend.ts";
import type { ErrorCode } from "../core/error-codes.ts";
import { LowrankError } from "../core/errors.ts";
import type { TextOrPair } from "../core/pair.ts";
import { type PairSettings, pairSettings } from "../core/pair.ts";
import { ROWS } from "../core/places.ts";
import { numel } from "../core/tensor.ts";
import { digestData } from "../data/digest.ts";
import type { TrainingData } from "../data/training-data.ts";
import { fingerprint } from "../io/fingerprint.ts";
import type { BaseModel } from "../io/hf.ts";
import { parseSnapshot } from "../io/hub/hub-names.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { GPT2_VOCABULARY } from "../io/tokenizer/vocabulary.ts";
import { adapterOptions } from "../methods/training.ts";
import { type ModelSpec, parameterList } from "../model/trainable.ts";
import { hasHead, type Objective } from "../tasks/index.ts";
import type { Results } from "../tasks/task.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { isUnequal } from "../train/class-weights.ts";
import { objectiveDefaults } from "../train/options.ts";
import { planEvent } from "../train/plan-event.ts";
import type { Prepared } from "../train/prepare.ts";
import type { EvaluationRecord, StepRecord, TrainEvent } from "../train/records.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";
import { expectWriter, nameBase } from "./base-name.ts";
import { type Curve, EMPTY_CURVE, extendCurve } from "./curve.ts";

/** The file of a run's directory that holds its record, and marks the directory as a run's. */
export const RECORD = "run.json";
/** The page that shows it. */
export const REPORT = "report.html";
/** The `format` and `version` of a run.json. */
export const FORMAT = "lowrank-run";
export const VERSION = 4;

/** A run's identity: all that is needed to repeat it and to use the trained model. Known before its first step. */
export interface RunIdentity {
  format: typeof FORMAT;
  version: typeof VERSION;
  /** The version of Lowrank, and where it runs. */
  lowrank: string;
  platform: string;
  /** Milliseconds since 1970. */
  created: number;
  objective: Objective;
  /** The settings as they were given, and all options as they were resolved. */
  settings: RunSettings;
  options: TrainOptions;
  /** Name or directory of the base model; "": it has none. */
  model: string;
  /** The revision of a base model from the hub. */
  revision?: string;
  /** The fingerprint of the model's vocabulary, unless it is GPT-2's. */
  vocabulary?: string;
  /** `fingerprint` of the base model: a run can only be resumed, and its adapter only be used, with the same model. */
  base: string;
  /** The directory of the adapter that training started from; "start": in the run's directory. */
  adapter?: string;
  /**
   * The source of the data, and the options it was read with. Files of "data/" are in the run's directory; of rows in
   * memory it is their number.
   */
  data: Record<string, unknown>;
  /** Tokens to which every row is padded; 0: packed. */
  padTo: number;
  /** Pairs of texts: their columns, and what is between their tokens. */
  pairs?: PairSettings;
  /** Whether the answers of chats were learned. */
  chat?: true;
  /** Maximum row length in tokens. Longer messages were truncated, texts were split into blocks. */
  maxLength: number;
  labels: readonly string[];
  /** Whether macro F1 is shown: see `isUnequal`. */
  unequal: boolean;
  /**
   * Rows and tokens of train, val and test, and their `digestData`: a run can only be resumed with the same data; and
   * how many rows are near-duplicates of earlier ones, unless they are blocks of text.
   */
  counts: { rows: number[]; tokens: number[]; sha256: string; nearDuplicates?: number };
  /** The trial of a sweep that this run is. */
  trial?: TrialName;
  /** It has learned from all rows, and its results are those of so many folds of them. */
  folds?: number;
  /** The run is stored in DIR.new, and replaces the one in DIR when it is finished. */
  replaces?: true;
}

/** A trial of a sweep: its name, what identifies its settings, and the model as the sweep names it. */
export interface TrialName {
  name: string;
  key: string;
  model: string;
}

export interface RunProgress {
  state: "training" | "stopped" | "finished" | "failed";
  /** Null before it is known where the run is trained; likewise 0 in the next numbers. */
  device: DeviceInfo | null;
  /** Trainable parameters, and all. */
  trainable: number;
  parameters: number;
  /** Peak bytes on the device: see `peakMemory`. */
  memory: number;
  /**
   * Operations in the matrix products of a batch of rows of mean length, forward and backward: a multiply-add is two.
   */
  flops: number;
  /** Steps, and how many there will be. */
  step: number;
  steps: number;
  stepsPerEpoch: number;
  /** Epochs finished, as a fraction. */
  epoch: number;
  /** Messages, or blocks of text, trained on so far. */
  examples: number;
  /** Seconds of training, including evaluation, excluding loading. */
  seconds: number;
  evaluations: EvaluationRecord[];
  curve: Curve;
}

export interface ErrorRecord {
  name: string;
  code?: ErrorCode;
  message: string;
}

export interface RunOutcome {
  /** The step after which the saved parameters are. */
  keptStep: number;
  /**
   * What was measured after the last step; null before it, and for a run that was stopped, has failed or has no test
   * set.
   */
  results: Results | null;
  error: ErrorRecord | null;
  /** The SHA-256 of the other files of the run's directory, by their names: see io/marker.ts. */
  files: Record<string, string>;
  /** Of those that are about to be written. */
  pending?: Record<string, string>;
  /** Bytes of the files of trained tensors. */
  saved: number;
  /** Why PEFT cannot load the adapter; null: it can, or nothing is saved. */
  peftObstacle: string | null;
}

/** A run, as its directory has it in run.json. */
export interface RunRecord extends RunIdentity, RunProgress, RunOutcome {}

/** A run that begins, or begins again. */
const START = {
  state: "training",
  step: 0,
  epoch: 0,
  examples: 0,
  seconds: 0,
  evaluations: [],
  curve: EMPTY_CURVE,
  keptStep: 0,
  results: null,
  error: null,
} satisfies Partial<RunProgress & RunOutcome>;

/** A run whose plan is not known. */
const UNPLANNED = { device: null, trainable: 0, parameters: 0, memory: 0, flops: 0, steps: 0, stepsPerEpoch: 0 };

/** The beginning of every record. */
const stampRecord = () =>
  ({ format: FORMAT, version: VERSION, lowrank: version, platform: platformName, created: Date.now() }) as const;

/** The record of a new run; a classic one has no base model. `source` overrides the origin that the data reports. */
export async function newRecord(
  { model, data }: { model: BaseModel | null; data: TrainingData },
  settings: RunSettings,
  options: TrainOptions,
  source = data.origin,
): Promise<RunRecord> {
  const sets = [data.stats.train, data.stats.val, data.stats.test];
  const name = model ? nameBase(model.directory).name : "";
  expectWriter(name, data.objective);
  const revision = model && parseSnapshot(model.directory)?.revision;
  return {
    ...stampRecord(),
    objective: data.objective,
    settings,
    options,
    model: name,
    ...(revision ? { revision } : {}),
    base: model ? await fingerprint(model) : "",
    ...(data.vocabulary === GPT2_VOCABULARY.fingerprint ? {} : { vocabulary: data.vocabulary }),
    data: source,
    padTo: data.train.padTo,
    ...(data.pairs ? { pairs: data.pairs } : {}),
    ...("chat" in data && data.chat ? { chat: true } : {}),
    maxLength: data.maxLength,
    labels: data.labels,
    unequal: isUnequal(data),
    counts: {
      rows: sets.map(({ rows }) => rows),
      tokens: sets.map(({ tokens }) => tokens),
      sha256: await digestData(data),
      ...("nearDuplicates" in data.stats && { nearDuplicates: data.stats.nearDuplicates.rows }),
    },
    ...START,
    ...UNPLANNED,
    files: {},
    saved: 0,
    peftObstacle: null,
  };
}

/** The record of an adapter from `file`, of whose training nothing is known but the method. */
export function recordOfAdapter({ meta, tensors }: Adapter, file: string): RunRecord {
  const { labels, task } = meta;
  const pairs = pairSettings(meta);
  const none = [0, 0, 0];
  return {
    ...stampRecord(),
    objective: task.objective,
    settings: {},
    options: { ...objectiveDefaults(task.objective), ...adapterOptions(meta), pooling: task.pooling },
    model: meta.base_model,
    base: meta.base_fingerprint ?? "",
    data: { file },
    padTo: 0,
    ...(pairs ? { pairs } : {}),
    maxLength: 1,
    labels,
    unequal: false,
    counts: { rows: none, tokens: none, sha256: "" },
    ...START,
    ...UNPLANNED,
    state: "finished",
    trainable: [...tensors.values()].reduce((sum, { shape }) => sum + numel(shape), 0),
    files: {},
    saved: 0,
    peftObstacle: null,
  };
}

/** The record after an event of the trainer. */
export function advance(record: RunRecord, event: TrainEvent): RunRecord {
  switch (event.type) {
    case "plan": {
      // The options have the type of weights that `auto` has chosen: a resumed run keeps it.
      const { options, spec, device, trainable, flops, memory } = event;
      const parameters = countParameters(spec);
      return { ...record, options, device, trainable, flops, memory: memory.peak, parameters };
    }
    // What was reached before stays until then: a run may end while it is prepared.
    case "start":
      return { ...record, ...START, steps: event.steps, stepsPerEpoch: event.stepsPerEpoch };
    case "resume": {
      const { steps, seconds, evaluations } = event.checkpoint;
      return { ...steps.reduce(addStep, record), seconds, evaluations };
    }
    case "step":
      return { ...addStep(record, event.record), seconds: event.seconds };
    case "evaluation":
      return { ...record, evaluations: [...record.evaluations, event.record] };
    case "features":
      return { ...record, step: event.done, epoch: event.done / event.rows, examples: event.done };
    case "measure":
      return record;
    case "end": {
      const { aborted, results, keptStep, seconds } = event;
      return { ...record, state: aborted ? "stopped" : "finished", results, keptStep, seconds };
    }
  }
}

export function countParameters(spec: ModelSpec): number {
  return parameterList(spec).reduce((sum, { shape }) => sum + numel(shape), 0);
}

function addStep(record: RunRecord, step: StepRecord): RunRecord {
  return {
    ...record,
    step: step.step,
    epoch: step.epoch,
    examples: step.examples,
    curve: extendCurve(record.curve, step),
  };
}

/** The record of a run before its first step, as the trainer prepares it. */
export function planned(record: RunRecord, prepared: Prepared, device: DeviceInfo): RunRecord {
  const { total: steps, stepsPerEpoch } = prepared.stepCounts;
  return advance(advance(record, planEvent(prepared, device)), { type: "start", steps, stepsPerEpoch });
}

export function failed(record: RunRecord, error: unknown): RunRecord {
  return { ...record, state: "failed", error: errorRecord(error) };
}

export function errorRecord(error: unknown): ErrorRecord {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const code = error instanceof LowrankError ? { code: error.code } : {};
  return { name, ...code, message };
}

/**
 * What a record in a directory says of its data and its adapter, with the paths of the files that are in the directory
 * itself: a page stores a visitor's files there.
 */
export function within(
  directory: string,
  { objective, data, adapter }: Pick<RunRecord, "objective" | "data" | "adapter">,
): Pick<RunRecord, "objective" | "data" | "adapter"> {
  const find = (path: string) => (isInside(path) ? joinPath(directory, path) : path);
  return { objective, data: moveFiles(data, find), ...(adapter === undefined ? {} : { adapter: find(adapter) }) };
}

/** Whether a path of a record is one in its directory. Node's others are absolute. */
const isInside = (path: string) => /^(data|start)(\/|$)/.test(path);

const ROW_FILES = ["file", "train", "val", "test"];
const FILES = [...ROW_FILES, "corrections"];

const pathsOf = (data: RunRecord["data"], keys: readonly string[]): string[] =>
  keys.flatMap((key) => data[key]).filter((path) => typeof path === "string");

/** The paths of a run's data; none of a data set by name. */
export const dataFiles = (data: RunRecord["data"]): string[] => pathsOf(data, FILES);

/** Whether a run's data was an array of rows, of which its record has only the number. */
export const isInMemory = (data: RunRecord["data"]): boolean => typeof data.rows === "number";

/** A run's data, with other paths. */
export function moveFiles(data: RunRecord["data"], move: (path: string) => string): RunRecord["data"] {
  const moved = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(moved) : typeof value === "string" ? move(value) : value;
  const files = FILES.filter((key) => data[key] !== undefined);
  return { ...data, ...Object.fromEntries(files.map((key) => [key, moved(data[key])])) };
}

/** The name of a file in its folder, in Windows as well. */
export const fileName = (path: string) => path.replace(/^.*[\\/]/, "");

/** The name of a run's data: that of the data set as it was given, or those of its files. */
export function dataName({ data, settings }: Pick<RunRecord, "data" | "settings">): string {
  const { dataset = data.name } = settings;
  if (isInMemory(data)) return ROWS;
  return typeof dataset === "string" ? dataset : pathsOf(data, ROW_FILES).map(fileName).join(", ");
}

/** The evaluation whose parameters are kept; undefined without a validation set. */
export function keptEvaluation({
  evaluations,
  keptStep,
}: Pick<RunRecord, "evaluations" | "keptStep">): EvaluationRecord | undefined {
  return evaluations.find(({ step }) => step === keptStep) ?? evaluations.at(-1);
}

/** A message of the test set to try the model with; of one that writes texts the shortest prompt of its samples. */
export function exampleText({ objective, results, pairs, chat }: Shown): TextOrPair {
  if (hasHead({ objective })) return results?.test.example ?? textToTry([], pairs !== undefined);
  const prompts = (results?.test.samples ?? []).flatMap(({ text }) => text).sort((a, b) => a.length - b.length);
  return prompts.find((text) => text.length <= LONGEST_PROMPT) ?? (chat ? "Hello" : "Once upon a time");
}

type Shown = Pick<RunRecord, "objective" | "results" | "pairs" | "chat">;

/** Characters of a prompt in a command. */
const LONGEST_PROMPT = 100;

/** Messages, or blocks of text, of an epoch. */
export function examplesPerEpoch({ options, stepsPerEpoch }: Pick<RunRecord, "options" | "stepsPerEpoch">): number {
  return options.batchSize * options.accumulate * stepsPerEpoch;
}
