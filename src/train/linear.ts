/** Linear models, which are fitted at once: trains a classic model alone, and measures logits as a run is measured. */
import { fitClassic } from "../classic/fit.ts";
import type { ClassicModel } from "../classic/model.ts";
import { setTexts } from "../classic/tfidf.ts";
import { DataError } from "../core/errors.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { keptFigures } from "../tasks/compare.ts";
import type { Evaluation, Splits } from "../tasks/evaluation.ts";
import { TASKS } from "../tasks/index.ts";
import { predictions, sigmoid } from "../tasks/predictions.ts";
import type { Baseline, LabelledRows } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { simpleBaselines } from "./baselines.ts";
import { type Measured, measureSets, measuringContext } from "./measure.ts";
import type { TrainResult } from "./records.ts";
import type { TrainOptions } from "./settings.ts";

/** The part of a run's result that it has. */
export interface ClassicResult
  extends Pick<TrainResult, "results" | "answers" | "predicted" | "evaluations" | "seconds"> {
  classic: ClassicModel;
}

const NOT_MEASURED = { results: null, answers: null, predicted: null };

/** Throws DataError if all training rows have one class, and the reason of a signal that has ended. */
export async function trainClassic(
  data: LoadedDataset,
  options: TrainOptions,
  signal?: AbortSignal,
): Promise<ClassicResult> {
  const started = performance.now();
  const classic = await fitClassic(data, signal);
  if (classic === null) throw oneClass(data);
  const { val, test } = data;
  const logits = {
    train: await logitsOf(classic, someOfTrain(data), data),
    val: await logitsOf(classic, val, data),
    test: await logitsOf(classic, test, data),
  };
  const measured = measureLogits(data, options, logits, simpleBaselines(data));
  const { limits } = classic.parts;
  if (limits && measured.results) measured.results.test.compared[0].limits = limits;
  return { ...measured, classic, seconds: (performance.now() - started) / 1000 };
}

export const oneClass = ({ train }: LoadedDataset) =>
  new DataError("only-one-class", "All training rows have the same class", {
    expected: "training rows of at least two classes",
    found: train.labels[train.label(0)]!,
  });

/** Of the training set as many rows as the test set has, as of any run. */
export const someOfTrain = ({ train, test }: LoadedDataset) => train.select(train.positions().subarray(0, test.size));

/** The results of a model that is fitted at once and gives these logits. */
export function measureLogits(
  data: LoadedDataset,
  options: TrainOptions,
  logits: Logits,
  baselines: readonly Baseline[],
): Pick<TrainResult, "results" | "answers" | "predicted" | "evaluations"> {
  const sample = someOfTrain(data);
  const after = evaluateSets(data, sample, logits);
  const step = { step: 1, epoch: 1, examples: data.train.size, lr: 0 };
  const evaluations = after.val ? [{ ...step, val: after.val }] : [];
  const measured = data.test.size > 0 ? measure(data, sample, options, logits, after, baselines) : NOT_MEASURED;
  return { ...measured, evaluations };
}

const logitsOf = (classic: ClassicModel, set: LoadedDataset["train"], { labels }: LoadedDataset) =>
  classic.logits([...setTexts(set, set.positions())], labels);

type Logits = Splits<Float32Array>;
type Evaluated = { train: Evaluation; val: Evaluation | null; test: Evaluation };

function evaluateSets(data: LoadedDataset, train: LoadedDataset["train"], logits: Logits): Evaluated {
  const of = (set: LoadedDataset["train"], outputs: Float32Array) => evaluateRows(data, set, outputs);
  return {
    train: of(train, logits.train),
    val: data.val.size > 0 ? of(data.val, logits.val) : null,
    test: of(data.test, logits.test),
  };
}

function measure(
  data: LoadedDataset,
  sample: LoadedDataset["train"],
  options: TrainOptions,
  outputs: Logits,
  after: Evaluated,
  baselines: readonly Baseline[],
): Pick<Measured, "results" | "answers" | "predicted"> {
  const context = measuringContext(data, options);
  const evaluated = { evaluations: after, outputs };
  const { results, ...measured } = measureSets(data, evaluated, baselines, context);
  // Before it has seen a text: what the head of a model gives that was not trained.
  const { bias } = TRAINING[data.objective];
  const initial = bias?.(data.train) ?? data.labels.map(() => 0);
  const untrained = (set: LoadedDataset["train"]) =>
    Float32Array.from({ length: set.size * initial.length }, (_, i) => initial[i % initial.length]!);
  const before = evaluateSets(data, sample, {
    train: untrained(sample),
    val: untrained(data.val),
    test: untrained(data.test),
  });
  return { results: { before, ...results }, ...measured };
}

/** The loss of each task is that of its head: see `Task`. */
const LOSSES: Record<
  (typeof TASKS)[keyof typeof TASKS]["loss"],
  (logits: Float32Array, set: LabelledRows) => number[]
> = {
  "cross-entropy": (logits, set) =>
    predictions(logits, logits.length / set.size).map(
      ({ probabilities }, row) => -Math.log(probabilities[set.label(row)]!),
    ),
  squared: (logits, set) => Array.from(logits, (score, row) => (score - set.values(row)[0]!) ** 2),
  binary: (logits, set) => {
    const k = logits.length / set.size;
    return Array.from(logits, (logit, i) => -Math.log(sigmoid(set.values(Math.floor(i / k))[i % k] ? logit : -logit)));
  },
};

export function evaluateRows(data: LoadedDataset, set: LoadedDataset["train"], logits: Float32Array): Evaluation {
  const { answer, columns, measures } = TRAINING[data.objective];
  const { length } = data.labels;
  const losses = LOSSES[TASKS[data.objective].loss](logits, set);
  const loss = losses.reduce((sum, value) => sum + value, 0) / losses.length;
  return { rows: set.size, loss, ...keptFigures(measures, columns(set, answer!(logits, length), length)) };
}
