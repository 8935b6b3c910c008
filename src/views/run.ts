/** A run as blocks: what it has reached, from its record alone. */

import { type Block, figure, note, type Table, text, verdict } from "../document/blocks.ts";
import { takesSteps } from "../methods/index.ts";
import { exampleText, type RunRecord } from "../record/record.ts";
import { hasHead } from "../tasks/index.ts";
import type { Results } from "../tasks/task.ts";
import { WORDS } from "../tasks/words.ts";
import { comparedChart } from "./run-charts.ts";
import { baselinesTable, beforeAndAfter } from "./run-tables.ts";
import { describeAdvice, describeAnswer, describeEffort, describeNotes, isBeatenByWords, toneOf } from "./verdicts.ts";

/** The tables that a terminal shows of a run. */
const IN_SUMMARY = ["baselines", "samples"];

/** Of blocks about a run what a terminal shows: the run's page has the others. */
export const inSummary = (blocks: readonly Block[]): Block[] =>
  blocks.flatMap((block) => {
    // Of rows that are all in one set the line above says how many they are.
    if (block.kind === "table" && block.name === "data") return block.rows.length > 1 ? text(listSizes(block)) : [];
    return (block.kind === "table" ? IN_SUMMARY.includes(block.name) : block.kind !== "details") ? block : [];
  });

/** "sets: training 216, validation 31, test 61 rows" */
function listSizes({ columns, rows }: Table): string {
  const size = columns.findIndex(({ key }) => key === "rows");
  const { title, format = String } = columns[size]!;
  const sets = rows.map(([name, ...sizes]) => `${String(name).toLowerCase()} ${format(sizes[size - 1] as number)}`);
  return `sets: ${sets.join(", ")} ${title!.toLowerCase()}`;
}

/** A run that has ended, in the terminal, how good it is last. */
export function summaryBlocks(record: RunRecord): Block[] {
  const { results } = record;
  return [
    text(`${describeEffort(record)}.`),
    ...(results ? baselinesTable(record, results).map(withoutStanding) : []),
    ...(results ? inSummary(firstSample(record, results)) : []),
    ...notes(record).map(note),
    text([describeAnswer(record), describeAdvice(record) ?? []].flat().join(" ")),
  ];
}

/** Fits 80 columns: in words the run is compared with the best baseline alone. */
const withoutStanding = ({ columns, ...table }: Table): Table => ({
  ...table,
  columns: columns.map((column) => (column.key === null ? { ...column, title: null } : column)),
});

/** The blocks of a run's task, and of samples the first. */
function firstSample(record: RunRecord, { test, ...rest }: Results): Block[] {
  const samples = test.samples.slice(0, 1);
  return WORDS[record.objective].blocks?.(record, { ...rest, test: { ...test, samples } }) ?? [];
}

/** The words of the commands that try a run and label a table with what is better, it or its word counts. */
export function useCommands(record: RunRecord, directory: string, out: string): string[][] {
  const { objective, pairs, chat } = record;
  const words = [exampleText(record)].flat();
  if (!hasHead({ objective })) return [["generate", "--run", directory, ...(chat ? ["--chat"] : []), ...words]];
  const classify = ["classify", "--run", directory, ...(isBeatenByWords(record) ? ["--classic"] : [])];
  return [
    [...classify, ...(pairs ? ["--pair"] : []), ...words],
    [...classify, "--in", "new.csv", "--out", out],
  ];
}

export const notes = (record: RunRecord): string[] => [
  ...aboutFolds(record),
  ...describeNotes(record),
  ...aboutOneSeed(record),
];

/** A run's course and its results. */
export function runBlocks(record: RunRecord): Block[] {
  return [text(`${describeEffort(record)}.`), ...answerBlocks(record), ...resultBlocks(record)];
}

/** How good a run is: one sentence and one picture, and what to make of it. */
export function answerBlocks(record: RunRecord): Block[] {
  const advice = describeAdvice(record);
  return [
    verdict(describeAnswer(record), toneOf(record)),
    ...answerFigure(record),
    ...(advice === null ? [] : [note(advice)]),
  ];
}

function answerFigure(record: RunRecord): Block[] {
  const chart = comparedChart(record);
  return chart ? [figure("compared", chart.description, chart.chart)] : [];
}

/** All figures of a run, with what to know about them; nothing of one that was not measured on the test set. */
export function resultBlocks(record: RunRecord): Block[] {
  const { results, objective } = record;
  if (!results) return [];
  return [
    beforeAndAfter(record, results),
    ...baselinesTable(record, results),
    ...(WORDS[objective].blocks?.(record, results) ?? []),
    ...notes(record).map(note),
  ];
}

/** Limits of the intervals of a run; the report of a study says them of its trials. */
function aboutOneSeed({ trial, results, options: { mode } }: RunRecord): string[] {
  if (trial || !takesSteps(mode) || (results?.test.compared.length ?? 0) < 2) return [];
  return [
    "One seed: the intervals are those of the test rows alone. Another seed moves the result, too: a run with several seeds says by how much.",
  ];
}

/** The rows that the results of a run that has learned from all rows are of. */
function aboutFolds({ folds, objective }: RunRecord): string[] {
  if (folds === undefined) return [];
  const { rows } = WORDS[objective].units;
  return [
    `The results are those of ${folds} folds: each of the ${rows} was tested by a model that had not learned from it. The model ` +
      `that is saved has learned from all ${rows}, and was not measured itself: there are no others to measure it on.`,
  ];
}
