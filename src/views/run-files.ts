/** What shows a run in its directory: the answers to the validation and the test set, and its page. */
import type { RunViews } from "../run/directory.ts";
import { REPORT } from "../run/record.ts";
import { runReport } from "./run-report.ts";
import { predictionsFile } from "./run-tables.ts";

export const runFiles: RunViews = (record, result, data) => [
  ...predictionsFile(result, data),
  [REPORT, runReport(record, result, data)],
];
