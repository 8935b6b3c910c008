/** The report of a sweep, with confidence intervals and tests: report.md, report.html, tables and figures. */
import { joinPath, writeFileAtomic } from "#platform";
import { MODE_TITLES } from "../../config.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { findLeaks } from "../../data/duplicates.ts";
import type { TrainingData } from "../../data/texts.ts";
import { count, percent, showLoss } from "../../format.ts";
import { comparePairs, SIGNIFICANT } from "../../statistics.ts";
import { showRate } from "../../sweep/grid.ts";
import { bitsInterval, chooseMeasure, type Measure } from "../../sweep/measure.ts";
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
import type { Block, Figure } from "../blocks.ts";
import { tableToCsv } from "../csv.ts";
import { blockFiles } from "../files.ts";
import { toHtml } from "../html.tsx";
import { toMarkdown } from "../markdown.ts";
import { runBlocks } from "../run.ts";
import { metricsTable } from "../run-tables.ts";
import { aboutLeaks, aboutPublished, method } from "./method.ts";
import { grids, rates } from "./rates.ts";
import { type SweepColumn, sweepTable } from "./table.ts";

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
  const metrics = (some: readonly TrialRecord[]) => tableToCsv(metricsTable(some));
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
    sizes(compared, measure),
    ...settings(outcomes, data, measure, leaks),
    ...comparisons(compared, measure),
    ...grids(outcomes, measure),
    ...rates(outcomes),
    losses(compared),
    ...(best && data.objective === "classification" ? bestRun(best) : []),
    ...trials(cells, measure, data),
  ];
}

/** The first seed of the best setting. */
function bestRun({ label, trials: [first] }: Outcome): Block[] {
  const text = `The best run: ${label}, seed ${first!.options.seed}`;
  return [{ kind: "heading", level: 2, text }, ...runBlocks(first!)];
}

/** The main figure. */
function sizes(outcomes: readonly Outcome[], { name, most, show }: Measure): Figure {
  const modes = [...new Set(outcomes.map(({ mode }) => mode))];
  return {
    kind: "figure",
    name: "size",
    caption: `Test ${name} with 95 % intervals over the number of trainable parameters; settings with nearly as many stand side by side`,
    chart: {
      kind: "scatter",
      title: `Test ${name} over trainable parameters`,
      x: { title: "trainable parameters", show: count },
      y: { title: `test ${name}`, show, to: most },
      points: outcomes.map(({ label, mode, trials: [first], test, interval }) => ({
        ...{ group: MODE_TITLES[mode], color: modes.indexOf(mode), name: label },
        ...{ x: first!.trainable, y: test.mean, interval },
      })),
    },
  };
}

function settings(
  outcomes: readonly Outcome[],
  data: TrainingData,
  { name, show }: Measure,
  leaks: Uint32Array,
): Block[] {
  const digits = (value: number) => value.toPrecision(3);
  return [
    { kind: "heading", level: 2, text: "Every setting" },
    sweepTable("settings", `Settings, with the mean ${name} of their seeds and its 95 % interval`, outcomes, [
      ["run", ({ label }) => label],
      ["rate", ({ lr }) => lr, showRate],
      ["seeds", ({ trials }) => trials.length],
      ["validation loss", ({ loss }) => loss, showLoss],
      [`validation ${name}`, ({ val }) => val.mean, show],
      [`test ${name}`, ({ test, interval }) => ({ value: test.mean, ...interval }), show, "interval"],
      ["sd", ({ test }) => (test.n > 1 ? test.sd : null), show],
      ...(data.objective === "lm" ? [BITS] : accuracyColumns(outcomes, data, leaks)),
      ["trainable", ({ trials: [first] }) => first!.trainable, count],
      ["GFLOP a batch", ({ trials: [first] }) => first!.flops / 1e9, digits],
      ["seconds", ({ seconds }) => seconds, (value) => value.toFixed(1)],
      ["memory MB", ({ trials: [first] }) => first!.memory / 1e6, digits],
      ["saved MB", ({ trials: [first] }) => first!.saved / 1e6, digits],
    ]),
    {
      kind: "text",
      text:
        "GFLOP a batch counts the matrix products of a training batch of mean length, seconds is the mean time of a run. Memory is the peak of a run, including the frozen blocks " +
        "that run once per message before training, and their stored outputs. Saved is the size of the files of trained tensors.",
    },
  ];
}

const BITS: SweepColumn<Outcome> = [
  "bits per byte",
  ({ trials }) => {
    return { value: mean(trials.map(({ results }) => results.after.test.bitsPerByte!)), ...bitsInterval(trials) };
  },
  (value) => value.toPrecision(4),
  "interval",
];

/** Where they apply: macro F1 for unequal classes, the accuracy without leaks, published figures. */
function accuracyColumns(
  outcomes: readonly Outcome[],
  data: LoadedDataset,
  leaks: Uint32Array,
): SweepColumn<Outcome>[] {
  const leaked = new Set(leaks);
  const accuracyOnClean = ({ results }: TrialRecord) =>
    mean(results.test!.verdicts.filter((_, row) => !leaked.has(row)));
  const f1 = ({ results }: TrialRecord) => results.after.test.macroF1!;
  const published = (outcome: Outcome) => publishedAccuracy(outcome, data);
  const onClean = ({ trials }: Outcome) => (leaked.size < data.test.size ? mean(trials.map(accuracyOnClean)) : null);
  const columns: [isShown: boolean, ...column: SweepColumn<Outcome>][] = [
    [isUnequal(data), "macro F1", ({ trials }) => mean(trials.map(f1)), percent],
    [leaked.size > 0, "test accuracy, no copies", onClean, percent],
    [outcomes.some((outcome) => published(outcome) !== undefined), "published", published, percent],
  ];
  return columns.flatMap(([isShown, ...column]) => (isShown ? [column] : []));
}

/** All methods in pairs; of a single method, the best setting against each other one. */
function comparisons(outcomes: readonly Outcome[], { compare, figures, show, about }: Measure): Block[] {
  const methods = bestPerMode(outcomes);
  const [best] = methods;
  const pairs =
    methods.length > 1
      ? methods.flatMap((one, i) => methods.slice(i + 1).map((other) => [one, other] as const))
      : outcomes.filter((other) => other !== best).map((other) => [best!, other] as const);
  if (pairs.length === 0) return [];
  const tests = comparePairs(pairs, (one, other) => ({ one, other, ...compare(one.trials, other.trials) }));
  const title = methods.length > 1 ? "Methods in pairs" : "The best setting against each other";
  const what =
    methods.length > 1
      ? `${outcomes.length > methods.length ? "Of each method the setting with the lowest validation loss is compared. All" : "All"} pairs of methods are compared`
      : `The best setting, with the lowest validation loss, is ${best!.label}. It is compared with each other setting`;
  const distinct = tests.filter(({ adjusted }) => adjusted < SIGNIFICANT).length;
  const showP = (p: number) => p.toPrecision(2);
  /** Counts, or values with intervals. */
  const figureColumn = (title: string, i: number): SweepColumn<(typeof tests)[number]> => {
    const value = ({ figures }: (typeof tests)[number]) => figures[i];
    return typeof value(tests[0]!) === "number" ? [title, value] : [title, value, show, "interval"];
  };
  return [
    { kind: "heading", level: 2, text: title },
    {
      kind: "text",
      text:
        `${what} with ${about.comparisons}. The p-values of the ${pairs.length} comparisons are corrected with Holm's method: the probability ` +
        `that any of equal pairs is called different is below ${SIGNIFICANT}. With a corrected p of ${SIGNIFICANT} or more a pair is not ` +
        `distinguishable; ${distinct === 0 ? "no pair is" : `${distinct} of ${pairs.length} pairs are`} distinguishable.`,
    },
    sweepTable("comparisons", "Pairs, with p before and after the correction", tests, [
      ["first", ({ one }) => one.label],
      ["second", ({ other }) => other.label],
      ...figures.map(figureColumn),
      ["p", ({ p }) => p, showP],
      ["p, corrected", ({ adjusted }) => adjusted, showP],
      ["the first is", ({ standing }) => standing],
    ]),
  ];
}

function losses(outcomes: readonly Outcome[]): Figure {
  return {
    kind: "figure",
    name: "loss",
    caption: "Validation loss of the best setting of each method, first seed",
    chart: {
      kind: "lines",
      title: "Validation loss",
      x: { title: "training examples seen", show: count },
      y: { title: "cross-entropy (nats)", show: showLoss, from: 0 },
      lines: bestPerMode(outcomes).map(({ label, trials: [first] }, color) => ({
        ...{ name: label, color, look: "solid" },
        xs: first!.evaluations.map(({ examples }) => examples),
        ys: first!.evaluations.map(({ val }) => val.loss),
      })),
    },
  };
}

function trials(cells: readonly FinishedCell[], { of, show, name }: Measure, { objective }: TrainingData): Block[] {
  const [what, file] = objective === "lm" ? ["losses", "texts.csv"] : ["predictions", "predictions.csv"];
  return [
    { kind: "heading", level: 2, text: "Every run" },
    sweepTable("runs", `Runs, with their ${what}`, finishedTrials(cells), [
      ["run", ({ trial }) => trial.name],
      ["rate", ({ options: { lr } }) => lr, showRate],
      ["seed", ({ options: { seed } }) => seed],
      [`validation ${name}`, ({ results: { after } }) => of(after.val), show],
      [`test ${name}`, ({ results: { after } }) => of(after.test), show],
      [what!, ({ trial }) => ({ href: `trials/${trial.name}/${file}`, text: file! })],
    ]),
  ];
}
