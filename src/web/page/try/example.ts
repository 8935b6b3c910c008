/** Before anything is trained: a model that comes with the page answers, and some messages of the chosen data. */
import { computed, effect, signal } from "@preact/signals";
import type { PageRun } from "../../protocol.ts";
import { areOwn, messages, report, tab } from "../data/data.ts";
import { runs } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { worker } from "../shared/worker.ts";

/** The bundled data set that is chosen and read, while there is no run. */
const wanted = computed(() => {
  const isBundled = tab.value !== "lm" && !areOwn.value && report.value !== null;
  return isBundled && runs.value.length === 0 ? messages.source.value : null;
});
const opened = signal<PageRun | null>(null);

effect(() => {
  const dataset = wanted.value;
  if (dataset === null || opened.peek()?.record.data.file === dataset) return;
  return ask(
    () => worker.example(dataset),
    (run) => {
      opened.value = run;
    },
    () => {},
  );
});

/** The model of the chosen data; null: a run is tried, or there is none. */
export const example = computed(() => (opened.value?.record.data.file === wanted.value ? opened.value : null));
export const exampleMessages = computed(() => (example.value ? (report.value?.samples ?? []) : []));
