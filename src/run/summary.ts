/** A run in words and tables, for a terminal. */
import { describeDevice } from "../backend/backend.ts";
import type { BlockStats } from "../data/blocks.ts";
import { labelDoubt } from "../data/columns.ts";
import type { DatasetStats } from "../data/dataset.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTexts, TrainingData } from "../data/texts.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import type { Prediction } from "../engine/predictions.ts";
import { printable } from "../errors.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import { frozenBlocks, parameterList } from "../model/trainable.ts";
import { memoryTotals, showBytes, showMemory } from "../plan/memory.ts";
import { showDuration } from "../report/duration.ts";
import { type Confusion, cellsOf, LISTED_CLASSES, mistakesOf } from "../report/statistics.ts";
import { type Column, renderTable } from "../report/tables.ts";
import { oneLine } from "../report/text.ts";
import { sizeOf } from "../tensor.ts";
import type { Splits, TrainEvent, TrainResult } from "../train/records.ts";
import { titleOf } from "./directory.ts";

/** Columns that a line of text from outside may have. */
const LONGEST_NAME = 400;
const named = (name: string) => oneLine(name, LONGEST_NAME);

/** The three sets: rows and lengths, classes or bytes; what was cut or replaced is said once. Tables have at most `width` columns. */
export function describeData(data: TrainingData, model: string, width?: number): string {
  return data.objective === "lm" ? describeTexts(data, model, width) : describeMessages(data, model, width);
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
    [cut, `completions are, with their prompts, longer than ${maxLength} tokens and were cut`],
    [stats.empty, "documents are empty and were left out"],
  ] as const;
  const predicted = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  return [
    `model: ${named(model)}`,
    `data:  ${named(source)}, in blocks of at most ${maxLength} tokens`,
    table,
    ...predicted,
  ].join("\n");
}

function describeMessages({ source, labels, split, stats }: LoadedDataset, model: string, width?: number): string {
  const sets = Object.entries({ train: stats.train, validation: stats.val, test: stats.test });
  const table = renderTable<[string, DatasetStats]>(
    [
      { header: "set", value: ([name]) => name },
      { header: "rows", value: ([, s]) => s.rows },
      { header: "tokens: mean", value: ([, s]) => s.mean, digits: 1 },
      { header: "median", value: ([, s]) => s.median },
      { header: "95 %", value: ([, s]) => s.p95 },
      { header: "longest", value: ([, s]) => s.max },
      { header: "cut", value: ([, s]) => s.cut },
    ],
    sets,
    width,
  );
  const sum = (of: (s: DatasetStats) => number) => sets.reduce((total, [, s]) => total + of(s), 0);
  const notes = [
    [sum((s) => s.cut), "messages are longer than the longest length and were cut"],
    [sum((s) => s.empty), "messages are empty and stand as <|endoftext|>"],
    [stats.copies, "messages were near copies of one before them and were dropped"],
    [stats.leaks.val, "validation messages have a near copy in the training set (--dedupe drops them)"],
    [stats.leaks.test, "test messages have a near copy in the sets before (--dedupe drops them)"],
    [stats.invalidUtf8, "places are not valid UTF-8 and became U+FFFD"],
  ] as const;
  const predicted = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  const doubt = labelDoubt(labels);
  return [
    `model: ${named(model)}`,
    `data:  ${named(source)}${split === "given" ? "" : `, split: ${split}`}`,
    table,
    describeClasses(labels, stats, width),
    ...predicted,
    ...(doubt === null ? [] : [`note: ${printable(doubt)}`]),
  ].join("\n");
}

/** The rows of each class, or of the largest where there are many. */
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
  return `${table}\nand ${more} more classes; the smallest of all ${labels.length} has ${fewest} rows`;
}

/** The device, what learns, and the memory that is about to be allocated. */
export function describePlan(event: Extract<TrainEvent, { type: "plan" }>, plan: ModelPlan): string {
  const { device, trainable, prefix } = event;
  const all = parameterList(plan.spec).reduce((total, { shape }) => total + sizeOf(shape), 0);
  const share = ((100 * trainable) / all).toFixed(2);
  return [
    `device: ${describeDevice(device)}`,
    `learns: ${trainable.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} values (${share} %), mode ${plan.spec.mode}`,
    ...(prefix ? [describePrefix(prefix)] : []),
    `memory, for batches of at most ${plan.capacity.tokens} tokens:`,
    showMemory(plan.memory),
  ].join("\n");
}

/** What runs once before the training, on the device, and what it leaves with the host. */
function describePrefix({ plan, bytes }: { plan: ModelPlan; bytes: number }): string {
  const blocks = frozenBlocks(plan.spec);
  const { total } = memoryTotals(plan.memory);
  return (
    `frozen: the lowest ${blocks} of ${plan.spec.config.n_layer} blocks run once a message, in ${showBytes(total)}, and are freed; ` +
    `what they make is kept: ${showBytes(bytes)}`
  );
}

/** Loss, and accuracy or perplexity, before and after; of a classifier the confusion matrix, and some messages of the test set. */
export function describeResult(result: TrainResult, data: TrainingData, width?: number): string {
  const examples = result.steps.at(-1)?.examples ?? 0;
  const what = data.objective === "lm" ? "blocks" : "examples";
  const effort = `${examples.toLocaleString("en-US")} ${what} in ${showDuration(result.seconds)}, evaluation included`;
  const { before, after } = result;
  if (!after) return [describeLast(result), effort].join("\n");
  const rows = (["train", "val", "test"] as const).map((name) => ({
    name: name === "val" ? "validation" : name,
    before: before?.[name] ?? null,
    after: after[name],
  }));
  const table = renderTable<(typeof rows)[number]>(
    [
      { header: "set", value: ({ name }) => name },
      { header: data.objective === "lm" ? "tokens" : "rows", value: ({ after }) => after.rows },
      ...beforeAndAfter("loss", ({ loss }) => loss, 4),
      ...(data.objective === "lm"
        ? [
            ...beforeAndAfter("perplexity", ({ perplexity }) => perplexity!, 2),
            ...beforeAndAfter("bits per byte", ({ bitsPerByte }) => bitsPerByte!, 4),
          ]
        : beforeAndAfter("accuracy", ({ accuracy }) => `${(100 * accuracy).toFixed(1)} %`)),
    ],
    rows,
    width,
  );
  return [
    titleOf(result.options),
    table,
    ...(data.objective === "lm" ? [] : [confusion(result, data, width), samples(result.predictions, data, width)]),
    effort,
  ].join("\n");
}

/** Of a run that was stopped: what was measured last. */
function describeLast({ steps, evaluations }: TrainResult): string {
  const { step, val } = evaluations.at(-1)!;
  const reached =
    val.perplexity === undefined
      ? `accuracy ${(100 * val.accuracy).toFixed(1)} %`
      : `perplexity ${val.perplexity.toFixed(2)}`;
  return `stopped after step ${steps.length}; measured last after step ${step}: validation loss ${val.loss.toFixed(4)}, ${reached}`;
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

/** The confusion matrix, or, of many classes, those that are taken for others most. */
function confusion(
  { confusions }: Pick<TrainResult, "confusions">,
  { labels, test }: LoadedDataset,
  width = 120,
): string {
  if (labels.length <= LISTED_CLASSES) {
    const cell = cellsOf(confusions);
    const columns: Column<number>[] = [
      { header: "test set: truth", value: (truth) => labels[truth]! },
      ...labels.map((label, predicted) => ({
        header: `predicted ${label}`,
        value: (truth: number) => cell(truth, predicted),
      })),
    ];
    const table = renderTable(columns, [...labels.keys()], width);
    // The first line has no characters but those that take one column.
    if (table.indexOf("\n") <= width) return table;
  }
  const mistakes = mistakesOf(confusions);
  const shown = mistakes.slice(0, LISTED_CLASSES);
  const sum = (some: readonly Confusion[]) => some.reduce((total, { rows }) => total + rows, 0);
  const wrong = sum(mistakes);
  const all = `${wrong} of ${test.size} test messages, of ${labels.length} classes, are labelled wrong`;
  if (wrong === 0) return all;
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
    sum(shown) < wrong ? `; these are ${sum(shown)} of them, the most frequent first: confusion.csv has all` : "";
  return `${table}\n${all}${part}`;
}

/** Messages that are shown: some that were labelled right, the first of a few classes, and some that were not. */
const SHOWN = 3;

function samples(predictions: readonly Prediction[], { labels, test }: LoadedDataset, width?: number): string {
  const right = predictions.filter(({ row, label }) => label === test.label(row));
  const wrong = predictions.filter(({ row, label }) => label !== test.label(row));
  const firsts = new Map<number, Prediction>();
  for (const prediction of right) if (!firsts.has(prediction.label)) firsts.set(prediction.label, prediction);
  const first = [...firsts].sort(([a], [b]) => a - b).map(([, prediction]) => prediction);
  const others = right.slice(0, SHOWN).filter((prediction) => !first.includes(prediction));
  const shown = [...first, ...others].slice(0, Math.max(SHOWN, Math.min(labels.length, LISTED_CLASSES / 2)));
  return renderTable<Prediction>(
    [
      { header: "message", value: ({ row }) => test.text(row) },
      { header: "truth", value: ({ row }) => labels[test.label(row)]! },
      { header: "predicted", value: ({ label }) => labels[label]! },
      { header: "probability", value: ({ probability }) => probability, digits: 3 },
    ],
    [...shown, ...wrong.slice(0, SHOWN)],
    width,
  );
}
