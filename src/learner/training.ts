/** How a model learns, for the first time or further rows. Loaded when it does. */

import type { Device } from "../backend/backend.ts";
import { checkArguments, checkOptions } from "../core/checks.ts";
import { ConfigError, DataError, nameList } from "../core/errors.ts";
import { numel } from "../core/tensor.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { Classifier } from "../infer/classifier.ts";
import type { LanguageModel } from "../infer/text/language-model.ts";
import type { BaseModel } from "../io/hf.ts";
import { type AdapterMeta, adapterShapes, dtypeOn } from "../io/peft/adapter-meta.ts";
import type { Adapter, Tensors } from "../io/peft/peft.ts";
import { takesSteps } from "../methods/index.ts";
import { type FineTuneRun, fineTune } from "../run/fine-tune.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { isOfMessages } from "../tasks/index.ts";
import { OPTIONS } from "../train/job.ts";
import { evaluateRows } from "../train/linear.ts";
import { DEFAULTS } from "../train/options.ts";
import type { TrainEvent } from "../train/records.ts";
import { OTHER_NAMES, settingsToKeep, type TrainOptions } from "../train/settings.ts";
import { inTurn, type Progress } from "./devices.ts";
import { listRows, ROW_SOURCE, type RowSets, type RowSource, readSets } from "./rows.ts";

/**
 * How a model learns: the settings of training, and to whom it reports. The defaults of `learn` are the settings that
 * the model was trained with; how many epochs it learns follows from the rows.
 */
export interface LearnOptions extends Partial<TrainOptions> {
  /** Receives how far it is. */
  onProgress?: (progress: Progress) => void;
  /** Ends it: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** The kinds of those that are not settings. */
export const REPORTS = { onProgress: "function?", signal: "signal?" } as const;

export interface Place {
  device: Device;
  base: BaseModel;
}

/** Trains, after the trainings before it on the device. Throws the signal's reason if it is aborted. */
export async function fit(
  { device, base }: Place,
  data: TrainingData,
  { onProgress, ...options }: LearnOptions,
  adapter?: Adapter,
): Promise<FineTuneRun> {
  const { signal } = options;
  const report = (event: TrainEvent) => {
    if (event.type === "step") {
      const { record, steps, secondsLeft } = event;
      onProgress?.({ phase: "train", fraction: record.step / steps, secondsLeft, loss: record.loss });
    } else if (event.type === "features") {
      const { done, rows, secondsLeft } = event;
      onProgress?.({ phase: "read", fraction: done / rows, secondsLeft });
    }
  };
  const args = { ...options, device, model: base, data, onEvent: report, ...(adapter ? { adapter } : {}) };
  const run = await inTurn(device, async () => {
    signal?.throwIfAborted();
    return fineTune(args);
  });
  if (run.aborted) throw signal!.reason;
  return run;
}

const [LEAST_EPOCHS, LEAST_STEPS] = [2, 50];

const NO_ROWS: RowSets = { train: [], val: [], test: [] };

/** Throws ConfigError for rows or options of `learn` that are invalid. */
export function checkLearning(rows: unknown, options: unknown): void {
  checkArguments({ rows }, { rows: ROW_SOURCE });
  checkOptions("options", options, { ...OPTIONS, ...REPORTS }, OTHER_NAMES);
}

/**
 * Goes on from an adapter with further rows and those that it has learned, if they are known; with `anew` from the base
 * model. Gives the run, and all rows. `options.signal` ends it.
 */
export async function learn(
  more: RowSource,
  adapter: Adapter,
  known: RowSets | null,
  place: Place,
  options: LearnOptions,
  anew: boolean,
): Promise<{ run: FineTuneRun; sets: RowSets }> {
  const { train, ...held } = known ?? NO_ROWS;
  // First, so that an error names the row as it was given.
  const sets = { ...held, train: [...(await listRows(more, place.base, adapter.meta)), ...train] };
  const data = await readSets(sets, place.base, adapter.meta);
  if (!known) refuseForgetting(data, adapter.meta);
  if (anew) return { run: await fit(place, data, { mode: "lora", ...options }), sets };
  const settings = { ...settingsOf(adapter.meta, data, place.device), ...options };
  const { epochs = epochsFor(sets.train.length, settings) } = settings;
  const steps = takesSteps(adapter.meta.mode) ? { epochs } : {};
  const run = await fit(place, data, { ...settings, ...steps }, withLabels(adapter, data.labels));
  return { run, sets };
}

/** Those that the model was trained with. What a validation set chooses needs one, and some of it the same labels. */
function settingsOf(meta: AdapterMeta, { labels, val, test }: TrainingData, device: Device): Partial<TrainOptions> {
  const { calibrate, threshold, positive, ...others } = settingsToKeep(meta.settings.training ?? {});
  const chosen = { calibrate, threshold, positive };
  const isChosen = labels.length === meta.labels.length && val.size > 0 && test.size > 0;
  return { dtype: dtypeOn(meta, undefined, device), ...others, ...(isChosen ? chosen : {}) };
}

/**
 * Throws DataError for rows that lack a label of a model whose earlier rows are not known: it would forget it. A probe,
 * which is fitted at once, would forget them all.
 */
function refuseForgetting(data: TrainingData, { mode, labels }: AdapterMeta): void {
  const isStepped = takesSteps(mode);
  const { classes }: { rows: number; classes?: Readonly<Record<string, number>> } = data.stats.train;
  const missing = labels.filter((label) => !isStepped || classes?.[label] === 0);
  if (missing.length === 0) return;
  throw new DataError("would-forget", "the model was saved without the rows that it has learned", {
    expected: isStepped ? "rows of each of its labels: with these alone it would forget the others" : "all of its rows",
    found: isStepped ? `none of ${nameList(missing)}` : "new rows alone",
    hint: `${isStepped ? "give some rows of these labels, too, or " : ""}save the model with { rows: true }`,
  });
}

/** Epochs for rows of which most are known: in a third of the steps of training anew, a point or two below it. */
function epochsFor(rows: number, { batchSize = DEFAULTS.batchSize }: LearnOptions): number {
  return Math.max(LEAST_EPOCHS, Math.ceil((LEAST_STEPS * Math.min(batchSize, rows)) / rows));
}

/**
 * The adapter with a head for these labels, which begin with its own. The rows of new labels are zeros. What was chosen
 * for the old ones, a temperature and thresholds, is left out.
 */
export function withLabels({ meta, tensors }: Adapter, labels: readonly string[]): Adapter {
  if (labels.length === meta.labels.length) return { meta, tensors };
  const { temperature: _, threshold: _t, positive: _p, thresholds: _s, ...settings } = meta.settings;
  const task = { ...meta.task, num_labels: labels.length };
  const grown: AdapterMeta = { ...meta, labels: [...labels], task, settings };
  const larger: Tensors = new Map();
  for (const [name, shape] of adapterShapes(grown)) {
    const data = new Float32Array(numel(shape));
    // The outputs are the rows of whatever has them.
    data.set(tensors.get(name)!.data);
    larger.set(name, { shape, data });
  }
  return { meta: grown, tensors: larger };
}

/** Loss and measures of a classifier on rows. Throws ConfigError for a model of tags or texts. */
export async function evaluate(
  source: RowSource,
  model: Classifier | LanguageModel,
  base: BaseModel,
  meta: AdapterMeta,
): Promise<Evaluation> {
  const { objective } = meta.task;
  if (!isOfMessages(objective) || !("logits" in model))
    throw new ConfigError("wrong-task", "rows of tags and of texts are measured by training alone", {
      hint: "use run.results",
    });
  const train = await listRows(source, base, meta);
  const data = (await readSets({ ...NO_ROWS, train }, base, meta)) as LoadedDataset;
  const texts = Array.from({ length: data.train.size }, (_, row) => data.train.text(row));
  return evaluateRows(data, data.train, await model.logits(texts));
}
