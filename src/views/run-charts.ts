import { capital, formatCount, percent } from "../core/format.ts";
import { cellLine } from "../document/cells.ts";
import type { Axis, BarChart, Line, LineChart } from "../document/chart.ts";
import { takesSteps } from "../methods/index.ts";
import { describeMethod } from "../methods/training.ts";
import { dataName, examplesPerEpoch, type RunRecord } from "../record/record.ts";
import { chartName, type Measure } from "../tasks/compare.ts";
import { WORDS } from "../tasks/words.ts";
import { bestEvaluation } from "../train/best.ts";
import { type Figure, judgedBy, LOSS, nameMeasure, readMeasure, showMeasure } from "./measures.ts";
import { nameCompared } from "./verdicts.ts";

/** The weight of the past in a smoothed training curve. */
export const SMOOTHING = 0.6;

export interface RunChart {
  /** Also that of its file: "loss", and what a run is judged by: "accuracy". */
  name: string;
  chart: LineChart;
  /** The text alternative of the first run's curves. */
  description: string;
}

interface RunChartOptions {
  /** Whether the training curves are smoothed. */
  smooth?: boolean;
  /** The names of several runs in the legend; without them, their methods. */
  names?: readonly string[];
}

/** Loss, and what a run is judged by, of one or several runs with the same objective. */
export function runCharts(
  records: readonly RunRecord[],
  { smooth = false, names = records.map(({ options }) => describeMethod(options)) }: RunChartOptions = {},
): RunChart[] {
  // Others have no curves.
  const stepped = records.flatMap((record, i) =>
    takesSteps(record.options.mode) ? [{ record, name: names[i]! }] : [],
  );
  if (stepped.length === 0) return [];
  const { record: first } = stepped[0]!;
  const measure = judgedBy(first);
  const runs = byData(stepped);
  const charts: [Figure, Axis][] = [
    [LOSS, { title: WORDS[first.objective].loss, show: LOSS.format, tick: showTick, from: 0 }],
    [measure, measureAxis(measure, records)],
  ];
  // F1 is not measured of steps: without a validation set it has no curve.
  const hasCurve = ([figure]: [Figure, Axis]) =>
    records.some(
      (run) => run.evaluations.length > 0 || run.curve.loss.length === 0 || curveOf(run, figure).some(Number.isFinite),
    );
  return charts.filter(hasCurve).map(([figure, y]) => ({
    name: chartName(figure),
    chart: curveChart(runs, figure, y, smooth),
    description: describeCurve(first, figure),
  }));
}

/** A run and what it is compared with, on the test set; null: there is nothing to draw. */
export function comparedChart(record: RunRecord): { chart: BarChart; description: string } | null {
  const { key, title, format, most, isError } = judgedBy(record);
  const bars = (record.results?.test.compared ?? []).flatMap((competitor) => {
    const figure = competitor.measured[key];
    if (typeof figure !== "object" || figure === null) return [];
    const { value, low, high } = figure;
    return [{ name: capital(nameCompared(record, competitor)), value, interval: { low, high } }];
  });
  if (bars.length < 2) return null;
  const read = bars.map(
    ({ name, value, interval }) => `${name} ${cellLine({ value, ...interval }, { title, format })}`,
  );
  const about = `${title} on the test set${isError ? ", the lower the better" : ""}, with 95 % intervals`;
  return {
    chart: { kind: "bars", title: about, show: format, ...(most === undefined ? {} : { most }), bars },
    description: `${read.join("; ")}.`,
  };
}

function measureAxis(measure: Measure, records: readonly RunRecord[]): Axis {
  const axis = { title: nameMeasure(measure), show: measure.format };
  if (measure.most !== 1) return { ...axis, tick: showTick, from: 0 };
  return { ...axis, tick: (share) => percent(share, 0), from: lowestShare(measure, records), to: 1 };
}

interface NamedRun {
  record: RunRecord;
  name: string;
}

/** At most four decimal places, without trailing zeros. */
const showTick = (value: number) =>
  value < 10 ? String(Number(value.toFixed(4))) : value < 1e6 ? formatCount(value) : value.toExponential(0);

/** The multiple of 10 % below the lowest value: the upper range, where runs differ, is readable. */
function lowestShare(measure: Figure, records: readonly RunRecord[]): number {
  const values = records.flatMap((record) => [
    ...curveOf(record, measure),
    ...record.evaluations.map(({ val }) => readMeasure(measure, val) ?? Number.NaN),
  ]);
  return Math.max(0, Math.min(0.9, Math.floor(Math.min(...values.filter(Number.isFinite), 1) * 10 - 1e-9) / 10));
}

/** The runs on one data set side by side, those on the first run's first. */
function byData(runs: readonly NamedRun[]): NamedRun[] {
  const names = runs.map(({ record }) => dataName(record));
  return [...runs].sort((a, b) => names.indexOf(dataName(a.record)) - names.indexOf(dataName(b.record)));
}

function curveChart(runs: readonly NamedRun[], measured: Figure, y: Axis, smooth: boolean): LineChart {
  const isAlone = runs.length === 1;
  const epochs = new Set(runs.map(({ record }) => examplesPerEpoch(record)));
  const [per = 0] = epochs.size === 1 ? epochs : [];
  const best = bestSoFar(runs[0]!.record);
  const isMixed = new Set(runs.map(({ record }) => dataName(record))).size > 1;
  const note = `dashed: training${isMixed ? ". Values on different data are not comparable." : ""}`;
  return {
    kind: "lines",
    title: measured.title,
    ...(isAlone ? {} : { note }),
    x: {
      title: "training examples seen",
      show: (value) => `${formatCount(Math.round(value))} examples`,
      tick: formatCount,
    },
    y,
    ...(per > 0 ? { upper: { title: "epochs", per } } : {}),
    ...(best && isAlone ? { mark: { at: best.examples, name: "kept" } } : {}),
    lines: runs.flatMap((run, color) => runLines(run, color, isAlone, measured, smooth)),
  };
}

/** The evaluation whose parameters are kept, or would be if the run ended now. */
const bestSoFar = ({ evaluations, options: { keep } }: RunRecord) =>
  evaluations.length > 1 && keep === "best" ? bestEvaluation(evaluations) : undefined;

const curveOf = ({ curve }: RunRecord, measured: Figure) =>
  curve.loss.map((loss, i) => readMeasure(measured, { loss, accuracy: curve.accuracy[i]! }) ?? Number.NaN);

/** The training curve and the evaluations of a run: in one colour if it is one of several. */
function runLines(
  { record, name }: NamedRun,
  color: number,
  isAlone: boolean,
  measured: Figure,
  smooth: boolean,
): Line[] {
  const { curve, evaluations } = record;
  const group = dataName(record);
  const values = curveOf(record, measured);
  const hasValidation = evaluations.length > 0 || values.length === 0;
  const training: Line = {
    name: isAlone ? "training" : hasValidation ? null : name,
    group,
    color,
    look: "faint",
    xs: curve.examples,
    ys: smooth ? smoothed(values, SMOOTHING) : values,
  };
  const validation: Line = {
    name: isAlone ? "validation" : name,
    group,
    color: isAlone ? 1 : color,
    look: "solid",
    xs: evaluations.map(({ examples }) => examples),
    ys: evaluations.map(({ val }) => readMeasure(measured, val)),
  };
  // F1 is not measured of steps.
  const hasTraining = values.length === 0 || values.some(Number.isFinite);
  return [...(hasTraining ? [training] : []), ...(hasValidation ? [validation] : [])];
}

/** The exponential moving average of some values, in which the past has this weight. */
export function smoothed([first, ...more]: readonly number[], weight: number): number[] {
  if (first === undefined) return [];
  let mean = first;
  return [
    first,
    ...more.map((value) => {
      mean += (1 - weight) * (value - mean);
      return mean;
    }),
  ];
}

function describeCurve(record: RunRecord, measured: Figure): string {
  const { evaluations, objective, curve } = record;
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  const [begin, ...more] = curveOf(record, measured).filter(Number.isFinite);
  const show = (value: number) => measured.format(value);
  if (!first || !last)
    return begin === undefined
      ? "No data yet."
      : `Training: from ${show(begin)} to ${show(more.at(-1) ?? begin)} after ${formatCount(curve.examples.at(-1)!)} ${WORDS[objective].units.seen}.`;
  const [from, to] = [first, last].map(({ val }) => showMeasure(measured, val) ?? "–");
  const training = last.train && showMeasure(measured, last.train);
  const seen = `${formatCount(last.examples)} ${WORDS[objective].units.seen}`;
  return `Validation: from ${from} to ${to} after ${seen}.${training ? ` Training: ${training}.` : ""}`;
}
