/** The settings of the next run: chosen, checked and estimated. */
import { batch, computed, effect, signal } from "@preact/signals";
import { hasSettingOf } from "../../../data/settings.ts";
import type { RunSettings } from "../../../train/settings.ts";
import type { DataReport, ErrorReport, PageRun, PageSettings, RunEstimate } from "../../protocol.ts";
import {
  dataChange,
  dataError,
  dataSettings,
  hasData,
  missingData,
  needs,
  objective,
  restoreData,
  showFailure,
  showReport,
} from "../data/data.ts";
import { isTraining, runs, startRun } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { failureReport } from "../shared/client.ts";
import { goTo, type PagePart } from "../shared/scroll.ts";
import { worker } from "../shared/worker.ts";
import { OF_DATA, wantedIn } from "./field-list.ts";
import { fieldSettings, invalidField, reset, restoreFields, values } from "./fields.ts";
import { adapter, beginModel, follows, model, modelError, modelName } from "./model.ts";
import { linkTo, type Saved, savedSettings, saveSettings } from "./saved.ts";

/** Milliseconds without input before the settings are checked. */
const PAUSE = 150;

/** The choices, as the next visit and a link have them. */
const chosen = computed(
  (): Saved => ({
    ...dataSettings.value,
    ...(modelName.value === null ? {} : { model: modelName.value }),
    ...fieldSettings.value,
  }),
);

/** The visitor's settings of a run; null while there is no data or no model. */
const given = computed((): PageSettings | null =>
  hasData.value && model.value
    ? {
        ...chosen.value,
        model: model.value.name,
        device: values.value.device,
        ...(adapter.value === undefined ? {} : { adapter: adapter.value }),
      }
    : null,
);
/** The settings of the run: those, and what its data needs. */
export const settings = computed((): PageSettings | null => {
  const skips = hasSettingOf(objective.value, "skipFaulty") ? { skipFaulty: true } : {};
  return given.value && { ...needs.value, ...given.value, ...skips };
});
/** Texts, which are equal for equal settings: of a run, and of its data alone. */
const asked = computed(() => JSON.stringify(settings.value));
const askedData = computed(() => {
  if (!given.value) return null;
  const all = given.value;
  return JSON.stringify([all.model, dataSettings.value, OF_DATA.map((key) => all[key])]);
});

/** Whether the chosen data is read. */
const isRead = signal(false);
/** Null while the settings are not checked, or invalid. */
export const estimate = signal<RunEstimate | null>(null);
export const startError = signal<ErrorReport | null>(null);
export const canStart = computed(() => estimate.value !== null && !isTraining.value);

/** Why no run can start, and the part of the page to go to; null: one can, or the page is at work. */
export const obstacle = computed((): { text: string; part?: PagePart } | null => {
  const field = invalidField.value;
  if (isTraining.value) return { text: "A run is training: the next one can start when it ends." };
  if (runs.value.some(({ state }) => state === "elsewhere"))
    return { text: "Another tab of this page is training: a run can start here when it ends, or is stopped there." };
  if (dataError.value) return { text: "The data above has an error.", part: "data-error" };
  if (missingData.value) return missingData.value;
  if (field) return { text: `“${field.label}” is invalid. ${wantedIn(field)}`, part: `field-${field.key}` };
  if (modelError.value || modelName.value === null) return { text: "Choose a base model first.", part: "model" };
  return startError.value && { text: "These settings cannot be trained." };
});

// Reads the data when it, or how it is read, has changed.
effect(() => {
  void dataChange.value;
  isRead.value = false;
  if (askedData.value === null) return;
  const take = (report: DataReport) =>
    batch(() => {
      isRead.value = showReport(report);
    });
  return ask(() => worker.readData(given.peek()!), take, showFailure, PAUSE);
});

// Checks and estimates the run when its settings have changed, and when one has begun or ended: its speed is known now.
effect(() => {
  void asked.value;
  void isTraining.value;
  estimate.value = null;
  startError.value = null;
  if (!isRead.value || invalidField.value) return;
  return ask(
    () => worker.estimate(settings.peek()!),
    (found) => {
      estimate.value = found;
    },
    (report) => {
      startError.value = report;
    },
    PAUSE,
  );
});

// A run that has ended with the worker is reported by its error: the effect above clears this one.
worker.listen((event) => {
  if (event.type === "ended") startError.value = event.report;
});

export async function start(): Promise<void> {
  if (!canStart.value) return;
  startError.value = null;
  try {
    await startRun(settings.value!);
  } catch (error) {
    startError.value = failureReport(error);
  }
}

/** Whether a link was copied; empty: none was. */
export const linkNote = signal("");

export async function copyLink(): Promise<void> {
  const link = linkTo(chosen.value);
  const without = dataSettings.value.data === undefined ? "" : " It does not have your data.";
  const copied = await navigator.clipboard.writeText(link).then(
    () => "Copied.",
    () => `The browser does not allow copying: ${link}`,
  );
  linkNote.value = copied + without;
}

/** Settings of a link that the page does not know. */
export const linkError = signal<ErrorReport | null>(null);

/** Takes the settings of a run into the form, with some changes; its data where that is a data set by name. */
export function takeSettings({ record, model }: PageRun, changes: RunSettings = {}): void {
  reset();
  const { adapter: _, ...settings } = record.settings;
  void fillIn({ ...settings, model, ...changes }, true).open();
  const [changed] = Object.keys(changes);
  goTo(changed === undefined ? "model" : `field-${changed}`);
}

/** Fills in settings; returns what is not known of them, and a function that opens what takes time. */
function fillIn(settings: Saved, isLink: boolean) {
  const { objective, data, dataset, encoding, sheet, textColumn, labelColumn, model: base, ...ofFields } = settings;
  const files = restoreData(settings, isLink);
  const openBase = beginModel(base, isLink);
  const others: Record<string, unknown> = ofFields;
  const unknown = restoreFields(ofFields).map((name) => `${name}=${others[name]}`);
  const open = async () => {
    const opening = openBase();
    await files;
    isRestored.value = true;
    await opening;
  };
  return { unknown, open };
}

/** Fills in what a link or the last visit has. Returns a function that opens what takes time. */
export function restore(): () => Promise<void> {
  const { settings, isLink, unknown } = savedSettings();
  const filled = fillIn(settings, isLink);
  unknown.push(...filled.unknown);
  if (isLink && unknown.length > 0)
    linkError.value = {
      name: "ConfigError",
      summary: "The link has settings that this page does not have, or values that it does not take",
      found: unknown.join(", "),
      hint: "they were left out",
    };
  return filled.open;
}

/** Whether all is filled in: until then the last visit's settings are kept. */
const isRestored = signal(false);
effect(() => {
  const { model, ...others } = chosen.value;
  if (isRestored.value) saveSettings(follows.value ? others : chosen.value);
});
