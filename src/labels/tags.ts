/** Tags: each word of a sentence has one. */
import { inOrder, NEARLY_ALL } from "./cells.ts";
import type { LabelKind } from "./kind.ts";

/** A set of sentences. */
export interface TaggedRows {
  readonly size: number;
  words(row: number): readonly string[];
  /** The tag ids of these words. */
  tags(row: number): readonly number[];
}

const TAG = /^(O|[BIESLU]-\S+)$/;

/** The tag ids of all words of a set, one sentence after the other, by the word. */
const tagWords = (set: TaggedRows, tag: (word: string) => number) =>
  Array.from({ length: set.size }, (_, row) => set.words(row).map(tag)).flat();

export const TAGS: LabelKind<TaggedRows> = {
  of: "word",
  isList: false,
  columns: [],
  recognize(classes) {
    const labels = Object.keys(classes);
    if (labels.filter((label) => TAG.test(label)).length < NEARLY_ALL * labels.length) return null;
    return { code: "tags", why: "tags of words", settings: "" };
  },
  rereads: inOrder,
  labelsOf: () => [],
  baselines({ train, test, labels }) {
    const zeros = () => labels.map(() => 0);
    const all = zeros();
    const byWord = new Map<string, number[]>();
    for (let row = 0; row < train.size; row++) {
      const tags = train.tags(row);
      for (const [i, word] of train.words(row).entries()) {
        const counts = byWord.get(word) ?? zeros();
        byWord.set(word, counts);
        counts[tags[i]!]!++;
        all[tags[i]!]!++;
      }
    }
    const mostFrequent = (counts: readonly number[]) => counts.indexOf(Math.max(...counts));
    const usual = mostFrequent(all);
    const known = new Map([...byWord].map(([word, counts]) => [word, mostFrequent(counts)]));
    return [
      { name: "the most frequent tag of each word", values: tagWords(test, (word) => known.get(word) ?? usual) },
      { name: `always ${labels[usual]}`, values: tagWords(test, () => usual) },
    ];
  },
};
