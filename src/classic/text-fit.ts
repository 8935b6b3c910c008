/** What the fits on TF-IDF have in common: their rows, what they may take, and what they leave out. */
import { nextTurn } from "#platform";
import type { LoadedDataset } from "../data/datasets.ts";
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

export class TextFit {
  private isStopped = false;

  private constructor(
    readonly tfidf: Tfidf,
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
    train: LoadedDataset["train"],
    outputs: number,
    { signal, mostWeights = MOST_WEIGHTS, mostWork = MOST_WORK }: Limits = {},
  ): Promise<TextFit> {
    const order = train.order(SEED, 0);
    const mostEntries = Math.min(MOST_ENTRIES, mostWork / (2 * outputs * FEWEST_PRODUCTS));
    const tfidf = await Tfidf.fit(setTexts(train, order), mostWeights / outputs, { signal, mostEntries });
    return new TextFit(tfidf, train.size, order.subarray(0, tfidf.rows), signal, mostWork);
  }

  /** The n-grams of some rows of a set; default: of all. */
  read(set: LoadedDataset["train"], rows: Uint32Array = set.positions()): Promise<SparseRows> {
    return this.tfidf.transform(setTexts(set, rows), this.signal);
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
