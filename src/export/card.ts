/** The README of an export: a model card, with the head by which the hub knows a model. */
import type { Objective } from "../config.ts";
import { isOnHub } from "../data/named.ts";
import { METHODS } from "../methods/index.ts";
import { readsPairs } from "../pair.ts";
import { linkTarget, markdownCode, markdownFence, markdownLine, markdownText } from "../quote.ts";
import { describeData } from "../run/describe-data.ts";
import { dataFiles, dataName, type RunRecord } from "../run/record.ts";
import type { Interval } from "../statistics.ts";
import type { Results } from "../train/results.ts";
import type { Exported, Source } from "./form.ts";
import { baseLicence } from "./licence.ts";
import { type Loss, showLoss } from "./losses.ts";
import { baseLabel, frontMatter, hubTask, longestText } from "./peft-code.ts";
import { LISTED, MARK } from "./replaceable.ts";
import { describeTask } from "./usage.ts";

/** What a run says of itself in a card. */
export interface About {
  record: RunRecord;
  /** What it was trained on, and its results: sections in Markdown. */
  sections: string;
}

/** A measure of the test set as the hub has it. */
interface Metric {
  /** The hub's name of it. */
  type: string;
  name: string;
  value: number;
  /** How it is computed, with its 95 % interval: the hub has no field of its own for that. */
  args?: {
    average?: "micro" | "macro";
    confidence_interval?: readonly [low: number, high: number];
    confidence_level?: number;
  };
}

const within = ({ low, high }: Interval) => ({ confidence_interval: [low, high], confidence_level: 0.95 }) as const;

/** What a run is judged by first. */
const MEASURES: Record<Objective, (results: Results) => Metric[]> = {
  classification: ({ test }) => {
    if (!test) return [];
    const [{ accuracy, interval, macroF1, mcc }] = test.compared;
    return [
      { type: "accuracy", name: "Accuracy", value: accuracy, args: within(interval) },
      { type: "f1", name: "Macro F1", value: macroF1, args: { average: "macro" } },
      ...(mcc === null ? [] : [{ type: "matthews_correlation", name: "MCC", value: mcc }]),
    ];
  },
  regression: ({ scores }) => {
    if (!scores) return [];
    const [{ rmse, mae }] = scores.compared;
    return [
      { type: "rmse", name: "RMSE", value: rmse.value, args: within(rmse) },
      { type: "mae", name: "MAE", value: mae.value, args: within(mae) },
    ];
  },
  "multi-label": ({ multiLabel }) => {
    if (!multiLabel) return [];
    const [{ microF1, exact }] = multiLabel.compared;
    return [
      { type: "f1", name: "Micro F1", value: microF1.value, args: { average: "micro", ...within(microF1) } },
      { type: "exact_match", name: "Exact match", value: exact.value, args: within(exact) },
    ];
  },
  lm: ({ after: { test } }) => [{ type: "perplexity", name: "Perplexity", value: test.perplexity! }],
};

/** What the front matter says of a run: its data, and what it measured on its test set. */
function describeRun(record: RunRecord, task: string, title: string): object {
  const { objective, results } = record;
  const data = dataName(record);
  const named = describeData(record);
  const [repository] = data.split(/[:@]/) as [string];
  const metrics = (results ? MEASURES[objective](results) : []).filter(({ value }) => Number.isFinite(value));
  const isHub = dataFiles(record.data).length === 0 && isOnHub(data);
  const dataset = { name: data, type: isHub ? repository : data, split: "test" };
  return {
    ...(named ? { language: named.language } : {}),
    ...(isHub ? { datasets: [repository] } : {}),
    ...(metrics.length === 0
      ? {}
      : {
          metrics: metrics.map(({ type }) => type),
          "model-index": [{ name: title, results: [{ task: { type: task }, dataset, metrics }] }],
        }),
  };
}

/** The README of an export. */
export async function modelCard(
  { adapter: { meta }, base, checkpoint }: Source,
  exported: Exported,
  losses: readonly Loss[],
  about: About | undefined,
  warnings: readonly string[],
): Promise<string> {
  const { files, library, title, install, language, code, lowrank, remarks } = exported;
  const licence = await baseLicence(checkpoint, base);
  const { title: method } = METHODS[meta.mode];
  const more = {
    ...(licence === undefined ? {} : { license: licence }),
    tags: [...new Set(["lowrank", library, ...(meta.lora?.use_dora ? ["dora"] : []), method].map(toTag))],
    ...(about ? describeRun(about.record, hubTask(meta), title) : {}),
  };
  return [
    ...frontMatter(meta, base, exported, more),
    `# ${markdownText(title)}`,
    "",
    `${MARK}${markdownText(baseLabel(base))}: ${method}.`,
    markdownLine(describeTask(meta)),
    ...warnings.flatMap((line) => ["", line]),
    "",
    ...describeBase(base, licence),
    "",
    "## Use",
    "",
    `In this directory, after ${markdownCode(install)}:`,
    "",
    ...markdownFence(language, code),
    ...(remarks.length > 0 ? ["", ...remarks] : []),
    ...(lowrank === undefined
      ? []
      : ["", "With Lowrank, in this directory, after `npm install lowrank`:", "", ...markdownFence("sh", [lowrank])]),
    "",
    ...(about ? [about.sections] : []),
    "## Limits",
    "",
    ...listLimits(meta, losses).map((limit) => `- ${markdownLine(limit)}`),
    "",
    `${LISTED}${[...files.keys()].map(markdownCode).join(", ")}.`,
    "",
  ].join("\n");
}

const toTag = (words: string) =>
  words
    .toLowerCase()
    .match(/[a-z0-9]+/g)!
    .join("-");

/** Where others find the base model, and its licence. */
function describeBase(base: Source["base"], licence: string | undefined): string[] {
  const name = markdownText(baseLabel(base));
  const place = {
    hub: `The base model is [${name}](${linkTarget(`https://huggingface.co/${base.name}`)})`,
    package: `The base model, ${name}, is not on the Hugging Face Hub: it is in the npm package lowrank (npm install lowrank)`,
    folder: `The base model was read from a file or folder, ${name}: whether it is on the Hugging Face Hub is not known`,
  }[base.place];
  return [
    licence === undefined
      ? `${place}. Its licence is not in its files: find it before you publish this model, which is under it too.`
      : `${place}. Its licence is ${licence}, and this model is under it too.`,
  ];
}

function listLimits(meta: Source["adapter"]["meta"], losses: readonly Loss[]): string[] {
  const { objective } = meta.task;
  const length = longestText(meta);
  const texts = readsPairs(meta) ? "Pairs" : "Texts";
  return [
    objective === "lm"
      ? `It was trained on blocks of at most ${length} tokens.`
      : `${texts} longer than ${length} tokens are cut there, as in training.`,
    ...(objective === "lm"
      ? []
      : ["The figures are of a test set from the same source as its training data: expect more errors elsewhere."]),
    ...losses.map((loss) => `The format cannot express all of the run, which has these figures: ${showLoss(loss)}.`),
  ];
}
