/** What people read of a regression. */

import { formatCount, formatScore } from "../../core/format.ts";
import { type Summary, summarize } from "../../core/statistics.ts";
import { type Block, details, figure, makeTable } from "../../document/blocks.ts";
import type { LineChart } from "../../document/chart.ts";
import { trueScores } from "../../labels/score.ts";
import { readFigure } from "../compare.ts";
import { countMessages, MESSAGES, mistakesTable, tooFew } from "../message-words.ts";
import type { Scored } from "../predictions.ts";
import type { DataShown, LabelledRows, TestResults, Usage, Words } from "../task.ts";
import type { ScoreDetails } from "./regression-training.ts";

export const words: Words<ScoreDetails, LabelledRows> = {
  loss: "mean squared error",
  choice: "scores: numbers",
  learned: () => "with a score",
  ...MESSAGES,
  data: scoresTable,
  headline(_, { test }) {
    const [{ measured, rows }] = test.compared;
    const { rmse, spearman } = measured;
    const rank = readFigure(spearman);
    const correlation = rank === null ? "" : `, rank correlation ${rank.toFixed(2)}`;
    return `RMSE ${formatScore(readFigure(rmse)!)} on ${countMessages(rows)}${correlation}${tooFew(rows)}`;
  },
  blocks({ pairs }, { test }) {
    const { mistakes } = test;
    const furthest = `The ${formatCount(mistakes.length)} messages furthest from their true scores, the furthest first`;
    const caption = "The mean score of messages with neighbouring true scores, with 95 % intervals";
    return [
      details("Messages whose scores are furthest from the true ones", [
        mistakesTable(mistakes, furthest, ["True score", "Score"], pairs),
      ]),
      details("Scores compared with the true ones", [figure("scores", caption, scoresChart(test))]),
    ];
  },
};

/** The mean score over the mean of the true ones, of tenths of the rows. */
function scoresChart({ details: { bins }, compared: [{ rows }] }: TestResults<ScoreDetails>): LineChart {
  const truth = bins.map((bin) => bin.truth);
  return {
    kind: "lines",
    title: "Scores",
    note: `test set, ${formatCount(rows)} rows in the order of their true scores`,
    x: { title: "true score", show: formatScore },
    y: { title: "score", show: formatScore },
    lines: [
      {
        name: "mean score, 95 % interval",
        ...{ color: 0, look: "solid" },
        xs: truth,
        ys: bins.map(({ predicted }) => predicted),
        intervals: bins.map(({ interval }) => interval),
      },
      { name: "the true score", color: 1, look: "reference", xs: truth, ys: truth },
    ],
  };
}

function scoresTable({ train, val, test }: DataShown<LabelledRows>): Block[] {
  type Row = Summary & { name: string; least: number; most: number };
  const column = (title: string, key: "mean" | "sd" | "least" | "most") => {
    return { title, key, value: ({ [key]: value }: Row) => value, format: formatScore };
  };
  const rows = Object.entries({ Training: train, Validation: val, Test: test })
    .filter(([, { size }]) => size > 0)
    .map(([name, set]): Row => {
      const scores = trueScores(set).sort((a, b) => a - b);
      return { name, ...summarize(scores), least: scores[0]!, most: scores.at(-1)! };
    });
  return [
    makeTable<Row>(
      "data-scores",
      "Scores",
      [
        { title: "Set", key: "set", value: ({ name }) => name },
        column("Mean", "mean"),
        column("Standard deviation", "sd"),
        column("Lowest", "least"),
        column("Highest", "most"),
      ],
      rows,
    ),
  ];
}

export const usage: Usage<Scored> = {
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
  does: (texts) => `gives ${texts} a score`,
  choice: () => "a score",
  columns: () => ["score"],
  cells: ({ score }) => [score],
  python: ["print(logits[0].item())"],
  javascript: ["console.log(logits.tolist());"],
  hasPipeline: false,
};
