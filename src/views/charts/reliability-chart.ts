/** The reliability diagram: the share of right rows against the probability of the predicted class. */
import { BarChart } from "echarts/charts";
import * as echarts from "echarts/core";
import type { Reliability } from "../../statistics.ts";
import {
  AXIS_NAME,
  AXIS_TEXT,
  type ChartOption,
  FAINT,
  FONT,
  INK,
  LINES,
  LOOKS,
  renderSvg,
  TITLE_TEXT,
} from "./lines.ts";

echarts.use([BarChart]);

const SIZE = { width: 620, height: 640 };
const PLAIN = "#b8c1cc";

/** An SVG document: accuracy by confidence with Wilson's intervals, and below it the rows of each bin. */
export function reliabilityChart(title: string, reliability: Reliability): string {
  return renderSvg(reliabilityOption(title, reliability), SIZE);
}

function reliabilityOption(title: string, { bins, error }: Reliability): ChartOption {
  const rows = bins.reduce((sum, bin) => sum + bin.rows, 0);
  const percent = (value: number) => `${Math.round(100 * value)} %`;
  const axis = { type: "value", min: 0, ...AXIS_NAME } as const;
  const shares = { ...axis, max: 1, interval: 0.2, axisLabel: { ...AXIS_TEXT, formatter: percent } } as const;
  const grid = { splitLine: { lineStyle: { color: LINES } } };
  return {
    animation: false,
    backgroundColor: "#ffffff",
    title: {
      text: `Reliability: ${title}`,
      subtext: `test set, ${rows.toLocaleString("en-US")} rows; expected calibration error ${(100 * error).toFixed(1)} %`,
      left: 16,
      top: 12,
      textStyle: { ...TITLE_TEXT, width: SIZE.width - 32 },
      subtextStyle: { fontFamily: FONT, fontSize: 13, color: FAINT },
    },
    legend: {
      top: 66,
      left: 70,
      itemGap: 28,
      itemWidth: 28,
      textStyle: { fontFamily: FONT, fontSize: 13, color: INK },
      data: ["accuracy, 95 % interval", "perfect calibration"],
    },
    grid: [
      { left: 76, right: 32, top: 104, height: 340 },
      { left: 76, right: 32, top: 476, height: 96 },
    ],
    xAxis: [
      { ...shares, ...grid, gridIndex: 0 },
      // Otherwise the axis would be longer than the one above it, by half a bar at each end.
      {
        ...shares,
        ...grid,
        gridIndex: 1,
        name: "probability of the predicted class",
        nameGap: 34,
        containShape: false,
      },
    ],
    yAxis: [
      { ...shares, ...grid, gridIndex: 0, name: "accuracy", nameGap: 50 },
      { ...axis, ...grid, gridIndex: 1, name: "rows", nameGap: 50, splitNumber: 2, axisLabel: AXIS_TEXT },
    ],
    series: [
      {
        type: "line",
        name: "perfect calibration",
        data: [
          [0, 0],
          [1, 1],
        ],
        symbol: "none",
        lineStyle: { color: FAINT, width: 1.5, type: "dashed" },
        itemStyle: { color: FAINT },
      },
      {
        type: "line",
        name: "accuracy, 95 % interval",
        data: bins.map(({ confidence, accuracy }) => [confidence, accuracy]),
        ...LOOKS[0],
        symbolSize: 9,
        lineStyle: { width: 2.25 },
        itemStyle: { color: LOOKS[0].color },
        clip: false,
      },
      {
        // Each interval is a vertical line; "-" is a gap.
        type: "line",
        data: bins.flatMap(({ confidence, interval: { low, high } }) => [
          [confidence, low],
          [confidence, high],
          ["-", "-"],
        ]),
        showSymbol: false,
        lineStyle: { color: LOOKS[0].color, width: 1.25 },
        clip: false,
      },
      {
        type: "bar",
        xAxisIndex: 1,
        yAxisIndex: 1,
        data: bins.map(({ middle, rows }) => [middle, rows]),
        barWidth: 40,
        itemStyle: { color: PLAIN },
        label: { show: true, position: "top", fontFamily: FONT, fontSize: 12, color: INK },
      },
    ],
  };
}
