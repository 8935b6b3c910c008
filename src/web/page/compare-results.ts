/** The results of a comparison's finished runs, in figures and in words. */

import { makeTable, type Table } from "../../document/blocks.ts";
import type { ScatterChart } from "../../document/chart.ts";
import { formatCompact, formatCount, formatDuration, joinWords, percent } from "../../format.ts";
import { describeMethod, hasSetting, METHODS, MODES } from "../../methods/index.ts";
import { formatBytes } from "../../plan/memory.ts";
import {
  comparePairs,
  type Estimate,
  formatStanding,
  type Interval,
  mcnemar,
  type Standing,
} from "../../statistics.ts";
import { lowestLoss } from "../../train/best.ts";
import type { TrainOptions } from "../../train/settings.ts";
import type { PageRun } from "../protocol.ts";
import { capital, runData, STATES } from "./words.ts";

interface ComparedRun {
  run: PageRun;
  /** On the test set, as its interval. */
  accuracy: number;
  interval: Interval;
  /** Against the run with the lowest validation loss, itself `best`; in words with p, corrected for all comparisons. */
  standing: "best" | Standing;
  words: string;
  /** Its accuracy minus the best's; null of the best itself. */
  difference: Estimate | null;
}

/** A run's method in few words. */
export const shortName = ({ record }: PageRun) => shortMethod(record.options);

/** "LoRA rank 4", "last block". */
export function shortMethod(options: TrainOptions): string {
  const { mode, rank } = options;
  return hasSetting(mode, "rank") ? `${METHODS[mode].title} rank ${rank}` : describeMethod(options);
}

/** Whether each test message is classified correctly. */
const readVerdicts = ({ record }: PageRun) => record.results!.test!.verdicts.map((verdict) => verdict === 1);
const validationLoss = ({ record }: PageRun) => record.results!.after.val.loss;

/**
 * The finished runs, each against the one with the lowest validation loss: McNemar's exact test on the same test
 * messages, with Holm's correction. The test set chooses nothing.
 */
export function compareRuns(runs: readonly PageRun[]): ComparedRun[] {
  const finished = runs.filter(({ state, record }) => state === "finished" && record.results?.test);
  const best = lowestLoss(finished, validationLoss) ?? finished[0];
  const others = finished.filter((run) => run !== best);
  const tests = comparePairs(
    others.map((run) => [run, best!] as const),
    (run, best) => mcnemar(readVerdicts(run), readVerdicts(best)),
  );
  return finished.map((run) => {
    const { accuracy, interval } = run.record.results!.test!.compared[0];
    const figures = { run, accuracy, interval };
    if (run === best) return { ...figures, standing: "best", difference: null, words: "lowest validation loss" };
    const { standing, adjusted, difference } = tests[others.indexOf(run)]!;
    return { ...figures, standing, difference, words: formatStanding(standing, adjusted) };
  });
}

/** The runs of a comparison in its order, with what is known of each. */
export function comparisonTable(runs: readonly PageRun[], outcomes: readonly ComparedRun[]): Table {
  const [first] = runs as [PageRun];
  const rows = runs.map((run, i) => ({ run, number: i + 1, outcome: outcomes.find((one) => one.run === run) }));
  return makeTable<(typeof rows)[number]>(
    "methods",
    `Methods on ${runData(first)}, ${first.model}`,
    [
      { title: "Method", key: null, value: ({ run, number }) => `${number} ${shortName(run)}` },
      { title: "Trained parameters", key: null, format: formatCount, value: ({ run }) => run.record.trainable },
      {
        title: "Test accuracy (95 %)",
        key: null,
        format: percent,
        value: ({ run, outcome }) => (outcome ? { value: outcome.accuracy, ...outcome.interval } : describeState(run)),
      },
      { title: "Time", key: null, format: formatDuration, value: ({ run, outcome }) => outcome && run.record.seconds },
      {
        title: "Adapter file",
        key: null,
        format: formatBytes,
        value: ({ run, outcome }) => outcome && run.record.saved,
      },
      { title: "Minus the best", key: null, format: percent, value: ({ outcome }) => outcome?.difference },
      { title: "Compared with the best", key: null, value: ({ outcome }) => outcome?.words },
    ],
    rows,
  );
}

/** The state of a run, and how far it is while it trains. */
function describeState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `${STATES.training}, ${percent(step / steps, 0)}` : STATES[state];
}

/** Test accuracy over trained parameters. The points have the numbers of the table's rows. */
export function comparisonChart(runs: readonly PageRun[], outcomes: readonly ComparedRun[]): ScatterChart {
  return {
    kind: "scatter",
    title: "Test accuracy over trained parameters",
    x: { title: "trained parameters", show: formatCompact },
    y: { title: "test accuracy", show: percent, to: 1 },
    points: outcomes.map(({ run, accuracy, interval }) => ({
      group: run.record.options.mode,
      color: MODES.indexOf(run.record.options.mode),
      label: String(runs.indexOf(run) + 1),
      name: shortName(run),
      x: run.record.trainable,
      y: accuracy,
      interval,
    })),
  };
}

/** The statistics in sentences. */
export function describeOutcomes(outcomes: readonly ComparedRun[]): string[] {
  const best = outcomes.find(({ standing }) => standing === "best");
  if (!best || outcomes.length < 2) return [];
  const rows = best.run.record.results!.test!.verdicts.length;
  const others = outcomes.filter((one) => one !== best).map(({ run, words }) => `${shortName(run)} ${words}`);
  return [
    `${capital(shortName(best.run))} has the lowest validation loss. Compared with it on ${formatCount(rows)} test messages: ${joinWords(others)}.`,
    `McNemar's exact test on the same messages, corrected with Holm's method for ${others.length} comparisons. One run of each method: another seed moves a few messages.`,
  ];
}
