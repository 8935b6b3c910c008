/** Classes: each text has one of a few names. */
import { DataError, nameList } from "../core/errors.ts";
import { lineOf, placeOf, ROWS } from "../core/places.ts";
import { setting } from "../core/setting.ts";
import {
  checkNames,
  findCombined,
  haveDecimals,
  inOrder,
  isNumber,
  MANY_CLASSES,
  NEARLY_ALL,
  readOne,
  settingsOfSeveral,
} from "./cells.ts";
import type { LabelKind, LabelRows, ReadRows } from "./kind.ts";

/** Throws DataError if the labels of a training set are not classes to learn; classes that are `named` are. */
function checkClasses(
  { labels, labelColumn, labelLines, leftOut }: ReadRows,
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
export function hintOfSeveral(labels: readonly string[]): string {
  const found = findCombined(labels);
  return found ? `; for several labels a message: ${settingsOfSeveral(found)}` : "";
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

export const CLASS: LabelKind<LabelRows> = {
  of: "text",
  isList: false,
  columns: ["labels", "flags"],
  fit: "classes",
  expected: "label: a class, as a string or a number",
  readValue: readOne,
  checkNames,
  takeRows(corpus, rows, { before, file, named }) {
    if (before.length === 0) checkClasses(corpus, rows.length, file, named);
    return rows;
  },
  rereads: inOrder,
  classOf: (set, row) => set.label(row),
  labelsOf: (set, row) => [set.label(row)],
  answerOf: (set, row, labels) => labels[set.label(row)]!,
  baselines({ train, test, labels }) {
    const counts = labels.map(() => 0);
    for (let row = 0; row < train.size; row++) counts[train.label(row)]!++;
    const majority = counts.indexOf(Math.max(...counts));
    return [{ name: `always ${labels[majority]}`, values: new Array<number>(test.size).fill(majority) }];
  },
};
