/** Error reports for the page: names of the page's fields replace command-line flags. */
import { MODE_TITLES, type Mode } from "../../config.ts";
import { LowrankError, TrainingError } from "../../errors.ts";
import { checkMemory, memoryTotals } from "../../plan/memory.ts";
import { DEFAULTS, smallerRate } from "../../train/options.ts";
import { prepareRun, type RunArguments } from "../../train/prepare.ts";
import { RunFailed } from "../../train/records.ts";
import type { ErrorReport } from "../protocol.ts";

/** Command-line flags in hints, and their names in the page. */
const NAMES: Readonly<Record<string, string>> = {
  "batch-size": "batch size",
  "max-length": "maximum length",
  "text-column": "text column",
  "label-column": "label column",
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

function inWords(text: string): string {
  return text
    .replaceAll(/\bmode ([a-z_]+)/g, (all, mode: string) => MODE_TITLES[mode as Mode] ?? all)
    .replaceAll(PRIVATE_FOLDERS, "")
    .replace(SEPARATE_FILES, "")
    .replaceAll(/--([a-z][a-z-]*)/g, (_, flag: string) => NAMES[flag] ?? flag.replaceAll("-", " "));
}

/** Internal folders of the page; the visitor sees file names only. */
const PRIVATE_FOLDERS = /\b(picked|runs\/[^/]+\/data|picked\/model)\//g;

/** Advice that only the command line can follow. */
const SEPARATE_FILES = /, or separate files: --train, --val and --test$/;

/** The cause of a failed run in place of its RunFailed. */
const causeOf = (error: unknown) => (error instanceof RunFailed && error.cause ? error.cause : error);

export function reportOf(thrown: unknown): ErrorReport {
  const error = causeOf(thrown);
  if (!(error instanceof LowrankError)) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    if (name === "QuotaExceededError")
      return { name, summary: "The browser's storage is full", hint: "delete runs or models that you no longer need" };
    return { name, summary: message || name };
  }
  const report: ErrorReport = { name: error.name, summary: inWords(error.message.split("\n")[0]!) };
  const { where, expected, found, hint } = error.details;
  for (const [key, value] of Object.entries({ where, expected, found, hint }))
    if (value !== undefined) report[key as "where"] = inWords(value);
  return report;
}

/** The report of a run's error, with a setting that fixes it where one is known. */
export function reportOfRun(error: unknown, run: RunArguments): ErrorReport {
  const report = reportOf(error);
  if (error instanceof TrainingError) {
    const { lr } = run;
    if (lr !== undefined) report.remedy = { kind: "other-rate", lr: smallerRate(lr, run.mode ?? DEFAULTS.mode) };
  }
  if (error instanceof LowrankError && error.details.remedy === "smaller-batch") {
    const smaller = smallerBatch(run);
    if (smaller) report.remedy = smaller;
  }
  return report;
}

/** The batch size, halved until the plan fits; undefined if none fits. */
function smallerBatch(run: RunArguments): ErrorReport["remedy"] {
  for (let batchSize = (run.batchSize ?? DEFAULTS.batchSize) >> 1; batchSize >= 1; batchSize >>= 1) {
    try {
      const { plan } = prepareRun({ ...run, batchSize });
      checkMemory(plan.memory, run.device.limits);
      return { kind: "smaller-batch", batchSize, bytes: memoryTotals(plan.memory).total };
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
    }
  }
  return undefined;
}
