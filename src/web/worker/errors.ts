/** Error reports for the page, which puts its own words for settings in them. */
import { errorParts, LowrankError, TrainingError } from "../../core/errors.ts";
import type { Job } from "../../train/job.ts";
import { DEFAULTS, knownBase, smallerRate } from "../../train/options.ts";
import { completeOptions } from "../../train/prepare.ts";
import { RunFailed } from "../../train/records.ts";
import { isTooLarge, nearestChange } from "../../train/sizes.ts";
import type { ErrorReport } from "../protocol.ts";

/** Internal folders of the page; the visitor sees file names only. */
const PRIVATE_FOLDERS = /\b(picked\/model|picked|labelling|runs\/[^/]+\/data)\//g;

export const withoutFolders = (text: string): string => text.replaceAll(PRIVATE_FOLDERS, "");

export class Refused extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

/** Whether the browser's storage is full. */
export const isFull = (error: unknown): boolean => error instanceof Error && error.name === "QuotaExceededError";

/** What a run that is not stored is told while it trains. */
export const KEPT_IN_MEMORY =
  "The browser's storage is full: the run continues in memory, and is lost when this page is closed. Delete runs or models that you no longer need.";

export function reportError(thrown: unknown): ErrorReport {
  if (thrown instanceof Refused) return thrown.report;
  const error = thrown instanceof RunFailed && thrown.cause ? thrown.cause : thrown;
  if (!(error instanceof LowrankError)) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    if (isFull(thrown))
      return { name, summary: "The browser's storage is full", hint: "delete runs or models that you no longer need" };
    return { name, summary: message || name };
  }
  const { name, code } = error;
  const { summary, details } = errorParts(error);
  const report: ErrorReport = { name, code, summary: withoutFolders(summary) };
  const { where, expected, found, hint, encoding, columns } = details;
  for (const [key, value] of Object.entries({ where, expected, found, hint }))
    if (value !== undefined) report[key as "where"] = withoutFolders(value);
  return { ...report, ...(encoding && { encoding }), ...(columns && { columns }) };
}

/** The report of a run's error, with a setting that fixes it where one is known. */
export function reportOfRun(error: unknown, run: Job): ErrorReport {
  const report = reportError(error);
  if (error instanceof TrainingError) {
    const { lr, model } = run;
    const known = knownBase(model);
    if (lr !== undefined) report.remedy = { set: { lr: smallerRate(lr, run.mode ?? DEFAULTS.mode, known) } };
  }
  if (isTooLarge(error)) {
    const nearest = nearestChange(run, completeOptions(run));
    if (nearest) report.remedy = nearest;
  }
  return report;
}
