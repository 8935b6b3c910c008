/** The tables and charts of a run directory, in Node: the page has no charts among its files. */
import { describeMethod } from "../methods/index.ts";
import type { RunViews } from "../run/directory.ts";
import type { RunRecord } from "../run/record.ts";
import type { LineChart } from "./charts/chart.ts";
import { chartSvg } from "./charts/svg.tsx";
import { reliabilityChart, runCharts } from "./run-charts.ts";
import { runTables } from "./run-tables.ts";

export const runFiles: RunViews = (record, result, data) => [...runTables(record, result, data), ...chartFiles(record)];

/**
 * loss.svg, accuracy.svg or perplexity.svg, and of a classifier that was evaluated on the test set reliability.svg. Their
 * titles name the method.
 */
export function chartFiles(record: RunRecord): [name: string, content: string][] {
  const curves = runCharts([record]).map(({ name, chart }): [string, LineChart] => [name, chart]);
  const test = record.results?.test;
  const charts = test ? [...curves, ["reliability", reliabilityChart(test.calibration)] as const] : curves;
  const method = describeMethod(record.options);
  return charts.map(([name, chart]) => [`${name}.svg`, chartSvg({ ...chart, title: `${chart.title}: ${method}` })]);
}
