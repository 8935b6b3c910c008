/** Measures a trained model on its sets, compared with the baselines. */
import type { FittedProbe } from "../classic/fit.ts";
import type { ClassicModel } from "../classic/model.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { findLeaks } from "../data/duplicates.ts";
import { hasSettingOf } from "../data/settings.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type Competitor, compareWith, keptFigures, merit, type Places } from "../tasks/compare.ts";
import type { Evaluation, Evaluations, Splits } from "../tasks/evaluation.ts";
import type { Baseline, MeasuringContext, Message, Outputs, Predicted, Results, TestResults } from "../tasks/task.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { TRAINING } from "../tasks/training.ts";
import { fitBaselines } from "./baselines.ts";
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
  /** The probe, if it is the one that serves. */
  probe: FittedProbe | null;
}

/** A probe, and what it says of the rows of a run: logits [rows, labels] of each set. */
export interface ReadProbe {
  probe: FittedProbe;
  logits: Splits<Float32Array>;
}

type Asked = MeasuringContext["options"];
type Measure = (
  before: Evaluated,
  after: Evaluated,
  how: { signal?: AbortSignal | undefined; probe?: (() => Promise<ReadProbe | null>) | undefined },
) => Promise<Measured>;

/** Measures a run. */
interface Measurer {
  measure: Measure;
  /**
   * What a model is before training that says of every row that all classes are as likely, known without asking it,
   * from its evaluation on the validation set. Null: the loss is not known without it.
   */
  even: ((val: Evaluation | null) => Evaluated) | null;
}

export function makeMeasurer(data: TrainingData, options: Asked): Measurer {
  const { loss, predict } = TRAINING[data.objective];
  const context = measuringContext(data, options);
  return {
    even: loss ? (val) => evenly(data, val, context) : null,
    async measure(before, after, { signal, probe: readProbe }) {
      const initial = () => ({ name: "before training", ...predict(before.outputs.test, context, null) });
      const { baselines, classic } = await fitBaselines(data, signal);
      if (baselines.length === 0) baselines.push(initial());
      const read = (await readProbe?.()) ?? null;
      if (read) baselines.splice(-1, 0, probeBaseline(data, read));
      const { results, ...measured } = measureSets(data, after, baselines, context);
      const serves = read !== null && servesBetter(data, results, read);
      if (serves) results.test.serves = read.probe.name;
      const probe = serves ? read.probe : null;
      return { ...measured, classic, probe, results: { before: before.evaluations, ...results } };
    },
  };
}

const probeBaseline = ({ objective, labels }: TrainingData, { probe, logits }: ReadProbe): Baseline => ({
  name: probe.name,
  ...(probe.counts.limits ? { limits: probe.counts.limits } : {}),
  values: TRAINING[objective].answer!(logits.test, labels.length),
});

/**
 * Whether a probe is as good as a run on the test set, which costs more; one whose decisions were chosen, by a
 * threshold or a temperature, is not replaced.
 */
function servesBetter(
  { objective }: TrainingData,
  { decision, test }: Pick<Results, "decision" | "test">,
  { probe }: ReadProbe,
) {
  const [measure] = TRAINING[objective].measures;
  const compared = test.compared.find(({ name }) => name === probe.name)!;
  return !decision && merit(measure!, compared) >= merit(measure!, test.compared[0]);
}

function evenly(data: TrainingData, val: Evaluation | null, context: MeasuringContext): Evaluated {
  const { train, test } = data;
  const outputs = (rows: number) => new Float32Array(rows * context.labels.length);
  const of = (name: "train" | "test", rows: number) =>
    ({ rows, ...figuresOf(data, name, TRAINING[data.objective].predict(outputs(rows), context, null)) }) as Evaluation;
  return {
    evaluations: { train: of("train", Math.min(train.size, test.size)), val, test: of("test", test.size) },
    outputs: { train: outputs(0), val: outputs(0), test: outputs(test.size) },
  };
}

/** The figures of what was said of the rows of a set, or of those at `at`. */
function figuresOf(data: TrainingData, name: keyof Splits<unknown>, predicted: Predicted, at?: Places) {
  const { columns, measures, loss } = TRAINING[data.objective];
  return {
    ...(loss && { loss: loss(data[name], predicted, at) }),
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
  data: TrainingData,
  { evaluations, outputs }: Evaluated,
  baselines: readonly Baseline[],
  context: MeasuringContext,
) {
  const training = TRAINING[data.objective];
  const decision = (data.val.size > 0 && training.choose?.(context, data.val, outputs.val)) || null;
  const predict = (name: keyof typeof outputs) => training.predict(outputs[name], context, decision);
  const predicted = { train: predict("train"), val: predict("val"), test: predict("test") };
  const figures = (name: keyof typeof predicted, at?: Places) => figuresOf(data, name, predicted[name], at);
  const decide = (name: keyof typeof predicted, measured: Evaluation): Evaluation => ({
    ...measured,
    ...(decision && outputs[name].length > 0 && figures(name)),
  });
  const { train, val, test } = evaluations;
  const answer = (name: "val" | "test") => training.answers?.(data[name], predicted[name], context) ?? null;
  const answers = { val: val && answer("val"), test: answer("test") };
  const ofVal = outputs.val.length > 0 && training.columns(data.val, predicted.val.values, data.labels.length);
  return {
    results: {
      after: { train: decide("train", train), val: val && decide("val", val), test: decide("test", test) },
      parts: (data.testParts ?? []).map(({ name, positions }) => ({
        name,
        rows: positions.length,
        loss: Number.NaN,
        ...figures("test", positions),
      })),
      decision,
      ...(ofVal && { val: ofVal }),
      test: measureTest(data, predicted.test, baselines, context),
    },
    predicted: predicted.test,
    answers: answers.test && { ...answers, test: answers.test },
  };
}

/** The test rows that have a near-duplicate in an earlier set, where these can be left out. */
export function leakedRows(data: TrainingData): ReadonlySet<number> {
  const { train, val, test, stats } = data as LoadedDataset;
  const mayLeak = hasSettingOf(data.objective, "dedupe") && stats.leaks.test > 0;
  return new Set(mayLeak ? findLeaks([train, val, test])[2] : []);
}

/** The results of a model that says this of the test set. */
export function measureTest(
  data: TrainingData,
  predicted: Predicted,
  baselines: readonly Baseline[],
  context: MeasuringContext,
  leaked = leakedRows(data),
): TestResults {
  // Of texts to be written no row is described.
  const { test } = data as LoadedDataset;
  const training = TRAINING[data.objective];
  const { measures, columns } = training;
  const rows = columns(test, predicted.values, context.labels.length);
  const { details, samples, mistakes, preferred } = training.describe(test, { ...predicted, columns: rows }, context);
  const answers = training.answers?.(test, predicted, context);
  const message = (row: number): Message => ({
    text: test.text(row),
    truth: answers!.truth[row]!,
    predicted: answers!.predicted[row]!,
    ...(answers!.probability && { probability: answers!.probability[row]! }),
  });
  function* texts() {
    for (const row of preferred) yield test.text(row);
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
    example: textToTry(texts(), data.pairs !== undefined),
    details,
  };
}
