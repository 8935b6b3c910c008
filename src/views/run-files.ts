/** The tables and charts of a run directory, in Node: the page has no charts among its files. */
import type { RunViews } from "../run/directory.ts";
import { describeMethod, type RunRecord } from "../run/record.ts";
import { chartSvg } from "./charts/svg.tsx";
import { runCharts } from "./run-charts.ts";
import { runTables } from "./run-tables.ts";

export const runFiles: RunViews = (record, result, data) => [...runTables(record, result, data), ...chartFiles(record)];

/** loss.svg, and accuracy.svg or perplexity.svg, and where there is one reliability.svg: their titles name the method. */
export function chartFiles(record: RunRecord): [name: string, content: string][] {
  const method = describeMethod(record.options);
  return runCharts([record]).map(({ name, chart }) => [
    `${name}.svg`,
    chartSvg({ ...chart, title: `${chart.title}: ${method}` }),
  ]);
}
