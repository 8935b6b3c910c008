/** The report of a sweep, with confidence intervals and tests: report.md, report.html, tables and figures. */
import { joinPath, writeFileAtomic } from "#platform";
import { MODE_TITLES } from "../../config.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { findLeaks } from "../../data/duplicates.ts";
import type { TrainingData } from "../../data/texts.ts";
import { LM_METRICS_COLUMNS, METRICS_COLUMNS, toCsv } from "../../io/csv.ts";
import { holm, SIGNIFICANT, standing } from "../../statistics.ts";
import { showRate } from "../../sweep/grid.ts";
import { bitsInterval, chooseMeasure, type Measure, percent } from "../../sweep/measure.ts";
import {
  bestOutcome,
  bestPerMode,
  dropUntuned,
  finishedTrials,
  listOutcomes,
  mean,
  type Outcome,
} from "../../sweep/outcome.ts";
import { publishedAccuracy } from "../../sweep/published.ts";
import type { FinishedCell, TrialRecord } from "../../sweep/store.ts";
import { isUnequal } from "../../train/class-weights.ts";
import { chartSvg } from "../charts/svg.tsx";
import { lossCurves, valueOverSize } from "../charts/sweep-charts.ts";
import { type Block, blockFiles, toHtml, toMarkdown } from "../document.ts";
import { lmMetricsRow, metricsRow } from "../run-tables.ts";
import { details } from "./best-run.ts";
import { aboutLeaks, aboutPublished, method } from "./method.ts";
import { grids, rates } from "./rates.ts";

const TITLE = "LoRA on GPT-2: sweep report";

/**
 * Writes the report of the finished trials into the sweep's directory. Returns it as Markdown. `about` is what it says
 * about the choice of settings.
 */
export async function writeReport(
  out: string,
  cells: readonly FinishedCell[],
  data: TrainingData,
  about?: string,
): Promise<string> {
  const blocks = reportBlocks(cells, data, about);
  const markdown = toMarkdown(blocks);
  const finished = finishedTrials(cells);
  const metrics = (some: readonly TrialRecord[]) =>
    data.objective === "lm"
      ? toCsv(LM_METRICS_COLUMNS, some.map(lmMetricsRow))
      : toCsv(METRICS_COLUMNS, some.map(metricsRow));
  const files: [path: string, content: string][] = [
    ...blockFiles(blocks),
    ["metrics.csv", metrics(finished)],
    ...[...new Set(finished.map(({ options }) => options.mode))].map((mode): [string, string] => {
      return [`metrics-${mode}.csv`, metrics(finished.filter(({ options }) => options.mode === mode))];
    }),
    ["report.md", markdown],
    ["report.html", toHtml(TITLE, blocks)],
  ];
  for (const [path, content] of files) await writeFileAtomic(joinPath(out, path), content);
  return markdown;
}

export function reportBlocks(cells: readonly FinishedCell[], data: TrainingData, about?: string): Block[] {
  const measure = chooseMeasure(data, finishedTrials(cells));
  const outcomes = listOutcomes(cells, measure);
  const compared = dropUntuned(outcomes);
  const best = bestOutcome(compared);
  const leaks = data.objective === "lm" ? new Uint32Array() : findLeaks([data.train, data.val, data.test])[2]!;
  return [
    { kind: "heading", level: 1, text: TITLE },
    ...method(cells, outcomes, data, measure, about),
    ...aboutPublished(outcomes, data),
    ...aboutLeaks(leaks, data),
    ...sizes(compared, measure),
    ...settings(outcomes, data, measure, leaks),
    ...comparisons(compared, measure),
    ...grids(outcomes, data, measure),
    ...rates(outcomes),
    ...losses(compared),
    ...(best && data.objective === "classification" ? details(best) : []),
    ...trials(cells, measure, data),
  ];
}

/** The main figure. */
function sizes(outcomes: readonly Outcome[], { name, title, most, show }: Measure): Block[] {
  const points = outcomes.map((outcome) => ({
    group: MODE_TITLES[outcome.mode],
    trainable: outcome.trials[0]!.trainable,
    value: outcome.test.mean,
    interval: outcome.interval,
  }));
  return [
    {
      kind: "figure",
      name: "size",
      caption: `Test ${name} with 95 % intervals over the number of trainable parameters; settings with nearly as many stand side by side`,
      svg: chartSvg(
        valueOverSize(`Test ${name} over trainable parameters`, points, { name: `test ${title}`, most, show }),
      ),
    },
  ];
}

function settings(
  outcomes: readonly Outcome[],
  data: TrainingData,
  { name, unit, show }: Measure,
  leaks: Uint32Array,
): Block[] {
  const more = data.objective === "lm" ? bitsColumns() : accuracyColumns(outcomes, data, leaks);
  const row = (outcome: Outcome) => {
    const { label, lr, trials, loss, val, test, interval, seconds } = outcome;
    const [first] = trials as [TrialRecord];
    return [
      ...[label, showRate(lr), trials.length, loss.toFixed(4), show(val.mean)],
      ...[show(test.mean), test.n > 1 ? show(test.sd) : "-"],
      ...[show(interval.low), show(interval.high), ...more.flatMap(({ values }) => values(outcome))],
      ...[first.trainable, billions(first.flops), seconds.toFixed(1), megabytes(first.memory), megabytes(first.saved)],
    ];
  };
  return [
    { kind: "heading", level: 2, text: "Every setting" },
    {
      kind: "table",
      name: "settings",
      header: [
        ...[
          "run",
          "rate",
          "seeds",
          "validation loss",
          `validation ${unit}`,
          `test ${unit}`,
          "sd",
          "95 % low",
          "95 % high",
        ],
        ...more.flatMap(({ header }) => header),
        ...["trainable", "GFLOP a batch", "seconds", "memory MB", "saved MB"],
      ],
      rows: outcomes.map(row),
    },
    {
      kind: "text",
      text:
        `validation and test are the mean ${name}, GFLOP a batch counts the matrix products of a training batch of mean length, seconds is the mean time of a run. Memory is the peak of a run, including the frozen blocks ` +
        "that run once per message before training, and their stored outputs. Saved is the size of the files of trained tensors.",
    },
  ];
}

/** More columns of the table of settings. */
interface Columns {
  header: string[];
  values: (outcome: Outcome) => string[];
}

function bitsColumns(): Columns[] {
  const show = (value: number) => value.toPrecision(4);
  const values = ({ trials }: Outcome) => {
    const { low, high } = bitsInterval(trials);
    return [mean(trials.map(({ results }) => results.after.test.bitsPerByte!)), low, high].map(show);
  };
  return [{ header: ["bits per byte", "bits 95 % low", "bits 95 % high"], values }];
}

/** Where they apply: macro F1 for unequal classes, the accuracy without leaks, published figures. */
function accuracyColumns(outcomes: readonly Outcome[], data: LoadedDataset, leaks: Uint32Array): Columns[] {
  const leaked = new Set(leaks);
  const accuracyOnClean = ({ results }: TrialRecord) =>
    mean(results.test!.verdicts.filter((_, row) => !leaked.has(row)));
  const f1 = ({ results }: TrialRecord) => results.after.test.macroF1!;
  const anyPublished = outcomes.some((outcome) => publishedAccuracy(outcome, data) !== undefined);
  const columns: [isShown: boolean, header: string, value: (outcome: Outcome) => number | undefined][] = [
    [isUnequal(data), "macro F1 %", ({ trials }) => mean(trials.map(f1))],
    [
      leaked.size > 0,
      "test %, no copies",
      ({ trials }) => (leaked.size < data.test.size ? mean(trials.map(accuracyOnClean)) : undefined),
    ],
    [anyPublished, "published", (outcome) => publishedAccuracy(outcome, data)],
  ];
  const show = (value: number | undefined) => (value === undefined ? "-" : percent(value));
  return columns
    .filter(([isShown]) => isShown)
    .map(([, header, value]) => ({ header: [header], values: (outcome) => [show(value(outcome))] }));
}

const billions = (count: number) => (count / 1e9).toPrecision(3);
const megabytes = (bytes: number) => (bytes / 1e6).toPrecision(3);

/** All methods in pairs; of a single method, the best setting against each other one. */
function comparisons(outcomes: readonly Outcome[], { compare, figures, about }: Measure): Block[] {
  const methods = bestPerMode(outcomes);
  const [best] = methods;
  const pairs =
    methods.length > 1
      ? methods.flatMap((one, i) => methods.slice(i + 1).map((other) => [one, other] as const))
      : outcomes.filter((other) => other !== best).map((other) => [best!, other] as const);
  if (pairs.length === 0) return [];
  const tests = pairs.map(([one, other]) => compare(one.trials, other.trials));
  const adjusted = holm(tests.map(({ p }) => p));
  const what =
    methods.length > 1
      ? `${outcomes.length > methods.length ? "Of each method the setting with the lowest validation loss is compared. All" : "All"} pairs of methods are compared`
      : `The best setting, with the lowest validation loss, is ${best!.label}. It is compared with each other setting`;
  const distinct = adjusted.filter((p) => p < SIGNIFICANT).length;
  return [
    {
      kind: "heading",
      level: 2,
      text: methods.length > 1 ? "Methods in pairs" : "The best setting against each other",
    },
    {
      kind: "text",
      text:
        `${what} with ${about.comparisons}. The p-values of the ${pairs.length} comparisons are corrected with Holm's method: the probability ` +
        `that any of equal pairs is called different is below ${SIGNIFICANT}. With a corrected p of ${SIGNIFICANT} or more a pair is not ` +
        `distinguishable; ${distinct === 0 ? "no pair is" : `${distinct} of ${pairs.length} pairs are`} distinguishable.`,
    },
    {
      kind: "table",
      name: "comparisons",
      header: ["first", "second", ...figures, "p", "p, corrected", "the first is"],
      rows: pairs.map(([one, other], i) => {
        const { figures, p, firstIsBetter } = tests[i]!;
        const found = standing(firstIsBetter, adjusted[i]!);
        return [one.label, other.label, ...figures, p.toPrecision(2), adjusted[i]!.toPrecision(2), found];
      }),
    },
  ];
}

function losses(outcomes: readonly Outcome[]): Block[] {
  const curves = bestPerMode(outcomes).map(({ label, trials }) => ({
    name: label,
    points: trials[0]!.evaluations.map(({ examples, val }) => ({ examples_seen: examples, value: val.loss })),
  }));
  return [
    {
      kind: "figure",
      name: "loss",
      caption: "Validation loss of the best setting of each method, first seed",
      svg: chartSvg(lossCurves("Validation loss", curves)),
    },
  ];
}

function trials(cells: readonly FinishedCell[], { of, show, unit }: Measure, { objective }: TrainingData): Block[] {
  const [what, file] = objective === "lm" ? ["losses", "texts.csv"] : ["predictions", "predictions.csv"];
  return [
    { kind: "heading", level: 2, text: "Every run" },
    {
      kind: "table",
      name: "runs",
      header: ["run", "rate", "seed", `validation ${unit}`, `test ${unit}`, what],
      rows: finishedTrials(cells).map(({ trial: { name }, options, results: { after } }) => {
        const href = `trials/${name}/${file}`;
        const measured = [show(of(after.val)), show(of(after.test))];
        return [name, showRate(options.lr), options.seed, ...measured, { href, text: file }];
      }),
    },
  ];
}
