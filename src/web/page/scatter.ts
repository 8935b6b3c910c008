/** A scatter chart as SVG: shares with intervals over a size on a log axis. Points have their table row's number. */
import type { Interval } from "../../statistics.ts";
import { steps, svgText, verticalTitle } from "./axes.ts";
import { svg } from "./dom.ts";
import { percent } from "./format.ts";

interface Point {
  number: number;
  name: string;
  /** Colour 1 to 6 of the style sheet. */
  color: number;
  x: number;
  share: number;
  interval: Interval;
}

export interface ScatterAxis {
  title: string;
  show: (value: number) => string;
}

const HEIGHT = 300;
const LEFT = 64;
const RIGHT = 20;
const TOP = 16;
const BOTTOM = 48;
const RADIUS = 10;

/** Draws points; `title` and the table beside the chart are its text alternative. */
export function scatter(points: readonly Point[], axis: ScatterAxis, title: string, width: number): SVGElement {
  const xs = points.map(({ x }) => x);
  const [from, to] = [Math.min(...xs) / 1.6, Math.max(...xs) * 1.6];
  const x = (value: number) => LEFT + ((width - LEFT - RIGHT) * Math.log(value / from)) / Math.log(to / from);
  const lowest = Math.min(...points.map(({ interval }) => interval.low));
  // The axis begins a step below the lowest interval.
  const [first, second] = steps(lowest, 1, 6) as [number, number];
  const floor = Math.max(0, first - (second - first));
  const shares = steps(floor, 1, 7);
  const y = (share: number) => TOP + ((HEIGHT - TOP - BOTTOM) * (1 - share)) / (1 - floor);
  return svg(
    "svg",
    { class: "scatter", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title },
    ...shares.flatMap((share) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(share), y2: y(share) }),
      svgText(LEFT - 8, y(share) + 4, percent(share, second - first < 0.01 ? 1 : 0), "end"),
    ]),
    ...ticks(from, to, width).map((tick) => svgText(x(tick), HEIGHT - BOTTOM + 18, axis.show(tick), "middle")),
    svgText((LEFT + width - RIGHT) / 2, HEIGHT - 8, axis.title, "middle"),
    verticalTitle(14, (TOP + HEIGHT - BOTTOM) / 2, "test accuracy"),
    ...apart(points, x, width).map(([point, at]) => mark(point, at, y, axis)),
  );
}

/** Powers of ten, at most one per 70 pixels; in a range without two of them, 1, 2 and 5 times powers of ten. */
function ticks(from: number, to: number, width: number): number[] {
  const inside = (factors: readonly number[]) =>
    Array.from({ length: 24 }, (_, i) => i - 6)
      .flatMap((power) => factors.map((factor) => factor * 10 ** power))
      .filter((value) => value >= from && value <= to);
  const tens = inside([1]);
  const all = tens.length > 1 ? tens : inside([1, 2, 5]);
  const every = Math.ceil((70 * all.length) / (width - LEFT - RIGHT));
  return all.filter((_, i) => i % every === 0);
}

/** The points with their positions; those of nearly the same size stand side by side. */
function apart(points: readonly Point[], x: (value: number) => number, width: number): [Point, number][] {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const places: number[] = [];
  for (const point of sorted) places.push(Math.max(x(point.x), (places.at(-1) ?? -Infinity) + 2 * RADIUS + 2));
  for (let i = places.length - 1, most = width - RADIUS; i >= 0; i--, most = places[i + 1]! - 2 * RADIUS - 2)
    places[i] = Math.min(places[i]!, most);
  return sorted.map((point, i) => [point, places[i]!]);
}

function mark(point: Point, at: number, y: (share: number) => number, axis: ScatterAxis): SVGElement {
  const { number, name, color, share, interval } = point;
  const [high, low] = [y(interval.high), y(interval.low)];
  const label = svgText(at, y(share) + 4, String(number), "middle");
  const title = svg("title");
  title.textContent = `${name}: ${percent(share)}, ${axis.show(point.x)}`;
  return svg(
    "g",
    { class: `mark c${color}` },
    title,
    svg("path", { d: `M${at} ${high}V${low}M${at - 5} ${high}h10M${at - 5} ${low}h10` }),
    svg("circle", { cx: at, cy: y(share), r: RADIUS }),
    label,
  );
}
