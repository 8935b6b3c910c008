/**
 * What is shown of a run, of a sweep or of data, as blocks: laid out once, rendered for a terminal, as Markdown, as HTML,
 * in the page, and as CSV.
 */
import type { Interval } from "../statistics.ts";
import type { Chart } from "./charts/chart.ts";

export interface Heading {
  kind: "heading";
  level: 1 | 2;
  text: string;
}

export interface Text {
  kind: "text";
  text: string;
}

/** How the numbers of a column are written for people; CSV has them as they are. */
export type Format = "count" | "percent" | "loss" | "probability" | "p" | ((value: number) => string);

export interface Column {
  /** In the header for people. */
  title: string;
  /** In the header of CSV; null: not in CSV. With intervals, NAME_low and NAME_high follow. */
  key: string | null;
  format?: Format;
  /** Only in CSV. */
  hidden?: boolean;
}

/** null: not measured, a dash for people and empty in CSV. */
export type Cell =
  | string
  | number
  | null
  /** A number with its 95 % interval. */
  | ({ value: number } & Interval)
  /** A count of a confusion matrix, with its share of the row's class. */
  | { value: number; share: number | null; tone: "right" | "mistaken" | "none" }
  /** A file beside the report. */
  | { href: string; text: string };

export interface Table {
  kind: "table";
  /** Its file, without the ending. */
  name: string;
  caption: string;
  columns: readonly Column[];
  rows: readonly (readonly Cell[])[];
}

export interface Figure {
  kind: "figure";
  name: string;
  caption: string;
  chart: Chart;
}

/** Blocks that a page opens on demand. A terminal and files show them. */
export interface Details {
  kind: "details";
  title: string;
  blocks: readonly Block[];
}

/** What to know before the rest: a page shows it as a warning, others as "note: ...". */
export interface Note {
  kind: "note";
  text: string;
}

export type Block = Heading | Text | Note | Table | Figure | Details;
