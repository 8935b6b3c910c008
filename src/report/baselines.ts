/**
 * What a classifier has to beat: always saying the most frequent class, and bag of words: logistic regression on the counts of the
 * tokenizer's tokens, with L2 (lambda 1) on all weights, as in LIBLINEAR. Deterministic: no random numbers, no learning rate.
 */
import { nextTurn } from "#platform";
import type { Dataset } from "../data/dataset.ts";
import { evaluationBatches } from "../data/loader.ts";

export interface Baseline {
  name: string;
  /** The class id of each row of the test set. */
  predicted: readonly number[];
}

export async function baselinesOf(train: Dataset, test: Dataset, signal?: AbortSignal): Promise<Baseline[]> {
  const classes = train.classes();
  const counts = train.labels.map((label) => classes[label]!);
  const majority = counts.indexOf(Math.max(...counts));
  return [
    { name: "bag of words", predicted: await bagOfWords(train, test, signal) },
    { name: `always ${train.labels[majority]}`, predicted: new Array<number>(test.size).fill(majority) },
  ];
}

const PASSES = 100;
const LAMBDA = 1;
/** Limits the memory: with many classes, tokens that first occur late have no weights of their own. */
const MAX_WEIGHTS = 1 << 22;
/** The first columns: the bias, and all tokens without a column of their own. */
const [BIAS, OTHERS, FIRST] = [0, 1, 2];

/** The predicted class of each test row. Reads the rows in every pass, so that the memory does not depend on their number. */
async function bagOfWords(train: Dataset, test: Dataset, signal?: AbortSignal): Promise<number[]> {
  const classes = train.labels.length;
  const columns: number[] = [];
  let width = FIRST;
  for (const { ids } of rowsOf(train))
    for (const id of ids) columns[id] ??= width * classes < MAX_WEIGHTS ? width++ : OTHERS;
  // A bound of the Hessian's diagonal blocks (Böhning 1992; 2 |x_j x_k| <= x_j² + x_k²): each weight has a step of its own, and
  // the loss cannot diverge.
  const curvature = new Float64Array(width).fill(LAMBDA);
  for (const { features } of rowsOf(train, columns)) for (const j of features) curvature[j]! += features.length / 2;
  const zeros = () => new Float64Array(width * classes);
  const [weights, ahead, gradient] = [zeros(), zeros(), zeros()];
  let inertia = 1;
  for (let pass = 0; pass < PASSES; pass++) {
    await nextTurn();
    signal?.throwIfAborted();
    gradient.fill(0);
    for (const { features, label } of rowsOf(train, columns)) {
      const errors = scoresOf(ahead, features, classes);
      const largest = Math.max(...errors);
      const sum = errors.reduce((total, score) => total + Math.exp(score - largest), 0);
      for (let k = 0; k < classes; k++) errors[k] = Math.exp(errors[k]! - largest) / sum - (k === label ? 1 : 0);
      for (const j of features) for (let k = 0; k < classes; k++) gradient[j * classes + k]! += errors[k]!;
    }
    // Nesterov's momentum, which restarts where it leads uphill (O'Donoghue and Candès 2015).
    const next = (1 + Math.sqrt(1 + 4 * inertia * inertia)) / 2;
    let uphill = 0;
    for (let i = 0; i < weights.length; i++) {
      const slope = gradient[i]! + LAMBDA * ahead[i]!;
      const step = ahead[i]! - slope / curvature[Math.floor(i / classes)]! - weights[i]!;
      uphill += slope * step;
      weights[i]! += step;
      ahead[i] = weights[i]! + ((inertia - 1) / next) * step;
    }
    inertia = uphill > 0 ? 1 : next;
  }
  return Array.from(rowsOf(test, columns), ({ features }) => {
    const scores = scoresOf(weights, features, classes);
    return scores.indexOf(Math.max(...scores));
  });
}

/** The rows of a set: tokens, the columns of the bias and of each token, and the class. */
function* rowsOf(set: Dataset, columns: readonly number[] = []) {
  for (const { ids: all, starts, lengths, labels } of evaluationBatches(set, { tokens: Infinity, sequences: 256 }))
    for (let b = 0; b < labels.length; b++) {
      const ids = all.subarray(starts[b], starts[b]! + lengths[b]!);
      const features = new Uint32Array(ids.length + 1).fill(BIAS);
      for (let i = 0; i < ids.length; i++) features[i + 1] = columns[ids[i]!] ?? OTHERS;
      yield { ids, features, label: labels[b]! };
    }
}

function scoresOf(weights: Float64Array, features: Uint32Array, classes: number): Float64Array {
  const scores = new Float64Array(classes);
  for (const j of features) for (let k = 0; k < classes; k++) scores[k]! += weights[j * classes + k]!;
  return scores;
}
