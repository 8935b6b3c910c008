/** Makes and measures a classifier's answers, with one class a message. */
import type { Kind } from "../../checks.ts";
import { measureRanking, measureReliability, type Ranking } from "../../measures.ts";
import { joinPair } from "../../pair.ts";
import { classMeasures, countConfusions, LISTED_CLASSES } from "../../statistics.ts";
import { pick } from "../compare.ts";
import { chooseDecision } from "../decision.ts";
import { argmaxRows, decide, predictions } from "../predictions.ts";
import { ESTIMATE, INTERVAL, LABEL } from "../stored.ts";
import { type LabelledRows, type Measuring, type MeasuringContext, MISTAKES, type Predicted } from "../task.ts";
import { type ClassDetails, trueClasses } from "./classification-training.ts";

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

const CLASS: Kind = ["0 or 1, or null", (value) => value === null || value === 0 || value === 1];
const POINTS = { xs: "numbers", ys: "numbers" } as const;

export const measuring: Measuring<LabelledRows, ClassDetails> = {
  stored: {
    answer: "text",
    columns: (labels) => ({ truth: labels, predicted: labels }),
    details: {
      classes: [{ ...LABEL, "ranking?": { rocAuc: "number", prAuc: "number", roc: POINTS, pr: POINTS } }],
      ...{ positive: CLASS, rocAuc: "number or null", prAuc: "number or null", mostProbable: "number?" },
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
