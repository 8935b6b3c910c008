/** Columns of a sweep's tables, which have the same header for people and in CSV. */
import type { Cell, Column } from "../blocks.ts";

export type SweepColumn<Row> = Column & { value: (row: Row) => Cell };

export function column<Row>(
  title: string,
  value: (row: Row) => Cell,
  format: (value: number) => string = String,
): SweepColumn<Row> {
  return { title, key: title, format, value };
}

/** A column of numbers with intervals. */
export function intervals<Row>(...args: Parameters<typeof column<Row>>): SweepColumn<Row> {
  return { ...column(...args), interval: true };
}
