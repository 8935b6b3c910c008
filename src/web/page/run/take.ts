/** What can be downloaded of a run. */
import { computed, effect, signal } from "@preact/signals";
import { type ErrorReport, hasAdapter, type PageRun, type Takeable, type TakeReport } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { offerFile } from "../shared/offer.ts";
import { worker } from "../shared/worker.ts";

const NAMES = {
  page: (id: string) => `classifier-${id}.html`,
  adapter: (id: string) => `adapter-${id}.zip`,
  run: (id: string) => `lowrank-run-${id}.zip`,
} satisfies Record<Takeable, (id: string) => string>;

/** What a run says of itself in a model card. Nothing is known of the training of an adapter from a file. */
export const cardSections = async ({ state, record }: PageRun): Promise<string | null> =>
  state === "loaded" ? null : (await import("../../../views/card.ts")).describeForCard(record);

/** Downloads a part of a run. */
export async function download(run: PageRun, what: Takeable): Promise<void> {
  offerFile(await worker.download(run.id, what, await cardSections(run)), NAMES[what](run.id));
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
