/** The report of a sweep, with confidence intervals and tests: report.md, report.html, tables and figures. */
import { joinPath, writeFileAtomic } from "#platform";
import { capital, formatCount, formatLoss, percent } from "../../core/format.ts";
import { formatP, SIGNIFICANT } from "../../core/statistics.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { type Block, type Figure, figure, heading, makeTable, type RowColumn, text } from "../../document/blocks.ts";
import type { FileContent } from "../../platform/reader.ts";
import { REPORT, type RunRecord } from "../../record/record.ts";
import { readRecord } from "../../run/directory.ts";
import { type Measure, readEvaluated } from "../../tasks/compare.ts";
import { TRAINING } from "../../tasks/training.ts";
import { WORDS } from "../../tasks/words.ts";
import { isUnequal } from "../../train/class-weights.ts";
import { tableToCsv } from "../../views/csv.ts";
import { blockFiles } from "../../views/files.ts";
import { toHtml } from "../../views/html.tsx";
import { toMarkdown } from "../../views/markdown.ts";
import { isShown, judgedBy, nameMeasure } from "../../views/measures.ts";
import { runBlocks } from "../../views/run.ts";
import { runCharts } from "../../views/run-charts.ts";
import { metricsTable } from "../../views/run-tables.ts";
import { formatRate } from "../grid.ts";
import {
  bestOutcome,
  bestPerMode,
  bestTrial,
  finishedTrials,
  listOutcomes,
  longestOf,
  mean,
  type Outcome,
  sortByLoss,
  testEstimate,
  testPairs,
  testRows,
} from "../outcome.ts";
import { publishedAccuracy } from "../published.ts";
import { type FinishedCell, type TrialRecord, trialDirectory } from "../store.ts";
import { sizeFigure } from "./comparison.ts";
import { steps } from "./halving.ts";
import { ABOUT, aboutLeaks, aboutPublished, method } from "./method.ts";
import { rankAlphaMap, rates } from "./rates.ts";
import { type Asked, recommendation } from "./recommend.ts";
import { aboutSeeds } from "./seeds.ts";

const TITLE = "Lowrank: report of a study";

/** Of more settings than that the best ones are in the main figure, and compared with each other. */
const MANY = 100;

/** The report of a study: tables, figures, intervals, tests. */
export interface StudyReport {
  /** @internal */
  blocks: readonly Block[];
  toMarkdown(): string;
  /** A page by itself. Its links lead to the pages of the runs in a study's directory. */
  toHtml(): string;
}

/** A report. With `out` it is in a study's directory, with `more` files and those of its tables and figures. */
export async function storeReport(
  title: string,
  blocks: readonly Block[],
  out: string | undefined,
  more: readonly (readonly [path: string, content: FileContent])[],
): Promise<StudyReport> {
  const links = out !== undefined;
  const report = { blocks, toMarkdown: () => toMarkdown(blocks, { links }), toHtml: () => toHtml(title, blocks) };
  if (!links) return report;
  const files = [...blockFiles(blocks), ["report.md", report.toMarkdown()], ["report.html", report.toHtml()], ...more];
  for (const [path, content] of files as typeof more) await writeFileAtomic(joinPath(out, path), content);
  return report;
}

/** The report of the finished trials of a study. With `out` it is written there, and has links to the files there. */
export async function reportStudy(
  cells: readonly FinishedCell[],
  data: TrainingData,
  out: string | undefined,
  asked: Asked = {},
): Promise<StudyReport> {
  const whole = new Map<TrialRecord, RunRecord>();
  for (const trial of out === undefined ? [] : shownWhole(select(cells, data, asked)))
    whole.set(trial, await readRecord(trialDirectory(out!, trial.trial)));
  const blocks = reportBlocks(cells, data, { ...asked, hasFiles: out !== undefined }, whole);
  const finished = finishedTrials(cells);
  const metrics = (records: readonly TrialRecord[]) => tableToCsv(metricsTable(records));
  return storeReport(TITLE, blocks, out, [
    ["metrics.csv", metrics(finished)],
    ...[...new Set(finished.map(({ options }) => options.mode))].map((mode) => {
      return [`metrics-${mode}.csv`, metrics(finished.filter(({ options }) => options.mode === mode))] as const;
    }),
  ]);
}

interface ReportRequest extends Asked {
  /** Whether it is in the directory of its runs, beside its figures and tables. */
  hasFiles?: boolean;
}

interface Selection {
  outcomes: readonly Outcome[];
  compared: readonly Outcome[];
}

function select(cells: readonly FinishedCell[], data: TrainingData, { candidates }: Asked): Selection {
  const all = listOutcomes(cells, judgedBy(data));
  // Then those with the lowest validation loss are first.
  const outcomes = all.length > MANY ? sortByLoss(all) : all;
  return { outcomes, compared: candidates ? longestOf(candidates, outcomes) : outcomes };
}

/** The trials of which more is shown than what is compared of all: first seeds of the best settings, and the best. */
const shownWhole = ({ outcomes, compared }: Selection) =>
  [...bestPerMode(compared).map(({ trials: [first] }) => first), bestTrial(outcomes)].filter(
    (trial) => trial !== undefined,
  );

/** The report as blocks. `whole`: records of what is shown whole, where those of `cells` are not. */
export function reportBlocks(
  cells: readonly FinishedCell[],
  data: TrainingData,
  asked: ReportRequest = {},
  whole?: ReadonlyMap<TrialRecord, RunRecord>,
): Block[] {
  const { outcomes, compared } = select(cells, data, asked);
  const { about, candidates, hasFiles = false } = asked;
  const measure = judgedBy(data);
  const wholeOf = (trial: TrialRecord) =>
    whole?.get(trial) ?? ("curve" in trial ? (trial as RunRecord & TrialRecord) : undefined);
  return [
    heading(TITLE, 1),
    ...recommendation(outcomes, data, asked),
    ...steps(candidates, finishedTrials(cells)),
    ...method(cells, outcomes, data, measure, about),
    ...aboutPublished(outcomes, data),
    ...aboutLeaks(data, measure),
    sizes(compared, measure),
    ...settings(outcomes, data),
    ...comparisons(compared, measure, data),
    ...aboutSeeds(compared, measure),
    ...rankAlphaMap(outcomes, measure),
    ...rates(outcomes),
    ...losses(compared, wholeOf),
    ...showBest(outcomes, wholeOf),
    ...trials(cells, measure, hasFiles),
  ];
}

/** Points that can be told apart. */
const POINTS = 60;

/** The main figure. */
function sizes(all: readonly Outcome[], measure: Measure): Figure {
  if (all.length <= MANY) return sizeFigure(all, measure);
  const figure = sizeFigure([...new Set([...bestPerMode(all), ...all])].slice(0, POINTS), measure);
  const which = `${POINTS} of ${formatCount(all.length)} settings: those with the lowest validation loss, and the best of each method`;
  return { ...figure, caption: `${figure.caption}. ${which}` };
}

function settings(outcomes: readonly Outcome[], data: TrainingData): Block[] {
  const digits = (value: number) => value.toPrecision(3);
  const [measure, other] = TRAINING[data.objective].measures;
  const [name, show] = [nameMeasure(measure), measure.format];
  return [
    heading("Every setting"),
    makeTable<Outcome>(
      "settings",
      `Settings, with the mean ${name} of their seeds and its 95 % interval`,
      [
        { title: "Run", key: "run", value: ({ label }) => label },
        { title: "Rate", key: "rate", format: formatRate, value: ({ lr }) => lr },
        { title: "Seeds", key: "seeds", value: ({ trials }) => trials.length },
        { title: "Validation loss", key: "validation loss", format: formatLoss, value: ({ loss }) => loss },
        { title: `Validation ${name}`, key: `validation ${name}`, format: show, value: ({ val }) => val.mean },
        { title: `Test ${name}`, key: `test ${name}`, interval: true, format: show, value: testEstimate },
        { title: "sd", key: "sd", format: show, value: ({ test }) => (test.n > 1 ? test.sd : null) },
        ...(isShown(other, { unequal: isUnequal(data) }) ? [otherColumn(other)] : []),
        ...moreColumns(outcomes, data, measure),
        { title: "Trainable", key: "trainable", format: formatCount, value: ({ trials: [first] }) => first!.trainable },
        {
          title: "GFLOP a batch",
          key: "GFLOP a batch",
          format: digits,
          value: ({ trials: [first] }) => first!.flops / 1e9,
        },
        { title: "Seconds", key: "seconds", format: (value) => value.toFixed(1), value: ({ seconds }) => seconds },
        { title: "Memory MB", key: "memory MB", format: digits, value: ({ trials: [first] }) => first!.memory / 1e6 },
        { title: "Saved MB", key: "saved MB", format: digits, value: ({ trials: [first] }) => first!.saved / 1e6 },
      ],
      outcomes,
    ),
    text(
      "GFLOP a batch counts the matrix products of a training batch of mean length, seconds is the mean time of a run. Memory is the peak of a run, including the frozen blocks " +
        "that run once per message before training, and their stored outputs. Saved is the size of the files of trained tensors.",
    ),
  ];
}

function otherColumn(measure: Measure): RowColumn<Outcome> {
  const { title, format, statistics } = measure;
  return {
    title,
    key: nameMeasure(measure),
    format,
    ...(statistics ? { interval: true } : {}),
    value({ trials }) {
      const value = mean(trials.map(({ results }) => readEvaluated(measure, results.after.test)));
      return statistics ? { value, ...statistics.interval(testRows(trials)) } : value;
    },
  };
}

/** Where they apply: the figure without leaks, published figures. */
function moreColumns(outcomes: readonly Outcome[], data: TrainingData, measure: Measure): RowColumn<Outcome>[] {
  const name = `test ${nameMeasure(measure)}, no copies`;
  const withoutCopies = ({ results }: TrialRecord) => results.test.compared[0].unseen?.value;
  const columns: (RowColumn<Outcome> & { format: Measure["format"] })[] = [
    {
      title: capital(name),
      key: name,
      format: measure.format,
      value: ({ trials }) => {
        const values = trials.flatMap((trial) => withoutCopies(trial) ?? []);
        return values.length > 0 ? mean(values) : undefined;
      },
    },
    { title: "Published", key: "published", format: percent, value: (outcome) => publishedAccuracy(outcome, data) },
  ];
  return columns.filter(({ value }) => outcomes.some((candidate) => value(candidate) !== undefined));
}

/** All methods in pairs; of a single method, the best setting against each other one, or against the next best. */
function comparisons(outcomes: readonly Outcome[], measure: Measure, { objective }: TrainingData): Block[] {
  const methods = bestPerMode(outcomes);
  const [best] = methods;
  if (!best) return [];
  const pairs =
    methods.length > 1
      ? methods.flatMap((one, i) => methods.slice(i + 1).map((other) => [one, other] as const))
      : outcomes.flatMap((other) => (other === best ? [] : [[best, other] as const])).slice(0, MANY);
  if (pairs.length === 0) return [];
  const statistics = measure.statistics!;
  const { rows } = WORDS[objective].drawn(pairs[0]![0].trials[0]!.results.test.details);
  const tests = testPairs(pairs, measure);
  const others = pairs.length < outcomes.length - 1 ? `the ${pairs.length} next best settings` : "each other setting";
  const title = methods.length > 1 ? "Methods in pairs" : "The best setting against each other";
  const what =
    methods.length > 1
      ? `${outcomes.length > methods.length ? "Of each method the setting with the lowest validation loss is compared. All" : "All"} pairs of methods are compared`
      : `The best setting, with the lowest validation loss, is ${best.label}. It is compared with ${others}`;
  const distinct = tests.filter(({ adjusted }) => adjusted < SIGNIFICANT).length;
  type Found = (typeof tests)[number];
  return [
    heading(title),
    text(
      `${what} with ${ABOUT[statistics.key].comparisons(rows)}. The p-values of the ${pairs.length} comparisons are corrected with Holm's method: the probability ` +
        `that any of equal pairs is called different is below ${SIGNIFICANT}. With a corrected p of ${SIGNIFICANT} or more a pair is not ` +
        `distinguishable; ${distinct === 0 ? "no pair is" : `${distinct} of ${pairs.length} pairs are`} distinguishable.`,
    ),
    makeTable<Found>(
      "comparisons",
      "Pairs, with p before and after the correction",
      [
        { title: "First", key: "first", value: ({ one }) => one.label },
        { title: "Second", key: "second", value: ({ other }) => other.label },
        {
          ...({ title: "First minus second", key: "first minus second", interval: true } as const),
          format: measure.format,
          value: ({ difference }: Found) => difference,
        },
        ...statistics.counts.map((title, i) => ({
          title,
          key: title.toLowerCase(),
          format: formatCount,
          value: ({ counts }: Found) => counts?.[i],
        })),
        { title: "p", key: "p", format: formatP, value: ({ p }) => p },
        { title: "p, corrected", key: "p, corrected", format: formatP, value: ({ adjusted }) => adjusted },
        { title: "The first is", key: "the first is", value: ({ standing }) => standing },
      ],
      tests,
    ),
  ];
}

function showBest(outcomes: readonly Outcome[], wholeOf: (trial: TrialRecord) => RunRecord | undefined): Block[] {
  const [best, trial] = [bestOutcome(outcomes), bestTrial(outcomes)];
  const run = trial && wholeOf(trial);
  return run ? [heading(`The best run: ${best!.label}, seed ${run.options.seed}`), ...runBlocks(run)] : [];
}

function losses(outcomes: readonly Outcome[], wholeOf: (trial: TrialRecord) => RunRecord | undefined): Block[] {
  const best = bestPerMode(outcomes);
  const records = best.flatMap(({ trials: [first] }) => wholeOf(first!) ?? []);
  const [loss] = runCharts(records, { names: best.map(({ label }) => label) });
  return loss ? [figure("loss", "Loss of the best setting of each method, first seed", loss.chart)] : [];
}

function trials(cells: readonly FinishedCell[], measure: Measure, hasFiles: boolean): Block[] {
  const column = (title: string, set: "val" | "test"): RowColumn<TrialRecord> => ({
    title: `${title} ${nameMeasure(measure)}`,
    key: `${title.toLowerCase()} ${nameMeasure(measure)}`,
    format: measure.format,
    value: ({ results }) => readEvaluated(measure, results.after[set]),
  });
  const page: RowColumn<TrialRecord> = {
    title: "Page",
    key: "page",
    value: ({ trial }) => ({ href: `trials/${trial.name}/${REPORT}`, text: REPORT }),
  };
  return [
    heading("Every run"),
    ...(hasFiles ? [text("All figures are also SVG files, all tables CSV files, in the folder figures.")] : []),
    makeTable<TrialRecord>(
      "runs",
      "Runs",
      [
        { title: "Run", key: "run", value: ({ trial }) => trial.name },
        { title: "Rate", key: "rate", format: formatRate, value: ({ options: { lr } }) => lr },
        { title: "Seed", key: "seed", value: ({ options: { seed } }) => seed },
        ...[column("Validation", "val"), column("Test", "test")],
        ...(hasFiles ? [page] : []),
      ],
      finishedTrials(cells),
    ),
  ];
}
