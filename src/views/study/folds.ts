/** The report of a study of folds: an estimate from all rows, and what the run on all rows is. */
import { joinPath, writeFileAtomic } from "#platform";
import { type Block, type Cell, heading, makeTable, type RowColumn, type Table, text } from "../../document/blocks.ts";
import { capital, digits, formatCount, formatDuration, formatLoss } from "../../format.ts";
import type { RunRecord } from "../../run/record.ts";
import { type Estimate, summarize } from "../../statistics.ts";
import { type FoldedData, keptEpoch, type Pooled } from "../../study/folds.ts";
import type { TrialRecord } from "../../study/store.ts";
import { countRows, estimate, type Measure } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { csvLines } from "../csv.ts";
import { blockFiles } from "../files.ts";
import { toHtml } from "../html.tsx";
import { toMarkdown } from "../markdown.ts";
import { judgedBy, nameMeasure, showDifference } from "../measures.ts";
import { resultBlocks } from "../run.ts";
import { answerCells, answerKeys, asColumns, baselinesTable, encode } from "../run-tables.ts";

const TITLE = "Lowrank: report of folds";

/** What a study of folds has reached. */
export interface FoldResults {
  all: FoldedData;
  pooled: Pooled;
  /** The runs of the folds, in their order. */
  runs: readonly (RunRecord & TrialRecord)[];
  /** The run on all rows; null: none was asked for. */
  final: RunRecord | null;
}

/** Writes the report, and the answers to all rows, into the study's directory. */
export async function writeFolds(out: string, results: FoldResults): Promise<void> {
  const blocks = [
    heading(TITLE, 1),
    ...foldsSummary(results),
    heading("Results of all rows"),
    ...resultBlocks(shownRecord(results), { advises: false }),
  ];
  for (const [path, content] of [
    ...blockFiles(blocks),
    ["report.md", toMarkdown(blocks)],
    ["report.html", toHtml(TITLE, blocks)],
    ["out-of-fold.csv", encode(csvLines(outOfFold(results)))],
  ] as const)
    await writeFileAtomic(joinPath(out, path), content);
}

/** In short, for a terminal as well. */
export function foldsSummary(results: FoldResults): Block[] {
  const record = shownRecord(results);
  return [
    text(describeEstimate(results)),
    foldsTable(results),
    ...baselinesTable(record, record.results!),
    text(describeFinal(results)),
  ];
}

/** The record whose results are those of all rows: of the run that has learned from them, or a fold's in its place. */
function shownRecord({ pooled, runs, final }: FoldResults): RunRecord {
  return final ?? { ...runs[0]!, results: pooled.results, folds: runs.length };
}

/** Each fold's figure of what runs are judged by. */
const figureOf = (measure: Measure, { results }: TrialRecord) =>
  estimate(measure, results.test.rows) as Estimate | null;

function describeEstimate({ all, pooled, runs }: FoldResults): string {
  const measure = judgedBy(all);
  const name = nameMeasure(measure);
  const { rows, details } = pooled.results.test;
  const what = WORDS[all.objective].drawn(details).rows;
  const [{ measured }] = pooled.results.test.compared;
  const whole = measured[measure.key] as Estimate | null;
  if (!whole) return `The ${name} of the ${runs.length} folds is not defined.`;
  const [value, low, high] = [whole.value, whole.low, whole.high].map(measure.format);
  const figures = runs.flatMap((run) => figureOf(measure, run)?.value ?? []);
  const { sd } = summarize(figures);
  const [least, most] = [Math.min(...figures), Math.max(...figures)].map(measure.format);
  return (
    `${capital(name)} ${value}, 95 % interval ${low} to ${high}: all ${formatCount(countRows(rows))} ${what} were tested, each by the one ` +
    `of ${runs.length} models that had not learned from it. The folds by themselves are from ${least} to ${most}, with a standard ` +
    `deviation of ${showDifference(measure, sd, true)}.`
  );
}

function describeFinal({ all, runs, final }: FoldResults): string {
  const { rows } = WORDS[all.objective].units;
  if (!final) return `No run has learned from all ${rows}: with --final all, the same command trains it.`;
  const { epochs } = final.options;
  const kept = runs.map((run) => keptEpoch(run).toFixed(1)).join(", ");
  return (
    `The saved run has learned from all ${formatCount(final.counts.rows[0]!)} ${rows}, for ${epochs} ${epochs === 1 ? "epoch" : "epochs"}: ` +
    `the validation sets of the folds chose ${kept}. It was not measured itself; the estimate is that of models that had learned from ` +
    `about ${formatCount(runs[0]!.counts.rows[0]!)} ${rows}.`
  );
}

function foldsTable({ all, runs }: FoldResults): Table {
  const measure = judgedBy(all);
  const columns: RowColumn<RunRecord & TrialRecord>[] = [
    { title: "Fold", key: "fold", value: ({ data }) => Number(data.fold) },
    ...(["Training", "Validation", "Test"] as const).map(
      (title, i): RowColumn<RunRecord & TrialRecord> => ({
        ...{ title, key: `${title.toLowerCase()} rows`, format: formatCount },
        value: ({ counts }) => counts.rows[i],
      }),
    ),
    { title: "Epoch kept", key: "epoch", format: digits(1), value: keptEpoch },
    {
      ...{ title: "Validation loss", key: "validation loss", format: formatLoss },
      value: ({ results }) => results.after.val.loss,
    },
    {
      ...({
        title: `Test ${nameMeasure(measure)} (95 %)`,
        key: `test ${nameMeasure(measure)}`,
        interval: true,
      } as const),
      ...{ format: measure.format, value: (run: TrialRecord) => figureOf(measure, run) },
    },
    { title: "Time", key: "seconds", format: formatDuration, value: ({ seconds }) => seconds },
  ];
  return makeTable("folds", "Folds", columns, runs);
}

/** The answer to every row, in the order of the rows. */
function outOfFold({ pooled: { data, folds, answers } }: FoldResults) {
  const set = data.test;
  const order = [...folds.keys()].sort((a, b) => set.place(a) - set.place(b));
  function* rows(): Generator<Cell[]> {
    for (const row of order) yield [folds[row]! + 1, ...answerCells(set, answers, row)];
  }
  return { columns: asColumns(["fold", ...answerKeys(data, answers)]), rows: rows() };
}
