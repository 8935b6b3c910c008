/**
 * What a classifier has to beat: the most frequent class, and bag of words: logistic regression on the counts of the
 * tokenizer's tokens, with L2 (lambda 1) on all weights, as in LIBLINEAR. Deterministic: no random numbers, no learning
 * rate.
 */
import { nextTurn } from "#platform";
import type { Dataset } from "../data/dataset.ts";
import { evaluationBatches } from "../data/loader.ts";

export interface Baseline {
  name: string;
  /** The class id of each row of the test set. */
  predicted: readonly number[];
}

export async function predictBaselines(train: Dataset, test: Dataset, signal?: AbortSignal): Promise<Baseline[]> {
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
/** Limits the memory (2 bytes per token): rows beyond it are read again in every pass, with the same result. */
const MAX_KEPT = 1 << 26;
/** The first columns: the bias, and all tokens without a column of their own. */
const [BIAS, OTHERS, FIRST] = [0, 1, 2];

/** Sparse counts: the columns of each row, each as often as the row has its token. */
interface Rows {
  columns: Uint16Array;
  /** Where each row begins in `columns`, and the end of the last one. */
  starts: Uint32Array;
  labels: Int32Array;
}

/** The predicted class of each test row. The first rows of `train`, up to `maxKept` tokens, are kept in memory. */
export async function bagOfWords(
  train: Dataset,
  test: Dataset,
  signal?: AbortSignal,
  maxKept = MAX_KEPT,
): Promise<number[]> {
  const classes = train.labels.length;
  const columns: number[] = [];
  let width = FIRST;
  const known = (id: number) => columns[id] ?? OTHERS;
  const learned = (id: number) => {
    columns[id] ??= width * classes < MAX_WEIGHTS ? width++ : OTHERS;
    return columns[id]!;
  };
  const kept: Rows[] = [];
  let [tokens, size] = [0, 0];
  for (const rows of tokenColumns(train, learned)) {
    tokens += rows.columns.length;
    if (tokens > maxKept) continue;
    kept.push(rows);
    size += rows.labels.length;
  }
  const others = train.select(train.positions().subarray(size));
  const all = function* () {
    yield* kept;
    yield* tokenColumns(others, known);
  };
  // A bound of the Hessian's diagonal blocks (Böhning 1992; 2 |x_j x_k| <= x_j² + x_k²): each weight has a step of its
  // own, and the loss cannot diverge.
  const curvature = new Float64Array(width).fill(LAMBDA);
  for (const { columns: of, starts, labels } of all())
    for (let b = 0; b < labels.length; b++)
      for (let i = starts[b]!; i < starts[b + 1]!; i++) curvature[of[i]!]! += (starts[b + 1]! - starts[b]!) / 2;
  const zeros = () => new Float64Array(width * classes);
  const [weights, ahead, gradient] = [zeros(), zeros(), zeros()];
  const errors = new Float64Array(classes);
  let inertia = 1;
  for (let pass = 0; pass < PASSES; pass++) {
    await nextTurn();
    signal?.throwIfAborted();
    gradient.fill(0);
    for (const rows of all())
      for (let b = 0; b < rows.labels.length; b++) addGradient(gradient, ahead, rows, b, errors);
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
  const scores = new Float64Array(classes);
  return [...tokenColumns(test, known)].flatMap((rows) =>
    Array.from(rows.labels, (_, b) => {
      score(scores, weights, rows, b);
      return scores.indexOf(Math.max(...scores));
    }),
  );
}

/** The rows of a set, some at a time; `findColumn` a token's id. */
function* tokenColumns(set: Dataset, findColumn: (id: number) => number): Generator<Rows> {
  for (const { ids, starts, lengths, labels } of evaluationBatches(set, { tokens: Infinity, sequences: 256 })) {
    const bounds = new Uint32Array(labels.length + 1);
    for (let b = 0; b < labels.length; b++) bounds[b + 1] = bounds[b]! + lengths[b]! + 1;
    const columns = new Uint16Array(bounds.at(-1)!).fill(BIAS);
    for (let b = 0; b < labels.length; b++)
      for (let i = 0; i < lengths[b]!; i++) columns[bounds[b]! + 1 + i] = findColumn(ids[starts[b]! + i]!);
    yield { columns, starts: bounds, labels };
  }
}

/** Fills `scores` [classes] with row `b`'s. */
function score(scores: Float64Array, weights: Float64Array, { columns, starts }: Rows, b: number): void {
  const classes = scores.length;
  scores.fill(0);
  for (let i = starts[b]!, end = starts[b + 1]!; i < end; i++) {
    const first = columns[i]! * classes;
    for (let k = 0; k < classes; k++) scores[k]! += weights[first + k]!;
  }
}

/** Adds the gradient of row `b`'s cross-entropy; `errors` [classes] is overwritten. */
function addGradient(gradient: Float64Array, weights: Float64Array, rows: Rows, b: number, errors: Float64Array): void {
  const { columns, starts, labels } = rows;
  const classes = errors.length;
  score(errors, weights, rows, b);
  let largest = -Infinity;
  for (let k = 0; k < classes; k++) largest = Math.max(largest, errors[k]!);
  let sum = 0;
  for (let k = 0; k < classes; k++) {
    errors[k] = Math.exp(errors[k]! - largest);
    sum += errors[k]!;
  }
  for (let k = 0; k < classes; k++) errors[k] = errors[k]! / sum - (k === labels[b] ? 1 : 0);
  for (let i = starts[b]!, end = starts[b + 1]!; i < end; i++) {
    const first = columns[i]! * classes;
    for (let k = 0; k < classes; k++) gradient[first + k]! += errors[k]!;
  }
}
