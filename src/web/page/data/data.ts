/** The data that the page trains on: where it comes from, the files that the worker has, and what it has read. */
import { batch, computed, effect, signal } from "@preact/signals";
import { DEFAULT_OBJECTIVE, hasHead, type Objective } from "../../../tasks/index.ts";
import type { Known } from "../../../train/options.ts";
import type { RunSettings } from "../../../train/settings.ts";
import type { CorrectedRow, DataReport, ErrorReport } from "../../protocol.ts";
import { isTraining } from "../runs/runs.ts";
import { ask, settled } from "../shared/ask.ts";
import { goTo, type PagePart } from "../shared/scroll.ts";
import { worker } from "../shared/worker.ts";
import { EXAMPLES_FILE, keepFiles, keptFiles, keptText, PASTED_FILE } from "../train/saved.ts";
import { exampleFiles, examplesHelp } from "./examples.ts";

/** The choice among the sources of messages or of texts: bundled ones, what is typed, the visitor's files, the hub. */
function makeChoice(bundled: readonly string[], typed: string, own: string) {
  return {
    bundled,
    typed,
    own,
    source: signal(bundled[0]!),
    files: signal<readonly File[]>([]),
    /** The typed name of a data set of the hub, and the one that was asked for last: a new object each time. */
    hubName: signal(""),
    hub: signal<{ name: string } | null>(null),
    /** The visitor's choice for each source. */
    readings: signal<Readonly<Record<string, Reading>>>({}),
  };
}
export type Choice = ReturnType<typeof makeChoice>;

/** How own data is read; what is missing is found by the worker. */
export type Reading = Pick<
  RunSettings,
  "textColumn" | "labelColumn" | "labelSeparator" | "encoding" | "sheet" | "objective"
>;

export const messages = makeChoice(["spam", "languages"], "examples", "file");
export const texts = makeChoice(["human-rights"], "paste", "files");

const CORRECTIONS_FILE = "corrections.csv";

/** Whether the model learns from messages with labels, or to write texts. */
export const tab = signal<"classification" | "lm">("classification");
export const isLm = computed(() => tab.value === "lm");
/** Whether a task is to write texts. */
const writes = (task: Objective | undefined) => task !== undefined && !hasHead({ objective: task });
const choice = computed(() => (isLm.value ? texts : messages));
const reading = computed((): Reading => choice.value.readings.value[choice.value.source.value] ?? {});

/** Reads the chosen data in another way. */
export function readAs(change: Reading): void {
  const { readings, source } = choice.value;
  readings.value = { ...readings.value, [source.value]: { ...reading.value, ...change } };
}

/** The last reading; null: none. */
const lastReport = signal<(DataReport & { isLm: boolean }) | null>(null);
export const report = computed(() => (lastReport.value?.isLm === isLm.value ? lastReport.value : null));

/** Whether there are messages that did not come with the page: what they are is found, and can be chosen. */
export const areOwn = computed(() => !isLm.value && !messages.bundled.includes(messages.source.value));
/** Settings that the data needs besides those chosen. */
export const needs = computed((): RunSettings => (areOwn.value ? (report.value?.needs ?? {}) : {}));
export const objective = computed((): Objective => {
  if (isLm.value) return "lm";
  const objective = reading.value.objective ?? needs.value.objective ?? DEFAULT_OBJECTIVE;
  return writes(objective) ? DEFAULT_OBJECTIVE : objective;
});
/** A setting of how the data is read, chosen or found. */
export const readWith = <K extends keyof Reading>(name: K): Reading[K] => reading.value[name] ?? needs.value[name];

/** The text to learn from. */
export const pasted = signal("");
const pastedAtRest = settled(pasted);

/** Corrections of the visitor's rows, as long as the file is the same; and the file of them that the worker reads. */
const kept = keptText("corrections", "[]");
export const corrected = computed((): readonly CorrectedRow[] => JSON.parse(kept.value));
const correctionsFile = signal<File | null>(null);
effect(() => {
  const rows = corrected.value;
  correctionsFile.value = null;
  if (rows.length > 0)
    return ask(
      () => worker.writeCorrections(rows),
      (blob) => {
        correctionsFile.value = new File([blob], CORRECTIONS_FILE);
      },
      showFailure,
    );
});

export function setCorrected(rows: readonly CorrectedRow[]): void {
  kept.value = JSON.stringify(rows);
}

/** The files of the chosen source; null for a data set by name. */
const files = computed((): readonly File[] | null => {
  const { source, typed, own, files } = choice.value;
  if (source.value === own) return files.value;
  if (source.value !== typed) return null;
  if (!isLm.value) return exampleFiles.value;
  return pastedAtRest.value.trim() === "" ? [] : [new File([pastedAtRest.value], PASTED_FILE)];
});

/** Whether there are messages that did not come with the page. */
export const hasOwnMessages = computed(
  () => areOwn.value && !!(files.value ? files.value.length : messages.hub.value?.name),
);

/** The files that the worker has. */
const given = signal<readonly File[] | null>(null);

/** Whether there is something to read. */
export const hasData = computed(() => {
  if (files.value) return files.value.length > 0 && given.value === files.value;
  return choice.value.source.value !== "hub" || (choice.value.hub.value?.name ?? "") !== "";
});

/** The visitor's next step before there is something to read, and where; null: none. */
export const missingData = computed((): { text: string; part: PagePart } | null => {
  const { source, typed, own } = choice.value;
  if (hasData.value || files.value?.length) return null;
  if (source.value === own) return { text: "Choose a file first.", part: "data" };
  if (source.value === "hub") return { text: "Name a data set first, and download it.", part: "data" };
  return source.value === typed && !isLm.value
    ? { text: examplesHelp.value, part: "examples" }
    : { text: "Paste a text first.", part: "data" };
});

/** Changes with the data: with new files of the same names too, and when the same name is asked for again. */
export const dataChange = computed(() => [files.value, choice.value.hub.value, correctionsFile.value]);

/** The choice; `data` and `dataset` are empty where they are still open. */
export const dataSettings = computed((): RunSettings => {
  const { source, bundled, typed, own, files, hub } = choice.value;
  const task: RunSettings = { ...reading.value, ...(isLm.value ? { objective: "lm" } : {}) };
  if (bundled.includes(source.value)) return { ...task, dataset: source.value };
  if (source.value === typed) return { ...task, data: isLm.value ? PASTED_FILE : EXAMPLES_FILE };
  if (source.value !== own) return { ...task, dataset: hub.value?.name ?? "" };
  const names = files.value.map(({ name }) => name);
  if (isLm.value) return { ...task, data: names };
  const corrections = correctionsFile.value ? { corrections: CORRECTIONS_FILE } : {};
  return { ...task, ...corrections, data: names[0] ?? "" };
});

effect(() => {
  if (!hasData.value) lastReport.value = null;
});
/** What defaults depend on of the data that was read last. */
export const knownOfData = signal<Known>({});
const failure = signal<ErrorReport | null>(null);
/** Whether messages are wanted, and there are texts. */
export const areTexts = computed(() => writes(needs.value.objective));
const TEXTS: ErrorReport = {
  name: "DataError",
  summary: "There is no column of texts with one of labels",
  hint: "a model can learn to write from these texts",
};
export const dataError = computed((): ErrorReport | null => failure.value ?? (areTexts.value ? TEXTS : null));

/** Learns to write from the files that were chosen as messages. */
export function writeInstead(): void {
  batch(() => {
    tab.value = "lm";
    texts.source.value = texts.own;
    texts.files.value = messages.files.value;
  });
}

/** Whether the visitor has selected files or asked for a name, and not seen what came of it. */
let isAwaited = false;

/** The sheets of the visitor's workbook, if there are several: also when one is chosen. */
export const sheets = signal<readonly string[]>([]);

/** Shows what was read; returns whether it can be trained on. */
export function showReport(read: DataReport): boolean {
  sheets.value = read.problems.find(({ sheets }) => sheets)?.sheets ?? sheets.value;
  lastReport.value = { ...read, isLm: isLm.value };
  failure.value = read.error;
  knownOfData.value = read.known;
  const { value: error } = dataError;
  if (error) showAwaited();
  isAwaited = false;
  return error === null;
}

export function showFailure(error: ErrorReport): void {
  failure.value = error;
  lastReport.value = null;
  showAwaited();
}

function showAwaited(): void {
  if (isAwaited) goTo("data-error");
  isAwaited = false;
}

// Gives the chosen files to the worker. Until it has them no run can start: it would use those before.
effect(() => {
  const chosen = files.value;
  const corrections = correctionsFile.value ?? [];
  given.value = null;
  failure.value = null;
  if (!chosen?.length || (corrected.value.length > 0 && !correctionsFile.value)) return;
  return ask(
    () => worker.pick([chosen, corrections].flat() as File[]),
    () => {
      given.value = chosen;
    },
    showFailure,
  );
});

/** The share of a file that was read; null: none is being read. */
export const readShare = signal<number | null>(null);
worker.listen((event) => {
  if (event.type === "reading") readShare.value = event.share;
  if (event.type === "ended") readShare.value = null;
});

/** Stops reading, and forgets the file. */
export function stopReading(): void {
  // A worker that compares rows hears nothing.
  if (readShare.value === 1 && !isTraining.value) worker.end();
  else void worker.stopReading();
  takeFiles([]);
}

/** Takes selected or dropped files. How the last ones were read does not count for new ones. */
export function takeFiles(chosen: readonly File[]): void {
  isAwaited = chosen.length > 0;
  const { source, own, files, readings } = choice.value;
  batch(() => {
    source.value = own;
    sheets.value = [];
    readings.value = { ...readings.value, [own]: {} };
    if (!isLm.value) setCorrected([]);
    files.value = isLm.value ? chosen : chosen.slice(0, 1);
  });
  void keepFiles(isLm.value ? "texts" : "data", files.value);
}

export function askHub({ hub, readings }: Choice, name: string): void {
  isAwaited = true;
  readings.value = { ...readings.value, hub: {} };
  hub.value = { name };
}

/** The pasted text that is kept for the next visit. */
let keptPaste = "";
effect(() => {
  const text = pastedAtRest.value;
  if (text !== keptPaste) void keepFiles("pasted", [new File([text], PASTED_FILE)]);
  keptPaste = text;
});

/**
 * Chooses what `settings` say. A data set that only a link names is downloaded when the visitor asks for it. Resolves
 * when the files of the last visit are there, unless the visitor has been faster.
 */
export async function restoreData(settings: RunSettings, isLink: boolean): Promise<void> {
  const { data, dataset, objective, textColumn, labelColumn, encoding, sheet } = settings;
  tab.value = writes(objective) ? "lm" : "classification";
  const { bundled, typed, own, source, hubName, hub, files } = choice.value;
  if (dataset !== undefined && !bundled.includes(dataset)) {
    source.value = "hub";
    hubName.value = dataset;
    if (!isLink) hub.value = { name: dataset };
  } else if (dataset !== undefined) source.value = dataset;
  else if (data !== undefined) source.value = [EXAMPLES_FILE, PASTED_FILE].includes(String(data)) ? typed : own;
  if (!bundled.includes(source.value)) {
    const chosen = { textColumn, labelColumn, encoding, sheet, objective: isLm.value ? undefined : objective };
    readAs(Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)));
  }
  if (isLink) return;
  const isText = isLm.value;
  const [stored, [kept]] = await Promise.all([keptFiles(isText ? "texts" : "data"), keptFiles("pasted")]);
  if (files.value.length === 0) files.value = stored;
  if (pasted.value === "") keptPaste = pastedAtRest.value = pasted.value = (await kept?.text()) ?? "";
}
