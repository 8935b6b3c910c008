import { brief } from "../document/cells.ts";
import type { Axis, Line, LineChart } from "../document/chart.ts";
import { formatCount, formatLoss, formatScore, percent } from "../format.ts";
import type { Reliability } from "../measures.ts";
import { describeMethod } from "../methods/index.ts";
import { dataName, examplesPerEpoch, type RunRecord } from "../run/record.ts";
import type { Objective } from "../tasks/index.ts";
import type { ScoreResults } from "../train/regression.ts";
import type { TestResults } from "../train/results.ts";
import { LOSS, type Metric, nameMetric, runMetric } from "./metric.ts";

/** The weight of the past in a smoothed training curve. */
export const SMOOTHING = 0.6;

export interface RunChart {
  /** Also that of its file. A language model has a perplexity, and no accuracy. */
  name: "loss" | "accuracy" | "perplexity" | "rmse";
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
  const [first] = records as [RunRecord];
  const metric = runMetric(first);
  const runs = byData(records.map((record, i) => ({ record, name: names[i]! })));
  const charts: [RunChart["name"], Metric, Axis][] = [
    ["loss", LOSS, { title: LOSSES[first.objective], show: LOSS.show, tick: showTick, from: 0 }],
    measuredBy(first.objective, metric, records),
  ];
  return charts.map(([name, measured, y]) => ({
    name,
    chart: curveChart(runs, measured, y, smooth),
    description: describeCurve(first, measured),
  }));
}

const LOSSES: Record<Objective, string> = {
  classification: "cross-entropy (nats)",
  regression: "mean squared error",
  "multi-label": "binary cross-entropy (nats)",
  lm: "cross-entropy (nats)",
};

function measuredBy(
  objective: Objective,
  metric: Metric,
  records: readonly RunRecord[],
): [RunChart["name"], Metric, Axis] {
  const axis = { title: nameMetric(metric), show: metric.show };
  if (objective === "lm" || objective === "regression")
    return [objective === "lm" ? "perplexity" : "rmse", metric, { ...axis, tick: showTick, from: 0 }];
  return ["accuracy", metric, { ...axis, tick: showShare, from: lowestShare(records), to: 1 }];
}

interface NamedRun {
  record: RunRecord;
  name: string;
}

/** A loss that is not finite is null in a stored record. */
const read = ({ of }: Metric, { loss, ...rest }: Parameters<Metric["of"]>[0]) =>
  of({ loss: loss ?? Number.NaN, ...rest });

/** At most four decimal places, without trailing zeros. */
const showTick = (value: number) =>
  value < 10 ? String(Number(value.toFixed(4))) : value < 1e6 ? formatCount(value) : value.toExponential(0);
const showShare = (value: number) => percent(value, 0);

/** The multiple of 10 % below the lowest accuracy: the upper range, where runs differ, is readable. */
function lowestShare(records: readonly RunRecord[]): number {
  const values = records.flatMap(({ curve, evaluations }) => [
    ...curve.accuracy,
    ...evaluations.map(({ val }) => val.accuracy!),
  ]);
  return Math.max(0, Math.min(0.9, Math.floor(Math.min(...values.filter(Number.isFinite), 1) * 10 - 1e-9) / 10));
}

/** The runs on one data set side by side, those on the first run's first. */
function byData(runs: readonly NamedRun[]): NamedRun[] {
  const names = runs.map(({ record }) => dataName(record));
  return [...runs].sort((a, b) => names.indexOf(dataName(a.record)) - names.indexOf(dataName(b.record)));
}

function curveChart(runs: readonly NamedRun[], measured: Metric, y: Axis, smooth: boolean): LineChart {
  const isAlone = runs.length === 1;
  const epochs = new Set(runs.map(({ record }) => examplesPerEpoch(record)));
  const [per = 0] = epochs.size === 1 ? epochs : [];
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
    lines: runs.flatMap((run, color) => runLines(run, color, isAlone, measured, smooth)),
  };
}

/** The training curve and the evaluations of a run: in one colour if it is one of several. */
function runLines(
  { record, name }: NamedRun,
  color: number,
  isAlone: boolean,
  measured: Metric,
  smooth: boolean,
): Line[] {
  const { curve, evaluations } = record;
  const group = dataName(record);
  const values = curve.loss.map((loss, i) => read(measured, { loss, accuracy: curve.accuracy[i]! }));
  return [
    {
      name: isAlone ? "training" : null,
      ...{ group, color, look: "faint" },
      xs: curve.examples,
      ys: smooth ? smoothed(values, SMOOTHING) : values,
    },
    {
      name: isAlone ? "validation" : name,
      ...{ group, color: isAlone ? 1 : color, look: "solid" },
      xs: evaluations.map(({ examples }) => examples),
      ys: evaluations.map(({ val }) => read(measured, val)),
    },
  ];
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

function describeCurve({ evaluations, objective }: RunRecord, measured: Metric): string {
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  if (!first || !last) return "No data yet.";
  const show = (value: Parameters<Metric["of"]>[0]) => measured.show(read(measured, value));
  const training = last.train ? ` Training: ${show(last.train)}.` : "";
  const seen = `${formatCount(last.examples)} ${objective === "lm" ? "blocks" : "examples"}`;
  return `Validation: from ${show(first.val)} to ${show(last.val)} after ${seen}.${training}`;
}

/** The ROC and the precision-recall curves: of the positive of two classes, of each of more against the rest. */
export function rankingCharts(
  labels: readonly string[],
  { classes, positive }: TestResults,
): { roc: LineChart; pr: LineChart } | null {
  const ranked = classes.flatMap(({ ranking }, id) =>
    ranking && (positive === null || id === positive) ? [{ ranking, id }] : [],
  );
  if (ranked.length === 0) return null;
  const chart = (title: string, x: string, y: string, curve: "roc" | "pr", area: "rocAuc" | "prAuc"): LineChart => ({
    kind: "lines",
    title,
    x: { ...SHARE, title: x },
    y: { ...SHARE, title: y },
    lines: ranked.map(({ ranking, id }, color) => ({
      ...{ name: `${brief(labels[id]!)}, area ${formatLoss(ranking[area])}`, color, look: "solid" },
      ...ranking[curve],
    })),
  });
  const roc = chart("ROC", "false positive rate", "true positive rate", "roc", "rocAuc");
  const chance: Line = { name: "chance", color: 1, look: "reference", xs: [0, 1], ys: [0, 1] };
  return {
    roc: { ...roc, lines: [...roc.lines, chance] },
    pr: chart("Precision and recall", "recall", "precision", "pr", "prAuc"),
  };
}

const SHARE = { show: (value: number) => percent(value), tick: showShare, from: 0, to: 1 };

/** The mean score over the mean of the true ones, of tenths of the rows. */
export function scoresChart({ bins, errors }: ScoreResults): LineChart {
  const truth = bins.map((bin) => bin.truth);
  return {
    kind: "lines",
    title: "Scores",
    note: `test set, ${formatCount(errors.length)} rows in the order of their true scores`,
    x: { title: "true score", show: formatScore },
    y: { title: "score", show: formatScore },
    lines: [
      {
        name: "mean score, 95 % interval",
        ...{ color: 0, look: "solid" },
        xs: truth,
        ys: bins.map(({ predicted }) => predicted),
        intervals: bins.map(({ interval }) => interval),
      },
      { name: "the true score", color: 1, look: "reference", xs: truth, ys: truth },
    ],
  };
}

/** The share of right rows against the probability of the predicted class, and the rows of each bin. */
export function reliabilityChart({ bins, error }: Reliability): LineChart {
  const rows = bins.reduce((sum, bin) => sum + bin.rows, 0);
  const note = `test set, ${formatCount(rows)} rows; expected calibration error ${percent(error.value)}`;
  return {
    kind: "lines",
    title: "Reliability",
    note,
    x: { ...SHARE, title: "probability of the predicted class" },
    y: { ...SHARE, title: "accuracy" },
    lines: [
      {
        name: "accuracy, 95 % interval",
        ...{ color: 0, look: "solid" },
        xs: bins.map(({ confidence }) => confidence),
        ys: bins.map(({ accuracy }) => accuracy),
        intervals: bins.map(({ interval }) => interval),
      },
      { name: "perfect calibration", color: 1, look: "reference", xs: [0, 1], ys: [0, 1] },
    ],
    counts: {
      title: "rows",
      width: 0.1,
      xs: bins.map(({ middle }) => middle),
      values: bins.map((bin) => bin.rows),
    },
  };
}
