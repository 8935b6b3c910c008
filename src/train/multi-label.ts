/** Measures a classifier with several labels a message on its test set, compared with the baselines. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { TextOrPair } from "../pair.ts";
import {
  bootstrap,
  bootstrapP,
  comparePairs,
  countHits,
  type Estimate,
  f1Of,
  type Hits,
  type LabelMeasures,
  labelMeasures,
  pairedSamples,
  percentiles95,
  SAMPLES,
  type Standing,
  wilson,
} from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { sigmoid, USUAL_THRESHOLD } from "../tasks/predictions.ts";
import { chooseThreshold } from "./decision.ts";
import { type LabelBaseline, predictLabels } from "./label-baselines.ts";
import { MISTAKES, type Splits } from "./measured.ts";
import type { TrainOptions } from "./settings.ts";
import { textToTry } from "./text-to-try.ts";
import { parseThreshold } from "./threshold.ts";

/** A message of the test set, its labels, and those that it got. */
export interface LabelledMessage {
  text: TextOrPair;
  truth: string[];
  predicted: string[];
}

/** The run itself, or a baseline, on the test set. */
export interface ComparedLabels extends Pick<LabelBaseline, "limits"> {
  name: string;
  rows: number;
  /** F1 of all labels together, and the mean of each one's: intervals by the bootstrap. */
  microF1: Estimate;
  macroF1: Estimate;
  /** Rows with all of their labels and no other: Wilson's interval. */
  exact: Estimate;
  /** The run against it: its micro F1 minus the other's, by the paired bootstrap; null for the run itself. */
  against: { difference: Estimate; p: number; standing: Standing } | null;
}

/** A label on the test set, and from which probability it is predicted. */
export interface LabelResult extends LabelMeasures {
  threshold: number;
}

/** The results of a classifier with several labels a message on the test set. */
export interface LabelResults {
  /** The run first, then the baselines; the last is the most frequent set of labels. */
  compared: [ComparedLabels, ...ComparedLabels[]];
  /** In the order of the data's labels. */
  labels: LabelResult[];
  /** Whether each row has exactly its labels: 1 or 0. */
  verdicts: number[];
  samples: LabelledMessage[];
  mistakes: LabelledMessage[];
  /** A message to try the model with. */
  example: TextOrPair;
}

const SAMPLED = 3;

export async function measure(
  data: LoadedDataset,
  { threshold }: Pick<TrainOptions, "threshold">,
  evaluated: Splits<Evaluation>,
  logits: Splits<Float32Array>,
  signal?: AbortSignal,
) {
  const [val, test] = [logits.val.map(sigmoid), logits.test.map(sigmoid)];
  const thresholds = chooseThresholds(threshold, val, trueValues(data.val), data.labels.length);
  const baselines = await predictLabels(data, { signal });
  const decide = (name: keyof Splits<unknown>) =>
    decidedBy(thresholds, evaluated[name], logits[name].map(sigmoid), trueValues(data[name]));
  const after = { train: decide("train"), val: decide("val"), test: decide("test") };
  return {
    results: {
      ...{ after, parts: [], decision: null, test: null, texts: null },
      multiLabel: measureTest(data, test, thresholds, baselines),
    },
    outputs: { val, test },
  };
}

/** The evaluation of a set's first rows with the thresholds that were chosen. */
function decidedBy(
  thresholds: readonly number[],
  evaluation: Evaluation,
  probabilities: Float32Array,
  values: Float32Array,
): Evaluation {
  if (probabilities.length === 0) return evaluation;
  const k = thresholds.length;
  const predicted = probabilities.map((probability, i) => Number(probability >= thresholds[i % k]!));
  const rows = countRows(values.subarray(0, probabilities.length), predicted, k);
  return { ...evaluation, accuracy: rows.filter(isExact).length / rows.length, ...f1Of(sumRows(rows)) };
}

/** What every label of every row should be [rows, labels]. */
const trueValues = (set: LoadedDataset["val"]) =>
  Float32Array.from(Array.from({ length: set.size }, (_, row) => [...set.values(row)]).flat());

/**
 * A threshold of each label, by a rule on the validation set; that of a label which cannot reach it is the usual one.
 */
export function chooseThresholds(
  rule: string,
  probabilities: Float32Array,
  values: Float32Array,
  labels: number,
): number[] {
  const parsed = parseThreshold(rule);
  return Array.from({ length: labels }, (_, label) => {
    if (parsed === null) return USUAL_THRESHOLD;
    const column = (all: Float32Array) => [...all.filter((_, i) => i % labels === label)];
    return chooseThreshold(parsed, column(probabilities), column(values)).threshold ?? USUAL_THRESHOLD;
  });
}

/** The results of these probabilities [rows, labels] of the test set's rows. */
export function measureTest(
  { test, labels, pairs }: Pick<LoadedDataset, "test" | "labels" | "pairs">,
  probabilities: Float32Array,
  thresholds: readonly number[],
  baselines: readonly LabelBaseline[],
): LabelResults {
  const k = labels.length;
  const truth = trueValues(test);
  const predicted = probabilities.map((probability, i) => Number(probability >= thresholds[i % k]!));
  const own = countRows(truth, predicted, k);
  const others = baselines.map(({ values, ...named }) => ({ ...named, rows: countRows(truth, values, k) }));
  const tests = comparePairs(
    others.map(({ rows }) => [own, rows] as const),
    compareF1,
  );
  const message = (row: number): LabelledMessage => {
    const named = (values: Float32Array) => labels.filter((_, i) => values[row * k + i] === 1);
    return { text: test.text(row), truth: named(truth), predicted: named(predicted) };
  };
  const verdicts = own.map((hits) => Number(isExact(hits)));
  const rowsThatAre = (right: number) => [...verdicts.keys()].filter((row) => verdicts[row] === right);
  return {
    compared: [
      { name: "this run", ...summarizeRows(own), against: null },
      ...others.map(({ rows, ...named }, i): ComparedLabels => {
        const { difference, adjusted: p, standing } = tests[i]!;
        return { ...named, ...summarizeRows(rows), against: { difference, p, standing } };
      }),
    ],
    labels: sumRows(own).map((hits, i) => ({ ...labelMeasures(hits), threshold: thresholds[i]! })),
    verdicts,
    samples: rowsThatAre(1).slice(0, SAMPLED).map(message),
    mistakes: rowsThatAre(0).slice(0, MISTAKES).map(message),
    example: textToTry(
      [...rowsThatAre(1), ...rowsThatAre(0)].map((row) => test.text(row)),
      pairs !== undefined,
    ),
  };
}

/** The hits of each label in a row. */
type RowHits = Hits[];

function countRows(truth: Float32Array, predicted: Float32Array, k: number): RowHits[] {
  return Array.from({ length: truth.length / k }, (_, row) => {
    const hits: RowHits = Array.from({ length: k }, () => ({ there: 0, named: 0, right: 0 }));
    const of = (all: Float32Array) => all.subarray(row * k, (row + 1) * k);
    countHits(hits, of(truth), of(predicted), (value) => value === 1);
    return hits;
  });
}

const isExact = (hits: RowHits) => hits.every(({ there, named, right }) => there === right && named === right);

/** The hits of each label in some rows, or in those at `at`. */
function sumRows(rows: readonly RowHits[], at?: ArrayLike<number>): Hits[] {
  const { length } = at ?? rows;
  const sums: Hits[] = rows[0]!.map(() => ({ there: 0, named: 0, right: 0 }));
  for (let i = 0; i < length; i++)
    for (const [label, { there, named, right }] of rows[at ? at[i]! : i]!.entries()) {
      const sum = sums[label]!;
      sum.there += there;
      sum.named += named;
      sum.right += right;
    }
  return sums;
}

/** Micro F1 of some rows, or of those at `at`. */
function microF1Of(rows: readonly RowHits[]): (at?: ArrayLike<number>) => number {
  const right = rows.map((hits) => hits.reduce((sum, one) => sum + one.right, 0));
  const both = rows.map((hits) => hits.reduce((sum, { there, named }) => sum + there + named, 0));
  return (at = [...right.keys()]) => {
    let [hits, all] = [0, 0];
    for (let i = 0; i < at.length; i++) {
      hits += right[at[i]!]!;
      all += both[at[i]!]!;
    }
    return hits === 0 ? 0 : (2 * hits) / all;
  };
}

function summarizeRows(rows: readonly RowHits[]): Omit<ComparedLabels, "name" | "against"> {
  const estimate = (of: (at?: ArrayLike<number>) => number): Estimate => {
    return { value: of(), ...percentiles95(bootstrap(rows.length, SAMPLES.interval, of)) };
  };
  const exact = rows.filter(isExact).length;
  return {
    rows: rows.length,
    microF1: estimate(microF1Of(rows)),
    macroF1: estimate((at) => f1Of(sumRows(rows, at)).macroF1),
    exact: { value: exact / rows.length, ...wilson(exact, rows.length) },
  };
}

/** The paired bootstrap of the difference in micro F1. */
function compareF1(first: readonly RowHits[], second: readonly RowHits[]) {
  const [one, other] = [microF1Of(first), microF1Of(second)];
  const differ = (at?: ArrayLike<number>) => one(at) - other(at);
  const differences = bootstrap(first.length, pairedSamples(first.length), differ);
  const value = differ();
  return { difference: { value, ...percentiles95(differences) }, p: bootstrapP(differences), firstIsBetter: value > 0 };
}
