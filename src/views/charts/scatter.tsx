/** Points with intervals on a horizontal log axis. */

import type { ScatterChart } from "../../document/chart.ts";
import {
  axisRange,
  colorAt,
  HorizontalAxis,
  interval,
  markAt,
  type Range,
  round,
  SPACE,
  scale,
  spaceBefore,
  VerticalAxis,
} from "./axes.tsx";

type Point = ScatterChart["points"][number];

/** Of a mark, without and with a label. */
const [RADIUS, LABELLED] = [6, 10];

export function Scatter({ chart, width, height }: { chart: ScatterChart; width: number; height: number }) {
  const points = chart.points.filter(({ x, y }) => x > 0 && [x, y].every(Number.isFinite));
  const [top, bottom] = [12, height - 48];
  const values = points.flatMap(({ y, interval: { low, high } }) => [low, y, high]);
  const range = axisRange(chart.y, values, bottom - top);
  const frame = { left: spaceBefore(chart.y, range, bottom - top), right: width - 28, top, bottom };
  const sizes = points.map(({ x }) => x);
  const across: Range = points.length > 0 ? [Math.min(...sizes) / 1.6, Math.max(...sizes) * 1.6] : [1, 10];
  const x = scale(across, [frame.left, frame.right], Math.log);
  const y = scale(range, [frame.bottom, frame.top]);
  const ticks = logTicks(across, (frame.right - frame.left) / SPACE.across);
  return (
    <g class="scatter">
      <VerticalAxis axis={chart.y} range={range} frame={frame} />
      <HorizontalAxis axis={chart.x} values={ticks} x={x} frame={frame} />
      {apart(points, x, frame.left, frame.right).map(([point, at], i) => (
        <Mark key={i} chart={chart} point={point} at={at} y={y} />
      ))}
    </g>
  );
}

/** Powers of ten, at most `most` of them; in a range without two of them, 1, 2 and 5 times powers of ten. */
function logTicks([from, to]: Range, most: number): number[] {
  const powers = Array.from(
    { length: Math.ceil(Math.log10(to)) - Math.floor(Math.log10(from)) + 1 },
    (_, i) => 10 ** (Math.floor(Math.log10(from)) + i),
  );
  const inside = (factors: readonly number[]) =>
    powers.flatMap((power) => factors.map((factor) => factor * power)).filter((tick) => tick >= from && tick <= to);
  const tens = inside([1]);
  const all = tens.length > 1 ? tens : inside([1, 2, 5]);
  return all.filter((_, i) => i % Math.ceil(all.length / Math.max(1, most)) === 0);
}

/** The points from left to right with their places: those of nearly equal size are side by side. */
function apart(points: readonly Point[], x: (size: number) => number, left: number, right: number): [Point, number][] {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const radius = Math.max(RADIUS, ...points.map(({ label }) => (label === undefined ? 0 : LABELLED)));
  const gap = Math.min(2 * radius + 2, (right - left) / points.length);
  const places: number[] = [];
  for (const point of sorted) places.push(Math.max(x(point.x), (places.at(-1) ?? -Infinity) + gap));
  for (let i = places.length - 1, most = right; i >= 0; i--, most = places[i + 1]! - gap)
    places[i] = Math.min(places[i]!, most);
  return sorted.map((point, i) => [point, round(places[i]!)]);
}

interface MarkProps {
  chart: ScatterChart;
  point: Point;
  at: number;
  y: (value: number) => number;
}

function Mark({ chart, point: { color, label, name, ...point }, at, y }: MarkProps) {
  return (
    <g class="mark" fill={colorAt(color)}>
      <title>{`${name}: ${chart.y.show(point.y)}, ${chart.x.show(point.x)}`}</title>
      <path
        d={interval(at, y(point.interval.low), y(point.interval.high)) || undefined}
        stroke={colorAt(color)}
        stroke-width={1.5}
      />
      {label === undefined ? (
        <path d={markAt(color, at, y(point.y), RADIUS)} />
      ) : (
        <>
          <circle cx={at} cy={y(point.y)} r={LABELLED} />
          <text x={at} y={y(point.y) + 4} font-size={12} font-weight={600} text-anchor="middle" fill="var(--on-accent)">
            {label}
          </text>
        </>
      )}
    </g>
  );
}
