/** Classes that have too few rows, and corrections that are none. */
import { DataError, nameList } from "../../core/errors.ts";
import type { TextOrPair } from "../../core/pair.ts";
import { lineOf, MOST_LISTED, placeOf } from "../../core/places.ts";
import { either, setting } from "../../core/setting.ts";
import { didYouMean } from "../../core/suggest.ts";
import { hintOfSeveral } from "../../labels/class.ts";
import type { Corpus } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";

/**
 * The rows of classes that have several. Where one has a single row, which cannot be in all sets, it is skipped as an
 * invalid one if the options say so. Throws DataError if they do not, or if fewer than two classes are left.
 */
export function dropSingles(corpus: Corpus, all: Dataset, file: string, skipFaulty: boolean): Dataset {
  const { labels, labelLines, leftOut } = corpus;
  const counts = all.classes();
  const singles = [...labels.keys()]
    .filter((id) => counts[labels[id]!] === 1)
    .sort((a, b) => labelLines[a]! - labelLines[b]!);
  if (!skipFaulty || labels.length - singles.length < 2) throw singleRows(corpus, singles, file);
  const dropped = new Set(singles);
  const kept = all.select(all.positions().filter((i) => !dropped.has(all.label(i))));
  leftOut.rows += singles.length;
  leftOut.rowErrors.push(...singles.slice(0, MOST_LISTED).map((id) => singleRows(corpus, [id], file)));
  corpus.dropClasses(dropped);
  return kept;
}

/** A row of a review.csv that somebody has filled. */
export interface Correction {
  /** From 0. */
  place: number;
  text: TextOrPair;
  label: string;
  file: string;
  line: number;
}

/** The error for labels of corrections that the data does not have: they are misspelt, or new. */
export function unknownLabels(unknown: readonly Correction[], given: readonly string[]): DataError {
  const { label, file, line } = unknown[0]!;
  return new DataError("unknown-label", "Labels of corrections are neither in the data nor marked as new", {
    where: placeOf(file, line),
    expected: `${nameList(given)}, or "drop" to leave a row out`,
    found: nameList(unknown.map(({ label, file, line }) => `"${label}" (${lineOf(file, line)})`)),
    hint: `${didYouMean(label, given) ?? ""} a new label is marked once, in the same column: "new: ${label}"`.trim(),
  });
}

function singleRows({ labels, labelLines }: Corpus, ids: readonly number[], file: string): DataError {
  const severally = hintOfSeveral(labels);
  return new DataError(
    "class-with-one-row",
    ids.length === 1 ? "A class has only one row" : "Some classes have only one row",
    {
      where: placeOf(file, labelLines[ids[0]!]!),
      expected: "several rows of each class, to train and to test it",
      found: nameList(ids.map((id) => `"${labels[id]}" (${lineOf(file, labelLines[id]!)})`)),
      hint: either(
        `check the spelling of the label; add rows of the class, or leave the row out${severally}`,
        `skip such rows: ${setting("skipFaulty", true)}`,
        `train without a test set: ${setting("fractions", [1, 0, 0])}`,
      ),
    },
  );
}
