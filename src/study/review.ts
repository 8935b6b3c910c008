/**
 * Labels that are probably wrong: confident learning (Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating
 * Uncertainty in Dataset Labels"), from probabilities that no row's own label has had a part in.
 */

/** A row whose given label is improbable. */
export interface Suspect {
  row: number;
  /** The class that it probably is of. */
  suggested: number;
  /** The probability of the given class minus that of the most probable other one: the lower, the worse. */
  margin: number;
}

/**
 * The highest threshold. Where a model is sure of nearly all rows, their mean is so near to 1 that a row of which it is
 * as sure can be below it.
 */
const SURE = 0.9;

/**
 * The rows of probabilities [rows, classes] that are off the diagonal of the confident joint, the worst first. A
 * class's threshold is its mean probability among the rows that are given it, at most `SURE`; a row counts for the most
 * probable of the classes whose threshold it reaches, if there is one.
 */
export function findSuspects(probabilities: ArrayLike<number>, given: readonly number[], classes: number): Suspect[] {
  const share = (row: number, label: number) => probabilities[row * classes + label]!;
  const sums = new Array<number>(classes).fill(0);
  const counts = new Array<number>(classes).fill(0);
  for (const [row, label] of given.entries()) {
    sums[label]! += share(row, label);
    counts[label]!++;
  }
  // A class that no row is given has no threshold that a row could reach.
  const thresholds = sums.map((sum, label) => (counts[label]! > 0 ? Math.min(SURE, sum / counts[label]!) : Infinity));
  const suspects = given.flatMap((label, row): Suspect[] => {
    let suggested = -1;
    for (let other = 0; other < classes; other++)
      if (share(row, other) >= thresholds[other]! && (suggested < 0 || share(row, other) > share(row, suggested)))
        suggested = other;
    if (suggested < 0 || suggested === label) return [];
    const others = Array.from({ length: classes }, (_, other) => (other === label ? -1 : share(row, other)));
    return [{ row, suggested, margin: share(row, label) - Math.max(...others) }];
  });
  return suspects.sort((a, b) => a.margin - b.margin || a.row - b.row);
}

/** The rows to look at, and the probabilities [rows, classes] by which they were found. */
export interface Review {
  suspects: readonly Suspect[];
  shares: ArrayLike<number>;
}

/**
 * The probabilities by two models of different kinds: their geometric mean. A label that both find improbable is more
 * often wrong than one that either does.
 */
export function joinShares(first: ArrayLike<number>, other: ArrayLike<number>, classes: number): Float64Array {
  const shares = Float64Array.from(first, (share, i) => Math.sqrt(share * other[i]!));
  for (let row = 0; row < shares.length; row += classes) {
    const own = shares.subarray(row, row + classes);
    const sum = own.reduce((a, b) => a + b, 0);
    for (let i = 0; i < classes; i++) own[i]! /= sum;
  }
  return shares;
}
