/**
 * What the fits on TF-IDF have in common: their rows, beside TF-IDF with the features of a model where there are some,
 * what they may take, and what they leave out.
 */
import { nextTurn } from "#platform";
import type { LoadedDataset } from "../data/datasets.ts";
import { NEAR, nearestCosines } from "./nearness.ts";
import { MOST_ENTRIES, type SparseRows, setTexts, Tfidf } from "./tfidf.ts";

/** Limits the memory: a fit has about ten vectors of as many numbers. */
const MOST_WEIGHTS = 1 << 21;
/**
 * Limits the time, to five or ten seconds. Multiply-adds and not seconds: what a run's record says must not depend on
 * how fast the machine is, or on what else it does.
 */
const MOST_WORK = 5e9;
/** Products of all rows that a fit needs at the least to be worth showing: of larger data it has as many rows less. */
const FEWEST_PRODUCTS = 20;
/** Of training rows that are too many, a sample is used: the same in every run. */
const SEED = 1;

export interface Limits {
  signal?: AbortSignal | undefined;
  mostWeights?: number;
  mostWork?: number;
}

type Set = LoadedDataset["train"];

/** What a frozen model makes of the text of a row [C]. */
export type Features = (set: Set, row: number) => Float32Array;

/**
 * What TF-IDF counts beside features, from so many rows a class on: few rows have few of the words that will come, many
 * have most of them. Of rows made of templates the words are those of the templates: measured on six sets, and on
 * sentences in four languages for rows of templates (src/bench/README.md).
 */
const WEIGHTS = [
  [64, 1],
  [16, 0.5],
  [0, 0.25],
] as const;
const OF_TEMPLATES = 0.25;
/**
 * Features as columns beside TF-IDF, whose rows have length 1: less the mean of the training rows, and divided by the
 * root of their mean squared length. Being affine, it can be undone in the weights.
 */
class FeatureColumns {
  private constructor(
    readonly of: Features,
    readonly mean: Float64Array,
    readonly scale: number,
    /** Of TF-IDF. */
    readonly weight: number,
  ) {}

  static learn(features: Features, set: Set, rows: Uint32Array, weight: number): FeatureColumns {
    const sum = new Float64Array(features(set, rows[0]!).length);
    let squares = 0;
    for (const row of rows)
      for (const [i, value] of features(set, row).entries()) {
        sum[i]! += value;
        squares += value * value;
      }
    const mean = sum.map((value) => value / rows.length);
    const spread = squares / rows.length - mean.reduce((all, value) => all + value * value, 0);
    return new FeatureColumns(features, mean, spread > 0 ? 1 / Math.sqrt(spread) : 1, weight);
  }

  /** Rows of TF-IDF with these columns behind their own. */
  beside({ width, starts, columns, values }: SparseRows, set: Set, rows: Uint32Array): SparseRows {
    const { of, mean, scale, weight } = this;
    const more = mean.length;
    const size = columns.length + rows.length * more;
    const wide = { columns: new Uint32Array(size), values: new Float32Array(size) };
    const ends = starts.map((start, i) => start + i * more);
    for (const [i, row] of rows.entries()) {
      const [start, end, at] = [starts[i]!, starts[i + 1]!, ends[i]!];
      wide.columns.set(columns.subarray(start, end), at);
      for (let j = start; j < end; j++) wide.values[at + j - start] = values[j]! * weight;
      for (const [j, value] of of(set, row).entries()) {
        wide.columns[at + end - start + j] = width + j;
        wide.values[at + end - start + j] = (value - mean[j]!) * scale;
      }
    }
    return { width: width + more, starts: ends, ...wide };
  }
}

export class TextFit {
  private isStopped = false;

  private constructor(
    readonly tfidf: Tfidf,
    /** Null: there is TF-IDF alone. */
    readonly features: FeatureColumns | null,
    /** The training rows, and those of them that are used. */
    private readonly size: number,
    readonly used: Uint32Array,
    private readonly signal: AbortSignal | undefined,
    private readonly mostWork: number,
    /** What is left of it. */
    public work = mostWork,
  ) {}

  /** Learns the n-grams of a training set for a fit with so many weights for each. */
  static async begin(
    { train, features }: { train: Set; features?: Features | undefined },
    outputs: number,
    { signal, mostWeights = MOST_WEIGHTS, mostWork = MOST_WORK }: Limits = {},
  ): Promise<TextFit> {
    const order = train.order(SEED, 0);
    const mostEntries = Math.min(MOST_ENTRIES, mostWork / (2 * outputs * FEWEST_PRODUCTS));
    const tfidf = await Tfidf.fit(setTexts(train, order), mostWeights / outputs, { signal, mostEntries });
    const used = order.subarray(0, tfidf.rows);
    const weigh = async () => {
      const ngrams = await tfidf.transform(setTexts(train, used), signal);
      const nearest = nearestCosines(ngrams, ngrams, tfidf.list().length).sort((a, b) => a - b);
      if (nearest[nearest.length >> 1]! > NEAR) return OF_TEMPLATES;
      const each = used.length / Math.max(2, outputs);
      return WEIGHTS.find(([fewest]) => each >= fewest)![1];
    };
    const columns = features ? FeatureColumns.learn(features, train, used, await weigh()) : null;
    return new TextFit(tfidf, columns, train.size, used, signal, mostWork);
  }

  /** The columns of its rows. */
  get width(): number {
    return this.tfidf.width + (this.features?.mean.length ?? 0);
  }

  /** Some rows of a set; default: all. */
  async read(set: Set, rows: Uint32Array = set.positions()): Promise<SparseRows> {
    const ngrams = await this.tfidf.transform(setTexts(set, rows), this.signal);
    return this.features ? this.features.beside(ngrams, set, rows) : ngrams;
  }

  /**
   * Whether the fit may take so many multiply-adds more, and leave `keep`; if not, it ends with what it has. It waits
   * for its turn, so that a page is not blocked, and throws the reason of a signal that has ended.
   */
  async take(work: number, keep = 0): Promise<boolean> {
    await nextTurn();
    this.signal?.throwIfAborted();
    const isThere = this.work - work >= keep;
    if (isThere) this.work -= work;
    else this.isStopped = true;
    return isThere;
  }

  /** What was left out, for people; nothing of a fit that is whole. */
  get limits(): { limits?: string } {
    const { tfidf, size, isStopped, mostWork } = this;
    const limits = [
      ...(tfidf.rows < size ? [`${tfidf.rows} of ${size} training rows`] : []),
      ...(tfidf.width < tfidf.ngrams ? [`${tfidf.width} of ${tfidf.ngrams} n-grams`] : []),
      ...(isStopped ? [`stopped after ${mostWork / 1e9} billion multiply-adds`] : []),
    ].join(", ");
    return limits ? { limits } : {};
  }
}

/**
 * The strength of a penalty with the lowest loss on the validation set: they are tried in their order until it rises.
 * Without validation rows it is the usual one. `fit`: gives weights, from the best ones before, and their loss.
 */
export async function chooseStrength<Weights>(
  { usual, tried }: { usual: number; tried: readonly number[] },
  rows: number,
  initial: Weights,
  fit: (strength: number, before: Weights) => Promise<[weights: Weights, loss: number]>,
): Promise<{ strength: number; weights: Weights }> {
  let best = { strength: usual, weights: initial, loss: Infinity };
  for (const strength of rows > 0 ? tried : [usual]) {
    const [weights, loss] = await fit(strength, best.weights);
    if (loss >= best.loss) break;
    best = { strength, weights, loss };
  }
  return best;
}
