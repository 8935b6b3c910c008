/** The messages between the page and its worker: plain data, which can be posted and stored. */
import type { DeviceInfo } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import type { ModelConfig } from "../core/config.ts";
import type { ErrorCode } from "../core/error-codes.ts";
import type { TextOrPair } from "../core/pair.ts";
import type { CommonDtype } from "../core/tensor.ts";
import type { Problem } from "../data/problems.ts";
import type { CheckedColumn } from "../data/table/checked-columns.ts";
import type { Block } from "../document/blocks.ts";
import type { ExportKind } from "../export/index.ts";
import type { Usage } from "../export/usage.ts";
import type { GenerateOptions, GenerationChunk, Prompt } from "../infer/text/generation.ts";
import type { Mode } from "../methods/index.ts";
import type { RunRecord } from "../record/record.ts";
import type { Changes } from "../run/changes.ts";
import type { Pooling } from "../tasks/index.ts";
import type { Answer as LabelAnswer, Labelled } from "../tasks/predictions.ts";
import type { Known } from "../train/options.ts";
import type { Speed } from "../train/records.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";

/**
 * The settings of a run. `data` has the names of the files that the visitor selected last, `adapter` is the id of
 * another run.
 */
export interface PageSettings extends RunSettings {
  /** Name of a bundled or stored model, or of one from the hub. */
  model: string;
  device: DeviceName;
}

/** The capabilities of this browser. */
export interface Machine {
  /** Whether threads can share memory; if not, the CPU backend has one. */
  isolated: boolean;
  threads: number;
}

/** The data that was read, as it is shown. The formats of numbers cannot be posted: cells are texts. */
export interface DataReport {
  /** The reading; none: it cannot be trained on. */
  blocks: Block[];
  known: Known;
  testRows: number;
  /** Of a table of the visitor's, with its first rows; else none. */
  columns: readonly CheckedColumn[];
  rows: readonly (readonly string[])[];
  /** The settings that the data needs besides those that were chosen. */
  needs: RunSettings;
  /** A note on the visitor's data. */
  problems: readonly Problem[];
  /** Why it cannot be trained on. */
  error: ErrorReport | null;
  /** Some test messages of bundled data, of each label in turn. */
  samples: readonly { text: TextOrPair; label: string }[];
  /** The labels of own data, where a row has one: they can be corrected. */
  labels: readonly string[];
}

/** A row of the visitor's data whose label is probably wrong. */
export interface ReviewRow {
  /** From 1, as in a review.csv. */
  row: number;
  text: TextOrPair;
  given: string;
  suggested: string;
}

/** A person's answer about a row: its label, or "drop" to leave it out. */
export type CorrectedRow = Pick<ReviewRow, "row" | "text"> & { label: string };

export interface ModelReport {
  name: string;
  config: ModelConfig;
  /** The pooling that its folder says, if it does. */
  pooling?: Pooling | undefined;
  values: number;
  /** The methods that have something to train in it. */
  modes: readonly Mode[];
  hasChat: boolean;
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
 * `waiting`: a comparison will begin it; `stopping`: saving the trained parameters, because the run is paused or
 * stopped; `interrupted`: the page was closed during the run; `elsewhere`: training in another tab; `loaded`: an
 * adapter loaded from a file.
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

/** A run as the page shows it: its record, and what the page alone knows of it. */
export interface PageRun {
  id: string;
  record: RunRecord;
  state: RunState;
  /** The name by which the page opens the base model. */
  model: string;
  /** The device that was asked for. */
  device: DeviceName;
  /** The id of the comparison that it belongs to. */
  comparison?: string;
  /** A message for the visitor. */
  note: string | null;
  /** Whether there are trained parameters to classify with and to download. */
  usable: boolean;
  /** The step of its last checkpoint: what is learned of it until it ends. */
  checkpoint?: number;
  /** How far the matrices moved; missing before the end. */
  changes?: Changes;
  error: ErrorReport | null;
}

/** Whether a run is active. A paused run is not: its state is stored, and it resumes as a stopped one does. */
export const isUnderWay = ({ state }: Pick<PageRun, "state">): boolean => state === "training" || state === "stopping";

/** Whether the visitor ended a run before its last step. It resumes when it is asked to. */
const isHalted = ({ state }: PageRun) => state === "paused" || state === "stopped";

/** Whether a comparison would begin a run by itself. */
const isWaiting = ({ state }: PageRun) => state === "waiting" || state === "interrupted";

/** Runs of the same settings that are compared: enough to say how much another seed changes. */
export const SEEDS = 5;

/** Whether the runs of a comparison differ in their seeds: else they have different methods. */
export const areSeeds = (runs: readonly PageRun[]): boolean =>
  new Set(runs.map(({ record }) => record.options.seed)).size > 1;

/** The runs of a run's comparison, itself among them. A run of no comparison has none. */
const comparedWith = ({ comparison }: PageRun, runs: readonly PageRun[]) =>
  comparison === undefined ? [] : runs.filter((run) => run.comparison === comparison);

/** The run that a comparison begins next, if none of its runs is active or stopped; `runs` are newest first. */
export function nextRun(run: PageRun, runs: readonly PageRun[]): PageRun | undefined {
  const compared = comparedWith(run, runs);
  return compared.some((other) => isUnderWay(other) || isHalted(other)) ? undefined : compared.findLast(isWaiting);
}

/** The other runs of its comparison that are trained with a run that begins, in the order of the comparison. */
export function findCompanions(run: PageRun, runs: readonly PageRun[]): PageRun[] {
  return comparedWith(run, runs)
    .filter((other) => other.id !== run.id && other.device === run.device)
    .filter((other) => isWaiting(other) || isHalted(other))
    .reverse();
}

/** Whether a run has left its trained parameters, and will not change them: others have a checkpoint at most. */
export const hasAdapter = ({ state, usable, error }: Pick<PageRun, "state" | "usable" | "error">): boolean =>
  usable &&
  (["paused", "stopped", "finished", "loaded"].includes(state) ||
    (state === "failed" && error?.name === "TrainingError"));

/** Whether a run has files that can be downloaded, with which it can also be resumed elsewhere. */
export const hasFiles = ({ state }: Pick<PageRun, "state">): boolean =>
  !isUnderWay({ state }) && state !== "elsewhere" && state !== "waiting" && state !== "loaded";

/** An error as the page shows it. */
export interface ErrorReport {
  name: string;
  /** Of an error that Lowrank throws intentionally. */
  code?: ErrorCode;
  summary: string;
  where?: string | undefined;
  expected?: string | undefined;
  found?: string | undefined;
  hint?: string | undefined;
  /** Settings that fix the error, and the bytes that a run then takes. */
  remedy?: { set: Partial<Pick<TrainOptions, "lr" | "epochs" | "dtype" | "recompute" | "batchSize">>; bytes?: number };
  /** The encoding that a file which is not UTF-8 may have. */
  encoding?: string;
  /** The columns to choose from, of a file in which the right one was not found. */
  columns?: readonly string[];
}

export interface Verdict {
  adapter: Labelled;
  device: DeviceInfo;
  /** The answer of a finished run's model of word counts, and whether the text is unlike those it learned. */
  classic: { says: Labelled; isUnlike: boolean } | null;
}

/** A message of a run's data. */
export interface KnownMessage {
  text: TextOrPair;
  truth: LabelAnswer;
}

/** One of the validation set, and what the run that trains makes of it; null: it has no checkpoint yet. */
export interface WatchedMessage extends KnownMessage {
  answer: Labelled | null;
}

/** The arguments of a text generation. */
export interface WriteRequest {
  /** The base model; ignored with an adapter, which has its own. */
  model: string;
  /** The id of the adapter's record; null: there is none. */
  adapter: string | null;
  device: DeviceName;
  /** A text as it is written, by the base model alone or with the adapter. */
  prompts: readonly { prompt: Prompt; isAdapted: boolean }[];
  options: Omit<GenerateOptions, "signal">;
}

export interface WriteReport {
  /** Duration of the generation, without loading. */
  seconds: number;
  /** Whether `stopWriting` ended it. */
  stopped: boolean;
  device: DeviceInfo;
}

/** How a table of texts is read to be labelled: by default as UTF-8, with the text column that is recognised. */
export interface LabelRequest {
  /** By the model of word counts that a finished run keeps. */
  classic?: boolean;
  encoding?: string;
  textColumn?: string;
}

/** A table with the columns that `classify --in` adds: each row's label and its probability, several, or its score. */
export interface LabelReport {
  rows: number;
  /** Those without a text, which get nothing. */
  blank: number;
  /** Rows by label, in the order of the classes; none of scores. */
  labels: Record<string, number>;
  /** The first rows. */
  preview: { text: TextOrPair; label: string; probability: number | null }[];
  /** The columns of the file, and the one that was read, of pairs both with a comma; none for pasted lines. */
  columns: readonly string[];
  textColumn: string | null;
  /** The file with these columns, in its own format; CSV for Parquet and for pasted lines. */
  file: Blob;
  fileName: string;
}

/** A model that is available offline. */
export interface ModelEntry {
  name: string;
  /** Whether the visitor stored it in this browser: it is not bundled, nor a download. */
  kept: boolean;
}

/** A download of a run: its adapter, or all its files. */
export type Takeable = "adapter" | "run";

/** The sizes of what can be downloaded, and code that uses it. */
export interface TakeReport {
  adapterBytes: number;
  /** Null: a loaded adapter has no other files. */
  runBytes: number | null;
  /** The size of the HTML file, and what it is called; or why there is none; null: the model classifies nothing. */
  page: { bytes: number; title: string } | { refused: string } | null;
  usages: Usage[];
}

/** A form in which other programs read a run. */
export interface OtherForm {
  kind: ExportKind;
  title: string;
  reader: string;
  about: string;
  /** The types that its weights can have, with the bytes of the download; empty: it has no such form. */
  choices: { dtype: CommonDtype | null; bytes: number | null }[];
  /** Why it has no such form, or what the form cannot express. */
  notes: string[];
}

/** The questions about them. */
export interface WantedForm {
  kind: ExportKind;
  dtype: CommonDtype | null;
  /** Of a page; none: what it asks. */
  title?: string;
}

/** A call of one of the worker's methods (`Api` in worker.ts). */
export interface Call {
  id: number;
  method: string;
  args: unknown[];
}

export type Answer = { id: number; value: unknown } | { id: number; error: ErrorReport };

/** Notifications of the worker. */
export type Event =
  /** It holds the lock of its name. */
  | { type: "alive" }
  | { type: "run"; run: PageRun; speed: Speed | null }
  | { type: "busy"; text: string; share: number | null }
  | { type: "idle" }
  /** The share of a selected file that was read; null: nothing is being read. */
  | { type: "reading"; share: number | null }
  /** The share of the messages to be compared that was read. */
  | { type: "labelled"; rows: number; total: number }
  | { type: "written"; chunk: GenerationChunk; seconds: number }
  /** Runs have changed in another tab. */
  | { type: "runs" };
