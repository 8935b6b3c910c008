/** What the page and its worker say to each other. Plain data, so that it can be posted and kept. */
import type { DeviceName, GPT2Config, Objective } from "../config.ts";
import type { ColumnChoice } from "../data/columns.ts";
import type { DatasetStats } from "../data/dataset.ts";
import type { Split } from "../data/split.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import type { Classification } from "../infer/classifier.ts";
import type { GenerateOptions, GenerationChunk } from "../infer/generation.ts";
import type { Confusion } from "../report/statistics.ts";
import type { TrainOptions } from "../train/options.ts";
import type { EvaluationRecord, Splits } from "../train/records.ts";

/** Where messages come from: a data set by its name, or the file that the visitor picked last. */
export type DataChoice = { kind: "named"; name: string } | ({ kind: "file"; name: string } & ColumnChoice);

/** Everything that decides a run. */
export interface PageSettings {
  data: DataChoice;
  /** Shipped, stored, or of the hub: what `loadModel` takes. */
  model: string;
  /** The record of the adapter that training begins with; null, or left out in records of before: a fresh one. */
  adapter?: { id: string; title: string } | null;
  device: DeviceName;
  split: Split;
  balance: boolean;
  dedupe: boolean;
  /** Longest message in tokens; 0: the model's context. */
  maxLength: number;
  options: Partial<TrainOptions>;
}

/** What this browser offers. */
export interface Machine {
  /** Whether memory can be shared between threads; without, the CPU backend has one. */
  isolated: boolean;
  /** Of the CPU backend. */
  threads: number;
}

export interface DeviceReport {
  kind: "webgpu" | "wasm";
  /** In words, with the reason where it was not asked for. */
  text: string;
}

/** Rows that hold at least `from` and fewer than `to` tokens. */
export interface Bin {
  from: number;
  to: number;
  rows: number;
}

/** What there is to know of the messages before training. */
export interface DataReport {
  source: string;
  /** Columns to choose from; empty where the format names none, or for a data set by name. */
  columns: string[];
  text: string;
  label: string;
  /** The first rows as text and label. */
  preview: { text: string; label: string }[];
  labels: readonly string[];
  /** Rows by class as they stand in the file. */
  classes: Record<string, number>;
  rowsRead: number;
  stats: Splits<DatasetStats>;
  lengths: Bin[];
  /** What was found that is worth a look, in words. */
  notes: string[];
  /** Rows that cannot be used, by line, and how many there are in all. */
  problems: { line: number; text: string }[];
  problemCount: number;
}

/** What a picked file shows before its columns are known. */
export interface ColumnReport {
  columns: string[];
  text: string | null;
  label: string | null;
}

export interface ModelReport {
  name: string;
  config: GPT2Config;
  values: number;
}

/** What a run would take. */
export interface RunEstimate {
  trainable: number;
  values: number;
  bytes: number;
  steps: number;
  stepsPerEpoch: number;
}

/** `stopping`: measuring what was learned; `interrupted`: under way when its page went away; `elsewhere`: it trains in another tab; `loaded`: an adapter from outside. */
export type RunState =
  | "training"
  | "paused"
  | "stopping"
  | "interrupted"
  | "elsewhere"
  | "stopped"
  | "finished"
  | "failed"
  | "loaded";

/** Whether a run is under way. */
export const isUnderWay = ({ state }: Pick<RunRecord, "state">): boolean =>
  state === "training" || state === "paused" || state === "stopping";

/** Means over stretches of steps: the training curve as it is drawn. */
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

/** A run as the page shows it and as it is kept beside its state. */
export interface RunRecord {
  id: string;
  title: string;
  state: RunState;
  /** `lm`: an adapter from outside that writes texts; all others label. */
  objective: Objective;
  /** Milliseconds since 1970. */
  created: number;
  settings: PageSettings;
  dataName: string;
  /** `fingerprint` of the model; there since it began. */
  base?: string;
  labels: readonly string[];
  device: string;
  trainable: number;
  values: number;
  bytes: number;
  step: number;
  steps: number;
  epoch: number;
  examples: number;
  examplesPerEpoch: number;
  seconds: number;
  before: Splits<Evaluation> | null;
  after: Splits<Evaluation> | null;
  evaluations: EvaluationRecord[];
  curve: Curve;
  /** Of the test set. */
  confusions: Confusion[] | null;
  mistakes: Mistake[];
  /** Where PEFT cannot load the adapter: why. */
  peftObstacle: string | null;
  /** Something that the visitor should know, in words. */
  note: string | null;
  /** Whether there is something to classify with and to download. */
  usable: boolean;
  error: ErrorReport | null;
}

/** How fast a run goes, while it does. */
export interface Speed {
  /** Means over the last steps. */
  loss: number;
  accuracy: number;
  examplesPerSecond: number;
  secondsLeft: number;
}

/** An error in plain words. */
export interface ErrorReport {
  name: string;
  summary: string;
  where?: string;
  expected?: string;
  found?: string;
  hint?: string;
  /** What is known to help, to be offered. */
  remedy?: { kind: "smaller-batch"; batchSize: number; bytes: number } | { kind: "smaller-rate"; lr: number };
}

export interface Verdict {
  adapter: Classification;
  /** The base model with the head that training began with. */
  base: Classification;
}

/** What is to be written, and with what. */
export interface WriteRequest {
  /** The base model; beside an adapter its own. */
  model: string;
  /** The record of the adapter that writes; null: the base model alone. */
  adapter: string | null;
  device: DeviceName;
  prompts: string[];
  options: Omit<GenerateOptions, "signal">;
}

export interface WriteReport {
  /** Of writing, without loading. */
  seconds: number;
  /** Whether it was ended by `stopWriting`. */
  stopped: boolean;
}

/** What the worker does for the page. */
export interface Api {
  machine(): Promise<Machine>;
  /** Opens the device that settings name, unless it is open. */
  openDevice(name: DeviceName): Promise<DeviceReport>;
  openModel(name: string): Promise<ModelReport>;
  /** Keeps a model's files; returns the name by which it is opened. */
  addModel(files: File[]): Promise<string>;
  forgetModel(name: string): Promise<void>;
  /** Models that need no network, and which of them are kept in this browser. */
  models(): Promise<{ name: string; kept: boolean }[]>;
  /** Takes a picked file in. */
  pickData(file: File): Promise<ColumnReport>;
  readData(settings: PageSettings): Promise<DataReport>;
  estimate(settings: PageSettings): Promise<RunEstimate>;
  runs(): Promise<RunRecord[]>;
  /** Begins a run; it is told of by events. Resolves when it has begun. */
  start(settings: PageSettings): Promise<string>;
  /** Goes on with a run from its last state; on another device, from then on with other last bits. */
  resume(id: string, device?: DeviceName): Promise<void>;
  pause(): Promise<void>;
  unpause(): Promise<void>;
  stop(): Promise<void>;
  classify(id: string, text: string): Promise<Verdict>;
  /** A zip of the adapter, or of the whole run directory. */
  download(id: string, what: "adapter" | "run"): Promise<Blob>;
  /**
   * Takes an adapter in, of one objective where it is named; `model` is its base where the one that it names is not here.
   * Returns the id of its record.
   */
  loadAdapter(files: File[], model: string, objective?: Objective): Promise<string>;
  /** Writes text, told of by events. Resolves when all is written, or stopped. */
  write(request: WriteRequest): Promise<WriteReport>;
  stopWriting(): Promise<void>;
  forget(id: string): Promise<void>;
}

export type Method = keyof Api;

export interface Call<M extends Method = Method> {
  id: number;
  method: M;
  args: Parameters<Api[M]>;
}

export type Answer = { id: number; value: unknown } | { id: number; error: ErrorReport };

/** What the worker tells unasked. */
export type Event =
  | { type: "run"; run: RunRecord; speed: Speed | null }
  | { type: "busy"; text: string; share: number | null }
  | { type: "idle" }
  | { type: "written"; chunk: GenerationChunk; seconds: number }
  /** Runs have changed in another tab. */
  | { type: "runs" };
