/** Words for runs, times and sentences. */
import { capital } from "../../../core/format.ts";
import { nameSettings } from "../../../core/surface.ts";
import { describeMethod } from "../../../methods/training.ts";
import { dataName } from "../../../record/record.ts";
import type { PageRun, RunState } from "../../protocol.ts";
import { asField } from "../train/field-list.ts";
import { EXAMPLES_FILE, PASTED_FILE } from "../train/saved.ts";

/** What is typed on the page is in a file whose name the visitor has never seen. */
const TYPED: Record<string, string> = { [EXAMPLES_FILE]: "own examples", [PASTED_FILE]: "own text" };

/** The name of a run's data: "spam", "tickets.csv" or "own examples". */
export function runData({ record }: PageRun): string {
  const name = dataName(record);
  return TYPED[name] ?? name;
}

/** "tickets.csv: LoRA, rank 8, alpha 16" */
export function runTitle(run: PageRun): string {
  const data = runData(run);
  // Names of files and of the hub are as they are.
  return `${/[./]/.test(data) ? data : capital(data)}: ${describeMethod(run.record.options)}`;
}

/** "trained on tickets.csv", or "from adapter.zip" */
export const runOrigin = (run: PageRun) => `${run.state === "loaded" ? "from" : "trained on"} ${runData(run)}`;

export const nameState = (state: RunState): string => (state === "elsewhere" ? "in another tab" : state);

/** "24 Nov, 19:12" */
export function when(time: number): string {
  return new Date(time).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** A text of the library with the labels of the page's fields in place of its settings. */
export const inPageWords = (text: string): string => nameSettings(text, asField);

export function sentence(text: string): string {
  return `${capital(text)}.`.replace(/([.?!])\.$/, "$1");
}

/** "20.6 MB", "0.05 MB" */
export function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return `${value.toFixed(value < 0.1 ? 2 : 1)}\u00a0MB`;
}
