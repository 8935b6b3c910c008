/** Runs that differ only in their seed: what each has reached, how far they are apart, and which one is kept. */

import { type Block, makeTable, type Table, text } from "../document/blocks.ts";
import { formatCount, formatLoss } from "../format.ts";
import type { RunRecord, SeedResult, Seeds } from "../run/record.ts";
import { bestSeed } from "../run/seeds.ts";
import { type Estimate, Z95 } from "../statistics.ts";
import type { Measure } from "../tasks/compare.ts";
import type { Results } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { isShown, judgedBy, nameMeasure, readMeasure, showDifference, showMeasure } from "./measures.ts";

type SeedRecord = Pick<RunRecord, "objective" | "unequal" | "options" | "results">;

/** The table of the seeds, and their mean and spread; empty for a run of one seed. */
export function seedBlocks(record: SeedRecord & Pick<RunRecord, "seeds">): Block[] {
  const { seeds } = record;
  if (!seeds) return [];
  return [seedsTable(record, seeds), ...describeSeeds(record, seeds).map(text)];
}

/** seeds.csv */
export function seedsTable(record: Pick<SeedRecord, "objective" | "unequal">, { runs }: Seeds): Table {
  const [main, other] = TRAINING[record.objective].measures;
  const best = bestSeed(runs)?.seed;
  const column = (title: string | null, set: "val" | "test", measure: Measure) => ({
    ...{ title: title && `${title} ${nameMeasure(measure)}`, key: `${set}_${measure.key}`, format: measure.format },
    value: ({ [set]: measured }: SeedResult) => measured && readMeasure(measure, measured),
  });
  const state = ({ seed, test, error }: SeedResult) =>
    seed === best ? "lowest loss" : (error ?? (test ? "finished" : "not finished"));
  return makeTable<SeedResult>(
    "seeds",
    `${formatCount(runs.length)} runs that differ only in their seed`,
    [
      { title: "Seed", key: "seed", value: ({ seed }) => seed },
      { title: "Validation loss", key: "val_loss", value: ({ val }) => val?.loss, format: formatLoss },
      column(null, "val", main),
      column("Test", "test", main),
      column(isShown(other, record) ? "Test" : null, "test", other),
      { title: null, key: "seconds", value: ({ seconds }) => seconds },
      { title: "State", key: "state", value: state },
    ],
    runs,
  );
}

/**
 * Mean and spread of the test figure, compared with the spread that other test rows would cause, and which run is kept.
 */
function describeSeeds({ objective, options, results }: SeedRecord, { runs, test }: Seeds): string[] {
  if (!test) return [];
  const main = judgedBy({ objective });
  const name = nameMeasure(main);
  const { n, mean, sd, interval } = test;
  const [low, high] = [Math.max(0, interval.low), Math.min(main.most ?? Infinity, interval.high)].map(main.format);
  const average =
    sd === 0
      ? `The test ${name} of each of the ${n} seeds is ${main.format(mean)}.`
      : `The test ${name} of ${n} seeds is ${main.format(mean)} on average, 95 % interval ${low} to ${high} (Student's t).`;
  const show = (sd: number) => showDifference(main, sd, true);
  const best = bestSeed(runs)!;
  const own =
    options.seed === best.seed
      ? `Kept: seed ${best.seed}, for its lowest validation loss. Its test ${name} of ${showMeasure(main, best.test)} is one of ${n}; ` +
        "the average is what to expect of another seed."
      : `This run has seed ${options.seed}; seed ${best.seed} has the lowest validation loss.`;
  return [
    `${average} Another seed moves it by ${show(sd)} (standard deviation)${results ? compareWithRows(results, main, show) : ""}.`,
    ...(results ? [own] : []),
  ];
}

/** How far other test rows would move the figure, as its interval has it. */
function compareWithRows({ test }: Results, { key }: Measure, show: (sd: number) => string): string {
  const [{ rows, measured }] = test.compared;
  const { low, high } = measured[key] as Estimate;
  return `, ${formatCount(rows)} other test rows by about ${show((high - low) / (2 * Z95))}; the intervals below are for the rows alone`;
}

/** What the intervals of a run do not show. */
export function aboutOneSeed({ seeds, trial, results }: RunRecord): string[] {
  if (seeds || trial || (results?.test.compared.length ?? 0) < 2) return [];
  return [
    "One seed: the intervals are those of the test rows alone. Another seed moves the result, too: a run with several seeds says by how much.",
  ];
}
