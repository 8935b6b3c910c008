/** Downloads of a run. */
import { computed, effect, signal } from "@preact/signals";
import {
  type ErrorReport,
  hasAdapter,
  type PageRun,
  type Takeable,
  type TakeReport,
  type WantedForm,
} from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { offerFile } from "../shared/offer.ts";
import { worker } from "../shared/worker.ts";

export async function download(run: PageRun, what: Takeable | WantedForm): Promise<void> {
  const file = await worker.download(run.id, what);
  offerFile(file, file.name);
}

/** Of the shown run; null while it trains, and until it is known. */
export const takeable = signal<TakeReport | { error: ErrorReport } | null>(null);

/** Changes when there is something else to take. */
const version = computed(() => {
  const run = shown.value;
  return run && hasAdapter(run) ? `${run.id} ${run.state}` : null;
});

effect(() => {
  const asked = version.value;
  takeable.value = null;
  if (asked === null) return;
  const report = worker.take(shown.peek()!.id).catch((reason) => ({ error: failureReport(reason) }));
  void report.then((report) => {
    if (asked === version.peek()) takeable.value = report;
  });
});
