/** A table of messages, or lines of one text, that the shown run labels. */
import { computed, signal } from "@preact/signals";
import { CLASSIC } from "../../../classic/parts.ts";
import type { ErrorReport, LabelReport, LabelRequest } from "../../protocol.ts";
import { failureReport } from "../shared/client.ts";
import { worker } from "../shared/worker.ts";
import { classifier, message, pairs } from "./try.ts";

/** Without `report` and `error` it is under way, or was stopped. */
interface Labelling {
  /** The run's. */
  id: string;
  source: File | string;
  request: LabelRequest;
  /** Rows that have a label, of all rows: 0 before it is known. */
  rows: number;
  total: number;
  isStopped?: true;
  report?: LabelReport;
  error?: ErrorReport;
}

const latest = signal<Labelling | null>(null);

/** Whether the shown run keeps a model of word counts, and whether that is to label. */
export const hasClassic = computed(() => CLASSIC in (classifier.value?.record.files ?? {}));
export const byClassic = signal(false);

/** Of the shown run. */
export const labelling = computed(() => (latest.value?.id === classifier.value?.id ? latest.value : null));

/** Lines of the typed text that can be messages of their own: no pairs. */
export const lines = computed(() =>
  pairs.value ? 0 : message.value.split("\n").filter((line) => line.trim() !== "").length,
);

worker.listen((event) => {
  if (event.type === "labelled" && latest.value)
    latest.value = { ...latest.value, rows: event.rows, total: event.total };
});

/** Labels the rows of a file, or the lines of a text, and ends what is labelled at the moment. */
export async function labelTable(source: File | string, asked: LabelRequest = {}): Promise<void> {
  const { id } = classifier.value!;
  const request = { ...asked, classic: hasClassic.value && byClassic.value };
  const begun: Labelling = { id, source, request, rows: 0, total: 0 };
  latest.value = begun;
  const end = await worker.label(id, source, request).then(
    (report) => ({ report }),
    (reason) => {
      const error = failureReport(reason);
      return error.name === "AbortError" ? ({ isStopped: true } as const) : { error };
    },
  );
  // Another one may have begun.
  if (latest.value?.source === source && latest.value.request === request) latest.value = { ...latest.value, ...end };
}

/** Labels the same file again, read in another way. */
export function labelAgain(request: LabelRequest): void {
  const { source, request: before } = latest.value!;
  void labelTable(source, { ...before, ...request });
}
