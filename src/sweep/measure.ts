/** What the cells of a sweep are compared by on the test set: the accuracy of classifiers. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import { type Interval, mcnemar, type Verdict, wilson } from "../report/statistics.ts";
import type { TrialResult } from "./store.ts";

export interface Measure {
  /** "accuracy": with `unit` a heading or an axis. */
  name: string;
  unit: string;
  /** The largest possible value. */
  most: number;
  of(evaluation: Evaluation): number;
  show(value: number): string;
  /** The 95 % interval of the mean over the seeds, whose trials these are: more seeds do not narrow it. */
  interval(trials: readonly TrialResult[]): Interval;
  /** Compares two cells. */
  compare(first: readonly TrialResult[], second: readonly TrialResult[]): Comparison;
  /** The headers of `Comparison.figures`. */
  figures: string[];
  /** How intervals and comparisons are made, in sentences. */
  about: { intervals: string; comparisons: string };
}

export interface Comparison {
  figures: (string | number)[];
  /** Two-sided p-value, not corrected. */
  p: number;
  firstIsBetter: boolean;
}

export const percent = (share: number) => (100 * share).toFixed(1);

/** The accuracy on the rows of a test set. */
export function accuracyOn({ test }: LoadedDataset): Measure {
  const truth = Array.from({ length: test.size }, (_, row) => test.label(row));
  /** Whether each row is classified correctly by the majority of the seeds; undecided in case of a tie. */
  const verdictsOf = (trials: readonly TrialResult[]): Verdict[] =>
    truth.map((label, row) => {
      const right = trials.filter(({ predicted }) => predicted[row] === label).length;
      return 2 * right === trials.length ? null : 2 * right > trials.length;
    });
  return {
    name: "accuracy",
    unit: "%",
    most: 1,
    of: ({ accuracy }) => accuracy,
    show: percent,
    interval: (trials) => {
      const right = trials.reduce((sum, { after }) => sum + after.test.accuracy * test.size, 0) / trials.length;
      return wilson(right, test.size);
    },
    compare: (first, second) => {
      const { onlyFirst, onlySecond, undecided, p } = mcnemar(verdictsOf(first), verdictsOf(second));
      return { figures: [onlyFirst, onlySecond, undecided], p, firstIsBetter: onlyFirst > onlySecond };
    },
    figures: ["only the first correct", "only the second correct", "undecided"],
    about: {
      intervals:
        `Accuracies are means over the seeds. Their 95 % intervals are Wilson's for ${test.size} test rows, of which one is ` +
        `${percent(1 / test.size)} percentage points; more seeds do not narrow them. sd is the standard deviation over the seeds.`,
      comparisons:
        "McNemar's exact test on the same test rows. Each row is decided by the majority of the seeds; one that exactly half of " +
        "a setting's seeds classify correctly is undecided, and excluded from its comparisons",
    },
  };
}
