/** The tables, the charts and the page of a run directory, in Node: a page stores the tables alone. */

import type { Block } from "../document/blocks.ts";
import type { LineChart } from "../document/chart.ts";
import { describeMethod } from "../methods/training.ts";
import type { RunViews } from "../run/directory.ts";
import { REPORT, type RunRecord } from "../run/record.ts";
import { WORDS } from "../tasks/words.ts";
import { chartSvg } from "./charts/svg.tsx";
import { runCharts } from "./run-charts.ts";
import { runReport } from "./run-report.ts";
import { runTables } from "./run-tables.ts";

export const runFiles: RunViews = (record, result, data) => [
  ...runTables(record, result, data),
  ...chartFiles(record),
  [REPORT, runReport(record, result, data)],
];

/** loss.svg, accuracy.svg or that of another measure, and the charts of the results. Their titles name the method. */
export function chartFiles(record: RunRecord): [name: string, content: string][] {
  const { objective, results } = record;
  const curves = runCharts([record]).map(({ name, chart }) => ({ name, chart }));
  const blocks = (results && WORDS[objective].blocks?.(record, results)) ?? [];
  const method = describeMethod(record.options);
  return [...curves, ...lineCharts(blocks)].map(({ name, chart }) => [
    `${name}.svg`,
    chartSvg({ ...chart, title: `${chart.title}: ${method}` }),
  ]);
}

function lineCharts(blocks: readonly Block[]): { name: string; chart: LineChart }[] {
  return blocks.flatMap((block) => {
    if (block.kind === "details") return lineCharts(block.blocks);
    return block.kind === "figure" && block.chart.kind === "lines" ? [{ name: block.name, chart: block.chart }] : [];
  });
}
