/**
 * Finds near copies: texts that share most of their trigrams. Stronger than the program's own near-duplicates
 * (src/data/duplicates.ts), which differ only in numbers, punctuation, white space and case.
 */

/** Two texts are near copies if the Jaccard similarity of their trigrams, |a and b| / |a or b|, is at least this. */
export const SIMILARITY = 0.7;

const ROUNDING = 1e-9;

/** The trigrams of a text's lower-case letters, with one space between words; of a text without letters, itself. */
export function trigrams(text) {
  const words = text
    .toLowerCase()
    .replace(/[^\p{L}]+/gu, " ")
    .trim();
  if (words === "") return new Set([text.trim()]);
  return new Set(Array.from(words, (_, i) => ` ${words} `.slice(i, i + 3)));
}

/** Whether two sets of numbers, in ascending order, are similar. Ends as soon as too few numbers are left. */
function areSimilar(a, b) {
  const enough = Math.ceil((SIMILARITY / (1 + SIMILARITY)) * (a.length + b.length) - ROUNDING);
  let shared = 0;
  for (let i = 0, j = 0; shared + Math.min(a.length - i, b.length - j) >= enough; ) {
    if (i === a.length || j === b.length) return true;
    if (a[i] === b[j]) shared++;
    if (a[i] <= b[j]) i++;
    else j++;
  }
  return false;
}

/**
 * For each text, the position of the first earlier text of which it is a near copy, or -1. Only texts that share one of
 * their rarest trigrams are compared: without these, too few are left to be similar (prefix filtering, Chaudhuri et al.
 * 2006).
 */
export function nearCopies(texts) {
  const sets = texts.map(trigrams);
  const frequency = new Map();
  for (const set of sets) for (const trigram of set) frequency.set(trigram, (frequency.get(trigram) ?? 0) + 1);
  const byFrequency = [...frequency.keys()].sort((a, b) => frequency.get(a) - frequency.get(b));
  const rank = new Map(byFrequency.map((trigram, i) => [trigram, i]));
  const ranks = sets.map((set) => Uint32Array.from(set, (trigram) => rank.get(trigram)).sort());
  /** The texts so far with this one among their rarest. */
  const seen = byFrequency.map(() => []);
  return ranks.map((own, i) => {
    const rarest = own.subarray(0, own.length - Math.ceil(SIMILARITY * own.length - ROUNDING) + 1);
    let first = -1;
    const compared = new Set();
    for (const trigram of rarest) {
      for (const other of seen[trigram]) {
        if ((first !== -1 && other > first) || compared.has(other)) continue;
        compared.add(other);
        if (areSimilar(own, ranks[other])) first = other;
      }
      seen[trigram].push(i);
    }
    return first;
  });
}
