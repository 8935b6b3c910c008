/** Baselines of a run on messages: a classic model, and the same answer for all. */

import { fitClassic } from "../classic/fit.ts";
import type { ClassicModel } from "../classic/model.ts";
import { setTexts } from "../classic/tfidf.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTagged, Tagged } from "../data/text/tagged.ts";
import { meanScore } from "../tasks/regression/regression-training.ts";
import type { Baseline, LabelKind } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";

/** The baselines of a run, and the model that is one of them; null: there is none. */
export interface FittedBaselines {
  baselines: Baseline[];
  classic: ClassicModel | null;
}

type Sets = Pick<LoadedDataset, "train" | "val" | "test" | "labels" | "objective" | "pairs">;

export async function fitBaselines(data: Sets, signal?: AbortSignal): Promise<FittedBaselines> {
  const classic = await fitClassic(data, signal);
  return { classic, baselines: [...(classic ? [await answers(classic, data)] : []), simplestBaseline(data)] };
}

export const simplestBaseline = (data: Sets): Baseline =>
  SIMPLEST[TRAINING[data.objective].labels as keyof typeof SIMPLEST](data);

async function answers(classic: ClassicModel, { objective, test, labels }: Sets): Promise<Baseline> {
  const { name, limits } = classic.parts;
  const logits = await classic.logits([...setTexts(test, test.positions())], labels);
  return { name, ...(limits ? { limits } : {}), values: TRAINING[objective].answer!(logits, labels.length) };
}

/** The most frequent class or set of labels, or the mean of the scores. */
const SIMPLEST: Record<Exclude<LabelKind, "tags">, (data: Sets) => Baseline> = {
  class({ train, test, labels }) {
    const classes = train.classes();
    const counts = labels.map((label) => classes[label]!);
    const majority = counts.indexOf(Math.max(...counts));
    return { name: `always ${labels[majority]}`, values: new Array<number>(test.size).fill(majority) };
  },
  set({ train, test, labels }) {
    const counts = new Map<string, number>();
    for (let row = 0; row < train.size; row++) {
      const key = train.values(row).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const [frequent] = [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
    const set = frequent.split(",").map(Number);
    const names = labels.filter((_, i) => set[i] === 1);
    return {
      name: `always ${names.length > 0 ? names.join(" | ") : "no label"}`,
      values: Float32Array.from({ length: test.size * labels.length }, (_, i) => set[i % labels.length]!),
    };
  },
  score({ train, test }) {
    const mean = meanScore(train);
    return { name: `always the mean, ${Number(mean.toPrecision(4))}`, values: new Float64Array(test.size).fill(mean) };
  },
};

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
