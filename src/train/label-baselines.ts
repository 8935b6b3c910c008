/**
 * What a classifier with several labels a message has to beat: logistic regression on TF-IDF, and the most frequent
 * set.
 */
import type { LoadedDataset } from "../data/datasets.ts";
import { fitLogistic, type Meter, scoreRows, softmaxRows } from "./logistic.ts";
import { type Limits, TextFit } from "./text-fit.ts";

export interface LabelBaseline {
  name: string;
  /** What its fit left out. */
  limits?: string;
  /** 1 where a label is predicted [rows, labels]. */
  values: Float32Array;
}

export async function predictLabels(data: LoadedDataset, limits?: Limits): Promise<LabelBaseline[]> {
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
    await predictTfidf(data, limits),
    {
      name: `always ${names.length > 0 ? names.join(" | ") : "no label"}`,
      values: Float32Array.from({ length: test.size * labels.length }, (_, i) => set[i % labels.length]!),
    },
  ];
}

/** Values of C in the order in which they are tried; without validation rows scikit-learn's default. */
const STRENGTHS = [0.1, 1, 10, 100, 1000];
const DEFAULT_STRENGTH = 1;

/** One regression a label, all with the C that has the lowest loss on the validation set. */
async function predictTfidf({ train, val, test, labels }: LoadedDataset, limits?: Limits): Promise<LabelBaseline> {
  const texts = await TextFit.begin(train, labels.length, limits);
  const read = async (set: typeof train, places: Uint32Array) => ({
    rows: await texts.read(set, places),
    labelled: (label: number) => Int32Array.from(places, (row) => set.values(row)[label]!),
  });
  const training = await read(train, texts.used);
  const validation = await read(val, val.positions());
  const fit = async (c: number, starts: readonly Float64Array[]) => {
    let loss = 0;
    const weights: Float64Array[] = [];
    for (const label of labels.keys()) {
      const own = { rows: training.rows, labels: training.labelled(label), classes: 2 };
      weights.push(await fitLogistic(own, c, starts[label]!, shareOf(texts, labels.length - label)));
      const known = { labels: validation.labelled(label), classes: 2 };
      loss += softmaxRows(scoreRows(validation.rows, weights[label]!), known).loss;
    }
    return { c, loss, weights };
  };
  const zeros = labels.map(() => new Float64Array(texts.tfidf.width + 1));
  let best: Awaited<ReturnType<typeof fit>> | undefined;
  for (const c of val.size > 0 ? STRENGTHS : [DEFAULT_STRENGTH]) {
    const found = await fit(c, best?.weights ?? zeros);
    if (best && found.loss >= best.loss) break;
    best = found;
  }
  const { c, weights } = best!;
  const rows = await texts.read(test);
  const scores = weights.map((own) => scoreRows(rows, own));
  return {
    name: `TF-IDF, a logistic regression a label (C ${c})`,
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
