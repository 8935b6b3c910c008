/** A run in words and tables, for a terminal. */
import { describeDevice } from "../backend/backend.ts";
import type { BlockStats } from "../data/blocks.ts";
import type { DatasetStats } from "../data/dataset.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTexts, TrainingData } from "../data/texts.ts";
import { frozenBlocks, type ModelPlan } from "../model/gpt2.ts";
import { parameterList } from "../model/trainable.ts";
import { memoryTotals, showBytes, showMemory } from "../plan/memory.ts";
import { showDuration } from "../report/duration.ts";
import { renderTable } from "../report/tables.ts";
import { sizeOf } from "../tensor.ts";
import type { Evaluation } from "./metrics.ts";
import type { Prediction } from "./predictions.ts";
import type { TrainEvent, TrainResult } from "./records.ts";
import { titleOf } from "./run-directory.ts";

/** The three sets: rows and lengths, classes or bytes; what was cut or replaced is said once. */
export function describeData(data: TrainingData, model: string): string {
  return data.objective === "lm" ? describeTexts(data, model) : describeMessages(data, model);
}

function describeTexts({ source, maxLength, stats }: LoadedTexts, model: string): string {
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
  );
  const cut = sets.reduce((sum, [, s]) => sum + s.cut, 0);
  const notes = [
    [cut, `completions are, with their prompts, longer than ${maxLength} tokens and were cut`],
    [stats.empty, "documents are empty and were left out"],
  ] as const;
  const said = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  return [`model: ${model}`, `data:  ${source}, in blocks of at most ${maxLength} tokens`, table, ...said].join("\n");
}

function describeMessages({ source, labels, split, stats }: LoadedDataset, model: string): string {
  const sets = Object.entries({ train: stats.train, validation: stats.val, test: stats.test });
  const table = renderTable<[string, DatasetStats]>(
    [
      { header: "set", value: ([name]) => name },
      { header: "rows", value: ([, s]) => s.rows },
      ...labels.map((label) => ({ header: label, value: ([, s]: [string, DatasetStats]) => s.classes[label]! })),
      { header: "tokens: mean", value: ([, s]) => s.mean, digits: 1 },
      { header: "median", value: ([, s]) => s.median },
      { header: "95 %", value: ([, s]) => s.p95 },
      { header: "longest", value: ([, s]) => s.max },
      { header: "cut", value: ([, s]) => s.cut },
    ],
    sets,
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
  const said = notes.filter(([count]) => count > 0).map(([count, what]) => `note: ${count} ${what}`);
  return [`model: ${model}`, `data:  ${source}${split === "given" ? "" : `, split: ${split}`}`, table, ...said].join(
    "\n",
  );
}

/** The device, what learns, and the memory that is about to be allocated. */
export function describePlan(event: Extract<TrainEvent, { type: "plan" }>, plan: ModelPlan): string {
  const { device, trainable, trunk } = event;
  const all = parameterList(plan.spec).reduce((total, { shape }) => total + sizeOf(shape), 0);
  const share = ((100 * trainable) / all).toFixed(2);
  return [
    `device: ${describeDevice(device)}`,
    `learns: ${trainable.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} values (${share} %), mode ${plan.spec.mode}`,
    ...(trunk ? [describeTrunk(trunk)] : []),
    `memory, for batches of at most ${plan.capacity.tokens} tokens:`,
    showMemory(plan.memory),
  ].join("\n");
}

/** What runs once before the training, on the device, and what it leaves with the host. */
function describeTrunk({ plan, bytes }: { plan: ModelPlan; bytes: number }): string {
  const blocks = frozenBlocks(plan.spec);
  const { total } = memoryTotals(plan.memory);
  return (
    `frozen: the lowest ${blocks} of ${plan.spec.config.n_layer} blocks run once a message, in ${showBytes(total)}, and are freed; ` +
    `what they make is kept: ${showBytes(bytes)}`
  );
}

/** Loss, and accuracy or perplexity, before and after; of a classifier the confusion matrix, and some messages of the test set. */
export function describeResult(result: TrainResult, data: TrainingData): string {
  const rows = (["train", "val", "test"] as const).map((name) => ({
    name: name === "val" ? "validation" : name,
    before: result.before[name],
    after: result.after[name],
  }));
  const table = renderTable<(typeof rows)[number]>(
    [
      { header: titleOf(result.options), value: ({ name }) => name },
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
  );
  const examples = result.steps.at(-1)?.examples ?? 0;
  const what = data.objective === "lm" ? "blocks" : "examples";
  return [
    table,
    ...(data.objective === "lm" ? [] : [confusion(result.predictions, data), samples(result.predictions, data)]),
    `${examples.toLocaleString("en-US")} ${what} in ${showDuration(result.seconds)}, evaluation included`,
  ].join("\n");
}

function beforeAndAfter(what: string, value: (evaluation: Evaluation) => string | number, digits = 0) {
  return [
    { header: `${what} before`, value: ({ before }: { before: Evaluation }) => value(before), digits },
    { header: "after", value: ({ after }: { after: Evaluation }) => value(after), digits },
  ];
}

function confusion(predictions: Prediction[], { labels, test }: LoadedDataset): string {
  const count = (truth: number, said: number) =>
    predictions.filter(({ row, label }) => test.label(row) === truth && label === said).length;
  return renderTable<number>(
    [
      { header: "test set: truth", value: (truth) => labels[truth]! },
      ...labels.map((label, said) => ({ header: `said ${label}`, value: (truth: number) => count(truth, said) })),
    ],
    labels.map((_, truth) => truth),
  );
}

/** Messages that are shown: some that were labelled right, the first of each class, and some that were not. */
const SHOWN = 3;
const SHOWN_CHARACTERS = 60;

function samples(predictions: Prediction[], { labels, test }: LoadedDataset): string {
  const right = predictions.filter(({ row, label }) => label === test.label(row));
  const wrong = predictions.filter(({ row, label }) => label !== test.label(row));
  const first = labels.flatMap((_, label) => right.find((p) => p.label === label) ?? []);
  const shown = [...first, ...right.filter((p) => !first.includes(p))].slice(0, Math.max(SHOWN, labels.length));
  return renderTable<Prediction>(
    [
      { header: "message", value: ({ row }) => shorten(test.text(row)) },
      { header: "truth", value: ({ row }) => labels[test.label(row)]! },
      { header: "said", value: ({ label }) => labels[label]! },
      { header: "probability", value: ({ probability }) => probability, digits: 3 },
    ],
    [...shown, ...wrong.slice(0, SHOWN)],
  );
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length <= SHOWN_CHARACTERS ? line : `${characters.slice(0, SHOWN_CHARACTERS - 1).join("")}…`;
}
