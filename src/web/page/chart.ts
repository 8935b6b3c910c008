/** A line chart over the number of training examples, with a legend, the values under the pointer, and a text description. */
import uPlot from "uplot";
import { h } from "./dom.ts";
import { count } from "./format.ts";

export interface Line {
  /** Legend entry; null: none, another line's entry covers it. */
  label: string | null;
  /** The data set, which the legend names if there are several. */
  group: string;
  /** Colour 1 to 6 of the style sheet. */
  color: number;
  examples: readonly number[];
  values: readonly number[];
  /** `training` is drawn faint and dashed, `evaluation` with its points. */
  kind: "training" | "evaluation";
}

export interface ChartOptions {
  title: string;
  /** The title of the vertical axis. */
  axis: string;
  /** Values on the axis, and under the pointer. */
  format: (value: number) => string;
  show: (value: number) => string;
  /** Limits of the vertical axis, given the smallest and largest value. */
  range: (smallest: number, largest: number) => [number, number];
}

const HEIGHT = 240;

/** The exponential moving average of some values, in which the past has this weight. */
export function smoothed([first, ...more]: readonly number[], weight: number): number[] {
  if (first === undefined) return [];
  let mean = first;
  return [
    first,
    ...more.map((value) => {
      mean += (1 - weight) * (value - mean);
      return mean;
    }),
  ];
}

/** The index of the number nearest to `x`. */
function nearest(numbers: readonly number[], x: number): number {
  const distances = numbers.map((one) => Math.abs(one - x));
  return distances.indexOf(Math.min(...distances));
}

export class Chart {
  private readonly plot = h("div", { class: "plot", role: "img" });
  private readonly legend = h("ul", { class: "legend" });
  private chart: uPlot | undefined;
  private shape = "";
  private lines: readonly Line[] = [];
  /** The places of the lines' values in the legend, and that of the number of examples. */
  private readonly readings = new Map<number, HTMLElement>();
  private readonly place = h("li", { class: "at" });

  constructor(
    figure: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    figure.replaceChildren(h("figcaption", {}, h("span", { class: "name" }, options.title), this.legend), this.plot);
    new ResizeObserver(() => this.chart?.setSize({ width: this.plot.clientWidth, height: HEIGHT })).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.shape = "";
      this.draw();
    });
    this.show([], "No data yet.");
  }

  /** Draws lines; `description` is their text alternative. */
  show(lines: readonly Line[], description: string): void {
    this.lines = lines;
    this.plot.setAttribute("aria-label", `${this.options.title}. ${description}`);
    this.draw();
  }

  private draw(): void {
    const { lines } = this;
    const shape = JSON.stringify(lines.map(({ label, color, kind, group }) => [label, color, kind, group]));
    const data =
      lines.length > 0 ? uPlot.join(lines.map(({ examples, values }) => [[...examples], [...values]])) : [[], []];
    if (shape === this.shape && this.chart) {
      this.chart.setData(data as uPlot.AlignedData);
      return;
    }
    this.shape = shape;
    this.chart?.destroy();
    this.chart = new uPlot(this.settings(), data as uPlot.AlignedData, this.plot);
    this.legend.replaceChildren(...this.entries());
    this.read(null);
  }

  private entries(): HTMLElement[] {
    const { lines, readings } = this;
    readings.clear();
    const groups = new Set(lines.map(({ group }) => group));
    const entries = lines.flatMap(({ label, color, kind, group }, i) => {
      if (label === null) return [];
      const reading = h("b", {});
      readings.set(i, reading);
      const isFirst = groups.size > 1 && lines.findIndex((line) => line.group === group && line.label !== null) === i;
      return [
        ...(isFirst ? [h("li", { class: "group" }, `${group}:`)] : []),
        h("li", {}, h("i", { class: `key ${kind} c${color}` }), label, reading),
      ];
    });
    if (readings.size < lines.length) entries.push(h("li", {}, "dashed: training"));
    if (groups.size > 1) entries.push(h("li", { class: "group" }, "Values on different data are not comparable."));
    return [...entries, this.place];
  }

  /** Shows the value of each line that is nearest to a number of examples; null: none. */
  private read(examples: number | null): void {
    this.place.textContent = examples === null ? "" : `nearest to ${count(Math.round(examples))} examples`;
    for (const [i, reading] of this.readings) {
      const line = this.lines[i]!;
      const value = examples === null ? undefined : line.values[nearest(line.examples, examples)];
      reading.textContent = value === undefined ? "" : this.options.show(value);
    }
  }

  private settings(): uPlot.Options {
    const style = getComputedStyle(this.plot);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const font = `12px ${style.fontFamily}`;
    const axis: uPlot.Axis = {
      font,
      stroke: color("faint"),
      grid: { stroke: color("line"), width: 1 },
      ticks: { stroke: color("line"), width: 1, size: 4 },
    };
    const title = { labelFont: font, labelSize: 18, labelGap: 0 };
    const { format, range } = this.options;
    return {
      width: this.plot.clientWidth || 320,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false }, points: { show: false }, sync: { key: "run" } },
      hooks: {
        setCursor: [
          ({ cursor: { left }, posToVal }) => {
            this.read(left === undefined || left < 0 || this.lines.length === 0 ? null : posToVal(left, "x"));
          },
        ],
      },
      scales: {
        x: { time: false, range: (_, __, max) => [0, max > 0 ? max : 1] },
        y: { range: (_, min, max) => (min === null ? range(0, 1) : range(min, max)) },
      },
      axes: [
        {
          ...axis,
          ...title,
          label: "training examples seen",
          grid: { show: false },
          space: 70,
          size: 30,
          values: (_, ticks) => ticks.map(count),
        },
        { ...axis, ...title, label: this.options.axis, size: 54, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        ...(this.lines.length > 0 ? this.lines : [undefined]).map((line): uPlot.Series => {
          const stroke = color(`c${line?.color ?? 1}`);
          const faint = line?.kind === "training";
          return {
            stroke,
            width: faint ? 1.25 : 2,
            alpha: faint ? 0.75 : 1,
            spanGaps: true,
            points: faint ? { show: false } : { show: true, size: 6, fill: stroke },
            ...(faint ? { dash: [4, 3] } : {}),
          };
        }),
      ],
    };
  }
}
