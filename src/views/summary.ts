/** Describes a run in text and tables for the terminal. */
import { describeDevice } from "../backend/backend.ts";
import { MODE_TITLES } from "../config.ts";
import type { BlockStats } from "../data/blocks.ts";
import { labelNotes } from "../data/columns.ts";
import type { DatasetStats } from "../data/dataset.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTexts, TrainingData } from "../data/texts.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import { type LowrankError, nameList, printable } from "../errors.ts";
import { showDuration, showShare } from "../format.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import { frozenBlocks, parameterList } from "../model/trainable.ts";
import { isAdded } from "../names.ts";
import { memoryTotals, showBytes, showLargest } from "../plan/memory.ts";
import { describeMethod, type RunRecord } from "../run/record.ts";
import {
  type ClassMeasures,
  type Confusion,
  confusionLookup,
  type Interval,
  LISTED_CLASSES,
  sortMistakes,
} from "../statistics.ts";
import { numel } from "../tensor.ts";
import { type ClassWeights, isUnequal, weighClasses } from "../train/class-weights.ts";
import type { TrainEvent } from "../train/records.ts";
import type { Compared, Splits, TestMessage, TestResults } from "../train/results.ts";
import { bestBaseline, describeKept, fewRows, nothingLearned, showOwnStanding } from "./comparison.ts";
import { type Column, renderTable } from "./terminal/table.ts";
import { oneLine } from "./terminal/text.ts";

/** Maximum width of a name, in columns. */
const LONGEST_NAME = 400;
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const named = (name: string) => oneLine(name, LONGEST_NAME);

/**
 * Describes the three sets, the weights of their classes, and what was left out, truncated or replaced. Tables are at
 * most `width` columns wide.
 */
export function describeData(data: TrainingData, model: string, how: ClassWeights, width?: number): string {
  return data.objective === "lm" ? describeTexts(data, model, width) : describeMessages(data, model, how, width);
}

function describeTexts({ source, maxLength, stats }: LoadedTexts, model: string, width?: number): string {
  const sets = Object.entries({ train: stats.train, validation: stats.val, test: stats.test });
  const table = renderTable<[string, BlockStats]>(
    [
      { header: "set", value: ([name]) => name },
      { header: "documents", value: ([, s]) => s.documents },
      { header: "blocks", value: ([, s]) => s.rows },
      { header: "tokens", value: ([, s]) => s.tokens },
      { header: "bytes", value: ([, s]) => s.bytes },
    ],
    sets,
    width,
  );
  const cut = sets.reduce((sum, [, s]) => sum + s.cut, 0);
  const notes = [
    [cut, `completions were truncated: with their prompts they exceed ${maxLength} tokens`],
    [stats.empty, "empty documents were skipped"],
  ] as const;
  const predicted = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  return [
    `model: ${named(model)}`,
    `data:  ${named(source)}, blocks of at most ${maxLength} tokens`,
    table,
    ...predicted,
  ].join("\n");
}

function describeMessages(data: LoadedDataset, model: string, how: ClassWeights, width?: number): string {
  const { source, labels, split, stats } = data;
  const sets = Object.entries({ train: stats.train, validation: stats.val, test: stats.test });
  const table = renderTable<[string, DatasetStats]>(
    [
      { header: "set", value: ([name]) => name },
      { header: "rows", value: ([, s]) => s.rows },
      { header: "tokens: mean", value: ([, s]) => s.mean, digits: 1 },
      { header: "median", value: ([, s]) => s.median },
      { header: "95 %", value: ([, s]) => s.p95 },
      { header: "longest", value: ([, s]) => s.max },
      { header: "truncated", value: ([, s]) => s.cut },
    ],
    sets,
    width,
  );
  const sum = (of: (s: DatasetStats) => number) => sets.reduce((total, [, s]) => total + of(s), 0);
  const notes = [
    [sum((s) => s.cut), "messages exceed the maximum length and were truncated"],
    [sum((s) => s.empty), "messages are empty and were replaced with <|endoftext|>"],
    [stats.leaks.val, "validation messages have a near-duplicate in the training set (--dedupe drops them)"],
    [stats.leaks.test, "test messages have a near-duplicate in the training or validation set (--dedupe drops them)"],
    [stats.trimmedLabels, "labels had white space around them, which was dropped"],
    [stats.leftOut.rows, "invalid rows were skipped"],
  ] as const;
  const predicted = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  return [
    `model: ${named(model)}`,
    `data:  ${named(source)}${split === "given" ? "" : `, split: ${split}`}`,
    describeRows(data, how),
    table,
    describeClasses(labels, stats, width),
    ...predicted,
    ...stats.leftOut.rowErrors.slice(0, LISTED_ERRORS).map(skipped),
    ...missingClasses(data),
    ...labelNotes(stats.classesRead).map((note) => `note: ${printable(note)}`),
  ].join("\n");
}

/** Names the classes that have no row in a set: a random split may leave small ones out. */
function missingClasses({ labels, split, stats }: LoadedDataset): string[] {
  const seed = split === "random" ? "; another --seed draws another split" : "";
  const sets = {
    "training set, so that it cannot be learned": stats.train,
    "validation set": stats.val,
    "test set": stats.test,
  };
  return Object.entries(sets).flatMap(([name, { classes }]) => {
    const missing = labels.filter((label) => classes[label] === 0).map((label) => `"${named(label)}"`);
    return missing.length > 0 ? [`note: no row of ${nameList(missing)} is in the ${name}${seed}`] : [];
  });
}

/** Skipped rows that are listed. */
const LISTED_ERRORS = 3;

/** "  messages.csv:17: The row has the wrong number of fields". */
function skipped({ message, details }: LowrankError): string {
  return `  ${printable(details.where ?? "")}: ${message.split("\n")[0]}`;
}

/** One line: the rows read, those left out and why, and the weights of the classes. */
function describeRows(data: LoadedDataset, how: ClassWeights): string {
  const { labels, stats } = data;
  const { rowsRead, classesRead, copies, train, val, test } = stats;
  const show = (count: number) => count.toLocaleString("en-US");
  const dropped = rowsRead - copies - train.rows - val.rows - test.rows;
  const leftOut = [
    ...(copies > 0 ? [`${show(copies)} near-duplicates of earlier rows left out (--dedupe)`] : []),
    ...(dropped > 0
      ? [`${show(dropped)} rows of the larger classes left out to balance them (--no-balance keeps them)`]
      : []),
  ];
  const weights = weighClasses(data, how);
  const weighted = isUnequal(data)
    ? "the classes are unequal, their loss is not weighted (--class-weights none)"
    : null;
  return [
    `rows:  ${show(rowsRead)} read (${byClass(labels, (_, label) => classesRead[label]!)})`,
    ...(leftOut.length > 0 ? leftOut : ["all kept"]),
    weights ? `loss weighted by class (${byClass(labels, (i) => Number(weights[i]!.toPrecision(3)))})` : weighted,
  ]
    .filter((part) => part !== null)
    .join("; ");
}

/** "ham 500, spam 20"; of many classes, those with the largest and the smallest number. */
function byClass(labels: readonly string[], value: (id: number, label: string) => number): string {
  const all = labels.map((label, id) => ({ label: named(label), value: value(id, label) }));
  const text = (some: typeof all) => some.map(({ label, value }) => `${label} ${value.toLocaleString("en-US")}`);
  if (all.length <= LISTED_CLASSES) return text(all).join(", ");
  const sorted = all.sort((a, b) => b.value - a.value);
  return `${labels.length} classes, ${text([sorted[0]!, sorted.at(-1)!]).join(" to ")}`;
}

/** The number of rows per class, or of the largest classes if there are many. */
function describeClasses(
  labels: readonly string[],
  { train, val, test }: Splits<DatasetStats>,
  width?: number,
): string {
  const rows = (label: string) => train.classes[label]! + val.classes[label]! + test.classes[label]!;
  const many = labels.length > LISTED_CLASSES;
  const shown = many ? [...labels].sort((a, b) => rows(b) - rows(a)).slice(0, LISTED_CLASSES / 2) : labels;
  const column = (header: string, set: DatasetStats) => ({ header, value: (label: string) => set.classes[label]! });
  const table = renderTable<string>(
    [
      { header: many ? "largest classes" : "class", value: (label) => label },
      column("train", train),
      column("validation", val),
      column("test", test),
    ],
    shown,
    width,
  );
  if (!many) return table;
  const fewest = labels.reduce((least, label) => Math.min(least, rows(label)), Number.POSITIVE_INFINITY);
  const more = labels.length - shown.length;
  return `${table}\nand ${more} more classes; the smallest of ${labels.length} classes has ${fewest} rows`;
}

/** Describes the device, the trainable parameters, and the memory that will be allocated. */
export function describePlan(event: Extract<TrainEvent, { type: "plan" }>, plan: ModelPlan): string {
  const { device, trainable, flops, prefix } = event;
  const parameters = parameterList(plan.spec);
  const count = (some: typeof parameters) => some.reduce((total, { shape }) => total + numel(shape), 0);
  const all = count(parameters);
  const base = count(parameters.filter(({ name }) => !isAdded(name)));
  const [some, every, own] = [trainable, all, base].map((number) => number.toLocaleString("en-US"));
  return [
    `device: ${describeDevice(device)}`,
    `trainable: ${some} of ${every} parameters (${showShare(trainable / all)}), ${MODE_TITLES[plan.spec.mode]}; the base model has ${own}`,
    `compute: ${(flops / 1e9).toPrecision(3)} GFLOP in the matrix products of a batch of mean length`,
    ...(prefix ? [describePrefix(prefix)] : []),
    ...(plan.recomputed > 0 ? [describeRecomputed(plan)] : []),
    `memory: ${showLargest(plan.memory)}, for batches of at most ${plan.capacity.tokens} tokens`,
  ].join("\n");
}

function describeRecomputed({ recomputed, spec }: ModelPlan): string {
  return `recompute: ${recomputed} of ${spec.config.n_layer} blocks run again in the backward pass, so that only their inputs are kept`;
}

/** Describes the frozen prefix, which runs once before training, and its stored outputs. */
function describePrefix({ plan, bytes }: { plan: ModelPlan; bytes: number }): string {
  const blocks = frozenBlocks(plan.spec);
  const { total } = memoryTotals(plan.memory);
  return (
    `frozen: the lowest ${blocks} of ${plan.spec.config.n_layer} blocks run once per message before training (${showBytes(total)}, then freed); ` +
    `their outputs are stored (${showBytes(bytes)})`
  );
}

/** Describes a run's metrics before and after training; of a classifier also the confusion matrix and messages. */
export function describeResult(record: RunRecord, width?: number): string {
  const { results, options, objective, examples, seconds, unequal, counts } = record;
  const isLm = objective === "lm";
  const what = isLm ? "blocks" : "examples";
  const effort = `${examples.toLocaleString("en-US")} ${what} in ${showDuration(seconds)}, including evaluation`;
  if (!results) return [describeLast(record), effort].join("\n");
  const [trainRows, , testRows] = counts.rows as [number, number, number];
  // Of the training set as many rows are evaluated as the test set has.
  const sampled = testRows < trainRows ? testRows : 0;
  const sets = (["train", "val", "test"] as const).map((name) => ({
    name: name === "val" ? "validation" : name === "train" && sampled > 0 ? "train *" : name,
    before: results.before[name],
    after: results.after[name],
  }));
  const parts = results.parts.map(({ name, ...after }) => ({ name: `test: ${name}`, before: null, after }));
  const rows = [...sets, ...parts];
  const table = renderTable<(typeof rows)[number]>(
    [
      { header: "set", value: ({ name }) => name },
      { header: isLm ? "tokens" : "rows", value: ({ after }) => after.rows },
      ...beforeAndAfter("loss", ({ loss }) => loss, 4),
      ...(isLm
        ? [
            ...beforeAndAfter("perplexity", ({ perplexity }) => perplexity!, 2),
            ...beforeAndAfter("bits per byte", ({ bitsPerByte }) => bitsPerByte!, 4),
          ]
        : beforeAndAfter("accuracy", ({ accuracy }) => percent(accuracy))),
      ...(unequal
        ? [{ header: "macro F1", value: ({ after }: { after: Evaluation }) => percent(after.macroF1!) }]
        : []),
    ],
    rows,
    width,
  );
  const counted = [sampled, trainRows].map((rows) => rows.toLocaleString("en-US")).join(" of ");
  return [
    `${describeMethod(options)}${sampled > 0 ? `; train *: a sample, ${counted} ${isLm ? what : "rows"}` : ""}`,
    table,
    ...(results.test ? describeClassifier(record, results.test, width) : []),
    ...describeNotes(record),
    ...describeKept(record),
    effort,
  ].join("\n");
}

/** What to know about the result, and what to try if it is poor. */
function describeNotes(record: RunRecord): string[] {
  const few = fewRows(record);
  const nothing = nothingLearned(record, named);
  return [
    ...(few ? [`note: ${few}`] : []),
    ...(nothing ? [`note: ${nothing.text}. Try --lr ${nothing.lr}`] : whatToTry(record)),
  ];
}

function describeClassifier({ labels }: RunRecord, test: TestResults, width?: number): string[] {
  return [
    confusion(test, labels, width),
    ...(labels.length > LISTED_CLASSES ? [] : [measures(test, labels, width)]),
    samples(test, width),
    baselines(test, width),
    `expected calibration error on the test set: ${percent(test.calibration.error)}`,
  ];
}

const between = ({ low, high }: Interval) => `${(100 * low).toFixed(1)}-${(100 * high).toFixed(1)}`;

/** Describes the last evaluation of a run that was stopped. */
function describeLast({ step: steps, evaluations, unequal }: RunRecord): string {
  const { step, val } = evaluations.at(-1)!;
  const reached =
    val.perplexity === undefined
      ? `accuracy ${percent(val.accuracy)}${unequal ? `, macro F1 ${percent(val.macroF1!)}` : ""}`
      : `perplexity ${val.perplexity.toFixed(2)}`;
  return `stopped after step ${steps}; last evaluation after step ${step}: validation loss ${val.loss.toFixed(4)}, ${reached}`;
}

function beforeAndAfter(what: string, value: (evaluation: Evaluation) => string | number, digits = 0) {
  return [
    {
      header: `${what} before`,
      value: ({ before }: { before: Evaluation | null }) => before && value(before),
      digits,
    },
    { header: "after", value: ({ after }: { after: Evaluation }) => value(after), digits },
  ];
}

/** The confusion matrix, or the most frequent mistakes if there are many classes. */
function confusion({ confusions, verdicts }: TestResults, labels: readonly string[], width = 120): string {
  if (labels.length <= LISTED_CLASSES) {
    const cell = confusionLookup(confusions);
    const columns: Column<number>[] = [
      { header: "test set: truth", value: (truth) => labels[truth]! },
      ...labels.map((label, predicted) => ({
        header: `predicted ${label}`,
        value: (truth: number) => cell(truth, predicted),
      })),
    ];
    const table = renderTable(columns, [...labels.keys()], width);
    // The first line has only characters of one column.
    if (table.indexOf("\n") <= width) return table;
  }
  const mistakes = sortMistakes(confusions);
  const shown = mistakes.slice(0, LISTED_CLASSES);
  const sum = (some: readonly Confusion[]) => some.reduce((total, { rows }) => total + rows, 0);
  const wrong = sum(mistakes);
  const all = `${wrong} of ${verdicts.length} test messages (${labels.length} classes) are misclassified`;
  const more = labels.length > LISTED_CLASSES ? "; classes.csv has precision, recall and F1 of each class" : "";
  if (wrong === 0) return all + more;
  const table = renderTable<Confusion>(
    [
      { header: "test set: truth", value: ({ truth }) => labels[truth]! },
      { header: "predicted", value: ({ predicted }) => labels[predicted]! },
      { header: "rows", value: ({ rows }) => rows },
    ],
    shown,
    width,
  );
  const part =
    sum(shown) < wrong ? `; the table lists ${sum(shown)} of them, most frequent first; confusion.csv has all` : "";
  return `${table}\n${all}${part}${more}`;
}

/** Precision, recall and F1 of each class, with Wilson's intervals. */
function measures({ classes }: TestResults, labels: readonly string[], width?: number): string {
  const column = (key: "precision" | "recall" | "f1", header: string): Column<ClassMeasures> => ({
    header: `${header} % (95 %)`,
    value: ({ [key]: of }) => of && `${(100 * of.share).toFixed(1)} (${between(of)})`,
  });
  const label = { header: "class", value: (of: ClassMeasures) => labels[classes.indexOf(of as (typeof classes)[0])]! };
  const columns = [column("precision", "precision"), column("recall", "recall"), column("f1", "F1")];
  return renderTable([label, { header: "rows", value: ({ rows }) => rows }, ...columns], classes, width);
}

/** The run beside the baselines on the test set. */
function baselines({ compared }: TestResults, width?: number): string {
  const table = renderTable<Compared>(
    [
      { header: "test set", value: ({ name }) => name },
      {
        header: "accuracy % (95 %)",
        value: ({ accuracy, interval }) => `${(100 * accuracy).toFixed(1)} (${between(interval)})`,
      },
      { header: "macro F1 %", value: ({ macroF1 }) => 100 * macroF1, digits: 1 },
    ],
    compared,
    width,
  );
  const [own, ...others] = compared;
  const tests = others.map((one) => `against ${named(one.name)}: ${showOwnStanding(own, one)}`);
  return `${table}\nMcNemar's exact test, this run ${tests.join(", ")}`;
}

/** What to try if a baseline has as many rows right as the run. */
function whatToTry(record: RunRecord): string[] {
  const best = bestBaseline(record, named);
  if (best === null) return [];
  const tries = [
    "a larger --model, such as gpt2",
    "more --epochs",
    ...(record.options.mode === "all" ? ["--mode lora"] : ["--mode all"]),
  ];
  return [`note: ${best}. Try ${tries.join(", or ")}`];
}

/** Misclassified messages that are shown. */
const SHOWN = 3;

function samples({ samples, mistakes }: TestResults, width?: number): string {
  return renderTable<TestMessage>(
    [
      { header: "message", value: ({ text }) => text },
      { header: "truth", value: ({ truth }) => truth },
      { header: "predicted", value: ({ predicted }) => predicted },
      { header: "probability", value: ({ probability }) => probability, digits: 3 },
    ],
    [...samples, ...mistakes.slice(0, SHOWN)],
    width,
  );
}
