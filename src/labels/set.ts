/** Sets: each text has any number of labels. */
import { isListOf, isText } from "../core/checks.ts";
import { DataError, nameList } from "../core/errors.ts";
import { percent } from "../core/format.ts";
import { LIST_SEPARATOR, placeOf } from "../core/places.ts";
import { setting } from "../core/setting.ts";
import {
  checkNames,
  countRows,
  findCombined,
  inOrder,
  isNumber,
  LABEL_SEPARATOR,
  NEARLY_ALL,
  partsOf,
  settingsOfSeveral,
} from "./cells.ts";
import type { LabelKind, LabelRows, Outputs, ReadLabels } from "./kind.ts";

/** Labels are lists of labels if they are so in at least this share of the rows. */
const SOME = 0.05;

function cellOutputs({ labels }: ReadLabels, separator: string, first: readonly string[]) {
  const sets = labels.map((label) => new Set(partsOf(label, separator)));
  const found = sets.flatMap((set) => [...set]).sort();
  const names = [...new Set([...first, ...found])];
  return { names, values: sets.map((set) => Float32Array.from(names, (name) => Number(set.has(name)))) };
}

const FLAGGED = /^(1([.,]0+)?|true|yes|x)$/i;
const UNFLAGGED = /^(0([.,]0+)?|false|no|)$/i;

/** Labels that have a column each. Throws DataError unless its cells say whether a message has the label. */
function columnOutputs(
  { labels, labelLines }: ReadLabels,
  columns: readonly string[],
  first: readonly string[],
  where: string,
): Pick<Outputs, "names" | "values"> {
  const names = [...new Set([...first, ...columns])];
  const values = labels.map((label, id) => {
    const cells = label.split(LIST_SEPARATOR).map((cell) => cell.trim());
    const wrong = cells.findIndex((cell) => !FLAGGED.test(cell) && !UNFLAGGED.test(cell));
    if (wrong >= 0)
      throw new DataError(
        "label-not-flag",
        `A cell of "${columns[wrong]}" does not say whether the message has this label`,
        {
          where: placeOf(where, labelLines[id]!),
          expected: "1, true, yes or x; 0, false, no or nothing",
          found: cells[wrong]!,
          hint: `name only columns of labels with ${setting("labelColumn")}`,
        },
      );
    return Float32Array.from(names, (name) => Number(FLAGGED.test(cells[columns.indexOf(name)] ?? "")));
  });
  return { names, values };
}

/** The ids of the labels of a row. */
const labelsOf = (set: LabelRows, row: number) =>
  [...set.values(row)].flatMap((value, id) => (value === 1 ? [id] : []));

export const SET: LabelKind<LabelRows> = {
  of: "text",
  isList: true,
  columns: ["labels", "flags"],
  fit: "labels",
  expected: "label: a list of labels, which may be empty",
  readValue(label, separator) {
    if (Number.isFinite(label) || isText(label)) return partsOf(String(label), separator).join(LIST_SEPARATOR);
    return isListOf(label, isText) ? label.join(LIST_SEPARATOR) : undefined;
  },
  checkNames,
  outputs(read, train, { where, separator = LABEL_SEPARATOR, first = [] }) {
    const { labelColumns } = read;
    const { names, values } = labelColumns
      ? columnOutputs(read, labelColumns, first, where)
      : cellOutputs(read, separator, first);
    const isLearnable = Array.from({ length: train.size }, (_, row) => values[train.label(row)]!.includes(1)).includes(
      true,
    );
    if (isLearnable) return { names, counted: names, values };
    throw new DataError("no-labels", "No row of the training set has a label", {
      where,
      expected: separator === LIST_SEPARATOR ? "lists of labels" : `labels, several with "${separator}" between them`,
      found: names.length > 0 ? `in other sets ${nameList(names)}` : "empty cells",
    });
  },
  recognize(classes) {
    const labels = Object.keys(classes);
    const rows = countRows(classes, labels);
    const combined = findCombined(labels);
    const share = combined ? countRows(classes, combined.labels) / rows : 0;
    if (!combined || share < SOME || countRows(classes, labels.filter(isNumber)) >= NEARLY_ALL * rows) return null;
    const why = `several in one: "${combined.separator}" between several labels in ${percent(share)} of the rows`;
    return { code: "several-labels", why, settings: settingsOfSeveral(combined) };
  },
  rereads: inOrder,
  labelsOf,
  answerOf: (set, row, labels) => labelsOf(set, row).map((id) => labels[id]!),
  baselines({ train, test, labels }) {
    const counts = new Map<string, number>();
    for (let row = 0; row < train.size; row++) {
      const key = train.values(row).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const [frequent] = [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
    const set = frequent.split(",").map(Number);
    const names = labels.filter((_, i) => set[i] === 1);
    const values = Float32Array.from({ length: test.size * labels.length }, (_, i) => set[i % labels.length]!);
    return [{ name: `always ${names.length > 0 ? names.join(" | ") : "no label"}`, values }];
  },
};
