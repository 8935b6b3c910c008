/** The tables of a sweep, whose columns have the same headers for people and in CSV. */
import { type Cell, makeTable, type Table } from "../blocks.ts";

/** `interval`: its numbers have intervals. */
export type SweepColumn<Row> = [
  title: string,
  value: (row: Row) => Cell,
  format?: (value: number) => string,
  interval?: "interval",
];

export function sweepTable<Row>(
  name: string,
  caption: string,
  rows: readonly Row[],
  columns: readonly SweepColumn<Row>[],
): Table {
  const all = columns.map(([title, value, format = String, interval]) => {
    return { title, key: title, value, format, ...(interval ? { interval: true as const } : {}) };
  });
  return makeTable(name, caption, all, rows);
}
