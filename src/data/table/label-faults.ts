/** Labels that are no classes to learn, or look like several in one. */

import { ConfigError, DataError, nameList } from "../../errors.ts";
import type { TextOrPair } from "../../pair.ts";
import { either, setting } from "../../setting.ts";
import { didYouMean } from "../../suggest.ts";
import type { LabelKind } from "../../tasks/task.ts";
import { type Corpus, MOST_LISTED } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";
import { lineOf, placeOf, ROWS } from "../places.ts";
import {
  type Combined,
  haveDecimals,
  isNumber,
  MANY_CLASSES,
  NEARLY_ALL,
  partsOf,
  SEPARATORS,
  settingsOfSeveral,
} from "./labels.ts";

/** Throws ConfigError if the names of classes, or of several labels, are not ones that rows can have. */
export function checkNames(names: readonly string[], labelsAre: LabelKind): void {
  if (labelsAre === "score")
    throw new ConfigError("options-conflict", "labels is invalid for a regression", {
      expected: "no labels: scores are numbers",
    });
  const wrong = names.find((name, i) => name === "" || name !== name.trim() || names.indexOf(name) < i);
  if (wrong !== undefined)
    throw new ConfigError("invalid-value", "labels is invalid", {
      expected: "different names, without white space around them",
      found: JSON.stringify(wrong),
    });
}

/** Throws DataError if the labels of a training set are not classes to learn; classes that are `named` are. */
export function checkClasses(
  { labels, labelColumn, labelLines, leftOut }: Corpus,
  rows: number,
  file: string,
  named?: readonly string[],
): void {
  if (labels.length < 2) {
    const { rows: left, rowErrors } = leftOut;
    throw new DataError("only-one-class", "All rows have the same class", {
      where: file,
      expected: "rows of at least two classes",
      found: `"${labels[0]}" in all of ${rows} rows, the first on ${lineOf(file, labelLines[0]!)}`,
      hint:
        left > 0
          ? `check the ${left} skipped rows, the first at ${rowErrors[0]!.details.where}`
          : file === ROWS
            ? "add rows of another class, or name the classes with labels"
            : `give another ${setting("labelColumn")}, or add rows of another class`,
    });
  }
  if (named) return;
  refuseScores(labels, labelColumn, file, labelLines[0]!);
  // Rows in memory say themselves which of their values is the label.
  if (labels.length === rows && rows > 2 && file !== ROWS)
    throw new DataError("all-labels-different", `All labels in "${labelColumn}" are different`, {
      where: file,
      expected: "classes with several rows each",
      found: `${rows} labels in ${rows} rows: ${nameList(labels.map((label, i) => `"${label}" (line ${labelLines[i]})`))}`,
      hint: `give another ${setting("labelColumn")}${hintOfSeveral(labels)}`,
    });
}

/** The end of a hint where labels look like several in one. */
function hintOfSeveral(labels: readonly string[]): string {
  const found = findCombined(labels);
  return found ? `; for several labels a message: ${settingsOfSeveral(found)}` : "";
}

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

/**
 * Throws DataError if the labels are many different numbers or have decimals: they are probably scores. Whole numbers
 * without a gap, from 0 or 1, are the numbers of classes.
 */
function refuseScores(labels: readonly string[], column: string, file: string, line: number): void {
  const numbers = labels.filter(isNumber);
  const mayBeScores = labels.length > MANY_CLASSES || haveDecimals(labels);
  if (!mayBeScores || numbers.length <= NEARLY_ALL * labels.length) return;
  const values = new Set(numbers.map(Number));
  const first = values.has(0) ? 0 : 1;
  if (labels.every((_, i) => values.has(first + i))) return;
  throw new DataError(
    "label-column-is-numeric",
    `The label column "${column}" has ${numbers.length} different numbers: this looks like a score`,
    {
      where: placeOf(file, line),
      expected: `classes, or at most ${MANY_CLASSES} different whole numbers`,
      found: nameList(numbers),
      hint:
        `to learn the scores, give ${setting("objective", "regression")}; for classes, group the numbers into a few, such as low and high` +
        (file === ROWS
          ? "; if each number names a class, name the classes with labels"
          : `, or give another ${setting("labelColumn")}; if each number names a class, write a letter before it`),
    },
  );
}

/**
 * The labels that look like several in one with a sign between them. Commas are part of many names and numbers: what is
 * between them has to be in other labels, too.
 */
function combinedBy(sign: string, labels: readonly string[]): string[] {
  const times = new Map<string, number>();
  for (const part of labels.flatMap((label) => [...new Set(partsOf(label, sign))]))
    times.set(part, (times.get(part) ?? 0) + 1);
  return labels.filter((label) => {
    const parts = partsOf(label, sign);
    return parts.length > 1 && !isNumber(label) && (sign !== "," || parts.every((part) => times.get(part)! > 1));
  });
}

/** The labels that look like several in one; null: there are none. */
export function findCombined(labels: readonly string[]): Combined | null {
  const found = SEPARATORS.map((sign) => ({ sign, combined: combinedBy(sign, labels) }));
  const combined = [...new Set(found.flatMap((one) => one.combined))];
  if (combined.length === 0) return null;
  const { sign } = found.reduce((most, one) => (one.combined.length > most.combined.length ? one : most));
  return { labels: combined, separator: sign };
}
