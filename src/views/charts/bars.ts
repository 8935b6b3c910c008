/** Horizontal bar charts: one panel per quantity, with the same names in all panels. */
import { BarChart } from "echarts/charts";
import * as echarts from "echarts/core";
import { type ChartOption, FAINT, FONT, INK, renderSvg } from "./lines.ts";

echarts.use([BarChart]);

export interface BarPanel {
  title: string;
  /** One value per name; null: not measured. */
  values: readonly (number | null)[];
}

interface Bars {
  title: string;
  /** A line below the title: machine, units. */
  note: string;
  names: readonly string[];
  /** Index of the highlighted name; -1: none. */
  highlight: number;
  panels: readonly BarPanel[];
}

const ACCENT = "#0072b2";
const PLAIN = "#b8c1cc";
const WIDTH = 860;
const BAR_PITCH = 24;
const HEAD = 84;
const PANEL_HEAD = 34;
const NAME_WIDTH = 128;
const MARGIN = 24;
/** Space to the right of the longest bar for its value. */
const VALUE_WIDTH = 52;
const COLUMNS = 2;

/** An SVG document. Each panel has its own scale, starting at 0. Values are shown to the right of the bars. */
export function barChart(bars: Bars): string {
  const panelHeight = PANEL_HEAD + bars.names.length * BAR_PITCH + 16;
  const rows = Math.ceil(bars.panels.length / COLUMNS);
  const height = HEAD + rows * panelHeight;
  return renderSvg(barOption(bars, panelHeight), { width: WIDTH, height });
}

function barOption({ title, note, names, highlight, panels }: Bars, panelHeight: number): ChartOption {
  const plotWidth = (WIDTH - MARGIN) / COLUMNS - NAME_WIDTH - VALUE_WIDTH;
  const place = (i: number) => ({
    left: NAME_WIDTH + (i % COLUMNS) * ((WIDTH - MARGIN) / COLUMNS),
    top: HEAD + Math.floor(i / COLUMNS) * panelHeight,
  });
  const heading = { fontFamily: FONT, color: INK };
  return {
    animation: false,
    backgroundColor: "#ffffff",
    title: [
      {
        text: title,
        subtext: note,
        left: 16,
        top: 12,
        textStyle: { ...heading, fontSize: 17, fontWeight: 600 },
        subtextStyle: { fontFamily: FONT, fontSize: 12, color: FAINT },
      },
      ...panels.map((panel, i) => ({
        text: panel.title,
        left: place(i).left - 5,
        top: place(i).top,
        textStyle: { ...heading, fontSize: 13, fontWeight: 600 as const },
      })),
    ],
    grid: panels.map((_, i) => ({
      left: place(i).left,
      top: place(i).top + PANEL_HEAD - 8,
      width: plotWidth,
      height: names.length * BAR_PITCH,
    })),
    xAxis: panels.map(({ values }, i) => ({
      type: "value" as const,
      gridIndex: i,
      min: 0,
      max: Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE),
      show: false,
    })),
    yAxis: panels.map((_, i) => ({
      type: "category" as const,
      gridIndex: i,
      data: [...names],
      inverse: true,
      axisLine: { show: true, lineStyle: { color: FAINT } },
      axisTick: { show: false },
      axisLabel: { fontFamily: FONT, fontSize: 12, color: INK, interval: 0 },
    })),
    series: panels.map(({ values }, i) => ({
      type: "bar" as const,
      xAxisIndex: i,
      yAxisIndex: i,
      barWidth: 15,
      data: values.map((value, at) => ({
        value: value ?? 0,
        itemStyle: { color: at === highlight ? ACCENT : PLAIN },
        label: { formatter: value === null ? "not measured" : value.toFixed(value < 100 ? 1 : 0) },
      })),
      label: { show: true, position: "right" as const, fontFamily: FONT, fontSize: 12, color: INK },
    })),
  };
}
