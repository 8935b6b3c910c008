/** A score of each message. */
import { formatScore } from "../format.ts";
import { determination, meanAbsolute, rankCorrelation, rankInterval, rootMeanSquare } from "../score-measures.ts";
import type { Interval } from "../statistics.ts";
import { sampledMeasure } from "./compare.ts";
import type { Scored } from "./predictions.ts";
import { INTERVAL } from "./stored.ts";
import { type LabelledRows, OF_TEXTS, type Predictor, type Task, type Training, type Usage } from "./task.ts";

const predicts: Predictor<Scored> = {
  method: "score",
  blank: () => ({ score: null }),
  of: (logits) => Array.from(logits, (score) => ({ score })),
  columns: () => ["score"],
  cells: ({ score }) => [score],
};

export const task: Task = {
  ...OF_TEXTS,
  title: "a regression",
  target: "text",
  head: "own",
  loss: "squared",
  outputs: { least: 1, most: 1 },
  problemType: "regression",
  predicts,
};

export const usage: Usage = {
  does: (texts) => `gives ${texts} a score`,
  choice: () => "a score",
  python: ["print(logits[0].item())"],
  javascript: ["console.log(logits.tolist());"],
  hasPipeline: false,
};

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

/** The true scores of a set. */
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
      evaluated: ({ loss }) => Math.sqrt(loss),
    },
    rootMeanSquare,
  ),
  sampledMeasure(
    { key: "mae", title: "MAE", format: formatScore, isError: true, evaluated: ({ meanError }) => meanError! },
    meanAbsolute,
  ),
  sampledMeasure({ key: "r2", title: "R²", format: threeDigits, most: 1 }, determination),
  sampledMeasure({ key: "spearman", title: "Spearman", format: threeDigits, most: 1 }, rankCorrelation, rankInterval),
])();

export const training: Training<LabelledRows, ScoreDetails> = {
  defaults: {},
  lacks: {},
  labels: "score",
  measures,
  evaluated: ["meanError"],
  answer: "figure",
  columns: () => ({ truth: Infinity, predicted: Infinity }),
  tally() {
    let sum = 0;
    return {
      add({ values }, scores) {
        for (const [i, score] of scores.entries()) sum += Math.abs(score - values![i]!);
      },
      measures: ({ rows }) => ({ meanError: sum / rows }),
    };
  },
  // A head that begins at 0 would spend its first steps on the way.
  bias: (train) => [meanScore(train)],
  details: { bins: [{ truth: "figure", predicted: "figure", interval: INTERVAL }] },
  measuring: async () => (await import("./regression-results.ts")).measuring,
};
