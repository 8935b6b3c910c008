/** The tables and charts of a run directory, in Node: the page has no charts among its files. */

import type { LineChart } from "../document/chart.ts";
import { describeMethod } from "../methods/index.ts";
import type { RunViews } from "../run/directory.ts";
import type { RunRecord } from "../run/record.ts";
import { chartSvg } from "./charts/svg.tsx";
import { rankingCharts, reliabilityChart, runCharts, scoresChart } from "./run-charts.ts";
import { runTables } from "./run-tables.ts";

export const runFiles: RunViews = (record, result, data) => [...runTables(record, result, data), ...chartFiles(record)];

/**
 * loss.svg, accuracy.svg, perplexity.svg or rmse.svg; of a classifier that was evaluated on the test set
 * reliability.svg, roc.svg and precision-recall.svg, of a regression scores.svg. Their titles name the method.
 */
export function chartFiles(record: RunRecord): [name: string, content: string][] {
  const charts = runCharts([record]).map(({ name, chart }): [string, LineChart] => [name, chart]);
  const { test, scores } = record.results ?? {};
  if (scores) charts.push(["scores", scoresChart(scores)]);
  if (test) {
    charts.push(["reliability", reliabilityChart(test.calibration)]);
    const ranking = rankingCharts(record.labels, test);
    if (ranking) charts.push(["roc", ranking.roc], ["precision-recall", ranking.pr]);
  }
  const method = describeMethod(record.options);
  return charts.map(([name, chart]) => [`${name}.svg`, chartSvg({ ...chart, title: `${chart.title}: ${method}` })]);
}
