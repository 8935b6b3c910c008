/**
 * How results are compared, whatever the task: a run with its baselines, with other seeds, with other runs, on parts of
 * the test set. A model's answers to a test set are columns of numbers, one entry a row; a measure is a figure of
 * columns, with an interval and a test of two models on the same rows.
 */
import {
  bootstrap,
  bootstrapP,
  comparePairs,
  type Estimate,
  estimateDifference,
  type Interval,
  mcnemar,
  pairedSamples,
  percentiles95,
  SAMPLES,
  type Standing,
  type Tested,
  type Verdict,
  wilson,
  withTest,
} from "../core/statistics.ts";
import type { Evaluation } from "./evaluation.ts";

/** The rows of a test set as a model answered them. All columns have as many entries. */
export type Columns = Readonly<Record<string, readonly number[]>>;

/** The first row, or the first of `at`, and so on. */
export type Places = ArrayLike<number>;

export const countRows = (columns: Columns): number => Object.values(columns)[0]!.length;

/** A figure of a model on a test set. */
export interface Measure {
  /** In stored results and in the header of CSV. */
  key: string;
  /** "Accuracy" */
  title: string;
  format(value: number): string;
  /** A sentence for those who do not know it. */
  help?: string;
  /** The hub's name, of what a run is judged by. */
  hub?: string;
  /** Where people see it next to the first: where classes are unequal, or in a table of its own; absent: always. */
  shown?: "unequal" | "apart";
  /** The largest possible value; absent: there is none. */
  most?: number;
  /** The lower the better. */
  isError?: true;
  /** A share of the rows: people read how many. */
  ofRows?: true;
  /** 0 where all of each row is wrong, and 1 where it is right. */
  isShare?: true;
  /** Of all rows, or of those at `at`; NaN: it is not defined. */
  of(columns: Columns, at?: Places): number;
  /**
   * The key under which an evaluation, which has no columns, keeps it, or what it is of the loss: of what a run is
   * judged by, and of what is shown next to it.
   */
  evaluated?: Exclude<keyof Evaluation, "rows"> | ((loss: number) => number);
  /** Absent: it has no interval, and no test. */
  statistics?: Statistics;
}

/** How the interval of a measure and its test are made; several `seeds` of a model count as their mean. */
export interface Statistics {
  /** The 95 % interval: more seeds do not narrow it. */
  interval(seeds: readonly Columns[]): Interval;
  test(first: readonly Columns[], second: readonly Columns[]): Comparison;
  /** "McNemar's exact test", and the key of its p in CSV. */
  name: string;
  key: "mcnemar_p" | "bootstrap_p";
  /** Further figures of a comparison, under these titles. */
  counts: readonly string[];
}

interface Comparison extends Tested {
  /** First minus second. */
  difference: Estimate;
  counts?: readonly number[];
}

/** A measure of an evaluation; NaN: that does not have it. */
export function readEvaluated({ evaluated }: Pick<Measure, "evaluated">, evaluation: Partial<Evaluation>): number {
  if (typeof evaluated === "function") return evaluated(evaluation.loss!);
  return (evaluated && evaluation[evaluated]) ?? Number.NaN;
}

/** What an evaluation has of these measures, from all rows or from those at `at`. */
export const keptFigures = (measures: readonly Measure[], columns: Columns, at?: Places): Partial<Evaluation> =>
  Object.fromEntries(
    measures.flatMap(({ evaluated, of }) => (typeof evaluated === "string" ? [[evaluated, of(columns, at)]] : [])),
  );

type Named = Omit<Measure, "of" | "statistics">;

/** Those of all rows, if no others are given. */
export const places = (columns: Columns, at?: Places): Places => at ?? { length: countRows(columns) };

/** Some of a column's numbers, or all. */
export const pick = (column: readonly number[], at?: Places): readonly number[] =>
  at ? Array.from(at, (row) => column[row]!) : column;

/** The share of rows that are right: Wilson's interval, McNemar's exact test. */
export function shareMeasure(named: Named, isRight: (columns: Columns, row: number) => boolean): Measure {
  const countRight = (columns: Columns, at?: Places) => {
    const { length } = places(columns, at);
    let right = 0;
    for (let i = 0; i < length; i++) if (isRight(columns, at ? at[i]! : i)) right++;
    return right;
  };
  /** By the majority of the seeds; undecided in case of a tie. */
  const verdicts = (seeds: readonly Columns[]): Verdict[] =>
    Array.from({ length: countRows(seeds[0]!) }, (_, row) => {
      const right = seeds.filter((columns) => isRight(columns, row)).length;
      return 2 * right === seeds.length ? null : 2 * right > seeds.length;
    });
  return {
    most: 1,
    ofRows: true,
    ...named,
    of: (columns, at) => countRight(columns, at) / places(columns, at).length,
    statistics: {
      interval: (seeds) => {
        const rows = countRows(seeds[0]!);
        return wilson(
          mean(seeds, (columns) => countRight(columns)),
          rows,
        );
      },
      test(first, second) {
        const { onlyFirst, onlySecond, undecided, ...tested } = mcnemar(verdicts(first), verdicts(second));
        return { ...tested, counts: [onlyFirst, onlySecond, undecided] };
      },
      name: "McNemar's exact test",
      key: "mcnemar_p",
      counts: ["Only the first correct", "Only the second correct", "Undecided"],
    },
  };
}

/**
 * Any other figure: percentiles of the bootstrap, unless an `interval` is given, and the paired bootstrap. Samples say
 * nothing of rows that are all alike, such as right: a share has Wilson's interval there, and another figure has none.
 */
export function sampledMeasure(named: Named, of: Measure["of"], interval?: (columns: Columns) => Interval): Measure {
  const sample = (rows: number, samples: number, figure: (at: Places) => number) =>
    // A sample of rows may have no variance, or no row of a class.
    bootstrap(rows, samples, figure).filter(Number.isFinite);
  const figure = (seeds: readonly Columns[], at?: Places) => mean(seeds, (one) => of(one, at));
  const estimated = (seeds: readonly Columns[]): Estimate => {
    const [value, rows] = [figure(seeds), countRows(seeds[0]!)];
    const { low, high } =
      interval && seeds.length === 1
        ? interval(seeds[0]!)
        : percentiles95(sample(rows, SAMPLES.interval, (at) => figure(seeds, at)));
    // But for what the order of a sum changes.
    if (high - low > 1e-9 * Math.abs(value)) return { value, low, high };
    return { value, ...(named.isShare ? wilson(value * rows, rows) : { low: Number.NaN, high: Number.NaN }) };
  };
  return {
    ...named,
    of,
    statistics: {
      interval: estimated,
      test(first, second) {
        const differ = (at?: Places) => figure(first, at) - figure(second, at);
        const rows = countRows(first[0]!);
        const differences = sample(rows, pairedSamples(rows), differ);
        const value = differ();
        const { low, high } = percentiles95(differences);
        const isAtBound = named.isShare && [first, second].some((seeds) => [0, 1].includes(figure(seeds)));
        // No test of n rows that differ has a smaller p than that of signs.
        const unlike = Array.from({ length: rows }, (_, row) => row).filter((row) =>
          Object.keys(first[0]!).some((key) => new Set([...first, ...second].map((one) => one[key]![row])).size > 1),
        );
        const p = Math.min(1, Math.max(bootstrapP(differences), 2 ** (1 - unlike.length)));
        const difference =
          low < high && !isAtBound ? { value, low, high } : estimateDifference(estimated(first), estimated(second));
        return { difference: withTest(difference, p), p, firstIsBetter: named.isError ? value < 0 : value > 0 };
      },
      name: "the paired bootstrap",
      key: "bootstrap_p",
      counts: [],
    },
  };
}

const mean = <T>(list: readonly T[], of: (one: T) => number) =>
  list.reduce((sum, one) => sum + of(one), 0) / list.length;

/** A model on a test set: the run itself, or a baseline. */
export interface Competitor {
  name: string;
  /** What a baseline's fit left out. */
  limits?: string;
  /** Of TF-IDF: the share of the test rows that resemble a training row, but for a few words. */
  alike?: number;
  columns: Columns;
}

/** The measures of a model on a test set. */
export interface Compared extends Omit<Competitor, "columns"> {
  rows: number;
  /** By the measures' keys; null: not defined. Those without statistics have no interval. */
  measured: Record<string, Estimate | number | null>;
  /** What a run is judged by, without the rows that have a copy in an earlier set; null: there are none, or no others. */
  unseen: (Estimate & { rows: number }) | null;
  /** The run against it; null of the run itself. */
  against: Against | null;
}

/** The run against a baseline, by what runs are judged by. */
export interface Against {
  /** The run's figure minus the other's. */
  difference: Estimate;
  /** Corrected with Holm's method for all baselines. */
  p: number;
  standing: Standing;
}

/** A measure with its interval; null: it is not defined. */
export function estimate({ of, statistics }: Measure, columns: Columns): Estimate | number | null {
  const value = of(columns);
  if (Number.isNaN(value)) return null;
  return statistics ? { value, ...statistics.interval([columns]) } : value;
}

/** A measure without its interval. */
export const readFigure = (measured: Compared["measured"][string] | undefined): number | null =>
  typeof measured === "object" ? (measured?.value ?? null) : (measured ?? null);

/** What a run, or a baseline, is judged by: the higher, the better. */
export const merit = ({ key, isError }: Measure, { measured }: Compared): number =>
  (isError ? -1 : 1) * (readFigure(measured[key]) ?? Number.NaN);

/** The best of some baselines, of equal ones the first; undefined: the measure is defined for none. */
export const bestOf = (measure: Measure, baselines: readonly Compared[]): Compared | undefined =>
  baselines
    .filter((one) => !Number.isNaN(merit(measure, one)))
    .sort((a, b) => merit(measure, b) - merit(measure, a))[0];

/** The chart of a measure over the steps, and its file: "accuracy". */
export const chartName = ({ title }: Pick<Measure, "title">): string => title.toLowerCase().replaceAll(" ", "-");

export const selectRows = (columns: Columns, at: Places): Columns =>
  Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, pick(values, at)]));

/** A run compared with its baselines. `leaked`: rows of the test set that have a copy in an earlier set. */
export function compareWith(
  measures: readonly [Measure, ...Measure[]],
  own: Competitor,
  baselines: readonly Competitor[],
  leaked: ReadonlySet<number> = new Set(),
): [Compared, ...Compared[]] {
  const [judged] = measures;
  const rows = countRows(own.columns);
  const others = Array.from({ length: rows }, (_, row) => row).filter((row) => !leaked.has(row));
  const tests = comparePairs(
    baselines.map((other) => [[own.columns], [other.columns]] as const),
    judged.statistics!.test,
  );
  const describe = ({ columns, ...named }: Competitor, against: Against | null): Compared => {
    const unseen = leaked.size > 0 && others.length > 0 ? estimate(judged, selectRows(columns, others)) : null;
    return {
      ...named,
      rows,
      measured: Object.fromEntries(measures.map((measure) => [measure.key, estimate(measure, columns)])),
      unseen: unseen === null ? null : { ...(unseen as Estimate), rows: others.length },
      against,
    };
  };
  return [
    describe(own, null),
    ...baselines.map((one, i) => {
      const { difference, adjusted: p, standing } = tests[i]!;
      return describe(one, { difference, p, standing });
    }),
  ];
}
