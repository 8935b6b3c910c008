/** Measures a trained model on its sets, compared with the baselines. */
import type { ClassicModel } from "../classic/model.ts";
import { findLeaks } from "../data/duplicates.ts";
import { hasAnswers, isLabelled, type TrainingData } from "../data/training-data.ts";
import { type Competitor, compareWith, keptFigures, type Places } from "../tasks/compare.ts";
import type { Evaluation, Evaluations, Splits } from "../tasks/evaluation.ts";
import { MEASURING } from "../tasks/results.ts";
import type {
  Baseline,
  Measuring,
  MeasuringContext,
  Message,
  Outputs,
  Predicted,
  Results,
  TestResults,
} from "../tasks/task.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { TRAINING } from "../tasks/training.ts";
import type { FittedBaselines } from "./baselines.ts";
import { rowsPerClass } from "./class-weights.ts";
import type { Answers } from "./records.ts";

/** The evaluations of a run's sets, and what the head gives for their rows. */
export interface Evaluated {
  evaluations: Evaluations;
  outputs: Splits<Outputs>;
}

/**
 * What a run leaves of its measuring: its results, what it says of the test set, the classic model among the baselines.
 */
export interface Measured {
  results: Results;
  predicted: Predicted;
  answers: Answers | null;
  classic: ClassicModel | null;
}

type Asked = MeasuringContext["options"];
type Measure = (before: Evaluated, after: Evaluated, signal?: AbortSignal) => Promise<Measured>;

const FITS = {
  class: messages,
  score: messages,
  set: messages,
  tags: async () => (await import("./tag-baselines.ts")).fitTags,
};

async function messages() {
  return (await import("./baselines.ts")).fitBaselines;
}

type Fit = (data: TrainingData, signal?: AbortSignal) => Promise<FittedBaselines>;

export async function fitBaselines(data: TrainingData): Promise<FittedBaselines> {
  const fit = (await FITS[TRAINING[data.objective].labels!]()) as Fit;
  return fit(data);
}

/** What measures a run. */
export interface Measurer {
  measure: Measure;
  /**
   * What a model is before training that says of every row that all classes are as likely, known without asking it, from
   * its evaluation on the validation set. Null: the loss is not known without it.
   */
  even: ((val: Evaluation | null) => Evaluated) | null;
}

/** A page loads what measures before the first step: the end of a run must not depend on a connection. */
export async function loadMeasure(data: TrainingData, options: Asked): Promise<Measurer> {
  const { labels } = TRAINING[data.objective];
  const measuring = await MEASURING[data.objective]();
  const fit = labels && ((await FITS[labels]()) as Fit);
  const context = measuringContext(data, options);
  return {
    even: measuring.loss ? (val) => evenly(measuring, data, val, context) : null,
    async measure(before, after, signal) {
      const initial = () => ({ name: "before training", ...measuring.predict(before.outputs.test, context, null) });
      const { baselines, classic } = fit ? await fit(data, signal) : { baselines: [initial()], classic: null };
      const measured = measureSets(measuring, data, after, baselines, context);
      return { ...measured, classic, results: { before: before.evaluations, ...measured.results } };
    },
  };
}

function evenly(
  measuring: Measuring,
  data: TrainingData,
  val: Evaluation | null,
  context: MeasuringContext,
): Evaluated {
  const { train, test } = data;
  const outputs = (rows: number) => new Float32Array(rows * context.labels.length);
  const of = (name: "train" | "test", rows: number) =>
    ({ rows, ...figuresOf(measuring, data, name, measuring.predict(outputs(rows), context, null)) }) as Evaluation;
  return {
    evaluations: { train: of("train", Math.min(train.size, test.size)), val, test: of("test", test.size) },
    outputs: { train: outputs(0), val: outputs(0), test: outputs(test.size) },
  };
}

/** The figures of what was said of the rows of a set, or of those at `at`. */
function figuresOf(
  measuring: Measuring,
  data: TrainingData,
  name: keyof Splits<unknown>,
  predicted: Predicted,
  at?: Places,
) {
  const { columns, measures } = TRAINING[data.objective];
  return {
    ...(measuring.loss && { loss: measuring.loss(data[name], predicted, at) }),
    ...keptFigures(measures, columns(data[name], predicted.values, data.labels.length), at),
  };
}

export const measuringContext = (data: TrainingData, options: Asked): MeasuringContext => ({
  labels: data.labels,
  counts: rowsPerClass(data),
  options,
});

/** The results of a model with these evaluations and outputs, but for what was measured before it was trained. */
export function measureSets(
  measuring: Measuring,
  data: TrainingData,
  { evaluations, outputs }: Evaluated,
  baselines: readonly Baseline[],
  context: MeasuringContext,
) {
  const decision = (data.val.size > 0 && measuring.choose?.(context, data.val, outputs.val)) || null;
  const predict = (name: keyof typeof outputs) => measuring.predict(outputs[name], context, decision);
  const predicted = { train: predict("train"), val: predict("val"), test: predict("test") };
  const figures = (name: keyof typeof predicted, at?: Places) => figuresOf(measuring, data, name, predicted[name], at);
  const decide = (name: keyof typeof predicted, measured: Evaluation): Evaluation => ({
    ...measured,
    ...(decision && outputs[name].length > 0 && figures(name)),
  });
  const { train, val, test } = evaluations;
  const answer = (name: "val" | "test") => measuring.answers?.(data[name], predicted[name], context) ?? null;
  const answers = { val: val && answer("val"), test: answer("test") };
  return {
    results: {
      after: { train: decide("train", train), val: val && decide("val", val), test: decide("test", test) },
      parts: (isLabelled(data) ? data.testParts : []).map(({ name, positions }) => ({
        ...{ name, rows: positions.length, loss: Number.NaN },
        ...figures("test", positions),
      })),
      decision,
      test: measureTest(measuring, data, predicted.test, baselines, context),
    },
    predicted: predicted.test,
    answers: answers.test && { ...answers, test: answers.test },
  };
}

/** The test rows that have a near-duplicate in an earlier set. */
export const leakedRows = (data: TrainingData): ReadonlySet<number> =>
  new Set(isLabelled(data) && data.stats.leaks.test > 0 ? findLeaks([data.train, data.val, data.test])[2] : []);

/** The results of a model that says this of the test set. */
export function measureTest(
  measuring: Measuring,
  data: TrainingData,
  predicted: Predicted,
  baselines: readonly Baseline[],
  context: MeasuringContext,
  leaked = leakedRows(data),
): TestResults {
  const { test } = data;
  const { measures, columns } = TRAINING[data.objective];
  const rows = columns(test, predicted.values, context.labels.length);
  const { details, samples, mistakes, preferred } = measuring.describe(test, { ...predicted, columns: rows }, context);
  const text = (row: number) => (hasAnswers(data) ? data.test.text(row) : "");
  const answers = measuring.answers?.(test, predicted, context);
  const message = (row: number): Message => ({
    ...{ text: text(row), truth: answers!.truth[row]!, predicted: answers!.predicted[row]! },
    ...(answers!.probability && { probability: answers!.probability[row]! }),
  });
  function* texts() {
    for (const row of preferred) yield text(row);
  }
  const columnsOf = ({ values, ...named }: Baseline): Competitor => ({
    ...named,
    columns: columns(test, values, context.labels.length),
  });
  return {
    compared: compareWith(measures, { name: "this run", columns: rows }, baselines.map(columnsOf), leaked),
    rows,
    samples: samples.map(message),
    mistakes: mistakes.map(message),
    example: textToTry(texts(), isLabelled(data) && data.pairs !== undefined),
    details,
  };
}
