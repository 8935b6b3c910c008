/** What a classifier has to beat: logistic regression on TF-IDF, and the most frequent class. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { Baseline } from "../tasks/task.ts";
import { fitLogistic, scoreRows, softmaxRows, weightColumns } from "./logistic.ts";
import { type Limits, TextFit } from "./text-fit.ts";

type Sets = Pick<LoadedDataset, "train" | "val" | "test">;

/** Values of C in the order in which they are tried, and scikit-learn's default. */
export const STRENGTHS = { usual: 1, tried: [0.1, 1, 10, 100, 1000] };

/** By data: all runs on it have the same. */
const fitted = new WeakMap<Sets, Promise<Baseline[]>>();

export async function fitClasses(sets: Sets, signal?: AbortSignal): Promise<Baseline[]> {
  // What the signal of another run has ended is begun again.
  const known = await fitted.get(sets)?.catch(() => undefined);
  if (known) return known;
  const own = predictClasses(sets, signal);
  fitted.set(sets, own);
  return own;
}

async function predictClasses(sets: Sets, signal?: AbortSignal): Promise<Baseline[]> {
  const { train, test } = sets;
  const classes = train.classes();
  const counts = train.labels.map((label) => classes[label]!);
  const majority = counts.indexOf(Math.max(...counts));
  const tfidf = await predictTfidf(sets, { signal });
  return [
    ...(tfidf ? [nameTfidf(tfidf)] : []),
    { name: `always ${train.labels[majority]}`, values: new Array<number>(test.size).fill(majority) },
  ];
}

const nameTfidf = ({ c, scores: _, ...rest }: TfidfBaseline): Baseline => ({
  name: `TF-IDF, logistic regression (C ${c})`,
  ...rest,
});

interface TfidfBaseline extends Omit<Baseline, "name"> {
  c: number;
  /** [rows, k] that the classes follow from. */
  scores: Float64Array;
}

/**
 * Of the classes that have training rows; null if there are no two. C is the one with the lowest validation loss:
 * larger ones are tried until it rises.
 */
export async function predictTfidf({ train, val, test }: Sets, limits?: Limits): Promise<TfidfBaseline | null> {
  const fit = await TextFit.begin(train, weightColumns(train.labels.length), limits);
  const present = [...new Set(Array.from(fit.used, (row) => train.label(row)))].sort((a, b) => a - b);
  const classes = present.length;
  if (classes < 2) return null;
  const read = async (set: Sets["train"], rows: Uint32Array) => ({
    rows: await fit.read(set, rows),
    labels: Int32Array.from(rows, (row) => present.indexOf(set.label(row))),
    classes,
  });
  const known = val.positions().filter((row) => present.includes(val.label(row)));
  const [training, validation] = [await read(train, fit.used), await read(val, known)];
  const zeros = new Float64Array((fit.tfidf.width + 1) * weightColumns(classes));
  const best = await chooseStrength<Float64Array>(STRENGTHS, known.length, zeros, async (c, before) => {
    const weights = await fitLogistic(training, c, before, fit);
    return [weights, softmaxRows(scoreRows(validation.rows, weights), validation).loss];
  });
  const scores = scoreRows(await fit.read(test), best.weights);
  const values = highest(scores, classes).map((column) => present[column]!);
  return { c: best.strength, ...fit.limits, values, scores };
}

/** The class with the highest score of each row, the first of equal ones. The first of two has a score of 0. */
function highest(scores: Float64Array, classes: number): number[] {
  const k = weightColumns(classes);
  return Array.from({ length: scores.length / k }, (_, row) => {
    const own = scores.subarray(row * k, row * k + k);
    return k < classes ? Number(own[0]! > 0) : own.indexOf(Math.max(...own));
  });
}

/**
 * The strength of a penalty with the lowest loss on the validation set: they are tried in their order until it rises.
 * Without validation rows it is the usual one. `fit`: gives weights, from the best ones before, and their loss.
 */
export async function chooseStrength<Weights>(
  { usual, tried }: { usual: number; tried: readonly number[] },
  rows: number,
  initial: Weights,
  fit: (strength: number, before: Weights) => Promise<[weights: Weights, loss: number]>,
): Promise<{ strength: number; weights: Weights }> {
  let best = { strength: usual, weights: initial, loss: Infinity };
  for (const strength of rows > 0 ? tried : [usual]) {
    const [weights, loss] = await fit(strength, best.weights);
    if (loss >= best.loss) break;
    best = { strength, weights, loss };
  }
  return best;
}
