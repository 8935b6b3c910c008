/** Logits as classes and probabilities. */

/** What a classifier makes of a row. */
export interface Prediction {
  /** Position in the data set. */
  row: number;
  /** Class id of the largest logit, and its probability. */
  label: number;
  probability: number;
  probabilities: Float64Array;
}

/** Softmax in f64. Plain loops: with thousands of classes this is most of an evaluation's time. */
function softmax(logits: ArrayLike<number>): Float64Array {
  const shares = new Float64Array(logits.length);
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) largest = Math.max(largest, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    shares[i] = Math.exp(logits[i]! - largest);
    sum += shares[i]!;
  }
  for (let i = 0; i < logits.length; i++) shares[i]! /= sum;
  return shares;
}

/** The class with the largest logit of each row of logits [rows, classes]; the first of equal ones. */
export function argmaxRows(logits: Float32Array, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, i) => {
    const first = i * classes;
    let label = 0;
    for (let c = 1; c < classes; c++) if (logits[first + c]! > logits[first + label]!) label = c;
    return label;
  });
}

/** Probabilities and the most likely class of each row of logits [rows, classes]. */
export function predictions(logits: Float32Array, classes: number, firstRow = 0): Prediction[] {
  return argmaxRows(logits, classes).map((label, i) => {
    const probabilities = softmax(logits.subarray(i * classes, (i + 1) * classes));
    return { row: firstRow + i, label, probability: probabilities[label]!, probabilities };
  });
}
