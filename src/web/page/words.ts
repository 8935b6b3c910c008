/** Words for runs, times and sentences. */
import { describeMethod } from "../../run/record.ts";
import type { PageRun } from "../protocol.ts";

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

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function sentence(text: string): string {
  return `${capital(text)}.`.replace(/([.?!])\.$/, "$1");
}
