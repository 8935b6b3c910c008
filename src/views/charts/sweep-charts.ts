/** The figures of a sweep: a heat map over rank and alpha, loss curves, results over trainable parameters. */
import {
  HeatmapChart,
  type HeatmapSeriesOption,
  type LineSeriesOption,
  ScatterChart,
  type ScatterSeriesOption,
} from "echarts/charts";
import {
  type GridComponentOption,
  type LegendComponentOption,
  type TitleComponentOption,
  VisualMapComponent,
  type VisualMapComponentOption,
} from "echarts/components";
import * as echarts from "echarts/core";
import type { Interval } from "../../statistics.ts";
import { AXIS_NAME, AXIS_TEXT, FONT, INK, LINES, niceStep, renderSvg, TITLE_TEXT } from "./lines.ts";

echarts.use([HeatmapChart, ScatterChart, VisualMapComponent]);

type SweepOption = echarts.ComposeOption<
  | GridComponentOption
  | HeatmapSeriesOption
  | LegendComponentOption
  | LineSeriesOption
  | ScatterSeriesOption
  | TitleComponentOption
  | VisualMapComponentOption
>;

const TEXT = { fontFamily: FONT, color: INK };
/** Okabe and Ito's colours, which are safe for colour blindness; the marks differ too, for print. */
const LOOKS = [
  ["#0072b2", "circle"],
  ["#d55e00", "diamond"],
  ["#009e73", "triangle"],
  ["#cc79a7", "rect"],
  ["#e69f00", "circle"],
  ["#56b4e9", "diamond"],
  ["#000000", "triangle"],
  ["#999999", "rect"],
] as const;

const title = (text: string) => ({ text, left: 16, top: 12, textStyle: TITLE_TEXT });
/** A wide gap: without a browser, the width of long names is estimated too small. */
const legend = { top: 44, left: 16, itemGap: 30, textStyle: TEXT };

interface HeatCell {
  rank: number;
  alpha: number;
  value: number;
  interval: Interval;
}

/** A value over rank and alpha, each cell with its 95 % interval; the colours range from `low` to `high`. */
export function heatMap(
  name: string,
  cells: readonly HeatCell[],
  { low, high, show }: Interval & { show: (value: number) => string },
): string {
  const sorted = (of: (cell: HeatCell) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = sorted(({ rank }) => rank);
  const alphas = sorted(({ alpha }) => alpha);
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    title: title(name),
    grid: { left: 80, right: 110, top: 60, bottom: 64 },
    xAxis: { type: "category", data: alphas.map(String), name: "alpha", nameGap: 34, ...AXIS_NAME, axisLabel: TEXT },
    yAxis: { type: "category", data: ranks.map(String), name: "rank", nameGap: 46, ...AXIS_NAME, axisLabel: TEXT },
    visualMap: {
      min: low,
      max: Math.max(high, low + 1e-6),
      dimension: 2,
      orient: "vertical",
      right: 12,
      top: "center",
      text: ["high", "low"],
      textStyle: TEXT,
      formatter: (value: unknown) => show(Number(value)),
      inRange: { color: ["#f7fbff", "#deebf7", "#9ecae1", "#6baed6"] },
    },
    series: [
      {
        type: "heatmap",
        data: cells.map(({ rank, alpha, value, interval }) => ({
          value: [alphas.indexOf(alpha), ranks.indexOf(rank), value],
          label: { formatter: `${show(value)}\n${show(interval.low)} to ${show(interval.high)}` },
        })),
        label: { show: true, ...TEXT, fontSize: 12, lineHeight: 16 },
        itemStyle: { borderColor: "#ffffff", borderWidth: 2 },
      },
    ],
  };
  return renderSvg(option, { width: 700, height: 460 });
}

interface NamedCurve {
  name: string;
  points: readonly { examples_seen: number; value: number }[];
}

/** Validation loss (nats) over examples seen, one line per run. */
export function lossCurves(name: string, curves: readonly NamedCurve[]): string {
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    color: LOOKS.map(([color]) => color),
    title: title(name),
    legend,
    grid: { left: 76, right: 32, top: 122, bottom: 64 },
    xAxis: { type: "value", name: "training examples seen", nameGap: 34, ...AXIS_NAME, axisLabel: AXIS_TEXT },
    yAxis: { type: "value", min: 0, name: "cross-entropy (nats)", nameGap: 46, ...AXIS_NAME, axisLabel: AXIS_TEXT },
    series: curves.map(({ name, points }, i) => ({
      type: "line",
      name,
      symbol: LOOKS[i % LOOKS.length]![1],
      showSymbol: points.length <= 40,
      symbolSize: 6,
      data: points.map(({ examples_seen, value }) => [examples_seen, value]),
    })),
  };
  return renderSvg(option);
}

interface SizedPoint {
  /** The kind of run, which determines colour and mark. */
  group: string;
  /** Number of trainable parameters. */
  trainable: number;
  value: number;
  interval: Interval;
}

/** The least factor between two points' parameters: closer ones would hide each other. */
const ASIDE = 1.06;

/** The points by size, side by side where sizes are nearly equal. */
function apart(points: readonly SizedPoint[]): SizedPoint[] {
  const groups: SizedPoint[][] = [];
  for (const point of [...points].sort((a, b) => a.trainable - b.trainable)) {
    const last = groups.at(-1)?.at(-1);
    if (last && point.trainable < ASIDE * last.trainable) groups.at(-1)!.push(point);
    else groups.push([point]);
  }
  return groups.flatMap((group) => {
    const middle = Math.sqrt(group[0]!.trainable * group.at(-1)!.trainable);
    return group.map((point, i) => ({ ...point, trainable: middle * ASIDE ** (i - (group.length - 1) / 2) }));
  });
}

/** The range of the intervals; with a largest possible value that is near, an axis that ends there, in even steps. */
function upTo(most: number, points: readonly SizedPoint[]) {
  const [low, high] = [
    Math.min(...points.map(({ interval }) => interval.low)),
    Math.max(...points.map(({ interval }) => interval.high)),
  ];
  if (!(high > 0.9 * most)) return { scale: true };
  const interval = niceStep(Math.max(most - low, 0.01 * most), 6);
  return { min: most - Math.ceil((most - low) / interval) * interval, max: most, interval };
}

/** A value, at most `most`, with its 95 % interval over the number of trainable parameters, on a log axis. */
export function valueOverSize(
  text: string,
  points: readonly SizedPoint[],
  axis: { name: string; most: number; show: (value: number) => string },
): string {
  const groups = [...new Set(points.map(({ group }) => group))];
  const series = groups.flatMap((name, i) => {
    const [color, symbol] = LOOKS[i % LOOKS.length]!;
    const some = apart(points).filter(({ group }) => group === name);
    const look = { name, itemStyle: { color }, lineStyle: { color, width: 1.5 } };
    return [
      {
        ...look,
        type: "scatter" as const,
        symbol,
        symbolSize: 12,
        z: 3,
        data: some.map(({ trainable, value }) => [trainable, value]),
      },
      ...some.map(({ trainable, interval: { low, high } }) => ({
        ...look,
        type: "line" as const,
        symbol: "rect",
        symbolSize: [12, 1.5],
        data: [
          [trainable, low],
          [trainable, high],
        ],
      })),
    ];
  });
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    title: title(text),
    legend: { ...legend, itemWidth: 12, itemHeight: 12, data: groups },
    grid: { left: 76, right: 40, top: 110, bottom: 64 },
    xAxis: { type: "log", name: "trainable parameters", nameGap: 34, ...AXIS_NAME, axisLabel: AXIS_TEXT },
    yAxis: {
      type: "value",
      ...upTo(axis.most, points),
      name: axis.name,
      nameGap: 46,
      ...AXIS_NAME,
      axisLabel: { ...AXIS_TEXT, formatter: axis.show },
      splitLine: { lineStyle: { color: LINES } },
    },
    series,
  };
  return renderSvg(option);
}
