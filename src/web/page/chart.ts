/** A line chart over training examples, with a legend, the values under the pointer, and a text description. */
import { steps, svgText, verticalTitle } from "./axes.ts";
import { h, svg } from "./dom.ts";
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

interface ChartOptions {
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
const [LEFT, RIGHT, TOP, BOTTOM] = [68, 16, 10, 44];
/** Pixels between two steps of the horizontal axis, and the most steps of the vertical one. */
const [SPACE, ROWS] = [90, 5];

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

/** Where a chart draws a number of examples and a value, in pixels. */
interface Scales {
  width: number;
  x: (examples: number) => number;
  y: (value: number) => number;
  most: number;
  low: number;
  high: number;
}

export class Chart {
  private static readonly all: Chart[] = [];
  private readonly plot = h("div", { class: "plot", role: "img" });
  private readonly legend = h("ul", { class: "legend" });
  private readonly cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
  private shape: string | undefined;
  private lines: readonly Line[] = [];
  private scales: Scales | undefined;
  /** The number of examples under the pointer. */
  private at: number | null = null;
  /** The places of the lines' values in the legend, and that of the number of examples. */
  private readonly readings = new Map<number, HTMLElement>();
  private readonly place = h("li", { class: "at" });

  constructor(
    figure: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    figure.replaceChildren(h("figcaption", {}, h("span", { class: "name" }, options.title), this.legend), this.plot);
    new ResizeObserver(() => {
      if (this.lines.length > 0) this.draw();
    }).observe(this.plot);
    this.plot.addEventListener("pointermove", ({ clientX }) => this.point(clientX));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    Chart.all.push(this);
  }

  /** Draws lines; `description` is their text alternative. */
  show(lines: readonly Line[], description: string): void {
    this.lines = lines;
    this.plot.setAttribute("aria-label", `${this.options.title}. ${description}`);
    const shape = JSON.stringify(lines.map(({ label, color, kind, group }) => [label, color, kind, group]));
    if (shape !== this.shape) this.legend.replaceChildren(...this.entries());
    this.shape = shape;
    this.draw();
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

  private draw(): void {
    const { lines, options } = this;
    const width = Math.max(200, this.plot.clientWidth);
    const most = Math.max(1, ...lines.flatMap(({ examples }) => examples));
    const values = lines.flatMap((line) => line.values).filter(Number.isFinite);
    const [low, high] =
      values.length > 0 ? options.range(Math.min(...values), Math.max(...values)) : options.range(0, 1);
    const x = (examples: number) => LEFT + ((width - LEFT - RIGHT) * examples) / most;
    const y = (value: number) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low || 1);
    this.scales = { width, x, y, most, low, high };
    this.plot.replaceChildren(
      svg(
        "svg",
        { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
        ...this.axes(this.scales),
        ...lines.flatMap((line) => marks(line, this.scales!)),
        this.cursor,
      ),
    );
    this.read();
  }

  private axes({ width, x, y, most, low, high }: Scales): SVGElement[] {
    const rows = steps(low, high > low ? high : low + 1, ROWS);
    const columns = steps(0, most, Math.max(1, Math.floor((width - LEFT - RIGHT) / SPACE)));
    return [
      ...rows.flatMap((value) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        svgText(LEFT - 8, y(value) + 4, this.options.format(value), "end"),
      ]),
      ...columns.map((value) => svgText(x(value), HEIGHT - BOTTOM + 18, count(value), "middle")),
      svgText((LEFT + width - RIGHT) / 2, HEIGHT - 6, "training examples seen", "middle"),
      verticalTitle(14, (TOP + HEIGHT - BOTTOM) / 2, this.options.axis),
    ];
  }

  /** Shows the values of all charts at a place in this one. */
  private point(clientX: number | null): void {
    if (!this.scales) return;
    const { width, most } = this.scales;
    const share =
      clientX === null ? -1 : (clientX - this.plot.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT);
    for (const chart of Chart.all.filter(({ scales }) => scales)) {
      chart.at = share >= 0 && share <= 1 ? share * most : null;
      chart.read();
    }
  }

  /** Shows the value of each line that is nearest to the number of examples under the pointer. */
  private read(): void {
    const { at } = this;
    this.cursor.toggleAttribute("hidden", at === null);
    if (at !== null) for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, String(this.scales!.x(at)));
    this.place.textContent = at === null ? "" : `nearest to ${count(Math.round(at))} examples`;
    for (const [i, reading] of this.readings) {
      const line = this.lines[i]!;
      const value = at === null ? undefined : line.values[nearest(line.examples, at)];
      reading.textContent = value === undefined ? "" : this.options.show(value);
    }
  }
}

/** A line, with the points of evaluations. Values that are not finite leave gaps. */
function marks({ examples, values, kind, color }: Line, { x, y }: Scales): SVGElement[] {
  let isOpen = false;
  const path = values.map((value, i) => {
    const isDrawn = Number.isFinite(value);
    const step = isDrawn ? `${isOpen ? "L" : "M"}${x(examples[i]!).toFixed(1)} ${y(value).toFixed(1)}` : "";
    isOpen = isDrawn;
    return step;
  });
  const points = kind === "training" ? [] : values.map((value, i) => [x(examples[i]!), y(value)] as const);
  return [
    svg("path", { class: `curve ${kind} c${color}`, d: path.join("") }),
    ...points
      .filter(([, cy]) => Number.isFinite(cy))
      .map(([cx, cy]) => svg("circle", { class: `mark c${color}`, cx, cy, r: 3 })),
  ];
}
