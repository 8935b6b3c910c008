/** Error reports for the page: names of the page's fields replace command-line flags. */
import { LowrankError, TrainingError } from "../../errors.ts";
import { METHODS, type Mode } from "../../methods/index.ts";

import { DEFAULTS, knownBase, smallerRate } from "../../train/options.ts";
import { completeOptions, type RunArguments } from "../../train/prepare.ts";
import { RunFailed } from "../../train/records.ts";
import { isTooLarge, nearestChange } from "../../train/sizes.ts";
import type { ErrorReport } from "../protocol.ts";

/** Command-line flags in hints, and their names in the page. */
const NAMES: Readonly<Record<string, string>> = {
  dtype: "frozen weights",
  recompute: "recomputation",
  encoding: "the encoding",
  lr: "learning rate",
  warmup: "warm-up",
  clip: "gradient clipping",
  dedupe: "“deduplicate”",
  split: "the split",
  model: "the model",
  data: "“Own file”",
  device: "the device",
};

/** A text of the library in the words of the page. */
export function inWords(text: string): string {
  return text
    .replaceAll(/\bmode ([a-z_]+)/g, (all, mode: string) => METHODS[mode as Mode].title ?? all)
    .replaceAll(PRIVATE_FOLDERS, "")
    .replace(SEPARATE_FILES, "")
    .replaceAll(/--([a-z][a-z-]*)/g, (_, flag: string) => NAMES[flag] ?? flag.replaceAll("-", " "));
}

/** Internal folders of the page; the visitor sees file names only. */
const PRIVATE_FOLDERS = /\b(picked\/model|picked|labelling|runs\/[^/]+\/data)\//g;

/** Advice that only the command line can follow. */
const SEPARATE_FILES = /, or separate files: --train, --val and --test$/;

/** The cause of a failed run in place of its RunFailed. */
const runCause = (error: unknown) => (error instanceof RunFailed && error.cause ? error.cause : error);

/** An error with a report that has a remedy. */
export class Refused extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

export function reportError(thrown: unknown): ErrorReport {
  if (thrown instanceof Refused) return thrown.report;
  const error = runCause(thrown);
  if (!(error instanceof LowrankError)) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    if (name === "QuotaExceededError")
      return { name, summary: "The browser's storage is full", hint: "delete runs or models that you no longer need" };
    return { name, summary: message || name };
  }
  const { name, code, message } = error;
  const report: ErrorReport = { name, code, summary: inWords(message.split("\n")[0]!) };
  const { where, expected, found, hint, encoding, columns } = error.details;
  // The page shows what was found, and offers to read it so.
  if (encoding) return { ...report, where: inWords(where!), encoding };
  for (const [key, value] of Object.entries({ where, expected, found, hint }))
    if (value !== undefined) report[key as "where"] = inWords(value);
  return columns ? { ...report, columns } : report;
}

/** The report of a run's error, with a setting that fixes it where one is known. */
export function reportOfRun(error: unknown, run: RunArguments): ErrorReport {
  const report = reportError(error);
  if (error instanceof TrainingError) {
    const { lr, model } = run;
    const known = knownBase(model.config);
    if (lr !== undefined) report.remedy = { set: { lr: smallerRate(lr, run.mode ?? DEFAULTS.mode, known) } };
  }
  if (isTooLarge(error)) {
    const { nearest } = nearestChange(run, completeOptions(run));
    if (nearest) report.remedy = nearest;
  }
  return report;
}
