/** What a sweep found, with how surely: report.md, report.html, CSV files, figures. */
import { joinPath, writeFileAtomic } from "#platform";
import published from "../../data/published/sms-lora.json" with { type: "json" };
import type { LoadedDataset } from "../data/datasets.ts";
import { findLeaks } from "../data/duplicates.ts";
import { METRICS_COLUMNS, toCsv } from "../report/csv.ts";
import { type Block, toHtml, toMarkdown } from "../report/document.ts";
import {
  classMeasures,
  confusionMatrix,
  type Interval,
  mcnemar,
  rocAuc,
  type Summary,
  summarize,
  wilson,
} from "../report/statistics.ts";
import { accuracyOverSize, heatMap, lossCurves } from "../report/sweep-charts.ts";
import { metricsRow } from "../train/run-tables.ts";
import { describeTrial } from "./grid.ts";
import type { TrialResult } from "./store.ts";

/** Trials that differ in their seed alone. */
interface Cell {
  label: string;
  mode: string;
  rank: number;
  alpha: number;
  trials: TrialResult[];
  val: Summary;
  test: Summary;
  /** 95 % of the mean test accuracy, for so many test rows: seeds do not add rows. */
  interval: Interval;
  minutes: number;
}

/** Below this a difference is called one. */
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
      label: describeTrial({ options }) + (models.size > 1 ? `, ${model}` : ""),
      mode: options.mode,
      rank: options.rank,
      alpha: options.alpha,
      trials,
      val: summarize(trials.map(({ after }) => after.val.accuracy)),
      test,
      interval: wilson(test.mean * rows, rows),
      minutes: mean(trials.map(({ seconds }) => seconds)) / 60,
    };
  });
}

/** The best cell by validation accuracy, then by validation loss: the test set chooses nothing. */
function bestOf(cells: readonly Cell[]): Cell | undefined {
  const loss = (cell: Cell) => mean(cell.trials.map(({ after }) => after.val.loss));
  return [...cells].sort((a, b) => b.val.mean - a.val.mean || loss(a) - loss(b))[0];
}

/** Whether each test row was right: by most of the seeds. */
function rightRows(cell: Cell, truth: readonly number[]): boolean[] {
  return truth.map(
    (label, row) => 2 * cell.trials.filter(({ said }) => said[row] === label).length > cell.trials.length,
  );
}

/** Writes the report of finished trials into the sweep's folder. Returns its text for the terminal. */
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
  await writeFileAtomic(joinPath(out, "report.html"), toHtml("LoRA on GPT-2: a sweep", blocks));
  return markdown;
}

export function reportBlocks(results: readonly TrialResult[], data: LoadedDataset): Block[] {
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const cells = toCells(results, data.test.size);
  const lora = cells.filter(({ mode }) => mode === "lora");
  const best = bestOf(lora);
  const leaks = findLeaks([data.train, data.val, data.test])[2]!;
  return [
    { kind: "heading", level: 1, text: "LoRA on GPT-2: a sweep" },
    { kind: "text", text: about(results, data) },
    ...aboutLeaks(leaks, data),
    ...grid(lora, data),
    ...allCells(cells, truth, leaks),
    ...(best ? comparisons(best, cells, truth) : []),
    ...figures(cells, best),
    ...(best ? details(best, data, truth) : []),
  ];
}

function about(results: readonly TrialResult[], { source, stats }: LoadedDataset): string {
  const values = (some: readonly TrialResult[], of: (result: TrialResult) => unknown) =>
    [...new Set(some.map(of).map(String))].join(", ");
  const distinct = (of: (result: TrialResult) => unknown) => values(results, of);
  // Only adapters have a scaling and an init.
  const lora = results.filter(({ options }) => options.mode === "lora");
  const adapters =
    lora.length > 0
      ? `scaling ${values(lora, ({ options }) => options.scaling)}, init ${values(lora, ({ options }) => options.init)}, `
      : "";
  const sizes = [stats.train, stats.val, stats.test].map(({ rows }) => rows).join(" / ");
  return (
    `${results.length} runs of ${distinct(({ model }) => model)} on ${source} (${sizes} rows to train, validate and test); ` +
    `seeds ${distinct(({ options }) => options.seed)}; learning rate ${distinct(({ options }) => options.lr)}, ` +
    `${distinct(({ options }) => options.schedule)}, ${distinct(({ options }) => options.epochs)} epochs of batches of ` +
    `${distinct(({ options }) => options.batchSize)}; ${adapters}classified at ${distinct(({ options }) => options.pooling)}; ` +
    `device ${distinct(({ device }) => device)}. Intervals are Wilson's, 95 %, for ${stats.test.rows} test rows: one row is ` +
    `${percent(1 / stats.test.rows)} points; ± and sd are over the seeds. Published figures are of GPT-2 124M with one seed on ${published.rows} rows.`
  );
}

/** What is wrong with the data itself, for whoever reads the accuracies. */
function aboutLeaks(leaks: Uint32Array, { stats, test }: LoadedDataset): Block[] {
  if (leaks.length === 0) return [];
  return [
    {
      kind: "text",
      text:
        `This split leaks: ${leaks.length} of the ${test.size} test messages (${percent(leaks.length / test.size)} %) have a near copy, ` +
        "the same but for numbers, punctuation, white space and case, in the training or validation set, and " +
        `${stats.leaks.val} of the ${stats.val.rows} validation messages have one in the training set. Test accuracy tells less of new messages ` +
        "than it seems to; Table 3 gives it without those messages too. --dedupe splits without near copies.",
    },
  ];
}

/** Test accuracy over rank and alpha, where the sweep has more than one of each, beside the published table. */
function grid(lora: readonly Cell[], data: LoadedDataset): Block[] {
  const unique = (of: (cell: Cell) => number) => [...new Set(lora.map(of))].sort((a, b) => a - b);
  const ranks = unique(({ rank }) => rank);
  const alphas = unique(({ alpha }) => alpha);
  if (ranks.length < 2 || alphas.length < 2 || lora.length !== ranks.length * alphas.length) return [];
  const find = (rank: number, alpha: number) => lora.find((cell) => cell.rank === rank && cell.alpha === alpha);
  const theirs = (rank: number, alpha: number) =>
    published.lora.find((cell) => cell.rank === rank && cell.alpha === alpha)?.test;
  const show = (rank: number, alpha: number) => {
    const cell = find(rank, alpha);
    if (!cell) return "-";
    const spread = cell.test.n > 1 ? ` ± ${percent(cell.test.sd)}` : "";
    const other = theirs(rank, alpha);
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

function allCells(cells: readonly Cell[], truth: readonly number[], leaks: Uint32Array): Block[] {
  const leaked = new Set(leaks);
  const clean = [...truth.keys()].filter((row) => !leaked.has(row));
  const accuracyOnClean = ({ said }: TrialResult) => mean(clean.map((row) => (said[row] === truth[row] ? 1 : 0)));
  const theirs = ({ mode, rank, alpha }: Cell) =>
    mode === "lora"
      ? published.lora.find((cell) => cell.rank === rank && cell.alpha === alpha)?.test
      : published.baselines.find((baseline) => baseline.mode === mode)?.test;
  const show = (cell: Cell) => {
    const other = theirs(cell);
    return [
      cell.label,
      cell.trials.length,
      percent(cell.val.mean),
      percent(cell.test.mean),
      cell.test.n > 1 ? percent(cell.test.sd) : "-",
      range(cell.interval),
      ...(leaked.size > 0 ? [clean.length > 0 ? percent(mean(cell.trials.map(accuracyOnClean))) : "-"] : []),
      other === undefined ? "-" : percent(other),
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
        ...["run", "seeds", "validation %", "test %", "sd", "95 % interval"],
        ...(leaked.size > 0 ? ["test %, no copies"] : []),
        ...["published", "learns", "minutes", "MB"],
      ],
      rows: cells.map(show),
    },
  ];
}

function comparisons(best: Cell, cells: readonly Cell[], truth: readonly number[]): Block[] {
  const baselines = cells.filter(({ mode }) => mode !== "lora");
  const others = baselines.length > 0 ? baselines : cells.filter((cell) => cell !== best);
  if (others.length === 0) return [];
  const right = rightRows(best, truth);
  return [
    {
      kind: "heading",
      level: 2,
      text: `Best LoRA against each ${baselines.length > 0 ? "baseline" : "other setting"}`,
    },
    {
      kind: "text",
      text:
        `The best LoRA setting by validation accuracy is ${best.label}. McNemar's exact test on the same test rows` +
        `${best.trials.length > 1 ? ", each decided by most of the seeds" : ""}; differences with p of ${SIGNIFICANT} or more are not distinguishable from chance. ` +
        `p is that of each comparison alone: of 20 comparisons of equals one is expected below ${SIGNIFICANT}.`,
    },
    {
      kind: "table",
      header: ["against", "only the best right", "only the other right", "p", "verdict"],
      rows: others.map((other) => {
        const { onlyFirst, onlySecond, p } = mcnemar(right, rightRows(other, truth));
        const winner = onlyFirst > onlySecond ? "the best LoRA is better" : "the other is better";
        return [other.label, onlyFirst, onlySecond, p.toPrecision(2), p < SIGNIFICANT ? winner : "not distinguishable"];
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
      caption: "Test accuracy over the number of values that learn",
      svg: accuracyOverSize(
        "Accuracy over what learns",
        cells.map(({ mode, trials, test }) => ({ group: mode, trainable: trials[0]!.trainable, accuracy: test.mean })),
      ),
    },
  ];
}

/** Confusion, precision, recall, F1, ROC-AUC and the mistakes of the best run's first seed. */
function details(best: Cell, data: LoadedDataset, truth: readonly number[]): Block[] {
  const { labels, test } = data;
  const { said, probabilities, options } = best.trials[0]!;
  const confusion = confusionMatrix(truth, said, labels.length);
  const measures = labels.map((label, positive) => {
    const { precision, recall, f1 } = classMeasures(confusion, positive);
    const auc = rocAuc(
      truth.map((t) => t === positive),
      probabilities.map((p) => p[positive]!),
    );
    return [label, percent(precision), percent(recall), percent(f1), auc.toFixed(4)];
  });
  const wrong = truth.flatMap((label, row) =>
    said[row] === label
      ? []
      : [[labels[label]!, labels[said[row]!]!, probabilities[row]![said[row]!]!.toFixed(3), test.text(row)]],
  );
  return [
    { kind: "heading", level: 2, text: `The best run: ${best.label}, seed ${options.seed}` },
    {
      kind: "table",
      header: ["truth", ...labels.map((label) => `said ${label}`)],
      rows: confusion.map((row, label) => [labels[label]!, ...row]),
    },
    { kind: "table", header: ["class", "precision %", "recall %", "F1 %", "ROC-AUC"], rows: measures },
    { kind: "text", text: `${wrong.length} of ${truth.length} test messages are labelled wrong:` },
    ...(wrong.length > 0
      ? [{ kind: "table" as const, header: ["truth", "said", "probability", "message"], rows: wrong }]
      : []),
  ];
}
