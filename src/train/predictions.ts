/** What logits say of classes. */

export interface Prediction {
  /** Position in the data set. */
  row: number;
  /** Class id of the largest logit, and its probability. */
  label: number;
  probability: number;
  probabilities: Float64Array;
}

/** Softmax in f64. */
export function softmax(logits: ArrayLike<number>): Float64Array {
  const largest = Array.from(logits).reduce((a, b) => Math.max(a, b), -Infinity);
  const exps = Float64Array.from(logits, (x) => Math.exp(x - largest));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((x) => x / sum);
}

/** Probabilities and the most likely class of each row of logits [rows, classes]. */
export function predictions(logits: Float32Array, classes: number, firstRow = 0): Prediction[] {
  return Array.from({ length: logits.length / classes }, (_, i) => {
    const probabilities = softmax(logits.subarray(i * classes, (i + 1) * classes));
    const label = probabilities.reduce((best, p, c) => (p > probabilities[best]! ? c : best), 0);
    return { row: firstRow + i, label, probability: probabilities[label]!, probabilities };
  });
}
