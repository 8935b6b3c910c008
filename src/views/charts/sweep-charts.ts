/** The figures of a sweep: a heat map over rank and alpha, loss curves, results over trainable parameters. */
import { count } from "../../format.ts";
import type { Interval } from "../../statistics.ts";
import type { HeatMap, LineChart, ScatterChart } from "./chart.ts";

interface HeatCell {
  rank: number;
  alpha: number;
  value: number;
  interval: Interval;
}

/** A value over rank and alpha, each cell with its 95 % interval; the colours range from `low` to `high`. */
export function heatMap(
  title: string,
  cells: readonly HeatCell[],
  { show, ...range }: Interval & { show: (value: number) => string },
): HeatMap {
  const sorted = (of: (cell: HeatCell) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = sorted(({ rank }) => rank);
  const alphas = sorted(({ alpha }) => alpha);
  return {
    kind: "heat-map",
    title,
    x: { title: "alpha", names: alphas.map(String) },
    y: { title: "rank", names: ranks.map(String) },
    range,
    show,
    cells: cells.map(({ rank, alpha, ...cell }) => ({ x: alphas.indexOf(alpha), y: ranks.indexOf(rank), ...cell })),
  };
}

interface NamedCurve {
  name: string;
  points: readonly { examples_seen: number; value: number }[];
}

/** Validation loss (nats) over examples seen, one line per run. */
export function lossCurves(title: string, curves: readonly NamedCurve[]): LineChart {
  return {
    kind: "lines",
    title,
    x: { title: "training examples seen", show: count },
    y: { title: "cross-entropy (nats)", show: String, from: 0 },
    lines: curves.map(({ name, points }, color) => ({
      name,
      color,
      look: "solid",
      xs: points.map(({ examples_seen }) => examples_seen),
      ys: points.map(({ value }) => value),
    })),
  };
}

interface SizedPoint {
  /** The kind of run, which determines colour and mark. */
  group: string;
  /** Number of trainable parameters. */
  trainable: number;
  value: number;
  interval: Interval;
}

/**
 * A value, at most `most`, with its 95 % interval over the number of trainable parameters, on a log axis. If `most` is
 * near, the other axis ends there.
 */
export function valueOverSize(
  title: string,
  points: readonly SizedPoint[],
  { name, most, show }: { name: string; most: number; show: (value: number) => string },
): ScatterChart {
  const groups = [...new Set(points.map(({ group }) => group))];
  const isNear = points.some(({ interval }) => interval.high > 0.9 * most);
  return {
    kind: "scatter",
    title,
    x: { title: "trainable parameters", show: count },
    y: { title: name, show, ...(isNear ? { to: most } : {}) },
    points: points.map(({ group, trainable, value, interval }) => ({
      ...{ group, color: groups.indexOf(group), name: group },
      ...{ x: trainable, y: value, interval },
    })),
  };
}
