/**
 * What is shown of a run, of a sweep or of data, as blocks: laid out once, rendered for a terminal, as Markdown, as
 * HTML, in the page, and as CSV. Texts are as they came: renderers make them printable and shorten them.
 */
import { joinPair, type PairSettings, type TextOrPair } from "../core/pair.ts";
import { type Estimate, formatStanding, type Standing } from "../core/statistics.ts";
import type { Chart } from "./chart.ts";

export interface Heading {
  kind: "heading";
  level: 1 | 2;
  text: string;
}

/** What a result is worth: clearly better than all it is compared with, not so, or no better than a guess. */
export type Tone = "good" | "unclear" | "poor";

export interface Text {
  kind: "text";
  text: string;
  /** Of a verdict: pages and files show it in its own weight. */
  tone?: Tone;
}

export interface Column {
  /** In the header for people; null: only in CSV. */
  title: string | null;
  /** In the header of CSV; without one it is not in CSV. */
  key?: string | null;
  /** Its numbers have 95 % intervals: in CSV, the columns KEY_low and KEY_high follow. */
  interval?: true;
  /** How a number is written for people; default: as in CSV, where it has its full precision. */
  format?: (value: number) => string;
}

/** null and undefined: not measured, a dash for people and empty in CSV. */
export type Cell =
  | string
  | number
  | null
  | undefined
  /** A number with its interval. */
  | Estimate
  /** A count of a confusion matrix, with its share of the row's class. */
  | { value: number; share: number | null; tone: "right" | "mistaken" | "none" }
  /** A file next to the report. */
  | { href: string; text: string }
  /** One of several, which a page lets its reader change. */
  | { value: string; choices: readonly string[] };

/** A table. The first column names the row. */
export interface Table {
  kind: "table";
  /** Its file, without the ending. */
  name: string;
  caption: string;
  columns: readonly Column[];
  rows: readonly (readonly Cell[])[];
  /** The first rows that people see; CSV has all. Default: those of any table (`shownRows`). */
  shown?: number;
}

export interface Figure {
  kind: "figure";
  /** Its file, without the ending. */
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

/** Advice about the rest: a page shows it apart, others as "note: ...". */
export interface Note {
  kind: "note";
  text: string;
}

/** Something to copy: a command. */
export interface Code {
  kind: "code";
  text: string;
}

/** A part of a report: terminal, Markdown, HTML and CSV are made of it. */
export type Block = Heading | Text | Note | Code | Table | Figure | Details;

export const heading = (text: string, level: Heading["level"] = 2): Block => ({ kind: "heading", level, text });
export const text = (text: string): Block => ({ kind: "text", text });
export const verdict = (text: string, tone: Tone): Block => ({ kind: "text", text, tone });
export const note = (text: string): Block => ({ kind: "note", text });
export const code = (text: string): Block => ({ kind: "code", text });
export const details = (title: string, blocks: readonly Block[]): Details => ({ kind: "details", title, blocks });
export const figure = (name: string, caption: string, chart: Chart): Figure => ({
  ...({ kind: "figure", name } as const),
  caption,
  chart,
});

export type RowColumn<Row> = Column & { value: (row: Row) => Cell };

/** The column of a message; of pairs both texts, under the names of their columns. */
export function messageColumns(pairs?: PairSettings, title = "Message"): RowColumn<{ text: TextOrPair }>[] {
  if (!pairs) return [{ title, key: "message", value: ({ text }) => joinPair(text) }];
  const keys = ["message", "message_pair"] as const;
  return keys.map((key, i) => ({ title: pairs.columns[i]!, key, value: ({ text }) => text[i] }));
}

/**
 * The run against a baseline: the difference with its interval, the standing in words, and p under a key of its own.
 */
export function againstColumns(
  title: string,
  format: (value: number) => string,
  p: string,
): RowColumn<{ against: { difference: Estimate; p: number; standing: Standing } | null }>[] {
  return [
    { title, key: "difference", interval: true, format, value: ({ against }) => against?.difference },
    {
      title: "This run against it",
      key: null,
      value: ({ against }) => against && formatStanding(against.standing, against.p),
    },
    { title: null, key: "standing", value: ({ against }) => against?.standing },
    { title: null, key: p, value: ({ against }) => against?.p },
  ];
}

export function makeTable<Row>(
  name: string,
  caption: string,
  columns: readonly RowColumn<Row>[],
  rows: readonly Row[],
): Table {
  return { kind: "table", name, caption, columns, rows: rows.map((row) => columns.map(({ value }) => value(row))) };
}
