/** The data that the page trains on: where it comes from, the files that the worker has, and what it has read. */
import { batch, computed, effect, signal } from "@preact/signals";
import { type Objective, TASKS } from "../../../tasks/index.ts";
import type { RunSettings } from "../../../train/settings.ts";
import type { ColumnReport, DataReport, ErrorReport } from "../../protocol.ts";
import { ask, settled } from "../shared/ask.ts";
import { goTo } from "../shared/scroll.ts";
import { worker } from "../shared/worker.ts";
import { EXAMPLES_FILE, keepFiles, keptFiles, PASTED_FILE } from "../train/saved.ts";
import { exampleFiles } from "./examples.ts";

/** The choice among the sources of messages or of texts: bundled ones, what is typed, the visitor's files, the hub. */
function makeChoice(bundled: readonly string[], typed: string, own: string) {
  return {
    ...{ bundled, typed, own },
    source: signal(bundled[0]!),
    files: signal<readonly File[]>([]),
    encoding: signal("utf-8"),
    /** The typed name of a data set of the hub, and the one that was asked for last: a new object each time. */
    hubName: signal(""),
    hub: signal<{ name: string } | null>(null),
  };
}
export type Choice = ReturnType<typeof makeChoice>;

export const messages = makeChoice(["spam", "languages"], "examples", "file");
export const texts = makeChoice(["human-rights"], "paste", "files");

/** Whether the model learns from messages with labels, or to write texts. */
export const tab = signal<"classification" | "lm">("classification");
const isLm = computed(() => tab.value === "lm");
/** What the labels of the visitor's own data are. The bundled data sets have classes. */
export const labelsAre = signal<Exclude<Objective, "lm">>("classification");
/** Whether the visitor says what the labels are. */
export const hasOwnLabels = computed(() => !isLm.value && ["file", "hub"].includes(messages.source.value));
export const objective = computed((): Objective => {
  if (isLm.value) return "lm";
  return hasOwnLabels.value ? labelsAre.value : "classification";
});
/** Whether the visitor's file is a table, whose columns are chosen. */
export const isTable = computed(() => TASKS[objective.value].target === "text");
const choice = computed(() => (isLm.value ? texts : messages));

/** The text to learn from. */
export const pasted = signal("");
const pastedAtRest = settled(pasted);

/** The files of the chosen source; null for a data set by name. */
const files = computed((): readonly File[] | null => {
  const { source, typed, own, files } = choice.value;
  if (source.value === own) return files.value;
  if (source.value !== typed) return null;
  if (!isLm.value) return exampleFiles.value;
  return pastedAtRest.value.trim() === "" ? [] : [new File([pastedAtRest.value], PASTED_FILE)];
});
const isOwn = computed(() => choice.value.source.value === choice.value.own);

/** Whether there are messages that did not come with the page. */
export const hasOwnMessages = computed(
  () =>
    !isLm.value && !!(files.value ? files.value.length : messages.source.value === "hub" && messages.hub.value?.name),
);

/** The files that the worker has, and the columns of a table. */
const given = signal<{ files: readonly File[]; columns: ColumnReport | null } | null>(null);
/**
 * The columns that were chosen for a file; where there are no such columns, those that are recognised count. An empty
 * `second`: the texts are no pairs.
 */
export const chosenColumns = signal<Partial<Record<"text" | "second" | "label", string | undefined>>>({});
/** The columns of the visitor's file, with those that are read; null: not known, or there are none. */
export const columns = computed(() => {
  const report = given.value?.columns;
  if (!isOwn.value || !report || report.columns.length === 0) return null;
  const pick = (which: "text" | "second" | "label") => {
    const chosen = chosenColumns.value[which];
    return chosen !== undefined && report.columns.includes(chosen) ? chosen : report[which];
  };
  const second = chosenColumns.value.second !== "" && pick("second");
  return { report, text: pick("text"), second, label: pick("label") };
});
const isUnclear = computed(
  () => columns.value !== null && (columns.value.text === null || columns.value.label === null),
);

/** Whether there is something to read. */
export const hasData = computed(() => {
  if (files.value) return given.value?.files === files.value && !isUnclear.value;
  return choice.value.source.value !== "hub" || (choice.value.hub.value?.name ?? "") !== "";
});

/** Changes with the data: with new files of the same names too, and when the same name is asked for again. */
export const dataChange = computed(() => [files.value, choice.value.hub.value]);

/** `data` and `dataset` are empty where they are still open. */
export const dataSettings = computed((): RunSettings => {
  const { source, typed, files, hub, encoding } = choice.value;
  const task: RunSettings = objective.value === "classification" ? {} : { objective: objective.value };
  if (source.value === typed) return { ...task, data: isLm.value ? PASTED_FILE : EXAMPLES_FILE };
  if (source.value === "hub") return { ...task, dataset: hub.value?.name ?? "" };
  if (!isOwn.value) return { ...task, dataset: source.value };
  const names = files.value.map(({ name }) => name);
  if (isLm.value) return { ...task, data: names, encoding: encoding.value };
  if (!isTable.value) return { ...task, data: names[0] ?? "", encoding: encoding.value };
  const { text, second, label: labelColumn } = columns.value ?? chosenColumns.value;
  return {
    ...task,
    ...{ data: names[0] ?? "", encoding: encoding.value },
    ...(text ? { textColumn: second ? `${text},${second}` : text } : {}),
    ...(labelColumn ? { labelColumn } : {}),
  };
});

/** What was read last; null: nothing. */
const lastReport = signal<(DataReport & { isLm: boolean }) | null>(null);
export const report = computed(() => (lastReport.value?.isLm === isLm.value ? lastReport.value : null));
effect(() => {
  if (!hasData.value) lastReport.value = null;
});
/** The rows of the training set that was read last. */
export const trainRows = signal(Number.POSITIVE_INFINITY);
const failure = signal<ErrorReport | null>(null);
export const dataError = computed((): ErrorReport | null =>
  isUnclear.value
    ? {
        name: "DataError",
        summary: "The text and label columns were not recognised",
        found: columns.value!.report.columns.join(", "),
        hint: "choose both columns above",
      }
    : failure.value,
);
/** Whether the visitor has selected files or asked for a name, and not seen what came of it. */
let isAwaited = false;

export function showReport(read: DataReport): void {
  isAwaited = false;
  failure.value = null;
  lastReport.value = { ...read, isLm: isLm.value };
  trainRows.value = read.trainRows;
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
  const some = files.value;
  const encoding = isOwn.value ? choice.value.encoding.value : "utf-8";
  const hasColumns = isTable.value;
  given.value = null;
  failure.value = null;
  const [file] = some ?? [];
  if (!some || !file) return;
  const give = async () => {
    if (hasColumns) return worker.pickData(file, encoding);
    await worker.pick([...some]);
    return null;
  };
  return ask(
    give,
    (found) => {
      given.value = { files: some, columns: found };
      if (isUnclear.value) showAwaited();
    },
    showFailure,
  );
});

/** Takes selected or dropped files. New ones are UTF-8 with classes at first, whatever the last ones were. */
export function takeFiles(some: readonly File[]): void {
  if (some.length === 0) return;
  isAwaited = true;
  const { source, own, files, encoding } = choice.value;
  batch(() => {
    source.value = own;
    encoding.value = "utf-8";
    chosenColumns.value = {};
    labelsAre.value = "classification";
    files.value = isLm.value ? some : some.slice(0, 1);
  });
  void keepFiles(isLm.value ? "texts" : "data", files.value);
}

/** Reads the files in another encoding: the button for it is gone afterwards. */
export function readAs(encoding: string): void {
  choice.value.encoding.value = encoding;
  goTo("encoding");
}

export function askHub({ hub }: Choice, name: string): void {
  isAwaited = true;
  hub.value = { name };
}

/** The pasted text that is kept for the next visit. */
let keptText = "";
effect(() => {
  const text = pastedAtRest.value;
  if (text !== keptText) void keepFiles("pasted", [new File([text], PASTED_FILE)]);
  keptText = text;
});

/**
 * Chooses what `settings` say. A data set that only a link names is downloaded when the visitor asks for it. Resolves
 * when the files of the last visit are there, unless the visitor has been faster.
 */
export async function restoreData(settings: RunSettings, isLink: boolean): Promise<void> {
  const { data, dataset, encoding = "utf-8", textColumn, labelColumn } = settings;
  const { objective: learned = "classification" } = settings;
  tab.value = learned === "lm" ? "lm" : "classification";
  if (learned !== "lm") labelsAre.value = learned;
  const { bundled, typed, own, source, hubName, hub, files, ...chosen } = choice.value;
  if (dataset !== undefined && !bundled.includes(dataset)) {
    source.value = "hub";
    hubName.value = dataset;
    if (!isLink) hub.value = { name: dataset };
  } else if (dataset !== undefined) source.value = dataset;
  else if (data !== undefined) source.value = [EXAMPLES_FILE, PASTED_FILE].includes(String(data)) ? typed : own;
  if (isLink) return;
  chosen.encoding.value = encoding;
  const [text, second = text && ""] = textColumn?.split(",") ?? [];
  chosenColumns.value = { text, second, label: labelColumn };
  const isText = isLm.value;
  const [some, [kept]] = await Promise.all([keptFiles(isText ? "texts" : "data"), keptFiles("pasted")]);
  if (files.value.length === 0) files.value = some;
  if (pasted.value === "") keptText = pastedAtRest.value = pasted.value = (await kept?.text()) ?? "";
}
