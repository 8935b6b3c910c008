/** How one list of rows becomes a training, a validation and a test set. */
import { ConfigError, DataError } from "../errors.ts";
import { Rng } from "../rng.ts";
import { type Dataset, partSizes } from "./dataset.ts";
import { RandomState } from "./mt19937.ts";

/**
 * `random`: shuffled by the seed and cut. `stratified`: every class cut by itself, so that all sets have the same shares of
 * classes. `experiment`: the rows and the order of the published experiment, whatever the seed.
 */
export const SPLITS = ["random", "stratified", "experiment"] as const;
export type Split = (typeof SPLITS)[number];

export type Parts = [Dataset, Dataset, Dataset];

/** The published program's `random_state`. */
const EXPERIMENT_SEED = 42;

export interface SplitOptions {
  split: Split;
  /** Whether larger classes lose rows until all have as many as the smallest; the experiment always does. */
  balance: boolean;
  fractions: readonly [number, number, number];
  seed: number;
}

/** Splits the rows in three. DataError where there are too few of them. */
export function splitDataset(all: Dataset, { split, balance, fractions, seed }: SplitOptions): Parts {
  if (split === "experiment") {
    if (!balance)
      throw new ConfigError("the experiment's split is a balanced one", {
        expected: "--split random or --split stratified, to keep all rows of every class",
      });
    return all.select(experimentOrder(all)).split(fractions) as Parts;
  }
  const kept = balance ? all.balance(seed) : all;
  return split === "stratified" ? stratified(kept, fractions, seed) : (kept.shuffle(seed).split(fractions) as Parts);
}

/**
 * The rows that the published program keeps, in its order: `pandas.concat([ham.sample(n, random_state=42), spam])` and
 * `.sample(frac=1, random_state=42)`, where n is the size of the smallest class, which is left as it is.
 */
export function experimentOrder(all: Dataset): Uint32Array<ArrayBuffer> {
  const classes = positionsByClass(all);
  const smallest = Math.min(...classes.map((rows) => rows.length));
  const drawn = classes
    .filter((rows) => rows.length > smallest)
    .map((rows) => pick(rows, new RandomState(EXPERIMENT_SEED).sample(rows.length, smallest)));
  const whole = classes.filter((rows) => rows.length === smallest);
  const joined = Uint32Array.from([...drawn, ...whole].flatMap((rows) => [...rows]));
  return pick(joined, new RandomState(EXPERIMENT_SEED).permutation(joined.length));
}

/** Each class shuffled and cut by itself, then each set shuffled. */
function stratified(all: Dataset, fractions: readonly number[], seed: number): Parts {
  const rng = new Rng(seed);
  const sets: number[][] = fractions.map(() => []);
  for (const rows of positionsByClass(all)) {
    const shuffled = rng.shuffle(rows);
    let start = 0;
    for (const [i, count] of partSizes(rows.length, fractions).entries()) {
      if (count === 0)
        throw new DataError("Too few rows of a class to have some in every set", {
          where: `"${all.labels[all.label(rows[0]!)]}"`,
          expected: `at least one row in each of ${fractions.join(", ")}`,
          found: `${rows.length} rows`,
          hint: "split at random instead: --split random",
        });
      for (const row of shuffled.subarray(start, start + count)) sets[i]!.push(row);
      start += count;
    }
  }
  return sets.map((rows) => all.select(rng.shuffle(Uint32Array.from(rows)))) as Parts;
}

/** The positions of each class's rows, in their order; classes without rows are left out. */
function positionsByClass(all: Dataset): Uint32Array[] {
  const lists: number[][] = all.labels.map(() => []);
  for (let i = 0; i < all.size; i++) lists[all.label(i)]!.push(i);
  return lists.filter((rows) => rows.length > 0).map((rows) => Uint32Array.from(rows));
}

function pick(rows: Uint32Array, order: Uint32Array): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(order, (i) => rows[i]!);
}
