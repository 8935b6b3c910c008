/** The messages between the page and its worker: plain data, which can be posted and stored. */
import type { DeviceName, GPT2Config, Objective } from "../config.ts";
import type { BlockStats } from "../data/blocks.ts";
import type { ColumnChoice } from "../data/columns.ts";
import type { DatasetStats } from "../data/dataset.ts";
import type { Split } from "../data/split.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import type { OtherEncoding } from "../errors.ts";
import type { Classification } from "../infer/classifier.ts";
import type { GenerateOptions, GenerationChunk } from "../infer/generation.ts";
import type { Influences } from "../infer/influence.ts";
import type { Confusion } from "../report/statistics.ts";
import type { Changes } from "../run/changes.ts";
import type { Compared } from "../run/comparison.ts";
import type { TestMessage } from "../run/predictions.ts";
import type { Usage } from "../run/usage.ts";
import type { TrainOptions } from "../train/options.ts";
import type { EvaluationRecord, PartEvaluation, Splits } from "../train/records.ts";

/** The source of the messages or texts: a data set by name, or what the visitor selected last: a file of messages, or text files. */
export type DataChoice =
  | { kind: "named"; name: string }
  | ({ kind: "file"; name: string; encoding?: string } & ColumnChoice)
  | { kind: "texts"; files: readonly string[]; encoding?: string };

/** Everything that determines a run. */
export interface PageSettings {
  objective: Objective;
  data: DataChoice;
  /** Name of a bundled or stored model, or of one from the hub. */
  model: string;
  /** The record of the adapter that training starts from; null: a new adapter. */
  adapter: { id: string; title: string } | null;
  device: DeviceName;
  split: Split | "default";
  /** Whether rows of the larger classes are dropped until all classes are equal. */
  balance: boolean;
  dedupe: boolean;
  /** Maximum length of a message, or of a block of text, in tokens; 0: the model's context. */
  maxLength: number;
  options: Partial<TrainOptions>;
}

/** The capabilities of this browser. */
interface Machine {
  /** Whether threads can share memory; if not, the CPU backend has one. */
  isolated: boolean;
  /** Threads of the CPU backend. */
  threads: number;
}

export interface DeviceReport {
  kind: "webgpu" | "wasm";
  /** Description, with the reason if it is not the requested kind. */
  text: string;
}

/** Number of rows with at least `from` and fewer than `to` tokens. */
export interface Bin {
  from: number;
  to: number;
  rows: number;
}

/** Statistics of the messages. */
export interface DataReport {
  source: string;
  /** Columns to choose from; empty if the file has no header, or for a data set by name. */
  columns: string[];
  text: string;
  label: string;
  /** The first rows. */
  preview: { text: string; label: string }[];
  labels: readonly string[];
  /** Rows by class, as read from the file. */
  classes: Record<string, number>;
  rowsRead: number;
  stats: Splits<DatasetStats>;
  lengths: Bin[];
  /** Messages about the data. */
  notes: string[];
  /** Invalid rows, by line; `problemCount` counts them all. */
  problems: { line: number; text: string; hint?: string }[];
  problemCount: number;
}

/** What a language model is trained on. */
export interface TextsReport {
  documents: number;
  stats: Splits<BlockStats>;
  /** The longest block, in tokens. */
  maxLength: number;
  /** The beginning of the training set. */
  preview: string;
  /** Messages about the texts. */
  notes: string[];
}

/** The columns of a selected file; null where the text or label column was not recognised. */
export interface ColumnReport {
  columns: string[];
  text: string | null;
  label: string | null;
}

interface ModelReport {
  name: string;
  config: GPT2Config;
  values: number;
}

/** The parameters, memory and steps of a run. */
export interface RunEstimate {
  trainable: number;
  values: number;
  bytes: number;
  steps: number;
  stepsPerEpoch: number;
  /** How long the run will take, from the speed of earlier runs. */
  seconds: number;
}

/**
 * `waiting`: a comparison will begin it; `stopping`: saving the trained parameters, because the run is paused or stopped;
 * `interrupted`: the page was closed during the run; `elsewhere`: training in another tab; `loaded`: an adapter loaded from a file.
 */
export type RunState =
  | "waiting"
  | "training"
  | "paused"
  | "stopping"
  | "interrupted"
  | "elsewhere"
  | "stopped"
  | "finished"
  | "failed"
  | "loaded";

/** Whether a run is active. A paused run is not: its state is stored, and it resumes as a stopped one does. */
export const isUnderWay = ({ state }: Pick<RunRecord, "state">): boolean =>
  state === "training" || state === "stopping";

/** Whether the visitor ended a run before its last step. It resumes when it is asked to. */
const isHalted = ({ state }: RunRecord) => state === "paused" || state === "stopped";

/** Whether a comparison would begin a run by itself. */
const isWaiting = ({ state }: RunRecord) => state === "waiting" || state === "interrupted";

/** The runs of a run's comparison, itself among them. A run of no comparison has none. */
const comparedWith = ({ comparison }: RunRecord, runs: readonly RunRecord[]) =>
  comparison === undefined ? [] : runs.filter((run) => run.comparison === comparison);

/** The run that a comparison begins next, if none of its runs is active and the visitor has stopped none; `runs` are newest first. */
export function nextOf(run: RunRecord, runs: readonly RunRecord[]): RunRecord | undefined {
  const compared = comparedWith(run, runs);
  return compared.some((one) => isUnderWay(one) || isHalted(one)) ? undefined : compared.findLast(isWaiting);
}

/** The other runs of its comparison that may be trained at the same time as a run that begins, in the order of the comparison. */
export function companionsOf(run: RunRecord, runs: readonly RunRecord[]): RunRecord[] {
  return comparedWith(run, runs)
    .filter((one) => one.id !== run.id && one.settings.device === run.settings.device)
    .filter((one) => isWaiting(one) || isHalted(one))
    .reverse();
}

/** Whether a run has left its trained parameters, and will not change them. */
export const hasAdapter = (run: Pick<RunRecord, "state" | "usable">): boolean =>
  run.usable && !isUnderWay(run) && run.state !== "elsewhere" && run.state !== "interrupted";

/** The plotted training curve: means over groups of steps. */
export interface Curve {
  examples: number[];
  loss: number[];
  accuracy: number[];
}

export interface Mistake {
  text: string;
  truth: string;
  predicted: string;
  probability: number;
}

/** A run, as it is shown and stored. */
export interface RunRecord {
  id: string;
  /** Its method: "LoRA, rank 8, alpha 16". */
  title: string;
  /** The visitor's name for it. */
  name?: string;
  /** Whether it is listed first. */
  pinned?: boolean;
  /** Whether it is deleted, unless the visitor takes that back. */
  deleted?: boolean;
  /** The id of the comparison that it belongs to. */
  comparison?: string;
  state: RunState;
  objective: Objective;
  /** Milliseconds since 1970. */
  created: number;
  settings: PageSettings;
  dataName: string;
  /** `fingerprint` of the model when the run began. */
  base?: string;
  labels: readonly string[];
  /** The names of the parts of the test set. */
  partNames: readonly string[];
  /** Whether macro F1 is shown: see `isUnequal`. */
  unequal: boolean;
  device: string;
  trainable: number;
  values: number;
  bytes: number;
  /** Operations in the matrix products of a step. */
  flops: number;
  step: number;
  steps: number;
  epoch: number;
  examples: number;
  examplesPerEpoch: number;
  seconds: number;
  before: Splits<Evaluation> | null;
  after: Splits<Evaluation> | null;
  /** The parts of the test set after training; null before its end. */
  parts: PartEvaluation[] | null;
  evaluations: EvaluationRecord[];
  curve: Curve;
  /** Of the test set of a classifier. */
  confusions: Confusion[] | null;
  mistakes: Mistake[];
  /** The run and the baselines on the test set; this and the next two are missing before the end. */
  compared?: readonly Compared[];
  /** Expected calibration error on the test set. */
  calibrationError?: number;
  /** What to know about the result: a small test set, a baseline with as many rows right, an early end, what was kept. */
  resultNotes?: string[];
  /** Whether each test message is classified correctly, as 1 and 0. Missing before the end. */
  verdicts?: Uint8Array;
  /** Bytes of the files of trained tensors. */
  savedBytes?: number;
  /** That the run has learned nothing, with a learning rate to try. */
  warning?: ErrorReport;
  /** How far the matrices moved; missing before the end. */
  changes?: Changes;
  /** The reason if PEFT cannot load the adapter. */
  peftObstacle: string | null;
  /** A message for the visitor. */
  note: string | null;
  /** Whether there are trained parameters to classify with and to download. */
  usable: boolean;
  error: ErrorReport | null;
}

/** Current loss and speed of a run that is training. */
export interface Speed {
  /** Means over the last steps. */
  loss: number;
  accuracy: number;
  examplesPerSecond: number;
  secondsLeft: number;
}

/** An error as the page shows it. */
export interface ErrorReport {
  name: string;
  summary: string;
  where?: string;
  expected?: string;
  found?: string;
  hint?: string;
  /** Settings that fix the error, and the bytes that a run then takes. */
  remedy?: { set: Partial<Pick<TrainOptions, "lr" | "dtype" | "recompute" | "batchSize">>; bytes?: number };
  /** The encoding that a file which is not UTF-8 may have, and how it then reads. */
  encoding?: OtherEncoding;
}

export interface Verdict {
  adapter: Classification;
  /** The base model with the initial head. */
  base: Classification;
}

/** The arguments of a text generation. */
export interface WriteRequest {
  /** The base model; ignored with an adapter, which has its own. */
  model: string;
  /** The id of the adapter's record; null: the base model alone. */
  adapter: string | null;
  device: DeviceName;
  prompts: string[];
  options: Omit<GenerateOptions, "signal">;
}

export interface WriteReport {
  /** Duration of the generation, without loading. */
  seconds: number;
  /** Whether `stopWriting` ended it. */
  stopped: boolean;
}

/** A model that is available offline. */
export interface ModelEntry {
  name: string;
  /** Whether it is stored in this browser, and not bundled. */
  kept: boolean;
}

/** What can be downloaded of a run: its adapter, all its files, or one HTML file that classifies on its own. */
export type Takeable = "adapter" | "run" | "page";

/** The sizes of what can be downloaded, and code that uses it. */
export interface TakeReport {
  adapterBytes: number;
  /** Null: a loaded adapter has no other files. */
  runBytes: number | null;
  /** The size of the HTML file, or why there is none; null: the model classifies nothing. */
  page: { bytes: number } | { refused: string } | null;
  usages: Usage[];
}

/** The worker's methods. */
export interface Api {
  machine(): Promise<Machine>;
  /** Opens the device, unless it is open. */
  openDevice(name: DeviceName): Promise<DeviceReport>;
  openModel(name: string): Promise<ModelReport>;
  /** Stores a model's files; returns the name for `openModel`. */
  addModel(files: File[]): Promise<string>;
  forgetModel(name: string): Promise<void>;
  /** The bundled models and the stored ones. */
  models(): Promise<ModelEntry[]>;
  /** Registers a selected file and returns its columns. */
  pickData(file: File, encoding: string): Promise<ColumnReport>;
  readData(settings: PageSettings): Promise<DataReport>;
  /** Registers selected files. */
  pick(files: File[]): Promise<void>;
  readTexts(settings: PageSettings): Promise<TextsReport>;
  estimate(settings: PageSettings): Promise<RunEstimate>;
  runs(): Promise<RunRecord[]>;
  /** Begins a run; progress is reported by events. Resolves with its id when it has begun. */
  start(settings: PageSettings): Promise<string>;
  /** Resumes a run from its last checkpoint. On another device the results are no longer bit-identical. */
  resume(id: string, device?: DeviceName): Promise<void>;
  /** Ends the active run, and those trained at the same time, with a checkpoint and its adapter; `pause` and `stop` differ in the state that is shown. */
  pause(): Promise<void>;
  stop(): Promise<void>;
  /** Begins the runs of a comparison of methods, several at the same time where that is faster. Resolves with the first one's id when it has begun. */
  compare(settings: PageSettings): Promise<string>;
  classify(id: string, text: string): Promise<Verdict>;
  /** What can be downloaded of a run that has trained parameters. */
  take(id: string): Promise<TakeReport>;
  /** A zip of the adapter or of the whole run directory, or an HTML file. */
  download(id: string, what: Takeable): Promise<Blob>;
  /**
   * Stores an adapter from files and returns the id of its record. `model` is its base model if the one that it names is not
   * available. Fails if it is not of the `objective`, where one is given.
   */
  loadAdapter(files: File[], model: string, objective?: Objective): Promise<string>;
  /** Generates text, which is reported by events. Resolves when it is complete or stopped. */
  write(request: WriteRequest): Promise<WriteReport>;
  stopWriting(): Promise<void>;
  /** Names or pins a run, or notes why it ended. */
  change(id: string, change: Partial<Pick<RunRecord, "name" | "pinned" | "error">>): Promise<void>;
  /** Deletes a run; `unforget` takes it back until `purge` deletes the files of all deleted runs. */
  forget(id: string): Promise<void>;
  unforget(id: string): Promise<void>;
  purge(): Promise<void>;

  // What a run learned: see learned.ts.
  /** Accuracy on the test set with everything that was learned times `scale`; null if a run needs the device. */
  accuracyAt(id: string, scale: number): Promise<number | null>;
  /** The influence of each word on the label; null if a run needs the device. */
  influences(id: string, text: string): Promise<Influences | null>;
  /** Messages of the test set; none if the run was not measured on it. */
  samples(id: string): Promise<TestMessage[]>;
}

export type Method = keyof Api;

export interface Call<M extends Method = Method> {
  id: number;
  method: M;
  args: Parameters<Api[M]>;
}

export type Answer = { id: number; value: unknown } | { id: number; error: ErrorReport };

/** Notifications of the worker. */
export type Event =
  /** It holds the lock of its name. */
  | { type: "alive" }
  | { type: "run"; run: RunRecord; speed: Speed | null }
  | { type: "busy"; text: string; share: number | null }
  | { type: "idle" }
  | { type: "written"; chunk: GenerationChunk; seconds: number }
  /** Runs have changed in another tab. */
  | { type: "runs" };
