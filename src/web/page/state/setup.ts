/** What is chosen, checked and estimated: the settings of the next run. */
import { computed, signal } from "@preact/signals";
import type { ErrorReport, PageSettings, RunEstimate } from "../../protocol.ts";
import { dataSettings } from "./data.ts";
import { values } from "./fields.ts";
import { model } from "./model.ts";
import { startRun } from "./runs.ts";

/** The settings of the run; null while there is no data or no model. */
export const settings = computed((): PageSettings | null =>
  model.value ? { ...dataSettings.value, model: model.value.name, device: values.value.device } : null,
);
/** Null while the settings are not checked, or invalid. */
export const estimate = signal<RunEstimate | null>(null);
export const startError = signal<ErrorReport | null>(null);

export async function start(): Promise<void> {
  if (settings.value) await startRun(settings.value);
}
