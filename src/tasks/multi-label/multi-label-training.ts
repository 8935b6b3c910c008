/** How a classifier with several labels a message is trained and measured. */

import { percent } from "../../core/format.ts";
import { f1Of, type Hits } from "../../core/statistics.ts";
import { SET } from "../../labels/set.ts";
import { type Columns, countRows, type Places, sampledMeasure, shareMeasure } from "../compare.ts";
import { labelThreshold, sigmoid } from "../predictions.ts";
import { type LabelledRows, MISTAKES, type Training } from "../task.ts";
import { chooseThreshold, parseThreshold } from "../threshold.ts";

/** What every label of a set's first rows should be [rows, labels]. */
const trueValues = (set: LabelledRows, rows = set.size) =>
  Float32Array.from(Array.from({ length: rows }, (_, row) => [...set.values(row)]).flat());

/**
 * The columns of rows of labels [rows, labels]: how many are right, and how many are there and predicted, together; and
 * of each label, whether it is there (1) and predicted (2).
 */
export function labelColumns(truth: ArrayLike<number>, predicted: ArrayLike<number>, labels: number): Columns {
  const rows = truth.length / labels;
  const code = (row: number, label: number) => truth[row * labels + label]! + 2 * predicted[row * labels + label]!;
  const codes = Array.from({ length: labels }, (_, label) =>
    Array.from({ length: rows }, (_, row) => code(row, label)),
  );
  const count = (weight: (code: number) => number) =>
    Array.from({ length: rows }, (_, row) => codes.reduce((sum, column) => sum + weight(column[row]!), 0));
  return {
    right: count((one) => Number(one === 3)),
    both: count((one) => (one & 1) + (one >> 1)),
    ...Object.fromEntries(codes.map((column, label) => [`label ${label}`, column])),
  };
}

export function hitsOf({ right: _, both: __, ...labels }: Columns, at?: Places): Hits[] {
  return Object.values(labels).map((codes) => {
    const seen = [0, 0, 0, 0];
    const { length } = at ?? codes;
    for (let i = 0; i < length; i++) seen[codes[at ? at[i]! : i]!]!++;
    const [, missed, wrong, right] = seen as [number, number, number, number];
    return { there: missed + right, named: wrong + right, right };
  });
}

/** F1 of all rows together. */
function microF1({ right, both }: Columns, at?: Places): number {
  const { length } = at ?? right!;
  let [hits, all] = [0, 0];
  for (let i = 0; i < length; i++) {
    const row = at ? at[i]! : i;
    hits += right![row]!;
    all += both![row]!;
  }
  return hits === 0 ? 0 : (2 * hits) / all;
}

/** Whether a row has all of its labels and no other. */
export const isExact = ({ right, both }: Columns, row: number) => 2 * right![row]! === both![row];

const SHARE = { format: (share: number) => percent(share), most: 1, isShare: true } as const;

const measures: Training["measures"] = /* @__PURE__ */ (() => [
  sampledMeasure({ key: "micro_f1", title: "Micro F1", hub: "f1", ...SHARE, evaluated: "microF1" }, microF1),
  shareMeasure({ key: "exact", title: "Exact match", ...SHARE, evaluated: "accuracy" }, isExact),
  sampledMeasure(
    { key: "macro_f1", title: "Macro F1", ...SHARE, evaluated: "macroF1" },
    (columns, at) => f1Of(hitsOf(columns, at)).macroF1,
  ),
])();

export const training: Training<LabelledRows> = {
  defaults: { classWeights: "none" },
  lacks: {
    corrections: "a message has several labels",
    stride: "messages are not cut into blocks",
    balance: "a message has several labels",
    "split stratified": "a message has several labels",
    "split experiment": "a message has several labels",
    classWeights: "a message has several labels",
    calibrate: "a temperature is for one class a message",
    positive: "each label has a threshold",
  },
  labels: SET,
  measures,
  answer: (logits) => logits.map((logit) => Number(logit > 0)),
  columns: (set, values, labels) => labelColumns(trueValues(set, values.length / labels), values, labels),
  stored: {
    answer: "texts",
    columns: (labels) => ({
      ...{ right: Infinity, both: Infinity },
      ...Object.fromEntries(Array.from({ length: labels }, (_, label) => [`label ${label}`, 4])),
    }),
    details: {},
  },
  /** A threshold of each label; that of a label which cannot reach what is asked is the usual one. */
  choose({ labels, options }, val, logits) {
    const rule = parseThreshold(options.threshold);
    const [probabilities, truth] = [logits.map(sigmoid), trueValues(val)];
    const column = (all: ArrayLike<number>, label: number) =>
      Array.from({ length: val.size }, (_, row) => all[row * labels.length + label]!);
    return {
      thresholds: labels.map((_, label) => {
        const chosen = rule && chooseThreshold(rule, column(probabilities, label), column(truth, label));
        return chosen?.threshold ?? labelThreshold({}, label);
      }),
    };
  },
  predict(logits, { labels }, decision) {
    const probabilities = logits.map(sigmoid);
    const thresholds = labels.map((_, label) => labelThreshold(decision ?? {}, label));
    const values = probabilities.map((probability, i) => Number(probability >= thresholds[i % labels.length]!));
    return { values, probabilities };
  },
  answers(set, { values, probabilities }, { labels }) {
    const name = (all: ArrayLike<number>, row: number) =>
      labels.filter((_, label) => all[row * labels.length + label] === 1);
    const truth = trueValues(set);
    const rows = Array.from({ length: set.size }, (_, row) => row);
    return {
      truth: rows.map((row) => name(truth, row)),
      predicted: rows.map((row) => name(values, row)),
      probabilities: probabilities!,
    };
  },
  describe(_, { columns }) {
    const rows = [...Array(countRows(columns)).keys()];
    const [exact, wrong] = [true, false].map((one) => rows.filter((row) => isExact(columns, row) === one)) as [
      number[],
      number[],
    ];
    return {
      samples: exact.slice(0, SAMPLED),
      mistakes: wrong.slice(0, MISTAKES),
      preferred: [...exact, ...wrong],
      details: {},
    };
  },
};

const SAMPLED = 3;
