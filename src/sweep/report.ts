/** The report of a sweep, with confidence intervals: report.md, report.html, CSV files, figures. */
import { joinPath, writeFileAtomic } from "#platform";
import published from "../../data/published/sms-lora.json" with { type: "json" };
import { MODE_TITLES, type Mode } from "../config.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { findLeaks } from "../data/duplicates.ts";
import { METRICS_COLUMNS, toCsv } from "../report/csv.ts";
import { type Block, toHtml, toMarkdown } from "../report/document.ts";
import {
  cellsOf,
  classMeasures,
  confusionsOf,
  type Interval,
  LISTED_CLASSES,
  macroF1,
  mcnemar,
  mistakesOf,
  rocAuc,
  type Summary,
  summarize,
  type Verdict,
  wilson,
} from "../report/statistics.ts";
import { accuracyOverSize, heatMap, lossCurves } from "../report/sweep-charts.ts";
import { oneLine } from "../report/text.ts";
import { metricsRow } from "../run/tables.ts";
import { isUnequal } from "../train/class-weights.ts";
import { PAPER, resolveOptions, type TrainOptions } from "../train/options.ts";
import { lowestLoss } from "../train/records.ts";
import { describeTrial, isTrialOf, normalize } from "./grid.ts";
import type { TrialResult } from "./store.ts";

/** Trials that differ only in their seed. */
interface Cell {
  label: string;
  mode: Mode;
  rank: number;
  alpha: number;
  trials: TrialResult[];
  /** Means over the seeds: the best cell has the lowest validation loss. The test set is not used for selection. */
  val: { loss: number; accuracy: number };
  test: Summary;
  /** 95 % interval of the mean test accuracy, for the number of test rows: more seeds do not narrow it. */
  interval: Interval;
  minutes: number;
}

/** Maximum width of names and labels, and of messages, in columns. */
const LONGEST_NAME = 60;
const LONGEST_MESSAGE = 400;

/** Significance level of the comparisons. */
const SIGNIFICANT = 0.05;

const percent = (share: number) => (100 * share).toFixed(1);
const range = ({ low, high }: Interval) => `${percent(low)} to ${percent(high)}`;
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

function toCells(results: readonly TrialResult[], rows: number): Cell[] {
  const groups = new Map<string, TrialResult[]>();
  for (const result of results) {
    const { seed: _, ...options } = result.options;
    const key = JSON.stringify([result.model, options]);
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  const models = new Set(results.map(({ model }) => model));
  return [...groups.values()].map((trials) => {
    const { options, model } = trials[0]!;
    const test = summarize(trials.map(({ after }) => after.test.accuracy));
    return {
      label: describeTrial({ options }) + (models.size > 1 ? `, ${oneLine(model, LONGEST_NAME)}` : ""),
      mode: options.mode,
      rank: options.rank,
      alpha: options.alpha,
      trials,
      val: {
        loss: mean(trials.map(({ after }) => after.val.loss)),
        accuracy: mean(trials.map(({ after }) => after.val.accuracy)),
      },
      test,
      interval: wilson(test.mean * rows, rows),
      minutes: mean(trials.map(({ seconds }) => seconds)) / 60,
    };
  });
}

/** Whether each test row is classified correctly by the majority of the seeds; undecided in case of a tie. */
function verdictsOf({ trials }: Cell, truth: readonly number[]): Verdict[] {
  return truth.map((label, row) => {
    const right = trials.filter(({ predicted }) => predicted[row] === label).length;
    return 2 * right === trials.length ? null : 2 * right > trials.length;
  });
}

/** Settings that the published figures vary, or that do not affect the result. */
const FREE = ["mode", "rank", "alpha", "seed", "evalEvery"] as const satisfies (keyof TrainOptions)[];

/**
 * The published test accuracy of a setting, or undefined. It applies only to the experiment's rows of the SMS collection, padded
 * to the longest, and to GPT-2 124M with the published program's settings.
 */
function publishedOf({ mode, rank, alpha, trials: [trial] }: Cell, data: LoadedDataset): number | undefined {
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

/** Writes the report of finished trials into the sweep's directory. Returns it as Markdown. */
export async function writeReport(out: string, results: readonly TrialResult[], data: LoadedDataset): Promise<string> {
  const blocks = reportBlocks(results, data);
  for (const block of blocks)
    if (block.kind === "figure") await writeFileAtomic(joinPath(out, "figures", `${block.name}.svg`), block.svg);
  const rows = [...results].sort((a, b) => (a.name < b.name ? -1 : 1)).map(metricsRow);
  await writeFileAtomic(joinPath(out, "metrics.csv"), toCsv(METRICS_COLUMNS, rows));
  for (const mode of new Set(results.map(({ options }) => options.mode))) {
    const some = rows.filter(({ trainable_layers }) => trainable_layers === mode);
    await writeFileAtomic(joinPath(out, `metrics-${mode}.csv`), toCsv(METRICS_COLUMNS, some));
  }
  const markdown = toMarkdown(blocks);
  await writeFileAtomic(joinPath(out, "report.md"), markdown);
  await writeFileAtomic(joinPath(out, "report.html"), toHtml("LoRA on GPT-2: sweep report", blocks));
  return markdown;
}

export function reportBlocks(results: readonly TrialResult[], data: LoadedDataset): Block[] {
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const cells = toCells(results, data.test.size);
  const lora = cells.filter(({ mode }) => mode === "lora");
  const best = lowestLoss(lora, ({ val }) => val.loss);
  const leaks = findLeaks([data.train, data.val, data.test])[2]!;
  return [
    { kind: "heading", level: 1, text: "LoRA on GPT-2: sweep report" },
    { kind: "text", text: about(results, data) },
    ...aboutPublished(cells, data),
    ...aboutLeaks(leaks, data),
    ...grid(lora, data),
    ...allCells(cells, data, truth, leaks),
    ...(best ? comparisons(best, cells, truth) : []),
    ...figures(cells, best),
    ...(best ? details(best, data, truth) : []),
  ];
}

function about(results: readonly TrialResult[], { source, stats }: LoadedDataset): string {
  const values = (some: readonly TrialResult[], of: (result: TrialResult) => unknown) =>
    [...new Set(some.map(of).map(String))].join(", ");
  const distinct = (of: (result: TrialResult) => unknown) => values(results, of);
  // Scaling and init apply only to LoRA.
  const lora = results.filter(({ options }) => options.mode === "lora");
  const adapters =
    lora.length > 0
      ? `scaling ${values(lora, ({ options }) => options.scaling)}, init ${values(lora, ({ options }) => options.init)}, `
      : "";
  const sizes = [stats.train, stats.val, stats.test].map(({ rows }) => rows).join(" / ");
  return (
    `${results.length} runs of ${distinct(({ model }) => model)} on ${source} (${sizes} rows in the training, validation and test sets); ` +
    `seeds ${distinct(({ options }) => options.seed)}; learning rate ${distinct(({ options }) => options.lr)}, ` +
    `schedule ${distinct(({ options }) => options.schedule)}, ${distinct(({ options }) => options.epochs)} epochs, batch size ` +
    `${distinct(({ options }) => options.batchSize)}; ${adapters}pooling ${distinct(({ options }) => options.pooling)}; ` +
    `device ${distinct(({ device }) => device)}. Intervals are 95 % Wilson intervals for ${stats.test.rows} test rows; one row is ` +
    `${percent(1 / stats.test.rows)} percentage points. ± and sd are standard deviations over the seeds.`
  );
}

function aboutPublished(cells: readonly Cell[], data: LoadedDataset): Block[] {
  if (cells.every((cell) => publishedOf(cell, data) === undefined)) return [];
  const text = `Published figures are from ${published.of}: one seed each, with the same ${published.rows} test rows and the same settings.`;
  return [{ kind: "text", text }];
}

/** A warning if messages of the test set have near-duplicates in the other sets. */
function aboutLeaks(leaks: Uint32Array, { stats, test }: LoadedDataset): Block[] {
  if (leaks.length === 0) return [];
  return [
    {
      kind: "text",
      text:
        `This split leaks: ${leaks.length} of the ${test.size} test messages (${percent(leaks.length / test.size)} %) have a near-duplicate in the ` +
        `training or validation set, and ${stats.leaks.val} of the ${stats.val.rows} validation messages have one in the training set. ` +
        "Near-duplicates differ only in numbers, punctuation, white space and case. The test accuracy can therefore overestimate the accuracy " +
        "on new messages; Table 3 also reports it without these messages. --dedupe drops near-duplicates before splitting.",
    },
  ];
}

/** Test accuracy over rank and alpha, with the published figures, if the sweep has a full grid with several of each. */
function grid(lora: readonly Cell[], data: LoadedDataset): Block[] {
  const unique = (of: (cell: Cell) => number) => [...new Set(lora.map(of))].sort((a, b) => a - b);
  const ranks = unique(({ rank }) => rank);
  const alphas = unique(({ alpha }) => alpha);
  if (ranks.length < 2 || alphas.length < 2 || lora.length !== ranks.length * alphas.length) return [];
  const find = (rank: number, alpha: number) => lora.find((cell) => cell.rank === rank && cell.alpha === alpha);
  const show = (rank: number, alpha: number) => {
    const cell = find(rank, alpha);
    if (!cell) return "-";
    const spread = cell.test.n > 1 ? ` ± ${percent(cell.test.sd)}` : "";
    const other = publishedOf(cell, data);
    return `${percent(cell.test.mean)}${spread} (${range(cell.interval)})${other === undefined ? "" : `; published ${percent(other)}`}`;
  };
  return [
    { kind: "heading", level: 2, text: "Table 2: test accuracy over rank and alpha, %" },
    {
      kind: "table",
      header: ["rank", ...alphas.map((alpha) => `alpha ${alpha}`)],
      rows: ranks.map((rank) => [rank, ...alphas.map((alpha) => show(rank, alpha))]),
    },
    {
      kind: "figure",
      name: "rank-alpha",
      caption: `Test accuracy over rank and alpha, in %, with 95 % intervals for ${data.test.size} rows`,
      svg: heatMap(
        "Test accuracy over rank and alpha (%)",
        lora.map(({ rank, alpha, test, interval }) => ({ rank, alpha, accuracy: test.mean, interval })),
      ),
    },
  ];
}

function allCells(cells: readonly Cell[], data: LoadedDataset, truth: readonly number[], leaks: Uint32Array): Block[] {
  const leaked = new Set(leaks);
  const clean = [...truth.keys()].filter((row) => !leaked.has(row));
  const accuracyOnClean = ({ predicted }: TrialResult) =>
    mean(clean.map((row) => (predicted[row] === truth[row] ? 1 : 0)));
  const unequal = isUnequal(data);
  const f1 = ({ predicted }: TrialResult) => macroF1(confusionsOf(truth, predicted));
  const anyPublished = cells.some((cell) => publishedOf(cell, data) !== undefined);
  const show = (cell: Cell) => {
    const other = publishedOf(cell, data);
    return [
      cell.label,
      cell.trials.length,
      cell.val.loss.toFixed(4),
      percent(cell.val.accuracy),
      percent(cell.test.mean),
      cell.test.n > 1 ? percent(cell.test.sd) : "-",
      range(cell.interval),
      ...(unequal ? [percent(mean(cell.trials.map(f1)))] : []),
      ...(leaked.size > 0 ? [clean.length > 0 ? percent(mean(cell.trials.map(accuracyOnClean))) : "-"] : []),
      ...(anyPublished ? [other === undefined ? "-" : percent(other)] : []),
      cell.trials[0]!.trainable,
      cell.minutes.toFixed(2),
      (cell.trials[0]!.memory / 1e6).toPrecision(3),
    ];
  };
  return [
    { kind: "heading", level: 2, text: "Table 3: every setting" },
    {
      kind: "table",
      header: [
        ...["run", "seeds", "validation loss", "validation %", "test %", "sd", "95 % interval"],
        ...(unequal ? ["macro F1 %"] : []),
        ...(leaked.size > 0 ? ["test %, no copies"] : []),
        ...(anyPublished ? ["published"] : []),
        ...["trainable", "minutes", "MB"],
      ],
      rows: cells.map(show),
    },
    {
      kind: "text",
      text: "MB is the peak memory of a run, including the frozen blocks that run once per message before training, and their stored outputs.",
    },
  ];
}

function comparisons(best: Cell, cells: readonly Cell[], truth: readonly number[]): Block[] {
  const baselines = cells.filter(({ mode }) => mode !== "lora");
  const others = baselines.length > 0 ? baselines : cells.filter((cell) => cell !== best);
  if (others.length === 0) return [];
  const right = verdictsOf(best, truth);
  const splits = [best, ...others].some(({ trials }) => trials.length % 2 === 0);
  return [
    {
      kind: "heading",
      level: 2,
      text: `Best LoRA against each ${baselines.length > 0 ? "baseline" : "other setting"}`,
    },
    {
      kind: "text",
      text:
        `The best LoRA setting, with the lowest validation loss, is ${best.label}. It is compared with McNemar's exact test on the same test rows. ` +
        `${best.trials.length > 1 ? "Each row is decided by the majority of the seeds. " : ""}` +
        `${splits ? "A row that exactly half of a setting's seeds classify correctly is undecided and excluded from its comparisons. " : ""}` +
        `Differences with p of ${SIGNIFICANT} or more are not distinguishable from chance. ` +
        `p is not corrected for multiple comparisons: one of 20 comparisons of equal settings is expected below ${SIGNIFICANT}.`,
    },
    {
      kind: "table",
      header: [
        "against",
        "only the best correct",
        "only the other correct",
        ...(splits ? ["undecided"] : []),
        "p",
        "verdict",
      ],
      rows: others.map((other) => {
        const { onlyFirst, onlySecond, undecided, p } = mcnemar(right, verdictsOf(other, truth));
        const winner = onlyFirst > onlySecond ? "the best LoRA is better" : "the other is better";
        const verdict = p < SIGNIFICANT ? winner : "not distinguishable";
        return [other.label, onlyFirst, onlySecond, ...(splits ? [undecided] : []), p.toPrecision(2), verdict];
      }),
    },
  ];
}

function figures(cells: readonly Cell[], best: Cell | undefined): Block[] {
  const shown = cells.filter((cell) => cell.mode !== "lora" || cell === best);
  const curves = shown.map(({ label, trials }) => ({
    name: label,
    points: trials[0]!.evaluations.map(({ examples, val }) => ({ examples_seen: examples, value: val.loss })),
  }));
  return [
    {
      kind: "figure",
      name: "loss",
      caption: "Validation loss of the best LoRA run and of the baselines",
      svg: lossCurves("Validation loss", curves),
    },
    {
      kind: "figure",
      name: "size",
      caption: "Test accuracy over the number of trainable parameters",
      svg: accuracyOverSize(
        "Accuracy over trainable parameters",
        cells.map(({ mode, trials, test }) => ({
          group: MODE_TITLES[mode],
          trainable: trials[0]!.trainable,
          accuracy: test.mean,
        })),
      ),
    },
  ];
}

/** Maximum rows of the table of mistakes. */
const SHOWN_ROWS = 100;

/** Confusion, precision, recall, F1, ROC-AUC and the mistakes of the best run's first seed. */
function details(best: Cell, { labels, test }: LoadedDataset, truth: readonly number[]): Block[] {
  const trial = best.trials[0]!;
  const { predicted, probability } = trial;
  const names = labels.map((label) => oneLine(label, LONGEST_NAME));
  const sure = truth
    .flatMap((label, row) => (predicted[row] === label ? [] : [row]))
    .sort((a, b) => probability[b]! - probability[a]!);
  const shown = sure.slice(0, SHOWN_ROWS).map((row) => {
    const text = oneLine(test.text(row), LONGEST_MESSAGE);
    return [names[truth[row]!]!, names[predicted[row]!]!, probability[row]!.toFixed(3), text];
  });
  const count = sure.length > shown.length ? `; the ${shown.length} with the highest probability` : "";
  return [
    { kind: "heading", level: 2, text: `The best run: ${best.label}, seed ${trial.options.seed}` },
    ...(labels.length > LISTED_CLASSES ? manyClasses(trial, names, truth) : fewClasses(trial, names, truth)),
    { kind: "text", text: `${sure.length} of ${truth.length} test messages are misclassified${count}:` },
    ...(shown.length > 0
      ? [{ kind: "table" as const, header: ["truth", "predicted", "probability", "message"], rows: shown }]
      : []),
  ];
}

/** The whole confusion matrix and the measures of every class. */
function fewClasses(
  { predicted, probabilities }: TrialResult,
  names: readonly string[],
  truth: readonly number[],
): Block[] {
  const confusions = confusionsOf(truth, predicted);
  const cell = cellsOf(confusions);
  const measures = classMeasures(confusions, names.length).map(({ precision, recall, f1 }, positive) => {
    const auc = rocAuc(
      truth.map((t) => t === positive),
      probabilities!.map((p) => p[positive]!),
    );
    return [names[positive]!, percent(precision), percent(recall), percent(f1), auc.toFixed(4)];
  });
  return [
    {
      kind: "table",
      header: ["truth", ...names.map((name) => `predicted ${name}`)],
      rows: names.map((name, label) => [name, ...names.map((_, other) => cell(label, other))]),
    },
    { kind: "table", header: ["class", "precision %", "recall %", "F1 %", "ROC-AUC"], rows: measures },
  ];
}

/** The most frequent mistakes and the classes with the lowest F1; confusion.csv has the whole matrix. */
function manyClasses({ name, predicted }: TrialResult, names: readonly string[], truth: readonly number[]): Block[] {
  const confusions = confusionsOf(truth, predicted);
  const mistakes = mistakesOf(confusions).slice(0, LISTED_CLASSES);
  const measures = classMeasures(confusions, names.length);
  const present = [...new Set(truth)].sort((a, b) => measures[a]!.f1 - measures[b]!.f1);
  const worst = present.slice(0, LISTED_CLASSES).map((label) => {
    const { precision, recall, f1 } = measures[label]!;
    return [names[label]!, percent(precision), percent(recall), percent(f1)];
  });
  return [
    {
      kind: "text",
      text:
        `${names.length} classes, ${present.length} of them in the test set, with a macro F1 of ${percent(macroF1(confusions))} %. ` +
        `The most frequent mistakes and the classes with the lowest F1; trials/${name}/confusion.csv has every pair of classes:`,
    },
    {
      kind: "table",
      header: ["truth", "predicted", "rows"],
      rows: mistakes.map((one) => [names[one.truth]!, names[one.predicted]!, one.rows]),
    },
    { kind: "table", header: ["class", "precision %", "recall %", "F1 %"], rows: worst },
  ];
}
