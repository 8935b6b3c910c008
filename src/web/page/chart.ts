/** A line chart over the number of training examples, with a legend and a text description. */
import uPlot from "uplot";
import { h } from "./dom.ts";
import { count } from "./format.ts";

export interface Line {
  /** Legend entry; null: none, another line's entry covers it. */
  label: string | null;
  /** Colour 1 to 6 of the style sheet. */
  color: number;
  examples: readonly number[];
  values: readonly number[];
  /** `training` is drawn faint and dashed, `evaluation` with its points. */
  kind: "training" | "evaluation";
}

export interface ChartOptions {
  title: string;
  format: (value: number) => string;
  /** Limits of the vertical axis, given the smallest and largest value. */
  range: (smallest: number, largest: number) => [number, number];
}

const HEIGHT = 220;

export class Chart {
  private readonly plot = h("div", { class: "plot", role: "img" });
  private readonly legend = h("ul", { class: "legend" });
  private chart: uPlot | undefined;
  private shape = "";
  private lines: readonly Line[] = [];

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
    const shape = JSON.stringify(lines.map(({ label, color, kind }) => [label, color, kind]));
    const data =
      lines.length > 0 ? uPlot.join(lines.map(({ examples, values }) => [[...examples], [...values]])) : [[], []];
    if (shape === this.shape && this.chart) {
      this.chart.setData(data as uPlot.AlignedData);
      return;
    }
    this.shape = shape;
    this.chart?.destroy();
    this.chart = new uPlot(this.settings(), data as uPlot.AlignedData, this.plot);
    const entries = lines.flatMap(({ label, color, kind }) =>
      label === null ? [] : [h("li", {}, h("i", { class: `key ${kind} c${color}` }), label)],
    );
    if (entries.length < lines.length) entries.push(h("li", {}, "dashed: training"));
    this.legend.replaceChildren(...entries);
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
    const { format, range } = this.options;
    return {
      width: this.plot.clientWidth || 320,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false } },
      scales: {
        x: { time: false, range: (_, __, max) => [0, max > 0 ? max : 1] },
        y: { range: (_, min, max) => (min === null ? range(0, 1) : range(min, max)) },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 30, values: (_, ticks) => ticks.map(count) },
        { ...axis, size: 54, values: (_, ticks) => ticks.map(format) },
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
