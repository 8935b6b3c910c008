/**
 * What the charts share: scales, axes, marks and keys. The scale is ours: d3-scale would cost a page 11 kB for a + b x.
 * Colours are variables of the page's style sheet; svg.tsx puts those of a file in their place.
 */
import { nice, ticks } from "d3-array";
import type { Axis, Line } from "../../document/chart.ts";
import { cut, textWidth } from "./text.ts";

export type Range = readonly [from: number, to: number];

/** The edges of a plot in pixels; its axes are outside. */
export interface Frame {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Pixels between two ticks. */
export const SPACE = { across: 90, up: 45 };

/** To tenths of a pixel: the same picture has the same bytes everywhere. */
export const round = (pixels: number) => Math.round(10 * pixels) / 10;

/** Maps a range of values to one of pixels; on a log axis with Math.log. */
export function scale([from, to]: Range, [start, end]: Range, map = (value: number) => value) {
  const unit = (end - start) / (map(to) - map(from));
  return (value: number) => round(start + (map(value) - map(from)) * unit);
}

/** The ticks of a linear axis of this length: 1, 2 or 5 times a power of ten apart. */
export const steps = ([from, to]: Range, length: number, space: number) =>
  ticks(from, to, Math.max(1, Math.floor(length / space)));

/** The range of an axis. Free ends are at whole steps, and a fixed end gives way to values beyond it. */
export function axisRange({ from, to }: Pick<Axis, "from" | "to">, values: readonly number[], length: number): Range {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) finite.push(from ?? 0);
  const low = Math.min(from ?? Infinity, ...finite);
  let high = Math.max(to ?? -Infinity, ...finite);
  if (low === high) high += Math.abs(high) / 2 || 1;
  const [first, last] = nice(low, high, Math.max(1, Math.floor(length / SPACE.up)));
  return [low === from ? low : first, high === to ? high : last];
}

const tickText = ({ tick, show }: Axis, value: number) => cut((tick ?? show)(value), SPACE.across, 12);

/** The space for the ticks of a vertical axis and its title. */
export function spaceBefore(axis: Axis, range: Range, length: number): number {
  const widths = steps(range, length, SPACE.up).map((value) => textWidth(tickText(axis, value), 12));
  return Math.max(68, 34 + Math.ceil(Math.max(0, ...widths)));
}

const SMALL = { "font-size": 12, fill: "var(--faint)" };
const TITLE = { "font-size": 13, fill: "var(--ink)", "text-anchor": "middle" } as const;

/** Ticks, lines across the plot, and the title, which is read from below. */
export function VerticalAxis({ axis, range, frame }: { axis: Axis; range: Range; frame: Frame }) {
  const { left, right, top, bottom } = frame;
  const y = scale(range, [bottom, top]);
  const values = steps(range, bottom - top, SPACE.up);
  const middle = (top + bottom) / 2;
  return (
    <g {...SMALL} text-anchor="end">
      <path class="grid" d={values.map((value) => `M${left} ${y(value)}H${right}`).join("")} stroke="var(--line)" />
      {values.map((value) => (
        <text key={value} x={left - 8} y={y(value) + 4}>
          {tickText(axis, value)}
        </text>
      ))}
      <text {...TITLE} x={16} y={middle} transform={`rotate(-90 16 ${middle})`}>
        {axis.title}
      </text>
    </g>
  );
}

interface HorizontalProps {
  axis: Axis;
  values: readonly number[];
  x: (value: number) => number;
  frame: Frame;
  upper?: boolean;
}

/** A line with ticks, below the plot or above it. */
export function HorizontalAxis({ axis, values, x, frame, upper = false }: HorizontalProps) {
  const { left, right, top, bottom } = frame;
  const [base, tick, text, name] = upper ? [top, -5, -10, -30] : [bottom, 5, 19, 39];
  const marks = values.map((value) => `M${x(value)} ${base}v${tick}`);
  return (
    <g {...SMALL} text-anchor="middle">
      <path d={`M${left} ${base}H${right}${marks.join("")}`} stroke="var(--edge)" />
      {values.map((value) => (
        <text key={value} x={x(value)} y={base + text}>
          {tickText(axis, value)}
        </text>
      ))}
      <text {...TITLE} x={(left + right) / 2} y={base + name}>
        {axis.title}
      </text>
    </g>
  );
}

const COLORS = ["c1", "c2", "c3", "c4", "c5", "c6", "ink", "edge"];

export const colorAt = (color: number) => `var(--${COLORS[color % COLORS.length]})`;

/** Outlines around a point. They differ as the colours do, for print. */
const MARKS: ((r: number) => string)[] = [
  (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `m0 ${-r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z`,
  (r) => `m0 ${-r - 1}l${r + 1} ${2 * r + 1}h${-2 * r - 2}z`,
  (r) => `m${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
];

export const markAt = (color: number, x: number, y: number, r: number) =>
  `M${x} ${y}${MARKS[(color + Math.floor(color / COLORS.length)) % MARKS.length]!(r)}`;

/** An interval, from pixel to pixel, if there is one. */
export const interval = (x: number, low: number, high: number) =>
  [x, low, high].every(Number.isFinite) ? `M${x} ${low}V${high}M${x - 5} ${low}h10M${x - 5} ${high}h10` : "";

export const LINE_LOOKS = {
  solid: { "stroke-width": 2 },
  faint: { "stroke-width": 1.5, "stroke-dasharray": "5 3" },
  reference: { "stroke-width": 1.5, "stroke-dasharray": "4 3" },
} as const;

export const lineColor = ({ look, color }: Pick<Line, "look" | "color">) =>
  look === "reference" ? "var(--faint)" : colorAt(color);

/** The legend's mark of a name. */
export interface KeyLook {
  look: Line["look"] | "point";
  color: number;
}

export const KEY_WIDTH = 28;

/** The sign of a name in the legend, KEY_WIDTH wide and 12 high. */
export function Key({ look, color }: KeyLook) {
  if (look === "point") return <path d={markAt(color, 14, 6, 5)} fill={colorAt(color)} />;
  return (
    <>
      <path d={`M0 6H${KEY_WIDTH}`} stroke={lineColor({ look, color })} {...LINE_LOOKS[look]} />
      {look === "solid" && <path d={markAt(color, 14, 6, 3.5)} fill={colorAt(color)} />}
    </>
  );
}
