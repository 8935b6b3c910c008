/** How a regression is trained and measured. */
import { formatScore } from "../../format.ts";
import type { Interval } from "../../statistics.ts";
import { sampledMeasure } from "../compare.ts";
import type { LabelledRows, Training } from "../task.ts";
import { determination, meanAbsolute, rankCorrelation, rankInterval, rootMeanSquare } from "./score-measures.ts";

/** Rows with neighbouring true scores: the means, and the interval of the mean score. */
export interface ScoreBin {
  truth: number;
  predicted: number;
  interval: Interval;
}

/** What only a regression's results have. */
export interface ScoreDetails {
  /** Tenths of the rows, in the order of their true scores. */
  bins: ScoreBin[];
}

export const trueScores = (set: LabelledRows) => Array.from({ length: set.size }, (_, row) => set.values(row)[0]!);

export const meanScore = (set: LabelledRows) => trueScores(set).reduce((sum, score) => sum + score, 0) / set.size;

const HELP =
  "The root of the mean squared error: how far a score is from the true one, where large errors count more. Always giving the mean has the standard deviation of the scores.";

const threeDigits = (value: number) => value.toFixed(3);

// In the scores' own unit.
const measures: Training["measures"] = /* @__PURE__ */ (() => [
  sampledMeasure(
    {
      ...{ key: "rmse", title: "RMSE", format: formatScore, isError: true, help: HELP, hub: "rmse" },
      evaluated: Math.sqrt,
    },
    rootMeanSquare,
  ),
  sampledMeasure(
    { key: "mae", title: "MAE", format: formatScore, isError: true, evaluated: "meanError" },
    meanAbsolute,
  ),
  sampledMeasure({ key: "r2", title: "R²", format: threeDigits, most: 1 }, determination),
  sampledMeasure({ key: "spearman", title: "Spearman", format: threeDigits, most: 1 }, rankCorrelation, rankInterval),
])();

export const training: Training<LabelledRows> = {
  defaults: { classWeights: "none" },
  lacks: {
    corrections: "scores are not reviewed",
    labelSeparator: "a message has one score",
    stride: "messages are not cut into blocks",
    balance: "scores are no classes",
    "split stratified": "scores are no classes",
    "split experiment": "scores are no classes",
    classWeights: "scores are no classes",
    calibrate: "a score has no probability",
    threshold: "a score has no probability",
    positive: "scores are no classes",
  },
  labels: "score",
  measures,
  answer: (scores) => scores,
  columns: (set, values) => ({ truth: trueScores(set).slice(0, values.length), predicted: Array.from(values) }),
  // A head that begins at 0 would spend its first steps on the way.
  bias: (train) => [meanScore(train)],
};
