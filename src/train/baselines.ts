/**
 * What a classifier has to beat: logistic regression on TF-IDF, and the most frequent class; where messages have several
 * labels, a logistic regression a label, and the most frequent set.
 */
import type { LoadedDataset } from "../data/datasets.ts";
import { fitLogistic, type Meter, scoreRows, softmaxRows, weightColumns } from "./logistic.ts";
import type { Baseline } from "./measure.ts";
import { chooseStrength, type Limits, TextFit } from "./text-fit.ts";

type Sets = Pick<LoadedDataset, "train" | "val" | "test">;

/** Values of C in the order in which they are tried; the first is scikit-learn's default. */
const STRENGTHS = { usual: 1, tried: [0.1, 1, 10, 100, 1000] };

/** By data: all runs on it have the same. */
const fitted = new WeakMap<Sets, Promise<Baseline[]>>();

export async function fitClasses(sets: Sets, signal?: AbortSignal): Promise<Baseline[]> {
  // What the signal of another run has ended is begun again.
  const known = await fitted.get(sets)?.catch(() => undefined);
  if (known) return known;
  const own = predictClasses(sets, signal);
  fitted.set(sets, own);
  return own;
}

async function predictClasses(sets: Sets, signal?: AbortSignal): Promise<Baseline[]> {
  const { train, test } = sets;
  const classes = train.classes();
  const counts = train.labels.map((label) => classes[label]!);
  const majority = counts.indexOf(Math.max(...counts));
  const tfidf = await predictTfidf(sets, { signal });
  return [
    ...(tfidf ? [nameTfidf(tfidf)] : []),
    { name: `always ${train.labels[majority]}`, values: new Array<number>(test.size).fill(majority) },
  ];
}

const nameTfidf = ({ c, scores: _, ...rest }: TfidfBaseline): Baseline => ({
  name: `TF-IDF, logistic regression (C ${c})`,
  ...rest,
});

interface TfidfBaseline extends Omit<Baseline, "name"> {
  c: number;
  /** [rows, k] that the classes follow from. */
  scores: Float64Array;
}

/**
 * Of the classes that have training rows; null if there are no two. C is the one with the lowest validation loss:
 * larger ones are tried until it rises.
 */
export async function predictTfidf({ train, val, test }: Sets, limits?: Limits): Promise<TfidfBaseline | null> {
  const fit = await TextFit.begin(train, weightColumns(train.labels.length), limits);
  const present = [...new Set(Array.from(fit.used, (row) => train.label(row)))].sort((a, b) => a - b);
  const classes = present.length;
  if (classes < 2) return null;
  const read = async (set: Sets["train"], rows: Uint32Array) => ({
    rows: await fit.read(set, rows),
    labels: Int32Array.from(rows, (row) => present.indexOf(set.label(row))),
    classes,
  });
  const known = val.positions().filter((row) => present.includes(val.label(row)));
  const [training, validation] = [await read(train, fit.used), await read(val, known)];
  const zeros = new Float64Array((fit.tfidf.width + 1) * weightColumns(classes));
  const best = await chooseStrength<Float64Array>(STRENGTHS, known.length, zeros, async (c, before) => {
    const weights = await fitLogistic(training, c, before, fit);
    return [weights, softmaxRows(scoreRows(validation.rows, weights), validation).loss];
  });
  const scores = scoreRows(await fit.read(test), best.weights);
  const values = highest(scores, classes).map((column) => present[column]!);
  return { c: best.strength, ...fit.limits, values, scores };
}

/** The class with the highest score of each row, the first of equal ones. The first of two has a score of 0. */
function highest(scores: Float64Array, classes: number): number[] {
  const k = weightColumns(classes);
  return Array.from({ length: scores.length / k }, (_, row) => {
    const own = scores.subarray(row * k, row * k + k);
    return k < classes ? Number(own[0]! > 0) : own.indexOf(Math.max(...own));
  });
}

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
