/** "Did you mean ...?" suggestions for mistyped words. */

/** Number of single-character insertions, deletions, substitutions and adjacent transpositions from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    [before, above, row] = [above, row, [i]];
    for (let j = 1; j <= b.length; j++) {
      let cost = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
  }
  return row[b.length]!;
}

/** Names with more characters are not mistyped words. */
const LONGEST_NAME = 100;

/**
 * The candidate nearest to `word`, ignoring case; the first one in case of a tie. Undefined if none is within an edit
 * distance of a third of the longer word (at least 1), and for texts that are no names.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const longer = Math.max(word.length, candidate.length);
    if (longer > LONGEST_NAME) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    const limit = Math.max(1, Math.floor(longer / 3));
    if (distance > limit || distance >= least) continue;
    // Any two single letters are one edit apart.
    if (distance > 0 && word.length === 1 && candidate.length === 1) continue;
    best = candidate;
    least = distance;
  }
  return best;
}

/** The hint of an error about a word that is none of `known`; undefined if it is near to none of them. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const near = nearest(word, known);
  return near && `did you mean ${near}?`;
}
