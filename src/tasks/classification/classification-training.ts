/** How a classifier with one class a message is trained and measured. */
import { percent } from "../../format.ts";
import { balancedAccuracy, matthews, type Ranking, type Reliability } from "../../measures.ts";
import { type Confusion, countConfusions, type LabelMeasures, macroF1 } from "../../statistics.ts";
import { type Columns, type Measure, type Places, pick, shareMeasure } from "../compare.ts";
import { argmaxRows } from "../predictions.ts";
import type { LabelledRows, Training } from "../task.ts";

export interface ClassResults extends LabelMeasures {
  /** How well its probability ranks its rows; null where that is not defined, and where classes are too many. */
  ranking: Ranking | null;
}

/** What only a classifier's results have. */
export interface ClassDetails {
  /** By class id. */
  classes: ClassResults[];
  /** The class of two whose figures are given where there is one for both; null: there are more classes. */
  positive: number | null;
  /** Of this class, or the means over all, each against the rest. null: not defined for one of them. */
  rocAuc: number | null;
  prAuc: number | null;
  /** The accuracy if the most probable class were predicted of every row; absent: it is. */
  mostProbable?: number;
  calibration: Reliability;
}

export const trueClasses = (set: LabelledRows, rows: number) =>
  Array.from({ length: rows }, (_, row) => set.label(row));

const confusions = ({ truth, predicted }: Columns, at?: Places) =>
  countConfusions(pick(truth!, at), pick(predicted!, at));

/** The number of classes as far as they occur. */
const occurring = (some: readonly Confusion[]) =>
  1 + some.reduce((most, { truth, predicted }) => Math.max(most, truth, predicted), -1);

/** A figure of the confusion matrix. */
const matrixMeasure = (key: string, title: string, of: (some: Confusion[]) => number): Measure => ({
  ...{ key, title, format: (share) => percent(share), most: 1, shown: "apart" },
  of: (columns, at) => of(confusions(columns, at)),
});

const measures: Training["measures"] = /* @__PURE__ */ (() => [
  shareMeasure(
    { key: "acc", title: "Accuracy", format: (share) => percent(share), hub: "accuracy", evaluated: "accuracy" },
    ({ truth, predicted }, row) => truth![row] === predicted![row],
  ),
  { ...matrixMeasure("macro_f1", "Macro F1", macroF1), shown: "unequal", evaluated: "macroF1" },
  matrixMeasure("balanced_accuracy", "Balanced accuracy", (some) => balancedAccuracy(some, occurring(some))),
  {
    ...matrixMeasure("mcc", "MCC", (some) => matthews(some, occurring(some)) ?? Number.NaN),
    format: (value) => value.toFixed(3),
  },
])();

export const training: Training<LabelledRows> = {
  defaults: {},
  lacks: {
    labelSeparator: "a message has one class",
    stride: "messages are not cut into blocks",
  },
  labels: "class",
  measures,
  // The first of equal logits counts, as for a classifier; the device counts the target's.
  answer: argmaxRows,
  columns: (set, values) => ({ truth: trueClasses(set, values.length), predicted: Array.from(values) }),
};
