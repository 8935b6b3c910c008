import { digits, formatCount, formatLoss, percent } from "../../core/format.ts";
import type { Estimate } from "../../core/statistics.ts";
import { DROP, REVIEW } from "../../data/sets/corrections.ts";
import {
  type Block,
  type Cell,
  heading,
  makeTable,
  messageColumns,
  type RowColumn,
  type Table,
  text,
} from "../../document/blocks.ts";
import { sheetLine } from "../../io/csv.ts";
import { takesSteps } from "../../methods/index.ts";
import type { RunRecord } from "../../record/record.ts";
import { countRows, estimate, type Measure } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { csvLines } from "../../views/csv.ts";
import { judgedBy, nameMeasure } from "../../views/measures.ts";
import { reportBlocks, reportTitle } from "../../views/run-report.ts";
import {
  answerCells,
  answerKeys,
  asColumns,
  baselinesTable,
  encode,
  probabilityKey,
  roundAnswer,
} from "../../views/run-tables.ts";
import { asFlag } from "../../views/terminal/flag-words.ts";
import { describeAdvice, describeAnswer } from "../../views/verdicts.ts";
import { type FoldResults, keptEpoch, type Pooled } from "../folds.ts";
import type { Review, Suspect } from "../review.ts";
import type { TrialRecord } from "../store.ts";
import { type StudyReport, storeReport } from "./report.ts";

/** The report. With `out` it is written into the study's directory, with the answers to all rows. */
export async function reportFolds(results: FoldResults, out: string | undefined): Promise<StudyReport> {
  const { pooled, all } = results;
  const record = shownRecord(results);
  const blocks = reportBlocks(record, { classic: null }, all, {
    review: reviewBlocks(pooled),
    made: [text(describeEstimate(results)), foldsTable(results), text(describeFinal(results))],
  });
  const csv = (table: Parameters<typeof csvLines>[0]) => encode(csvLines(table, sheetLine));
  return storeReport(reportTitle(record), blocks, out, [
    ["out-of-fold.csv", csv(outOfFold(results))],
    ...(pooled.review ? [["review.csv", csv(reviewTable(pooled, pooled.review))] as const] : []),
  ]);
}

/** Suspects that the report shows. */
const SHOWN = 100;

/** The first rows whose label is improbable, and what to do about them. */
function reviewBlocks({ data, answers, review }: Pooled): Block[] {
  if (!review) return [];
  const { suspects } = review;
  if (suspects.length === 0)
    return [heading("Labels to review"), text("No row is labelled as a class that it is improbably of.")];
  const columns: RowColumn<Suspect>[] = [
    { title: "Row", key: REVIEW.row, format: String, value: ({ row }) => data.test.place(row) + 1 },
    {
      title: "Label",
      key: REVIEW.correct,
      value: ({ row }) => ({ value: String(answers.truth[row]), choices: [...data.labels, DROP] }),
    },
    { title: "Suggested", key: "suggested label", value: ({ suggested }) => data.labels[suggested] },
    {
      title: "Probability of the label",
      key: "probability of the label",
      format: percent,
      value: ({ row }) => review.shares[row * data.labels.length + data.labels.indexOf(String(answers.truth[row]))],
    },
    ...messageColumns("pairs" in data ? data.pairs : undefined).map(
      (column, i): RowColumn<Suspect> => ({
        ...column,
        key: REVIEW.texts[i]!,
        value: ({ row }) => column.value({ text: data.test.text(row) }),
      }),
    ),
  ];
  const which = suspects.length > SHOWN ? `The ${SHOWN} worst of ${formatCount(suspects.length)} rows` : "The rows";
  return [
    heading("Labels to review"),
    text(
      `${formatCount(suspects.length)} of ${formatCount(data.test.size)} rows have a label that is improbable by models which had not learned from ` +
        `them, the fold's run and TF-IDF together (confident learning, Northcutt et al. 2021). Some are wrong, others are difficult. Choose the right label where it is wrong ("${DROP}" leaves the text out), ` +
        `save corrections.csv, and train again with ${asFlag("corrections", "corrections.csv")}. review.csv, a table for a spreadsheet, has them too, with the suggested label in the column "${REVIEW.correct}": leave it where you agree, and otherwise write the right one ("new: LABEL" is a label that the data does not have), or delete the row.`,
    ),
    makeTable("suspects", `${which} whose label is the least probable`, columns, suspects.slice(0, SHOWN)),
  ];
}

/** The table to correct, for a spreadsheet: all of them, with the suggested labels as the correct ones. */
function reviewTable({ data, answers }: Pooled, { suspects, shares }: Review) {
  const { labels, test } = data;
  const texts = REVIEW.texts.slice(0, "pairs" in data && data.pairs ? 2 : 1);
  const keys = [REVIEW.row, ...texts, "given label", REVIEW.correct, ...labels.map(probabilityKey)];
  const rows = suspects.map(({ row, suggested }): Cell[] => [
    ...[test.place(row) + 1, ...[test.text(row)].flat(), String(answers.truth[row]), labels[suggested]],
    ...labels.map((_, label) => roundAnswer(shares[row * labels.length + label]!)),
  ]);
  return { columns: asColumns(keys), rows };
}

/** In short, for a terminal. */
export function foldsSummary(results: FoldResults): Block[] {
  const record = shownRecord(results);
  const advice = describeAdvice(record);
  return [
    ...baselinesTable(record, record.results!),
    text(describeEstimate(results)),
    text([describeAnswer(record), advice ?? []].flat().join(" ")),
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
  const figures = runs.flatMap((run) => figureOf(measure, run)?.value ?? []);
  const [least, most] = [Math.min(...figures), Math.max(...figures)].map(measure.format);
  const range = figures.length > 0 ? `is ${least} to ${most}` : "is not defined";
  return (
    `All ${formatCount(countRows(rows))} ${what} were tested, each by the one of ${runs.length} models that had not ` +
    `learned from it; the ${name} of a fold ${range}.`
  );
}

function describeFinal({ all, runs, final }: FoldResults): string {
  const { rows } = WORDS[all.objective].units;
  if (!final) return `No run has learned from all ${rows}: with ${asFlag("final", "all")}, it is trained, too.`;
  const { epochs, mode } = final.options;
  const kept = runs.map((run) => keptEpoch(run).toFixed(1)).join(", ");
  const length = takesSteps(mode)
    ? `, for ${epochs} ${epochs === 1 ? "epoch" : "epochs"}: the validation sets of the folds chose ${kept}`
    : "";
  return (
    `The final run, ${final.trial!.name}, has learned from all ${formatCount(final.counts.rows[0]!)} ${rows}${length}. ` +
    `It was not measured itself; the estimate is that of models that had learned from ` +
    `about ${formatCount(runs[0]!.counts.rows[0]!)} ${rows}.`
  );
}

function foldsTable({ all, runs }: FoldResults): Table {
  const measure = judgedBy(all);
  const columns: RowColumn<RunRecord & TrialRecord>[] = [
    { title: "Fold", key: "fold", value: ({ data }) => Number(data.fold) },
    { title: "Epoch kept", key: "epoch", format: digits(1), value: keptEpoch },
    {
      title: "Validation loss",
      key: "validation loss",
      format: formatLoss,
      value: ({ results }) => results.after.val.loss,
    },
    {
      ...({
        title: `Test ${nameMeasure(measure)} (95 %)`,
        key: `test ${nameMeasure(measure)}`,
        interval: true,
      } as const),
      format: measure.format,
      value: (run: TrialRecord) => figureOf(measure, run),
    },
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
