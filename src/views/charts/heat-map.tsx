/** Values over two settings, as cells with their numbers. */

import type { HeatMap } from "../../document/chart.ts";
import { round } from "./axes.tsx";

const [LEFT, RIGHT, TOP, BOTTOM] = [80, 110, 8, 56];
/** The opacity of the colour of the highest value: the number in the cell stays readable. */
const DENSEST = 0.6;
/** The scale, to the right of the cells. */
const [SHADES, SHADE] = [24, 5];

const shade = (share: number) => ({
  fill: "var(--c1)",
  "fill-opacity": Math.round(1000 * DENSEST * Math.min(1, Math.max(0, share || 0))) / 1000,
});

const TITLE = { "font-size": 13, fill: "var(--ink)" };

export function HeatCells({ chart, width, height }: { chart: HeatMap; width: number; height: number }) {
  const { x, y, range, show, cells } = chart;
  const [right, bottom] = [width - RIGHT, height - BOTTOM];
  const [across, up] = [(right - LEFT) / x.names.length, (bottom - TOP) / y.names.length];
  const middle = round((TOP + bottom) / 2);
  const first = middle - (SHADES * SHADE) / 2;
  return (
    <g font-size={12} fill="var(--ink)" text-anchor="middle">
      {cells.map((cell) => {
        const { low, high } = cell.interval;
        const [at, from] = [LEFT + across * (cell.x + 0.5), bottom - up * (cell.y + 0.5)];
        return (
          <g key={`${cell.x} ${cell.y}`} transform={`translate(${round(at)} ${round(from)})`}>
            <rect
              x={round(1 - across / 2)}
              y={round(1 - up / 2)}
              width={round(across - 2)}
              height={round(up - 2)}
              {...shade((cell.value - range.low) / (range.high - range.low))}
            />
            <text y={-4}>{show(cell.value)}</text>
            <text y={13}>{low < high ? `${show(low)} to ${show(high)}` : ""}</text>
          </g>
        );
      })}
      {x.names.map((name, i) => (
        <text key={name} x={round(LEFT + across * (i + 0.5))} y={bottom + 19}>
          {name}
        </text>
      ))}
      <g text-anchor="end">
        {y.names.map((name, i) => (
          <text key={name} x={LEFT - 8} y={round(bottom - up * (i + 0.5) + 4)}>
            {name}
          </text>
        ))}
      </g>
      <text {...TITLE} x={round((LEFT + right) / 2)} y={bottom + 42}>
        {x.title}
      </text>
      <text {...TITLE} x={28} y={middle} transform={`rotate(-90 28 ${middle})`}>
        {y.title}
      </text>
      {Array.from({ length: SHADES }, (_, i) => (
        <rect key={i} x={right + 40} y={first + i * SHADE} width={24} height={SHADE} {...shade(1 - i / (SHADES - 1))} />
      ))}
      <text x={right + 52} y={first - 8}>
        high
      </text>
      <text x={right + 52} y={first + SHADES * SHADE + 18}>
        low
      </text>
    </g>
  );
}
