/** A regression's results on the test set as blocks and tables. */

import { againstColumns, type Block, makeTable, messageColumns, type Table } from "../document/blocks.ts";
import { digits, formatCount, formatScore } from "../format.ts";
import type { PairSettings } from "../pair.ts";
import type { RunRecord } from "../run/record.ts";
import type { Estimate } from "../statistics.ts";
import type { ComparedScores, ScoredMessage, ScoreResults } from "../train/regression.ts";
import { scoresChart } from "./run-charts.ts";

export function scoreBlocks(scores: ScoreResults, { pairs }: RunRecord): Block[] {
  const caption = "The mean score of messages with neighbouring true scores, with 95 % intervals";
  return [
    scoreBaselines(scores),
    {
      kind: "details",
      title: "Messages whose scores are furthest from the true ones",
      blocks: [scoreMistakes(scores.mistakes, pairs)],
    },
    {
      kind: "details",
      title: "Scores compared with the true ones",
      blocks: [{ kind: "figure", name: "scores", caption, chart: scoresChart(scores) }],
    },
  ];
}

/** The run compared with the baselines: each has its difference from the run, with interval and p. */
export function scoreBaselines({ compared }: ScoreResults): Table {
  const column = (title: string, key: "rmse" | "mae" | "r2" | "spearman", format = formatScore) => ({
    ...({ title, key, interval: true, format } as const),
    value: ({ [key]: estimate }: ComparedScores): Estimate | null => estimate,
  });
  return makeTable<ComparedScores>(
    "baselines",
    "This run and baselines on the test set, with 95 % intervals; the paired bootstrap of the RMSE",
    [
      { title: "Scores", key: "model", value: ({ name }) => name },
      { title: null, key: "rows", value: ({ rows }) => rows },
      ...[column("RMSE", "rmse"), column("MAE", "mae")],
      ...[column("R²", "r2", digits(3)), column("Spearman", "spearman", digits(3))],
      ...againstColumns("RMSE: this run minus it", formatScore, "bootstrap_p"),
    ],
    compared,
  );
}

function scoreMistakes(mistakes: readonly ScoredMessage[], pairs?: PairSettings): Table {
  return makeTable<ScoredMessage>(
    "mistakes",
    `The ${formatCount(mistakes.length)} messages furthest from their true scores, the furthest first`,
    [
      { title: "True score", key: "truth", value: ({ truth }) => truth, format: formatScore },
      { title: "Score", key: "predicted", value: ({ predicted }) => predicted, format: formatScore },
      ...messageColumns(pairs),
    ],
    mistakes,
  );
}
