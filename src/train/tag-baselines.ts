/** What a token classifier has to beat: the most frequent tag of each word, and of all words. */
import type { LoadedTagged, Tagged } from "../data/text/tagged.ts";
import type { FittedBaselines } from "./baselines.ts";

/** The tag ids of all words of a set, one sentence after the other, by the word. */
const tagWords = (set: Tagged, tag: (word: string) => number) =>
  Array.from({ length: set.size }, (_, row) => set.words(row).map(tag)).flat();

export async function fitTags({ train, test, labels }: LoadedTagged): Promise<FittedBaselines> {
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
  const baselines = [
    { name: "the most frequent tag of each word", values: tagWords(test, (word) => known.get(word) ?? usual) },
    { name: `always ${labels[usual]}`, values: tagWords(test, () => usual) },
  ];
  return { baselines, classic: null };
}
