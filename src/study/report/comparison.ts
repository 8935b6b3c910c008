/**
 * Settings compared with the best of them: in a table, a chart and a sentence, for a terminal, a report and the page.
 */

import { capital, formatCompact, formatCount, formatDuration, formatLoss, joinWords } from "../../core/format.ts";
import { aboutHolm, formatStanding, SIGNIFICANT, type Standing } from "../../core/statistics.ts";
import { type Figure, figure, makeTable, type RowColumn, type Table } from "../../document/blocks.ts";
import { METHODS } from "../../methods/index.ts";
import { countRows, type Measure } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { nameMeasure, showDifference } from "../../views/measures.ts";
import { type compareWithBest, type MeasuredRun, type Outcome, testEstimate } from "../outcome.ts";

type Compared = NonNullable<ReturnType<typeof compareWithBest<Outcome<MeasuredRun>>>>;

/** A setting, or a run of one. */
interface ComparedRow {
  label: string;
  /** Of one that is finished. */
  outcome?: Outcome<MeasuredRun> | undefined;
  /** In a page: how far one without an outcome is, and where methods are compared its trainable parameters. */
  state?: string;
  trainable?: number;
}

/** Without `compared` the rows are not tested against each other. */
export function comparisonTable(
  caption: string,
  rows: readonly ComparedRow[],
  measure: Measure,
  compared?: Compared,
): Table {
  const isInPage = rows.some(({ trainable }) => trainable !== undefined);
  const hasSeeds = rows.some(({ outcome }) => outcome && outcome.test.n > 1);
  const testOf = ({ outcome }: ComparedRow) => compared?.tests.find(({ one }) => one === outcome);
  const columns: (RowColumn<ComparedRow> & { isShown?: boolean })[] = [
    { title: "Run", key: "run", value: ({ label }) => label },
    {
      title: "Trainable",
      key: "trainable",
      isShown: isInPage,
      format: formatCount,
      value: ({ trainable }) => trainable,
    },
    { title: "Seeds", key: "seeds", isShown: hasSeeds, value: ({ outcome }) => outcome?.test.n },
    { title: "Validation loss", key: "validation loss", format: formatLoss, value: ({ outcome }) => outcome?.loss },
    {
      title: `Test ${nameMeasure(measure)} (95 %)`,
      key: `test ${nameMeasure(measure)}`,
      interval: true,
      format: measure.format,
      value: ({ outcome, state }) => (outcome ? testEstimate(outcome) : state),
    },
    {
      title: "sd",
      key: "sd",
      isShown: hasSeeds,
      format: (sd) => showDifference(measure, sd),
      value: ({ outcome }) => (outcome && outcome.test.n > 1 ? outcome.test.sd : null),
    },
    { title: "Time", key: "seconds", format: formatDuration, value: ({ outcome }) => outcome?.seconds },
    {
      title: "Minus the best",
      key: "minus the best",
      interval: true,
      isShown: isInPage,
      format: (value) => showDifference(measure, value),
      value: (row) => testOf(row)?.difference,
    },
    {
      title: "Compared with the best",
      key: "compared with the best",
      isShown: isInPage || compared !== undefined,
      value: (row) => {
        const test = testOf(row);
        if (test) return formatStanding(test.standing, test.adjusted);
        return row.outcome && row.outcome === compared?.best ? "lowest validation loss" : null;
      },
    },
  ];
  const shown = columns.filter(({ isShown = true }) => isShown);
  return makeTable("compared", caption, shown, rows);
}

/** The main figure: what settings are judged by. With `numbered` the points have their numbers, those of table rows. */
export function sizeFigure(
  outcomes: readonly (Outcome<MeasuredRun> | undefined)[],
  measure: Measure,
  numbered = false,
): Figure {
  const { most = Infinity, format: show } = measure;
  const name = nameMeasure(measure);
  const finished = outcomes.flatMap((outcome, i) => (outcome ? [{ outcome, label: String(i + 1) }] : []));
  const modes = [...new Set(finished.map(({ outcome }) => outcome.mode))];
  const isNear = finished.some(({ outcome }) => outcome.interval.high > 0.9 * most);
  return figure(
    "size",
    `Test ${name} with 95 % intervals over the number of trainable parameters; settings with nearly as many stand side by side`,
    {
      kind: "scatter",
      title: `Test ${name} over trainable parameters`,
      x: { title: "trainable parameters", show: formatCompact },
      y: { title: `test ${name}`, show, ...(isNear ? { to: most } : {}) },
      points: finished.map(({ outcome: { label: run, mode, trials, test, interval }, label }) => ({
        group: METHODS[mode].title,
        color: modes.indexOf(mode),
        ...(numbered ? { label } : {}),
        name: run,
        x: trials[0]!.trainable,
        y: test.mean,
        interval,
      })),
    },
  );
}

/** Which is the best, and how many of the others are distinguishable from it, by which test. */
export function describeComparison({ best, tests }: Compared, measure: Measure): string {
  const [first] = best.trials;
  const { rows, details } = first!.results.test;
  const what = WORDS[first!.objective].drawn(details).rows;
  return (
    `${capital(best.label)} has the lowest validation loss. Compared with it, ${describeStandings(tests)}: ${measure.statistics!.name} on the same ` +
    `${formatCount(countRows(rows))} test ${what}${aboutHolm(tests.length)}; from p = ${SIGNIFICANT} on a run is not distinguishable.`
  );
}

const STANDINGS: readonly Standing[] = ["better", "worse", "not distinguishable"];

function describeStandings(tests: Compared["tests"]): string {
  const [only, ...more] = tests;
  if (only && more.length === 0) return `${only.one.label} is ${formatStanding(only.standing, only.adjusted)}`;
  const counts = STANDINGS.map((name) => [name, tests.filter(({ standing }) => standing === name).length] as const);
  const present = counts.filter(([, count]) => count > 0);
  if (present.length === 1)
    return counts[2]![1] > 0
      ? `none of the ${tests.length} others is distinguishable`
      : `all ${tests.length} others are ${present[0]![0]}`;
  const words = present.map(([standing, count]) => `${count} ${count === 1 ? "is" : "are"} ${standing}`);
  return `of the ${tests.length} others ${joinWords(words)}`;
}
