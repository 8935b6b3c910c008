/** Labels of own data that a person corrects: of rows that are probably wrong, and of rows without a text. */
import { computed, effect, signal } from "@preact/signals";
import type { CorrectedRow, ErrorReport, ReviewRow } from "../../protocol.ts";
import { failureReport } from "../shared/client.ts";
import { offerFile } from "../shared/offer.ts";
import { worker } from "../shared/worker.ts";
import { settings } from "../train/setup.ts";
import { corrected, report, setCorrected } from "./data.ts";

/** Instead of a label: the row is left out. */
export const DROP = "drop";

/** The rows to look at, and which of them is next; null: nobody asked. */
export const review = signal<{ rows: readonly ReviewRow[]; next: number } | null>(null);
export const isReviewing = signal(false);
export const reviewError = signal<ErrorReport | null>(null);
/** The answers about the rows so far. */
const said = signal<readonly CorrectedRow[]>([]);
export const changed = computed(() => said.value.length);
// Of another file, nothing is asked.
effect(() => {
  if (report.value === null) review.value = null;
});

export async function beginReview(): Promise<void> {
  isReviewing.value = true;
  reviewError.value = null;
  said.value = [];
  try {
    review.value = { rows: await worker.review(settings.value!), next: 0 };
  } catch (error) {
    reviewError.value = failureReport(error);
  }
  isReviewing.value = false;
}

/** Takes what a person says of the row that is shown, and shows the next one. */
export function say(label: string): void {
  const { rows, next } = review.value!;
  const { given, suggested: _, ...row } = rows[next]!;
  const others = said.value.filter((answer) => answer.row !== row.row);
  said.value = label === given ? others : [...others, { ...row, label }];
  review.value = { rows, next: next + 1 };
}

export function back(): void {
  const { rows, next } = review.value!;
  review.value = { rows, next: Math.max(0, next - 1) };
}

export function useCorrections(): void {
  correct(said.value);
  review.value = null;
}

/** Corrects rows, besides those that are corrected. */
export function correct(rows: readonly CorrectedRow[]): void {
  const all = new Map([...corrected.value, ...rows].map((row) => [row.row, row]));
  setCorrected([...all.values()]);
}

export async function saveCorrections(): Promise<void> {
  offerFile(await worker.writeCorrections(corrected.value), "review.csv");
}
