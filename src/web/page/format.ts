/** Formats numbers and times for display. */
import { describeMethod } from "../../run/record.ts";
import type { PageRun } from "../protocol.ts";

/** With a no-break space, as in "94.5 %". */
export const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
export const count = (n: number) => n.toLocaleString("en-US");
export const loss = (value: number) => value.toFixed(4);

/** The visitor's name for a run, or its method. */
export const runName = ({ name, record }: PageRun) => name || describeMethod(record.options);

/** "24 Nov, 19:12" */
export function when(time: number): string {
  return new Date(time).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** "71.4 k", "7.19 M", "124 M" */
export function compact(n: number): string {
  if (n < 1e4) return count(n);
  const [value, unit] = n < 1e6 ? [n / 1e3, "k"] : n < 1e9 ? [n / 1e6, "M"] : [n / 1e9, "G"];
  return `${value.toPrecision(3)} ${unit}`;
}
