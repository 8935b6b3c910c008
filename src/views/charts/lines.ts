/** Line charts of loss, accuracy and perplexity over a run, as SVG by ECharts. */
import { type BarSeriesOption, LineChart, type LineSeriesOption } from "echarts/charts";
import {
  GridComponent,
  type GridComponentOption,
  LegendComponent,
  type LegendComponentOption,
  TitleComponent,
  type TitleComponentOption,
  TooltipComponent,
  type TooltipComponentOption,
} from "echarts/components";
import * as echarts from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

echarts.use([LineChart, GridComponent, LegendComponent, TitleComponent, TooltipComponent, SVGRenderer]);

export type ChartOption = echarts.ComposeOption<
  | BarSeriesOption
  | GridComponentOption
  | LegendComponentOption
  | LineSeriesOption
  | TitleComponentOption
  | TooltipComponentOption
>;

/** One measurement. A value that is not finite leaves a gap in the line. */
export interface CurvePoint {
  examples_seen: number;
  value: number;
}

export interface Curves {
  /** The trained setting: "LoRA, rank 8, alpha 16". */
  title: string;
  train: readonly CurvePoint[];
  validation: readonly CurvePoint[];
  /** Training examples per epoch, for the upper axis. */
  examplesPerEpoch: number;
}

interface ChartSize {
  /** Pixels. */
  width: number;
  height: number;
}

const SIZE: ChartSize = { width: 860, height: 500 };
/** Okabe and Ito's blue and vermilion, which are safe for colour blindness; the marks differ too, for print. */
export const LOOKS = [
  { color: "#0072b2", symbol: "circle" },
  { color: "#d55e00", symbol: "diamond" },
] as const;
/** Maximum width of a title beside the legend at the default size, in pixels. */
const TITLE_WIDTH = 600;
export const INK = "#1f2933";
export const FAINT = "#5f6b7a";
export const LINES = "#e4e7eb";
export const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
export const TITLE_TEXT = {
  fontFamily: FONT,
  fontSize: 17,
  fontWeight: 600,
  color: INK,
  overflow: "truncate",
} as const;
export const AXIS_TEXT = { color: FAINT, fontSize: 12, fontFamily: FONT };
export const AXIS_NAME = { nameLocation: "middle", nameTextStyle: { ...AXIS_TEXT, color: INK, fontSize: 13 } } as const;
/** With more points, their marks would hide the line. */
const MAX_MARKS = 40;

/** Loss (mean cross-entropy, nats) of train and validation. */
export function lossOption(curves: Curves): ChartOption {
  return curveOption(`Loss: ${curves.title}`, curves, {
    name: "cross-entropy (nats)",
    min: 0,
    format: (value) => tidy(value),
  });
}

/** Accuracy, values within [0, 1], of train and validation. */
export function accuracyOption(curves: Curves): ChartOption {
  const values = [...curves.train, ...curves.validation].map(({ value }) => value).filter(Number.isFinite);
  // Starts at the multiple of 10 % below the lowest value, so that the upper range, where runs differ, is readable.
  const min = Math.max(0, Math.min(0.9, Math.floor(Math.min(...values, 1) * 10 - 1e-9) / 10));
  return curveOption(`Accuracy: ${curves.title}`, curves, {
    name: "accuracy",
    min,
    max: 1,
    format: (value) => `${tidy(value * 100)} %`,
  });
}

/** Perplexity, exp(loss), of train and validation. */
function perplexityOption(curves: Curves): ChartOption {
  return curveOption(`Perplexity: ${curves.title}`, curves, { name: "perplexity", min: 0, format: thousands });
}

export function lossChart(curves: Curves, size?: ChartSize): string {
  return renderSvg(lossOption(curves), size);
}

export function accuracyChart(curves: Curves, size?: ChartSize): string {
  return renderSvg(accuracyOption(curves), size);
}

export function perplexityChart(curves: Curves, size?: ChartSize): string {
  return renderSvg(perplexityOption(curves), size);
}

/** An SVG document. The same option gives the same bytes. */
export function renderSvg(option: echarts.EChartsCoreOption, { width, height }: ChartSize = SIZE): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption(option);
    // Removes what differs between two charts of one process: running numbers in ids, and hover styles.
    return chart
      .renderToSVGString()
      .replace(/<style[\s\S]*?<\/style>\s*/g, "")
      .replaceAll(/ class="zr\d+-cls-\d+"/g, "")
      .replaceAll(/\bzr\d+-/g, "zr-");
  } finally {
    chart.dispose();
  }
}

interface ValueAxis {
  name: string;
  min: number;
  max?: number;
  format: (value: number) => string;
}

/** Builds all three charts: examples seen on the lower axis, epochs on the upper axis. */
function curveOption(title: string, { train, validation, examplesPerEpoch }: Curves, axis: ValueAxis): ChartOption {
  const seen = [...train, ...validation].map(({ examples_seen }) => examples_seen);
  const end = Math.max(...seen, 1);
  const series = [
    { name: "train", points: train },
    { name: "validation", points: validation },
  ];
  return {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT, color: INK },
    title: {
      text: title,
      left: 16,
      top: 12,
      textStyle: { ...TITLE_TEXT, width: TITLE_WIDTH },
    },
    legend: {
      top: 14,
      right: 24,
      itemGap: 20,
      itemWidth: 28,
      textStyle: { fontFamily: FONT, fontSize: 13, color: INK },
      data: series.map(({ name }) => name),
    },
    tooltip: { trigger: "axis", valueFormatter: (value) => (typeof value === "number" ? axis.format(value) : "-") },
    grid: { left: 76, right: 32, top: 104, bottom: 64 },
    xAxis: [
      { position: "bottom", name: "training examples seen", nameGap: 34, ...scaleTo(end, 6, thousands) },
      { position: "top", name: "epochs", nameGap: 26, ...scaleTo(end / examplesPerEpoch, 10, tidy) },
    ],
    yAxis: {
      type: "value",
      name: axis.name,
      nameGap: 54,
      nameRotate: 90,
      ...AXIS_NAME,
      min: axis.min,
      ...(axis.max === undefined ? {} : { max: axis.max }),
      axisLabel: { ...AXIS_TEXT, formatter: axis.format },
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: true, lineStyle: { color: LINES } },
    },
    series: series.map(({ name, points }, i) => ({
      type: "line",
      name,
      data: points.map(({ examples_seen, value }) => [examples_seen, Number.isFinite(value) ? value : "-"]),
      ...LOOKS[i]!,
      showSymbol: points.length <= MAX_MARKS,
      symbolSize: LOOKS[i]!.symbol === "diamond" ? 9 : 7,
      lineStyle: { width: points.length <= MAX_MARKS ? 2.25 : 1.75 },
      itemStyle: { color: LOOKS[i]!.color },
      // At 0 or 100 %, the edge of the grid, clipping would cut off half of the line's width.
      clip: false,
    })),
  };
}

/** The common options of the two horizontal axes: from 0 to `max` in at most `parts` steps. */
function scaleTo(max: number, parts: number, format: (value: number) => string) {
  const interval = niceStep(max, parts);
  // The axis ends at `max`, which has a label only if it is a multiple of the step: labels could overlap otherwise.
  const showMaxLabel = Math.abs(max / interval - Math.round(max / interval)) < 1e-6;
  return {
    type: "value",
    ...AXIS_NAME,
    min: 0,
    max,
    interval,
    axisLabel: { ...AXIS_TEXT, showMaxLabel, formatter: format },
    axisLine: { show: true, lineStyle: { color: FAINT } },
    axisTick: { show: true, lineStyle: { color: FAINT } },
    splitLine: { show: false },
  } as const;
}

/**
 * A step of 1, 2, 2.5 or 5 times a power of ten that divides `range` into at most `most` parts; a whole number unless
 * the range is below 2.
 */
export function niceStep(range: number, most: number): number {
  const power = 10 ** Math.floor(Math.log10(range / most));
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power);
  return steps.find((step) => range / step <= most * (1 + 1e-9) && (range < 2 || Number.isInteger(step)))!;
}

function thousands(value: number): string {
  return value.toLocaleString("en-US");
}

/** At most four decimal places, without trailing zeros. */
function tidy(value: number): string {
  return String(Number(value.toFixed(4)));
}
