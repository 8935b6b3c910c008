/** The figures of a sweep: a heat map over rank and alpha, loss curves, accuracy over trainable parameters. */
import { HeatmapChart, type HeatmapSeriesOption, ScatterChart, type ScatterSeriesOption } from "echarts/charts";
import { VisualMapComponent, type VisualMapComponentOption } from "echarts/components";
import * as echarts from "echarts/core";
import { type ChartOption, renderSvg } from "./charts.ts";
import type { Interval } from "./statistics.ts";

echarts.use([HeatmapChart, ScatterChart, VisualMapComponent]);

type SweepOption =
  | ChartOption
  | echarts.ComposeOption<HeatmapSeriesOption | ScatterSeriesOption | VisualMapComponentOption>;

const INK = "#1f2933";
const FAINT = "#5f6b7a";
const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
const TEXT = { fontFamily: FONT, color: INK };
/** Okabe and Ito's colours, which are safe for colour blindness. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

const title = (text: string) => ({ text, left: 16, top: 12, textStyle: { ...TEXT, fontSize: 17, fontWeight: 600 } });
const axisName = { nameLocation: "middle", nameTextStyle: { ...TEXT, fontSize: 13 } } as const;
const percent = (share: number) => `${(100 * share).toFixed(1)}`;

export interface HeatCell {
  rank: number;
  alpha: number;
  accuracy: number;
  interval: Interval;
}

/** Accuracy in % over rank and alpha, each cell with its 95 % interval. */
export function heatMap(name: string, cells: readonly HeatCell[]): string {
  const sorted = (of: (cell: HeatCell) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = sorted(({ rank }) => rank);
  const alphas = sorted(({ alpha }) => alpha);
  const values = cells.map(({ accuracy }) => accuracy);
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    title: title(name),
    grid: { left: 80, right: 110, top: 60, bottom: 64 },
    xAxis: { type: "category", data: alphas.map(String), name: "alpha", nameGap: 34, ...axisName, axisLabel: TEXT },
    yAxis: { type: "category", data: ranks.map(String), name: "rank", nameGap: 46, ...axisName, axisLabel: TEXT },
    visualMap: {
      min: Math.min(...values),
      max: Math.max(...values, Math.min(...values) + 1e-6),
      dimension: 2,
      orient: "vertical",
      right: 12,
      top: "center",
      text: ["best", "worst"],
      textStyle: TEXT,
      formatter: (value: unknown) => percent(Number(value)),
      inRange: { color: ["#f7fbff", "#deebf7", "#9ecae1", "#6baed6"] },
    },
    series: [
      {
        type: "heatmap",
        data: cells.map(({ rank, alpha, accuracy, interval }) => ({
          value: [alphas.indexOf(alpha), ranks.indexOf(rank), accuracy],
          label: { formatter: `${percent(accuracy)}\n${percent(interval.low)} to ${percent(interval.high)}` },
        })),
        label: { show: true, ...TEXT, fontSize: 12, lineHeight: 16 },
        itemStyle: { borderColor: "#ffffff", borderWidth: 2 },
      },
    ],
  };
  return renderSvg(option, { width: 700, height: 460 });
}

export interface NamedCurve {
  name: string;
  points: readonly { examples_seen: number; value: number }[];
}

/** Validation loss (nats) over examples seen, one line per run. */
export function lossCurves(name: string, curves: readonly NamedCurve[]): string {
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    color: COLORS,
    title: title(name),
    legend: { top: 44, left: 16, itemGap: 28, textStyle: TEXT },
    grid: { left: 76, right: 32, top: 90, bottom: 64 },
    xAxis: {
      type: "value",
      name: "training examples seen",
      nameGap: 34,
      ...axisName,
      axisLabel: { ...TEXT, color: FAINT },
    },
    yAxis: {
      type: "value",
      min: 0,
      name: "cross-entropy (nats)",
      nameGap: 46,
      ...axisName,
      axisLabel: { ...TEXT, color: FAINT },
    },
    series: curves.map(({ name, points }) => ({
      type: "line",
      name,
      showSymbol: points.length <= 40,
      symbolSize: 6,
      data: points.map(({ examples_seen, value }) => [examples_seen, value]),
    })),
  };
  return renderSvg(option);
}

export interface SizedPoint {
  /** The kind of run, which determines the colour. */
  group: string;
  /** Number of trainable parameters. */
  trainable: number;
  accuracy: number;
}

/** Test accuracy over the number of trainable parameters, on a logarithmic axis. */
export function accuracyOverSize(name: string, points: readonly SizedPoint[]): string {
  const groups = [...new Set(points.map(({ group }) => group))];
  const low = Math.floor(Math.min(...points.map(({ accuracy }) => accuracy)) * 50 - 0.5) / 50;
  const option: SweepOption = {
    animation: false,
    backgroundColor: "#ffffff",
    color: COLORS,
    title: title(name),
    legend: { top: 44, left: 16, itemGap: 28, textStyle: TEXT },
    grid: { left: 76, right: 40, top: 90, bottom: 64 },
    xAxis: {
      type: "log",
      name: "trainable parameters",
      nameGap: 34,
      ...axisName,
      axisLabel: { ...TEXT, color: FAINT },
    },
    yAxis: {
      type: "value",
      min: Math.max(0, low),
      max: 1,
      name: "test accuracy (%)",
      nameGap: 46,
      ...axisName,
      axisLabel: { ...TEXT, color: FAINT, formatter: percent },
    },
    series: groups.map((group) => ({
      type: "scatter",
      name: group,
      symbolSize: 10,
      data: points.filter((p) => p.group === group).map(({ trainable, accuracy }) => [trainable, accuracy]),
    })),
  };
  return renderSvg(option);
}
