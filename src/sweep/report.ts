/** The report of a sweep, with confidence intervals and tests: report.md, report.html, tables and figures. */
import { joinPath, writeFileAtomic } from "#platform";
import published from "../../data/published/sms-lora.json" with { type: "json" };
import { MODE_TITLES } from "../config.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { findLeaks } from "../data/duplicates.ts";
import type { TrainingData } from "../data/texts.ts";
import { LM_METRICS_COLUMNS, METRICS_COLUMNS, toCsv } from "../report/csv.ts";
import { type Block, filesOf, toHtml, toMarkdown } from "../report/document.ts";
import { confusionsOf, holm, macroF1, summarize } from "../report/statistics.ts";
import { heatMap, lossCurves, valueOverSize } from "../report/sweep-charts.ts";
import { lmMetricsRow, metricsRow } from "../run/tables.ts";
import { isUnequal } from "../train/class-weights.ts";
import { PAPER, resolveOptions, type TrainOptions } from "../train/options.ts";
import { details } from "./best-run.ts";
import { isTrialOf, normalize, showRate } from "./grid.ts";
import { bitsInterval, type Measure, measureOf, percent } from "./measure.ts";
import { bestOf, mean, methodsOf, type Outcome, outcomesOf, tunedOf } from "./outcome.ts";
import { RATES } from "./presets.ts";
import type { FinishedCell, TrialResult } from "./store.ts";

const TITLE = "LoRA on GPT-2: sweep report";

/** Significance level of the comparisons. */
const SIGNIFICANT = 0.05;

/** Settings that the published figures vary, or that do not affect the result. */
const FREE = ["mode", "rank", "alpha", "seed", "evalEvery"] as const satisfies (keyof TrainOptions)[];

/**
 * The published test accuracy of a setting, or undefined. It applies only to the experiment's rows of the SMS collection, padded
 * to the longest, and to GPT-2 124M with the published program's settings.
 */
function publishedOf({ mode, rank, alpha, trials: [trial] }: Outcome, data: TrainingData): number | undefined {
  if (data.objective === "lm") return undefined;
  const { origin, split, train, stats } = data;
  const rows = origin.name === published.data && split === "experiment" && stats.copies === 0;
  const padded = train.padTo === stats.train.max && [stats.train, stats.val, stats.test].every(({ cut }) => cut === 0);
  const { model, options } = trial!;
  const free = Object.fromEntries(FREE.map((key) => [key, options[key]]));
  const settings = isTrialOf(options, { options: normalize(resolveOptions({ ...PAPER, ...free })) });
  if (!(rows && padded && settings && published.models.includes(model))) return undefined;
  return mode === "lora"
    ? published.lora.find((cell) => cell.rank === rank && cell.alpha === alpha)?.test
    : published.baselines.find((baseline) => baseline.mode === mode)?.test;
}

/** The results of all trials, by name. */
function resultsOf(cells: readonly FinishedCell[]): TrialResult[] {
  const all = cells.flatMap(({ tried, results }) => [...tried, ...results]).filter((result) => result !== null);
  return [...new Map(all.map((result) => [result.key, result])).values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Writes the report of the finished trials into the sweep's directory. Returns it as Markdown. `about` is what it says about the choice
 * of settings.
 */
export async function writeReport(
  out: string,
  cells: readonly FinishedCell[],
  data: TrainingData,
  about?: string,
): Promise<string> {
  const blocks = reportBlocks(cells, data, about);
  const markdown = toMarkdown(blocks);
  const results = resultsOf(cells);
  const metrics = (some: readonly TrialResult[]) =>
    data.objective === "lm"
      ? toCsv(LM_METRICS_COLUMNS, some.map(lmMetricsRow))
      : toCsv(METRICS_COLUMNS, some.map(metricsRow));
  const files: [path: string, content: string][] = [
    ...filesOf(blocks),
    ["metrics.csv", metrics(results)],
    ...[...new Set(results.map(({ options }) => options.mode))].map((mode): [string, string] => {
      return [`metrics-${mode}.csv`, metrics(results.filter(({ options }) => options.mode === mode))];
    }),
    ["report.md", markdown],
    ["report.html", toHtml(TITLE, blocks)],
  ];
  for (const [path, content] of files) await writeFileAtomic(joinPath(out, path), content);
  return markdown;
}

export function reportBlocks(cells: readonly FinishedCell[], data: TrainingData, about?: string): Block[] {
  const measure = measureOf(data, resultsOf(cells));
  const outcomes = outcomesOf(cells, measure);
  const compared = tunedOf(outcomes);
  const best = bestOf(compared);
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
    ...rates(outcomes, measure),
    ...losses(compared),
    ...(best && data.objective === "classification" ? details(best, data) : []),
    ...trials(cells, measure, data),
  ];
}

/** "1, 2 and 3", each once. */
function list(values: readonly unknown[]): string {
  const words = [...new Set(values.map(String))];
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

const SPLITS: Record<LoadedDataset["split"], string> = {
  random: "split at random",
  stratified: "split at random within each class",
  ordered: "split in their order",
  experiment: "in the experiment's own split",
  given: "split by separate files",
};

function aboutData(data: TrainingData): string {
  if (data.objective === "lm") {
    const { train, val, test } = data.stats;
    const each = (of: (set: typeof train) => number) => [train, val, test].map(of).join(" / ");
    return (
      `Data: ${data.source}, ${each(({ documents }) => documents)} documents, ${each(({ rows }) => rows)} blocks of at most ` +
      `${data.maxLength} tokens and ${each(({ tokens }) => tokens)} tokens in the training / validation / test set.`
    );
  }
  const { train, val, test } = data.stats;
  return (
    `Data: ${data.source}, ${train.rows} training, ${val.rows} validation and ${test.rows} test messages of ${data.labels.length} ` +
    `classes, ${SPLITS[data.split]}.`
  );
}

/** What was done, in sentences. */
function method(
  cells: readonly FinishedCell[],
  outcomes: readonly Outcome[],
  data: TrainingData,
  measure: Measure,
  about: string | undefined,
): Block[] {
  const results = resultsOf(cells);
  const all = <T>(of: (result: TrialResult) => T) => list(results.map(of));
  const option = (key: keyof TrainOptions) => all(({ options }) => options[key]);
  const lora = results.filter(({ options }) => options.mode === "lora").map(({ options }) => options);
  const isClassifier = data.objective === "classification";
  const weighted = isUnequal(data) ? `, the loss weighted by class: ${option("classWeights")}` : "";
  const sentences = [
    `${aboutData(data)} All runs have the same split.`,
    `Training: ${results.length} runs of ${all(({ model }) => model)} on ${all(({ device }) => device)}, with AdamW (weight decay ` +
      `${option("weightDecay")}), ${option("epochs")} epochs, batches of ${option("batchSize")}, schedule ${option("schedule")} with a ` +
      `warm-up of ${option("warmup")}${isClassifier ? `, classified at ${option("pooling")}` : ""}${weighted}. ` +
      (lora.length > 0
        ? `LoRA has scaling ${list(lora.map(({ scaling }) => scaling))} and init ${list(lora.map(({ init }) => init))}. `
        : "") +
      `Of each run the ${option("keep")} parameters count: best are those with the lowest validation loss.`,
    `Seeds: ${option("seed")}. A seed decides the initialization and the order of the ${isClassifier ? "messages" : "blocks"}.`,
    ...aboutRates(cells, outcomes, measure),
    ...(about === undefined ? [] : [about]),
    measure.about.intervals,
    "All figures are also SVG files, all tables CSV files, in the folder figures; what each run made of the test set is linked from the last table.",
  ];
  return [{ kind: "heading", level: 2, text: "Method" }, ...sentences.map((text): Block => ({ kind: "text", text }))];
}

function aboutRates(cells: readonly FinishedCell[], outcomes: readonly Outcome[], { best }: Measure): string[] {
  const shared = outcomes.filter(({ tried }) => tried.length === 0).map(({ lr }) => lr);
  const choosing = cells.filter(({ rates }) => rates.length > 1);
  const waiting = choosing.filter(({ missing }) => missing.length > 0).length;
  const [first] = choosing;
  return [
    ...(shared.length > 0
      ? [`Learning rate${new Set(shared).size > 1 ? "s" : ""} given: ${list(shared.map(showRate))}.`]
      : []),
    ...(first
      ? [
          `Learning rates chosen: each of ${choosing.length} settings was trained with seed ${first.rates[0]![0]!.options.seed} at each of ` +
            `${first.rates.length} rates. Its rate is the one with the best result on the validation set: ${best}. ` +
            "The other seeds were trained at that rate. The test set chose nothing." +
            (waiting > 0 ? ` ${waiting} settings whose rates are not all trained yet are left out.` : ""),
        ]
      : []),
  ];
}

function aboutPublished(outcomes: readonly Outcome[], data: TrainingData): Block[] {
  if (outcomes.every((outcome) => publishedOf(outcome, data) === undefined)) return [];
  const text = `Published figures are from ${published.of}: one seed each, with the same ${published.rows} test rows and the same settings.`;
  return [{ kind: "text", text }];
}

/** A warning if messages of the test set have near-duplicates in the other sets. */
function aboutLeaks(leaks: Uint32Array, data: TrainingData): Block[] {
  if (leaks.length === 0 || data.objective === "lm") return [];
  const { stats, test } = data;
  return [
    {
      kind: "text",
      text:
        `This split leaks: ${leaks.length} of the ${test.size} test messages (${percent(leaks.length / test.size)} %) have a near-duplicate in the ` +
        `training or validation set, and ${stats.leaks.val} of the ${stats.val.rows} validation messages have one in the training set. ` +
        "Near-duplicates differ only in numbers, punctuation, white space and case. The test accuracy can therefore overestimate the accuracy " +
        "on new messages; the table of settings also reports it without these messages. --dedupe drops near-duplicates before splitting.",
    },
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
      caption: `Test ${name} with 95 % intervals over the number of trainable parameters`,
      svg: valueOverSize(`Test ${name} over trainable parameters`, points, {
        name: `test ${title}`,
        most,
        show,
      }),
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
    const { label, lr, trials, val, test, interval, seconds } = outcome;
    const [first] = trials as [TrialResult];
    return [
      ...[label, showRate(lr), trials.length, show(val.mean), show(test.mean), test.n > 1 ? show(test.sd) : "-"],
      ...[show(interval.low), show(interval.high), ...more.flatMap(({ values }) => values(outcome))],
      ...[first.trainable, seconds.toFixed(1), megabytes(first.memory), megabytes(first.saved)],
    ];
  };
  return [
    { kind: "heading", level: 2, text: "Every setting" },
    {
      kind: "table",
      name: "settings",
      header: [
        ...["run", "rate", "seeds", `validation ${unit}`, `test ${unit}`, "sd", "95 % low", "95 % high"],
        ...more.flatMap(({ header }) => header),
        ...["trainable", "seconds", "memory MB", "saved MB"],
      ],
      rows: outcomes.map(row),
    },
    {
      kind: "text",
      text:
        `validation and test are the mean ${name}, seconds is the mean time of a run. Memory is the peak of a run, including the frozen blocks ` +
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
    return [mean(trials.map(({ after }) => after.test.bitsPerByte!)), low, high].map(show);
  };
  return [{ header: ["bits per byte", "95 % low", "95 % high"], values }];
}

/** Macro F1 where the classes are unequal, the accuracy without leaks where there are any, published figures where they apply. */
function accuracyColumns(outcomes: readonly Outcome[], data: LoadedDataset, leaks: Uint32Array): Columns[] {
  const leaked = new Set(leaks);
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const clean = [...truth.keys()].filter((row) => !leaked.has(row));
  const accuracyOnClean = ({ predicted }: TrialResult) =>
    mean(clean.map((row) => (predicted[row] === truth[row] ? 1 : 0)));
  const f1 = ({ predicted }: TrialResult) => macroF1(confusionsOf(truth, predicted));
  const anyPublished = outcomes.some((outcome) => publishedOf(outcome, data) !== undefined);
  const columns: [isShown: boolean, header: string, value: (outcome: Outcome) => number | undefined][] = [
    [isUnequal(data), "macro F1 %", ({ trials }) => mean(trials.map(f1))],
    [
      leaked.size > 0,
      "test %, no copies",
      ({ trials }) => (clean.length > 0 ? mean(trials.map(accuracyOnClean)) : undefined),
    ],
    [anyPublished, "published", (outcome) => publishedOf(outcome, data)],
  ];
  const show = (value: number | undefined) => (value === undefined ? "-" : percent(value));
  return columns
    .filter(([isShown]) => isShown)
    .map(([, header, value]) => ({ header: [header], values: (outcome) => [show(value(outcome))] }));
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? "-" : (bytes / 1e6).toPrecision(3);
}

/** All methods in pairs; of a single method, the best setting against each other one. */
function comparisons(outcomes: readonly Outcome[], { compare, figures, about }: Measure): Block[] {
  const methods = methodsOf(outcomes);
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
      ? `${outcomes.length > methods.length ? "Each method is represented by its best setting by the validation set. All" : "All"} pairs of methods are compared`
      : `The best setting by the validation set is ${best!.label}. It is compared with each other setting`;
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
      header: ["first", "second", ...figures, "p", "p, corrected", "verdict"],
      rows: pairs.map(([one, other], i) => {
        const { figures, p, firstIsBetter } = tests[i]!;
        const better = `${(firstIsBetter ? one : other).label} is better`;
        const verdict = adjusted[i]! < SIGNIFICANT ? better : "not distinguishable";
        return [one.label, other.label, ...figures, p.toPrecision(2), adjusted[i]!.toPrecision(2), verdict];
      }),
    },
  ];
}

/** Rank and alpha at the shared learning rate and at each cell's own, where the sweep has whole grids of them. */
function grids(outcomes: readonly Outcome[], data: TrainingData, measure: Measure): Block[] {
  const lora = outcomes.filter(({ mode }) => mode === "lora");
  const shared = gridOf(lora.filter(({ tried }) => tried.length === 0));
  const own = gridOf(lora.filter(({ tried }) => tried.length > 0));
  const values = [shared, own].flatMap((grid) => grid?.cells ?? []).map(({ test }) => test.mean);
  const range = { low: Math.min(...values), high: Math.max(...values) };
  const both = shared !== null && own !== null;
  return [
    ...(shared ? gridBlocks(shared, both ? ", at one learning rate" : "", "rank-alpha", data, measure, range) : []),
    ...(own ? gridBlocks(own, ", each at its own learning rate", "rank-alpha-own-rate", data, measure, range) : []),
    ...(both ? [{ kind: "text" as const, text: spread(shared.cells, own.cells, measure) }] : []),
  ];
}

interface Grid {
  ranks: number[];
  alphas: number[];
  cells: readonly Outcome[];
}

/** A full grid with several ranks and alphas; null if the cells are none. */
function gridOf(cells: readonly Outcome[]): Grid | null {
  const unique = (of: (cell: Outcome) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = unique(({ rank }) => rank);
  const alphas = unique(({ alpha }) => alpha);
  const isFull = ranks.length > 1 && alphas.length > 1 && cells.length === ranks.length * alphas.length;
  return isFull ? { ranks, alphas, cells } : null;
}

function gridBlocks(
  { ranks, alphas, cells }: Grid,
  at: string,
  name: string,
  data: TrainingData,
  measure: Measure,
  scale: { low: number; high: number },
): Block[] {
  const { show } = measure;
  const text = (rank: number, alpha: number) => {
    const cell = cells.find((one) => one.rank === rank && one.alpha === alpha);
    if (!cell) return "-";
    const { test, interval, lr, tried } = cell;
    const other = publishedOf(cell, data);
    return (
      `${show(test.mean)}${test.n > 1 ? ` ± ${show(test.sd)}` : ""} (${show(interval.low)} to ${show(interval.high)})` +
      `${tried.length > 0 ? `, rate ${showRate(lr)}` : ""}${other === undefined ? "" : `; published ${show(other)}`}`
    );
  };
  const title = `Test ${measure.title} over rank and alpha${at}`;
  return [
    { kind: "heading", level: 2, text: title },
    {
      kind: "table",
      name,
      header: ["rank", ...alphas.map((alpha) => `alpha ${alpha}`)],
      rows: ranks.map((rank) => [rank, ...alphas.map((alpha) => text(rank, alpha))]),
    },
    {
      kind: "figure",
      name,
      caption: `${title}, with 95 % intervals`,
      svg: heatMap(
        title,
        cells.map(({ rank, alpha, test, interval }) => ({ rank, alpha, value: test.mean, interval })),
        { ...scale, show },
      ),
    },
  ];
}

function spread(shared: readonly Outcome[], own: readonly Outcome[], { show, title }: Measure): string {
  const describe = (cells: readonly Outcome[]) => {
    const means = cells.map(({ test }) => test.mean);
    const { sd } = summarize(means);
    return `from ${show(Math.min(...means))} to ${show(Math.max(...means))}, with a standard deviation of ${show(sd)}`;
  };
  return (
    `Over the ${shared.length} cells the test ${title} at one learning rate is ${describe(shared)}; with each cell at its own ` +
    `it is ${describe(own)}.`
  );
}

/** The validation results at each learning rate that was tried. */
function rates(outcomes: readonly Outcome[], { of, show, title }: Measure): Block[] {
  const tuned = outcomes.filter(({ tried }) => tried.length > 0);
  if (tuned.length === 0) return [];
  const all = [...new Set(tuned.flatMap(({ tried }) => tried.map(({ lr }) => lr)))].sort((a, b) => a - b);
  const shown = ({ tried }: Outcome, lr: number) => {
    const one = tried.find((candidate) => candidate.lr === lr);
    if (!one) return "-";
    return one.result ? show(of(one.result.after.val)) : "failed";
  };
  const atEdge = tuned.filter(({ tried, lr }) => {
    const tries = tried.map((one) => one.lr);
    return lr === Math.min(...tries) || lr === Math.max(...tries);
  });
  const papers = [...new Set(tuned.map(({ mode }) => mode))].filter((mode) => RATES[mode].papers !== undefined);
  const notes = [
    ...(atEdge.length > 0
      ? [
          `At the end of its range, beyond which a rate may be better, is that of ${list(atEdge.map(({ label }) => label))}.`,
        ]
      : []),
    ...(papers.length > 0
      ? [`Rates in papers: ${papers.map((mode) => `${MODE_TITLES[mode]} ${RATES[mode].papers}`).join("; ")}.`]
      : []),
  ];
  return [
    { kind: "heading", level: 2, text: `Learning rates: validation ${title}` },
    {
      kind: "table",
      name: "rates",
      header: ["run", ...all.map(showRate), "chosen"],
      rows: tuned.map((outcome) => [outcome.label, ...all.map((lr) => shown(outcome, lr)), showRate(outcome.lr)]),
    },
    ...notes.map((text): Block => ({ kind: "text", text })),
  ];
}

function losses(outcomes: readonly Outcome[]): Block[] {
  const curves = methodsOf(outcomes).map(({ label, trials }) => ({
    name: label,
    points: trials[0]!.evaluations.map(({ examples, val }) => ({ examples_seen: examples, value: val.loss })),
  }));
  return [
    {
      kind: "figure",
      name: "loss",
      caption: "Validation loss of the best setting of each method, first seed",
      svg: lossCurves("Validation loss", curves),
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
      rows: resultsOf(cells).map((result) => {
        const { name, options, after } = result;
        const href = `trials/${name}/${file}`;
        const measured = [show(of(after.val)), show(of(after.test))];
        return [name, showRate(options.lr), options.seed, ...measured, { href, text: file }];
      }),
    },
  ];
}
