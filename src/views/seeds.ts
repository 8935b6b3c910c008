/** Runs that differ only in their seed: what each has reached, how far they are apart, and which one is kept. */

import { type Block, makeTable, type Table } from "../document/blocks.ts";
import { formatCount, formatLoss } from "../format.ts";
import type { RunRecord, SeedResult, Seeds } from "../run/record.ts";
import { bestSeed } from "../run/seeds.ts";
import { METRICS, type Metric, nameMetric } from "./metric.ts";

type SeedRecord = Pick<RunRecord, "objective" | "unequal" | "options" | "results">;

/** The table of the seeds, and their mean and spread; empty for a run of one seed. */
export function seedBlocks(record: SeedRecord & Pick<RunRecord, "seeds">): Block[] {
  const { seeds } = record;
  if (!seeds) return [];
  return [seedsTable(record, seeds), ...describeSeeds(record, seeds).map((text): Block => ({ kind: "text", text }))];
}

/** seeds.csv */
export function seedsTable({ objective, unequal }: Pick<SeedRecord, "objective" | "unequal">, { runs }: Seeds): Table {
  const [main, other] = METRICS[objective];
  const best = bestSeed(runs)?.seed;
  const measure = (title: string | null, set: "val" | "test", { key, of, show: format }: Metric) => ({
    ...{ title, key: `${set}_${key}`, format },
    value: ({ [set]: measured }: SeedResult) => measured && of(measured),
  });
  const isShown = objective !== "classification" || unequal;
  const state = ({ seed, test, error }: SeedResult) =>
    seed === best ? "lowest loss" : (error ?? (test ? "finished" : "not finished"));
  return makeTable<SeedResult>(
    "seeds",
    `${formatCount(runs.length)} runs that differ only in their seed`,
    [
      { title: "Seed", key: "seed", value: ({ seed }) => seed },
      { title: "Validation loss", key: "val_loss", value: ({ val }) => val?.loss, format: formatLoss },
      measure(null, "val", main),
      measure(`Test ${nameMetric(main)}`, "test", main),
      measure(isShown ? `Test ${nameMetric(other)}` : null, "test", other),
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
  const [main] = METRICS[objective];
  const { of, show } = main;
  const name = nameMetric(main);
  const { n, mean, sd, interval } = test;
  const isShare = objective === "classification" || objective === "multi-label";
  const [low, high] = [Math.max(0, interval.low), Math.min(isShare ? 1 : Infinity, interval.high)].map(show);
  const average =
    sd === 0
      ? `The test ${name} of each of the ${n} seeds is ${show(mean)}.`
      : `The test ${name} of ${n} seeds is ${show(mean)} on average, 95 % interval ${low} to ${high} (Student's t).`;
  const rows = results?.test?.verdicts.length;
  const showSd = !isShare ? show : (sd: number) => `${(100 * sd).toFixed(1)} points`;
  const compared = rows === undefined ? "" : compareWithRows(rows, showSd(Math.sqrt((mean * (1 - mean)) / rows)));
  const best = bestSeed(runs)!;
  const own =
    options.seed === best.seed
      ? `Kept: seed ${best.seed}, for its lowest validation loss. Its test ${name} of ${show(of(best.test))} is one of ${n}; ` +
        "the average is what to expect of another seed."
      : `This run has seed ${options.seed}; seed ${best.seed} has the lowest validation loss.`;
  return [
    `${average} Another seed moves it by ${showSd(sd)} (standard deviation)${compared}.`,
    ...(results ? [own] : []),
  ];
}

function compareWithRows(rows: number, sd: string): string {
  return `, ${formatCount(rows)} other test rows by about ${sd}; the intervals below are for the rows alone`;
}

/** What the intervals of a classifier's run do not show. */
export function aboutOneSeed({ seeds, trial, results }: RunRecord): string[] {
  if (seeds || trial || !results?.test) return [];
  return [
    "One seed: the intervals are those of the test rows alone. Another seed moves the result, too: a run with several seeds says by how much.",
  ];
}
