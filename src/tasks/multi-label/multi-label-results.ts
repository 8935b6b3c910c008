/** Makes and measures the answers of a classifier with several labels a message. */
import { countRows } from "../compare.ts";
import { labelThreshold, sigmoid } from "../predictions.ts";
import { type LabelledRows, type Measuring, MISTAKES } from "../task.ts";
import { chooseThreshold, parseThreshold } from "../threshold.ts";
import { isExact, trueValues } from "./multi-label-training.ts";

const SAMPLED = 3;

export const measuring: Measuring<LabelledRows> = {
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
