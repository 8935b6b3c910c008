/** How a classifier with one class a message is trained and measured. */
import type { Kind } from "../../core/checks.ts";
import { percent } from "../../core/format.ts";
import {
  balancedAccuracy,
  matthews,
  measureRanking,
  measureReliability,
  type Ranking,
  type Reliability,
} from "../../core/measures.ts";
import { joinPair } from "../../core/pair.ts";
import {
  type Confusion,
  classMeasures,
  countConfusions,
  type LabelMeasures,
  LISTED_CLASSES,
  macroF1,
} from "../../core/statistics.ts";
import { CLASS } from "../../labels/class.ts";
import { type Columns, type Measure, type Places, pick, shareMeasure } from "../compare.ts";
import { chooseDecision } from "../decision.ts";
import { argmaxRows, decide, predictions } from "../predictions.ts";
import { ESTIMATE, INTERVAL, LABEL } from "../stored.ts";
import { type LabelledRows, type MeasuringContext, MISTAKES, type Predicted, type Training } from "../task.ts";

export interface ClassResults extends LabelMeasures {
  /** How well its probability ranks its rows; null where that is not defined, and where classes are too many. */
  ranking: Ranking | null;
}

/** What only a classifier's results have. */
export interface ClassDetails {
  /** By class id. */
  classes: ClassResults[];
  /** The class of two whose figures are given where there is one for both; null: there are more classes. */
  positive: number | null;
  /** Of this class, or the means over all, each against the rest. null: not defined for one of them. */
  rocAuc: number | null;
  prAuc: number | null;
  /** The accuracy if the most probable class were predicted of every row; absent: it is. */
  mostProbable?: number;
  calibration: Reliability;
}

const trueClasses = (set: LabelledRows, rows: number) => Array.from({ length: rows }, (_, row) => set.label(row));

const confusions = ({ truth, predicted }: Columns, at?: Places) =>
  countConfusions(pick(truth!, at), pick(predicted!, at));

/** The number of classes as far as they occur. */
const occurring = (some: readonly Confusion[]) =>
  1 + some.reduce((most, { truth, predicted }) => Math.max(most, truth, predicted), -1);

/** A figure of the confusion matrix. */
const matrixMeasure = (key: string, title: string, of: (some: Confusion[]) => number): Measure => ({
  ...{ key, title, format: (share) => percent(share), most: 1, shown: "apart" },
  of: (columns, at) => of(confusions(columns, at)),
});

const measures: Training["measures"] = /* @__PURE__ */ (() => [
  shareMeasure(
    { key: "acc", title: "Accuracy", format: (share) => percent(share), hub: "accuracy", evaluated: "accuracy" },
    ({ truth, predicted }, row) => truth![row] === predicted![row],
  ),
  { ...matrixMeasure("macro_f1", "Macro F1", macroF1), shown: "unequal", evaluated: "macroF1" },
  matrixMeasure("balanced_accuracy", "Balanced accuracy", (some) => balancedAccuracy(some, occurring(some))),
  {
    ...matrixMeasure("mcc", "MCC", (some) => matthews(some, occurring(some)) ?? Number.NaN),
    format: (value) => value.toFixed(3),
  },
])();

const BINARY: Kind = ["0 or 1, or null", (value) => value === null || value === 0 || value === 1];
const POINTS = { xs: "numbers", ys: "numbers" } as const;

export const training: Training<LabelledRows, ClassDetails> = {
  defaults: {},
  lacks: {
    labelSeparator: "a message has one class",
    stride: "messages are not cut into blocks",
  },
  labels: CLASS,
  measures,
  // The first of equal logits counts, as for a classifier; the device counts the target's.
  answer: argmaxRows,
  columns: (set, values) => ({ truth: trueClasses(set, values.length), predicted: Array.from(values) }),
  stored: {
    answer: "text",
    columns: (labels) => ({ truth: labels, predicted: labels }),
    details: {
      classes: [{ ...LABEL, "ranking?": { rocAuc: "number", prAuc: "number", roc: POINTS, pr: POINTS } }],
      ...{ positive: BINARY, rocAuc: "number or null", prAuc: "number or null", mostProbable: "number?" },
      calibration: {
        bins: [{ middle: "number", rows: "count", confidence: "number", accuracy: "number", interval: INTERVAL }],
        error: ESTIMATE,
      },
    },
  },
  choose(context, val, logits) {
    const asked = { ...context.options, positive: choosePositive(context) };
    const rows = predictions(logits, context.labels.length).map(({ probabilities }) => probabilities);
    return chooseDecision(asked, rows, trueClasses(val, rows.length));
  },
  predict(logits, { labels }, decision) {
    const probabilities = new Float64Array(logits.length);
    const values = predictions(logits, labels.length).map((one, row) => {
      const decided = decision ? decide(one, decision) : one;
      probabilities.set(decided.probabilities, row * labels.length);
      return decided.label;
    });
    return { values, probabilities };
  },
  loss(set, given, at) {
    const right = pick(
      shares(given, (row) => set.label(row)),
      at,
    );
    return right.reduce((sum, share) => sum - Math.log(share), 0) / right.length;
  },
  answers: (set, given, { labels }) => ({
    truth: trueClasses(set, given.values.length).map((label) => labels[label]!),
    predicted: Array.from(given.values, (label) => labels[label]!),
    probability: shares(given, (row) => given.values[row]!),
    probabilities: given.probabilities!,
  }),
  describe(set, { columns, ...given }, context) {
    const { labels } = context;
    const { truth = [], predicted = [] } = columns;
    const probability = shares(given, (row) => predicted[row]!);
    const confusions = countConfusions(truth, predicted);
    const rankings = rankClasses(labels.length, truth, given);
    const positive = choosePositive(context);
    const counted = positive === null ? rankings : [rankings[positive]!];
    const right = truth.map((label, row) => label === predicted[row]);
    const rows = [...truth.keys()];
    const most = argmaxRows(given.probabilities!, labels.length);
    const [good, wrong] = [rows.filter((row) => right[row]), rows.filter((row) => !right[row])];
    return {
      samples: pickSamples(good, predicted, labels.length, (row) => joinPair(set.text(row))),
      mistakes: wrong.toSorted((a, b) => probability[b]! - probability[a]!).slice(0, MISTAKES),
      preferred: [...good, ...wrong],
      details: {
        classes: classMeasures(confusions, labels.length).map((measures, id) => ({
          ...measures,
          ranking: labels.length > LISTED_CLASSES ? null : rankings[id]!,
        })),
        positive,
        rocAuc: meanOf(counted, ({ rocAuc }) => rocAuc),
        prAuc: meanOf(counted, ({ prAuc }) => prAuc),
        ...(most.every((label, row) => label === predicted[row])
          ? {}
          : { mostProbable: most.filter((label, row) => label === truth[row]).length / truth.length }),
        calibration: measureReliability(rows.map((row) => ({ probability: probability[row]!, right: right[row]! }))),
      },
    };
  },
};

/** Correctly classified messages that are kept with the results, at least; more where there are more classes. */
const SAMPLES = 3;
/** Characters of a sample that is read at a glance. */
const SHORT = 200;

/** With more classes and rows, the areas under the curves would take seconds. */
const RANKED_SCORES = 1 << 22;

/**
 * Of two classes the one whose threshold is chosen and whose probability ranks the rows: the one that is asked for, or
 * the rarer in the training set, of equally frequent ones the second. Null: there are more classes.
 */
export function choosePositive({ labels, counts, options }: MeasuringContext): number | null {
  if (labels.length !== 2) return null;
  if (options.positive !== null) return labels.indexOf(options.positive);
  return Number(counts[1]! <= counts[0]!);
}

/** The probabilities of the class `of(row)`, of each row. */
function shares({ values, probabilities }: Predicted, of: (row: number) => number): number[] {
  const k = probabilities!.length / values.length;
  return Array.from({ length: values.length }, (_, row) => probabilities![row * k + of(row)]!);
}

/** Each class against the rest. */
function rankClasses(classes: number, truth: readonly number[], predicted: Predicted) {
  const isFeasible = classes * truth.length <= RANKED_SCORES;
  return Array.from({ length: classes }, (_, id): Ranking | null => {
    if (!isFeasible) return null;
    return measureRanking(
      truth.map((label) => label === id),
      shares(predicted, () => id),
    );
  });
}

function meanOf(rankings: readonly (Ranking | null)[], of: (one: Ranking) => number): number | null {
  const known = rankings.filter((one) => one !== null);
  return known.length < rankings.length ? null : known.reduce((sum, one) => sum + of(one), 0) / known.length;
}

/** Some rows of each class, short ones where there are any. */
function pickSamples(
  right: readonly number[],
  predicted: readonly number[],
  classes: number,
  text: (row: number) => string,
): number[] {
  const some = right.filter((row) => text(row).trim() !== "");
  const short = some.filter((row) => text(row).length <= SHORT);
  const seen = new Map<number, number>();
  const turns = (short.length > 0 ? short : some).map((row) => {
    const label = predicted[row]!;
    const turn = seen.get(label) ?? 0;
    seen.set(label, turn + 1);
    return { row, label, turn };
  });
  return turns
    .sort((a, b) => a.turn - b.turn || a.label - b.label)
    .slice(0, Math.max(SAMPLES, Math.min(classes, LISTED_CLASSES / 2)))
    .map(({ row }) => row);
}
