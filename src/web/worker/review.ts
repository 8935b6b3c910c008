/** Labels of the visitor's data that are probably wrong, and corrections of them. Loaded when they are asked for. */

import { fitClassic } from "../../classic/fit.ts";
import { setTexts } from "../../classic/tfidf.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { REVIEW } from "../../data/sets/corrections.ts";
import { divideFolds } from "../../data/sets/folds.ts";
import { sheetLine } from "../../io/csv.ts";
import type { BaseModel } from "../../io/hf.ts";
import { findSuspects } from "../../study/review.ts";
import { predictions } from "../../tasks/predictions.ts";
import type { CorrectedRow, PageSettings, ReviewRow } from "../protocol.ts";
import { fetchData } from "./train/materials.ts";

/** Each row is judged by a model of the other folds. */
const FOLDS = 5;
/** The most rows that are shown. */
const MOST = 200;

/** The rows whose label is improbable, the worst first: by TF-IDF with logistic regression, which takes seconds. */
export async function reviewLabels(settings: PageSettings, model: BaseModel): Promise<ReviewRow[]> {
  const { adapter: _, trainRows: _rows, ...given } = settings;
  const { data: read } = await fetchData({ ...given, fractions: [1, 0, 0], dedupe: false }, model);
  const data = read as LoadedDataset;
  const { labels } = data;
  const fewest = Math.min(...Object.values(data.stats.classesRead).filter((rows) => rows > 0));
  const rows: (Pick<ReviewRow, "row" | "text"> & { label: number })[] = [];
  const shares: number[] = [];
  for (const fold of divideFolds(data, Math.max(2, Math.min(FOLDS, fewest)), false)) {
    const { test } = fold;
    const classic = await fitClassic(fold);
    if (!classic) continue;
    const logits = await classic.logits([...setTexts(test, test.positions())], labels);
    for (const [i, { probabilities }] of predictions(Float64Array.from(logits), labels.length).entries()) {
      rows.push({ row: test.place(i) + 1, text: test.text(i), label: test.label(i) });
      shares.push(...probabilities);
    }
  }
  const suspects = findSuspects(
    shares,
    rows.map(({ label }) => label),
    labels.length,
  );
  return suspects.slice(0, MOST).map(({ row, suggested }) => {
    const { label, ...own } = rows[row]!;
    return { ...own, given: labels[label]!, suggested: labels[suggested]! };
  });
}

/** Corrections as the table that a run reads. */
export function writeCorrections(corrected: readonly CorrectedRow[]): Blob {
  const names = [REVIEW.row, ...REVIEW.texts, REVIEW.correct];
  const lines = corrected.map(({ row, text, label }) => [row, ...[text, ""].flat().slice(0, 2), label]);
  return new Blob([names, ...lines].map(sheetLine));
}
