/**
 * What a classifier with several labels a message has to beat: logistic regression on TF-IDF, and the most frequent
 * set.
 */
import type { LoadedDataset } from "../data/datasets.ts";
import type { Baseline } from "../tasks/task.ts";
import { chooseStrength, STRENGTHS } from "./baselines.ts";
import { fitLogistic, type Meter, scoreRows, softmaxRows } from "./logistic.ts";
import { type Limits, TextFit } from "./text-fit.ts";

export async function fitSets(data: LoadedDataset, signal?: AbortSignal): Promise<Baseline[]> {
  const { train, test, labels } = data;
  const counts = new Map<string, number>();
  for (let row = 0; row < train.size; row++) {
    const key = train.values(row).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [frequent] = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most));
  const set = frequent.split(",").map(Number);
  const names = labels.filter((_, i) => set[i] === 1);
  return [
    await predictLabels(data, { signal }),
    {
      name: `always ${names.length > 0 ? names.join(" | ") : "no label"}`,
      values: Float32Array.from({ length: test.size * labels.length }, (_, i) => set[i % labels.length]!),
    },
  ];
}

/** One regression a label, all with the C that has the lowest loss on the validation set. */
export async function predictLabels({ train, val, test, labels }: LoadedDataset, limits?: Limits): Promise<Baseline> {
  const texts = await TextFit.begin(train, labels.length, limits);
  const read = async (set: typeof train, places: Uint32Array) => ({
    rows: await texts.read(set, places),
    labelled: (label: number) => Int32Array.from(places, (row) => set.values(row)[label]!),
  });
  const training = await read(train, texts.used);
  const validation = await read(val, val.positions());
  const zeros = labels.map(() => new Float64Array(texts.tfidf.width + 1));
  const best = await chooseStrength<Float64Array[]>(STRENGTHS, val.size, zeros, async (c, before) => {
    let loss = 0;
    const weights: Float64Array[] = [];
    for (const label of labels.keys()) {
      const own = { rows: training.rows, labels: training.labelled(label), classes: 2 };
      weights.push(await fitLogistic(own, c, before[label]!, shareOf(texts, labels.length - label)));
      const known = { labels: validation.labelled(label), classes: 2 };
      loss += softmaxRows(scoreRows(validation.rows, weights[label]!), known).loss;
    }
    return [weights, loss];
  });
  const rows = await texts.read(test);
  const scores = best.weights.map((own) => scoreRows(rows, own));
  return {
    name: `TF-IDF, a logistic regression a label (C ${best.strength})`,
    ...texts.limits,
    values: Float32Array.from({ length: test.size * labels.length }, (_, i) =>
      Number(scores[i % labels.length]![Math.floor(i / labels.length)]! > 0),
    ),
  };
}

/** What the first of so many fits may take: they have equal shares, and those after it what it leaves. */
function shareOf(texts: TextFit, fits: number): Meter {
  const keep = texts.work - texts.work / fits;
  return { take: (work) => texts.take(work, keep) };
}
