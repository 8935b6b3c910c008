/** The results of a comparison's finished runs, in figures and in words. */

import { makeTable, type Table } from "../../document/blocks.ts";
import type { ScatterChart } from "../../document/chart.ts";
import { capital, formatCompact, formatCount, formatDuration, joinWords, percent } from "../../format.ts";
import { METHODS, MODES } from "../../methods/index.ts";
import { describeMethod, hasSetting } from "../../methods/training.ts";
import { formatBytes } from "../../plan/memory.ts";
import { comparePairs, type Estimate, formatStanding, type Standing } from "../../statistics.ts";
import { countRows } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { lowestLoss } from "../../train/best.ts";
import type { TrainOptions } from "../../train/settings.ts";
import { judgedBy, nameMeasure } from "../../views/measures.ts";
import type { PageRun } from "../protocol.ts";
import { nameState, runData } from "./words.ts";

interface ComparedRun {
  run: PageRun;
  /** What it is judged by, on the test set. */
  estimate: Estimate;
  /** Against the run with the lowest validation loss, itself `best`; in words with p, corrected for all comparisons. */
  standing: "best" | Standing;
  words: string;
  /** Its figure minus the best's; null of the best itself. */
  difference: Estimate | null;
}

/** A run's method in few words. */
export const shortName = ({ record }: PageRun) => shortMethod(record.options);

/** "LoRA rank 4", "last block". */
export function shortMethod(options: TrainOptions): string {
  const { mode, rank } = options;
  return hasSetting(mode, "rank") ? `${METHODS[mode].title} rank ${rank}` : describeMethod(options);
}

const testOf = ({ record }: PageRun) => record.results!.test;
const validationLoss = ({ record }: PageRun) => record.results!.after.val.loss;

/**
 * The finished runs, each against the one with the lowest validation loss, by the test of what they are judged by, on
 * the same rows, with Holm's correction. The test set chooses nothing.
 */
export function compareRuns(runs: readonly PageRun[]): ComparedRun[] {
  const finished = runs.filter(({ state, record }) => state === "finished" && record.results);
  const best = lowestLoss(finished, validationLoss) ?? finished[0];
  if (!best) return [];
  const { key, statistics } = judgedBy(best.record);
  const others = finished.filter((run) => run !== best);
  const tests = comparePairs(
    others.map((run) => [[testOf(run).rows], [testOf(best).rows]] as const),
    statistics!.test,
  );
  return finished.map((run) => {
    const figures = { run, estimate: testOf(run).compared[0].measured[key] as Estimate };
    if (run === best) return { ...figures, standing: "best", difference: null, words: "lowest validation loss" };
    const { standing, adjusted, difference } = tests[others.indexOf(run)]!;
    return { ...figures, standing, difference, words: formatStanding(standing, adjusted) };
  });
}

/** The runs of a comparison in its order, with what is known of each. */
export function comparisonTable(runs: readonly PageRun[], outcomes: readonly ComparedRun[]): Table {
  const [first] = runs as [PageRun];
  const measure = judgedBy(first.record);
  const rows = runs.map((run, i) => ({ run, number: i + 1, outcome: outcomes.find((one) => one.run === run) }));
  return makeTable<(typeof rows)[number]>(
    "methods",
    `Methods on ${runData(first)}, ${first.model}`,
    [
      { title: "Method", key: null, value: ({ run, number }) => `${number} ${shortName(run)}` },
      { title: "Trained parameters", key: null, format: formatCount, value: ({ run }) => run.record.trainable },
      {
        title: `Test ${nameMeasure(measure)} (95 %)`,
        key: null,
        format: measure.format,
        value: ({ run, outcome }) => outcome?.estimate ?? describeState(run),
      },
      { title: "Time", key: null, format: formatDuration, value: ({ run, outcome }) => outcome && run.record.seconds },
      {
        title: "Adapter file",
        key: null,
        format: formatBytes,
        value: ({ run, outcome }) => outcome && run.record.saved,
      },
      { title: "Minus the best", key: null, format: measure.format, value: ({ outcome }) => outcome?.difference },
      { title: "Compared with the best", key: null, value: ({ outcome }) => outcome?.words },
    ],
    rows,
  );
}

/** The state of a run, and how far it is while it trains. */
function describeState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `training, ${percent(step / steps, 0)}` : nameState(state);
}

/** "Test accuracy over trained parameters" */
export const chartTitle = ([first]: readonly PageRun[]) =>
  `Test ${nameMeasure(judgedBy(first!.record))} over trained parameters`;

/** What runs are judged by, over trained parameters. The points have the numbers of the table's rows. */
export function comparisonChart(runs: readonly PageRun[], outcomes: readonly ComparedRun[]): ScatterChart {
  const measure = judgedBy(runs[0]!.record);
  const { format: show, most } = measure;
  return {
    kind: "scatter",
    title: chartTitle(runs),
    x: { title: "trained parameters", show: formatCompact },
    y: { title: `test ${nameMeasure(measure)}`, show, ...(most === undefined ? {} : { to: most }) },
    points: outcomes.map(({ run, estimate: { value, ...interval } }) => ({
      group: run.record.options.mode,
      color: MODES.indexOf(run.record.options.mode),
      label: String(runs.indexOf(run) + 1),
      name: shortName(run),
      x: run.record.trainable,
      y: value,
      interval,
    })),
  };
}

/** The statistics in sentences. */
export function describeOutcomes(outcomes: readonly ComparedRun[]): string[] {
  const best = outcomes.find(({ standing }) => standing === "best");
  if (!best || outcomes.length < 2) return [];
  const { record } = best.run;
  const { rows, details } = testOf(best.run);
  const name = judgedBy(record).statistics!.name;
  const what = WORDS[record.objective].drawn(details).rows;
  const others = outcomes.filter((one) => one !== best).map(({ run, words }) => `${shortName(run)} ${words}`);
  return [
    `${capital(shortName(best.run))} has the lowest validation loss. Compared with it on ${formatCount(countRows(rows))} test ${what}: ${joinWords(others)}.`,
    `${capital(name)} on the same ${what}, corrected with Holm's method for ${others.length} comparisons. One run of each method: another seed moves them a little, too.`,
  ];
}
