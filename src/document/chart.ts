/**
 * A chart as plain data: what it shows, and nothing of how it looks. The page draws it as part of itself, files have it
 * as an SVG document.
 */
import type { Interval } from "../core/statistics.ts";

/** A value without a number is not drawn: a line has a gap there. */
export type Value = number | null;

export interface Axis {
  title: string;
  /** A value that is read. */
  show(value: number): string;
  /** A tick; without it as a value that is read. */
  tick?(value: number): string;
  /** Fixed ends; others follow from the values. */
  from?: number;
  to?: number;
}

/** A line over examples seen, or over a probability. */
export interface Line {
  /** In the legend; null: another line's name covers it. */
  name: string | null;
  /** The data set that it was measured on: values of different ones are not comparable. */
  group?: string;
  /** Colour and mark, from 0. */
  color: number;
  /** `faint` is dashed, without marks; `reference` is a grey one to compare with. */
  look: "solid" | "faint" | "reference";
  /** Ascending. */
  xs: readonly number[];
  ys: readonly Value[];
  /** 95 % intervals of the values. */
  intervals?: readonly Interval[];
}

export interface LineChart {
  kind: "lines";
  title: string;
  /** A line below the title. */
  note?: string;
  x: Axis;
  y: Axis;
  /** The upper axis: `x` divided by `per`. */
  upper?: { title: string; per: number };
  lines: readonly Line[];
  /** A place on the horizontal axis that has a name. */
  mark?: { at: number; name: string };
  /** Bars below the lines, on the same horizontal axis, of which each takes `width`. */
  counts?: { title: string; width: number; xs: readonly number[]; values: readonly number[] };
}

/** Points on a horizontal log axis. */
export interface ScatterChart {
  kind: "scatter";
  title: string;
  x: Axis;
  y: Axis;
  points: readonly {
    /** The kind of point, which determines colour and mark; in the legend. */
    group: string;
    color: number;
    /** Written into the mark: the number of its row in a table. */
    label?: string;
    name: string;
    x: number;
    y: number;
    interval: Interval;
  }[];
}

/** A run's figure above those of what it is compared with. */
export interface BarChart {
  kind: "bars";
  title: string;
  show(value: number): string;
  /** The length of a whole bar; without it the largest value's. */
  most?: number;
  /** The run first. */
  bars: readonly { name: string; value: number; interval: Interval }[];
}

/** Values over two settings. */
export interface HeatMap {
  kind: "heat-map";
  title: string;
  x: { title: string; names: readonly string[] };
  y: { title: string; names: readonly string[] };
  /** The colours range over it. */
  range: Interval;
  show(value: number): string;
  /** `x` and `y` are indexes of the names. */
  cells: readonly { x: number; y: number; value: number; interval: Interval }[];
}

export type Chart = LineChart | ScatterChart | BarChart | HeatMap;
