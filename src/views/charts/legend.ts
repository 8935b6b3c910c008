/** The entries of a chart's legend. */

import type { Chart, Line } from "../../document/chart.ts";
import type { KeyLook } from "./axes.tsx";

export interface LegendEntry {
  text: string;
  /** Missing for the name of a data set, which stands before its lines. */
  key?: KeyLook;
  line?: Line;
}

export function legendEntries(chart: Chart): LegendEntry[] {
  if (chart.kind === "scatter") {
    if (chart.points.some(({ label }) => label !== undefined))
      return [{ text: "with 95 % intervals; the numbers are those of the table" }];
    const colors = new Map(chart.points.map(({ group, color }) => [group, color]));
    return [...colors].map(([text, color]) => ({ text, key: { look: "point", color } }));
  }
  if (chart.kind !== "lines") return [];
  const named = chart.lines.filter(({ name }) => name !== null);
  const groups = new Set(named.map(({ group }) => group));
  return named.flatMap((line, i): LegendEntry[] => {
    const isFirst = groups.size > 1 && line.group !== named[i - 1]?.group;
    return [...(isFirst ? [{ text: `${line.group}:` }] : []), { text: line.name!, key: line, line }];
  });
}
