/**
 * The measure by which cells are compared on the test set: accuracy of classifiers, RMSE of regressions, perplexity of
 * language models.
 */
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/texts.ts";
import type { TextLosses } from "../engine/evaluate.ts";
import { formatCount, formatPerplexity, formatScore, percent } from "../format.ts";
import { rootMeanSquare } from "../score-measures.ts";
import {
  bootstrap,
  bootstrapP,
  type Estimate,
  type Interval,
  mcnemar,
  percentiles95,
  SAMPLES,
  type Tested,
  type Verdict,
  wilson,
} from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import type { TrialRecord } from "./store.ts";

export interface Measure {
  /** "accuracy" */
  name: string;
  /** The largest possible value. */
  most: number;
  of(evaluation: Evaluation): number;
  show(value: number): string;
  /** The 95 % interval of the mean over the seeds, whose trials these are: more seeds do not narrow it. */
  interval(trials: readonly TrialRecord[]): Interval;
  /** Compares two cells. */
  compare(first: readonly TrialRecord[], second: readonly TrialRecord[]): Comparison;
  /** The columns of `Comparison.figures`. */
  figures: readonly { title: string; key: string; interval?: true; format(value: number): string }[];
  /** How intervals and comparisons are made, in sentences. */
  about: { intervals: string; comparisons: string };
}

interface Comparison extends Tested {
  figures: (number | Estimate)[];
}

const FIRST_MINUS_SECOND = { title: "First minus second", key: "first minus second", interval: true } as const;

export function chooseMeasure(data: TrainingData, trials: readonly TrialRecord[]): Measure {
  if (data.objective === "lm") return perplexityOn(trials[0]!.results.texts!);
  return data.objective === "regression" ? errorOn(data) : accuracyOn(data);
}

/** Whether each row is right; where messages have several labels, whether it has exactly its own. */
const trialVerdicts = ({ results: { test, multiLabel } }: TrialRecord) => test?.verdicts ?? multiLabel!.verdicts;

/** The accuracy on the rows of a test set. */
function accuracyOn({ test, objective }: LoadedDataset): Measure {
  /** Whether each row is classified correctly by the majority of the seeds; undecided in case of a tie. */
  const majorityVerdicts = (trials: readonly TrialRecord[]): Verdict[] =>
    Array.from({ length: test.size }, (_, row) => {
      const right = trials.filter((trial) => trialVerdicts(trial)[row] === 1).length;
      return 2 * right === trials.length ? null : 2 * right > trials.length;
    });
  return {
    name: objective === "classification" ? "accuracy" : "exact match",
    most: 1,
    of: ({ accuracy }) => accuracy!,
    show: percent,
    interval: (trials) => {
      const right =
        trials.reduce((sum, { results }) => sum + results.after.test.accuracy! * test.size, 0) / trials.length;
      return wilson(right, test.size);
    },
    compare: (first, second) => {
      const test = mcnemar(majorityVerdicts(first), majorityVerdicts(second));
      return { ...test, figures: [test.difference, test.onlyFirst, test.onlySecond, test.undecided] };
    },
    figures: [
      { ...FIRST_MINUS_SECOND, format: percent },
      { title: "Only the first correct", key: "only the first correct", format: formatCount },
      { title: "Only the second correct", key: "only the second correct", format: formatCount },
      { title: "Undecided", key: "undecided", format: formatCount },
    ],
    about: {
      intervals:
        `Accuracies are means over the seeds. Their 95 % intervals are Wilson's for ${test.size} test rows, of which one is ` +
        `${(100 / test.size).toFixed(1)} percentage points; more seeds do not narrow them. sd is the standard deviation over the seeds.`,
      comparisons:
        "McNemar's exact test on the same test rows. Each row is decided by the majority of the seeds; one that exactly half of " +
        "a setting's seeds classify correctly is undecided, and excluded from its comparisons. The difference in accuracy has " +
        "Newcombe's 95 % interval for pairs, of one comparison alone",
    },
  };
}

/** The root of the mean squared error on the rows of a test set. */
function errorOn({ test: { size } }: LoadedDataset): Measure {
  const error = (trials: readonly TrialRecord[], rows?: ArrayLike<number>) =>
    trials.reduce((sum, { results }) => sum + rootMeanSquare(results.scores!.errors, rows), 0) / trials.length;
  return {
    name: "RMSE",
    most: Infinity,
    of: ({ loss }) => Math.sqrt(loss),
    show: formatScore,
    interval: (trials) => percentiles95(bootstrap(size, SAMPLES.interval, (rows) => error(trials, rows))),
    compare: (first, second) => {
      const differences = bootstrap(size, SAMPLES.p, (rows) => error(first, rows) - error(second, rows));
      const value = error(first) - error(second);
      const figures = [{ value, ...percentiles95(differences) }];
      return { figures, p: bootstrapP(differences), firstIsBetter: value < 0 };
    },
    figures: [{ ...FIRST_MINUS_SECOND, format: formatScore }],
    about: {
      intervals:
        `The RMSE is a mean over the seeds. Its 95 % intervals are percentiles of the bootstrap: ${SAMPLES.interval} seeded ` +
        `samples of the ${size} test rows, drawn with replacement. sd is the standard deviation over the seeds.`,
      comparisons: `the paired bootstrap: the difference in RMSE on ${SAMPLES.p} seeded samples of the same test rows`,
    },
  };
}

type Ratio = (texts: TextLosses, rows: Uint32Array) => number;

function lossPer(counts: readonly number[], { loss }: TextLosses, rows: Uint32Array): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < rows.length; i++) {
    sum += loss[rows[i]!]!;
    count += counts[rows[i]!]!;
  }
  return sum / count;
}

/** The perplexity of some texts, and the bits for a byte of them. */
const perplexityRatio: Ratio = (texts, rows) => Math.exp(lossPer(texts.tokens, texts, rows));
const bitsPerByte: Ratio = (texts, rows) => lossPer(texts.bytes, texts, rows) / Math.LN2;

/** The mean of a ratio over a cell's seeds. */
function meanRatio(trials: readonly TrialRecord[], of: Ratio, rows: Uint32Array): number {
  return trials.reduce((sum, { results }) => sum + of(results.texts!, rows), 0) / trials.length;
}

/** The bootstrap interval of the bits per byte of a cell. */
export function bitsInterval(trials: readonly TrialRecord[]): Interval {
  const { length } = trials[0]!.results.texts!.loss;
  return percentiles95(bootstrap(length, SAMPLES.interval, (rows) => meanRatio(trials, bitsPerByte, rows)));
}

function perplexityOn({ of, loss: { length } }: TextLosses): Measure {
  const perplexity = (trials: readonly TrialRecord[], rows: Uint32Array) => meanRatio(trials, perplexityRatio, rows);
  return {
    name: "perplexity",
    most: Infinity,
    of: (evaluation) => evaluation.perplexity!,
    show: formatPerplexity,
    interval: (trials) => percentiles95(bootstrap(length, SAMPLES.interval, (rows) => perplexity(trials, rows))),
    compare: (first, second) => {
      const differences = bootstrap(length, SAMPLES.p, (rows) => perplexity(first, rows) - perplexity(second, rows));
      const all = Uint32Array.from({ length }, (_, row) => row);
      const value = perplexity(first, all) - perplexity(second, all);
      const figures = [{ value, ...percentiles95(differences) }];
      return { figures, p: bootstrapP(differences), firstIsBetter: value < 0 };
    },
    figures: [{ ...FIRST_MINUS_SECOND, format: (value) => value.toPrecision(3) }],
    about: {
      intervals:
        `Perplexity and bits per byte are means over the seeds. Their 95 % intervals are percentiles of the bootstrap: ` +
        `${SAMPLES.interval} seeded samples of the ${length} test ${of}, drawn with replacement. sd is the standard deviation over the seeds.` +
        (of === "blocks"
          ? " The test set has fewer than 20 documents, so that blocks are drawn in place of documents."
          : ""),
      comparisons: `the paired bootstrap: the difference in perplexity on ${SAMPLES.p} seeded samples of the same test ${of}`,
    },
  };
}
