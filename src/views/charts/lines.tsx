/** Lines over a common horizontal axis, with intervals, and bars of counts below. */

import { formatCount } from "../../core/format.ts";
import type { Axis, Line, LineChart } from "../../document/chart.ts";
import {
  axisRange,
  colorAt,
  type Frame,
  HorizontalAxis,
  interval,
  LINE_LOOKS,
  lineColor,
  markAt,
  type Range,
  round,
  SPACE,
  scale,
  spaceBefore,
  steps,
  VerticalAxis,
} from "./axes.tsx";
import { textWidth } from "./text.ts";

/** With more points, their marks would hide the line. */
const MAX_MARKS = 40;
/** The height of the bars of counts, and of the ticks above them. */
const [COUNTS, BETWEEN] = [96, 36];

interface LineLayout {
  frame: Frame;
  x: Range;
  y: Range;
}

/** Ticks of a horizontal axis: of examples and epochs only whole ones, unless there are few. */
const stepsAcross = (range: Range, { left, right }: Frame) =>
  steps(range, right - left, SPACE.across).filter((value) => range[1] < 2 || Number.isInteger(value));

export function layLines({ lines, x, y, upper, counts }: LineChart, width: number, height: number): LineLayout {
  const xs = lines.flatMap((line) => line.xs).filter(Number.isFinite);
  const first = Math.min(x.from ?? 0, ...xs);
  const last = Math.max(x.to ?? 0, ...xs);
  const [top, bottom] = [upper ? 52 : 12, height - 48 - (counts ? COUNTS + BETWEEN : 0)];
  const values = lines.flatMap(({ ys, intervals = [] }) => [
    ...ys.map((value) => value ?? Number.NaN),
    ...intervals.flatMap(({ low, high }) => [low, high]),
  ]);
  const range = axisRange(y, values, bottom - top);
  const frame = { left: spaceBefore(y, range, bottom - top), right: width - spaceAfter(lines, y), top, bottom };
  return { frame, x: [first, last > first ? last : first + 1], y: range };
}

/** The values at the ends of lines, which have names of their own: of several runs they would cover each other. */
const endsOf = (lines: readonly Line[]) =>
  lines.filter(({ look, name }) => look !== "reference" && name !== null).length > 2 ? [] : lines;

const lastOf = ({ ys }: Line) => {
  const i = ys.findLastIndex((value) => value !== null && Number.isFinite(value));
  return i < 0 ? null : ys[i]!;
};

/** The space for them. */
function spaceAfter(lines: readonly Line[], axis: Axis): number {
  const widths = endsOf(lines).map((line) => textWidth(axis.show(lastOf(line) ?? 0), 12));
  return 28 + Math.ceil(Math.max(0, ...widths));
}

interface LinesProps {
  chart: LineChart;
  layout: LineLayout;
}

export function Lines({ chart, layout }: LinesProps) {
  const { frame, x: range } = layout;
  const { left, right } = frame;
  const x = scale(range, [left, right]);
  const y = scale(layout.y, [frame.bottom, frame.top]);
  const values = stepsAcross(range, frame);
  return (
    <>
      {chart.counts && <Counts counts={chart.counts} axis={chart.x} values={values} x={x} above={frame} />}
      <VerticalAxis axis={chart.y} range={layout.y} frame={frame} />
      <HorizontalAxis axis={chart.counts ? { ...chart.x, title: "" } : chart.x} values={values} x={x} frame={frame} />
      {chart.upper && <UpperAxis {...chart.upper} range={range} frame={frame} />}
      {chart.mark && <Mark {...chart.mark} x={x} frame={frame} />}
      {chart.lines.map((line, i) => (
        <Curve key={i} line={line} x={x} y={y} />
      ))}
      <Ends lines={endsOf(chart.lines)} axis={chart.y} left={right + 8} y={y} />
    </>
  );
}

/** Pixels between two of them. */
const APART = 14;

interface EndsProps extends Pick<CurveProps, "y"> {
  lines: readonly Line[];
  axis: Axis;
  left: number;
}

/** The last value of each line, to the right of the plot; those that would cover each other are moved apart. */
function Ends({ lines, axis, left, y }: EndsProps) {
  const ends = lines
    .flatMap((line) => {
      const last = lastOf(line);
      return last === null ? [] : [{ line, text: axis.show(last), top: y(last) }];
    })
    .sort((a, b) => a.top - b.top);
  const [upper, lower] = ends;
  const over = upper && lower ? Math.max(0, APART - (lower.top - upper.top)) / 2 : 0;
  return (
    <g class="ends" font-size={12}>
      {ends.map(({ line, text, top }, i) => (
        <text key={i} x={left} y={round(top + 4 + (i === 0 ? -over : over))} fill={lineColor(line)}>
          {text}
        </text>
      ))}
    </g>
  );
}

function Mark({ at, name, x, frame }: NonNullable<LineChart["mark"]> & { x: (value: number) => number; frame: Frame }) {
  const left = x(at);
  const isLeft = left > (frame.left + frame.right) / 2;
  return (
    <g class="kept" font-size={12} fill="var(--faint)">
      <path d={`M${left} ${frame.top}V${frame.bottom}`} stroke="var(--edge)" stroke-dasharray="2 3" />
      <text x={isLeft ? left - 5 : left + 5} y={frame.bottom - 6} text-anchor={isLeft ? "end" : "start"}>
        {name}
      </text>
    </g>
  );
}

function UpperAxis({ title, per, range, frame }: { title: string; per: number; range: Range; frame: Frame }) {
  const upper: Range = [range[0] / per, range[1] / per];
  const x = scale(upper, [frame.left, frame.right]);
  return <HorizontalAxis upper axis={{ title, show: String }} values={stepsAcross(upper, frame)} x={x} frame={frame} />;
}

/** Without a value, the renderer would write an attribute that is no XML. */
const joined = (parts: readonly string[]) => parts.join("") || undefined;

interface CurveProps {
  line: Line;
  x: (value: number) => number;
  y: (value: number) => number;
}

function Curve({ line, x, y }: CurveProps) {
  const { look, color, xs, ys, intervals = [] } = line;
  const points = ys.map((value, i) => [x(xs[i]!), value === null ? Number.NaN : y(value)] as const);
  const isDrawn = points.map((point) => point.every(Number.isFinite));
  const path = points.map(([px, py], i) => (isDrawn[i] ? `${isDrawn[i - 1] ? "L" : "M"}${px} ${py}` : ""));
  const marks = points.map(([px, py], i) => (isDrawn[i] ? markAt(color, px, py, 3.5) : ""));
  const bars = intervals.map(({ low, high }, i) => interval(x(xs[i]!), y(low), y(high)));
  const hasMarks = look === "solid" && points.length <= MAX_MARKS;
  return (
    <g fill={colorAt(color)}>
      <path class="curve" d={joined(path)} fill="none" stroke={lineColor(line)} {...LINE_LOOKS[look]} />
      {intervals.length > 0 && <path d={joined(bars)} stroke={colorAt(color)} stroke-width={1.25} />}
      {hasMarks && <path d={joined(marks)} />}
    </g>
  );
}

interface CountsProps {
  counts: NonNullable<LineChart["counts"]>;
  axis: Axis;
  /** The ticks, and where they are. */
  values: readonly number[];
  x: (value: number) => number;
  above: Frame;
}

/** The bars, with an axis of their own, and lines across both plots. */
function Counts({ counts, axis, values, x, above }: CountsProps) {
  const frame = { ...above, top: above.bottom + BETWEEN, bottom: above.bottom + BETWEEN + COUNTS };
  // The number above the highest bar has room.
  const range: Range = [0, 1.2 * Math.max(1, ...counts.values)];
  const y = scale(range, [frame.bottom, frame.top]);
  const width = round(0.8 * (x(counts.width) - x(0)));
  const lines = values.map((at) => `M${x(at)} ${above.top}V${above.bottom}M${x(at)} ${frame.top}V${frame.bottom}`);
  return (
    <>
      <path class="grid" d={joined(lines)} stroke="var(--line)" />
      <VerticalAxis axis={{ title: counts.title, show: formatCount }} range={range} frame={frame} />
      <g font-size={12} fill="var(--ink)" text-anchor="middle">
        {counts.values.map((value, i) => {
          const [middle, top] = [x(counts.xs[i]!), y(value)];
          return (
            <g key={i}>
              <rect
                x={round(middle - width / 2)}
                y={top}
                width={width}
                height={round(frame.bottom - top)}
                fill="var(--frozen)"
              />
              <text x={middle} y={top - 5}>
                {formatCount(value)}
              </text>
            </g>
          );
        })}
      </g>
      <HorizontalAxis axis={axis} values={values} x={x} frame={frame} />
    </>
  );
}
