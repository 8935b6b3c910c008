import { printable } from "../core/printable.ts";
import { linkTarget, literal, markdownFence, markdownLine, markdownText } from "../core/quote.ts";
import { isOnHub } from "../data/sets/named.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { METHODS } from "../methods/index.ts";
import type { BaseName } from "../record/base-name.ts";
import { findBundled } from "../record/describe-data.ts";
import { dataFiles, dataName, type RunRecord } from "../record/record.ts";
import { readFigure } from "../tasks/compare.ts";
import { hasHead } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { USAGES } from "../tasks/words.ts";
import { describeForCard } from "../views/card.ts";
import { baseLabel, longestText } from "./peft-code.ts";
import { describeTask, type Usage } from "./usage.ts";

/** The contents of a card. */
interface Model {
  meta: AdapterMeta;
  base: BaseName;
  /** The hub's name of the base model's licence; undefined: not known. */
  licence: string | undefined;
  /** The library by which the hub knows such files; undefined: Lowrank alone reads them. */
  library?: string;
  /** It is read together with the base model. */
  isAdapter?: true;
  title: string;
  usages: readonly Usage[];
  /** Notes before it is used. */
  warning?: string;
  /** Of its run; undefined: nothing is known of its training. */
  record?: RunRecord | undefined;
  /** The template that makes one text of a chat; undefined: it was not trained on chats. */
  chatTemplate?: string | undefined;
  /** Properties that the form cannot express. */
  losses?: readonly string[];
}

/** The front matter: the run's data, and what it measured on its test set. */
function modelIndex(record: RunRecord, task: string, title: string): object {
  const { objective, results } = record;
  const data = dataName(record);
  const named = findBundled(record);
  const [repository] = data.split(/[:@]/) as [string];
  const isHub = dataFiles(record.data).length === 0 && isOnHub(data);
  const dataset = { name: data, type: isHub ? repository : data, split: record.folds ? "train, in folds" : "test" };
  const { hub: type, title: name, key } = TRAINING[objective].measures[0];
  const value = readFigure(results?.test.compared[0].measured[key]);
  const measured = [{ task: { type: task }, dataset, metrics: [{ type, name, value }] }];
  return {
    ...(named ? { language: named.language } : {}),
    ...(isHub ? { datasets: [repository] } : {}),
    ...(value === null ? {} : { metrics: [type], "model-index": [{ name: title, results: measured }] }),
  };
}

/** In JSON, which is YAML. Only a base model on the hub has a name there. */
function frontMatter({ meta, base, licence, library, isAdapter, title, record }: Model): string[] {
  const task = USAGES[meta.task.objective].hub;
  const tags = ["lowrank", library ?? "", meta.lora?.use_dora ? "dora" : "", METHODS[meta.mode].title].map(toTag);
  const entries = {
    ...(base.place === "hub" ? { base_model: base.name, base_model_relation: isAdapter ? "adapter" : "finetune" } : {}),
    ...(library === undefined ? {} : { library_name: library }),
    pipeline_tag: task,
    ...(licence === undefined ? {} : { license: licence }),
    tags: [...new Set(tags.filter(Boolean))],
    ...(record ? modelIndex(record, task, title) : {}),
  };
  return ["---", ...Object.entries(entries).map(([key, value]) => `${key}: ${literal(value)}`), "---", ""];
}

const toTag = (words: string) => (words.toLowerCase().match(/[a-z0-9]+/g) ?? []).join("-");

/** The README: how the model is used, then what it is. */
export function modelCard(model: Model): string {
  const { meta, base, title, usages, record, chatTemplate, losses = [], warning } = model;
  const length = longestText(meta);
  return [
    ...frontMatter(model),
    `# ${markdownText(title)}`,
    ...(warning ? ["", `**${warning}**`] : []),
    ...usages.flatMap(({ title, language, text, code }) => [
      ...["", `## ${title}`, "", markdownLine(text)],
      ...(code === null ? [] : ["", ...markdownFence(language, code.split("\n"))]),
    ]),
    ...["", "## The model", ""],
    `Trained with Lowrank on ${markdownText(baseLabel(base))}: ${METHODS[meta.mode].title}.`,
    markdownLine(describeTask(meta)),
    hasHead(meta.task)
      ? `Texts longer than ${length} tokens are cut there, as in training.`
      : `It was trained on blocks of at most ${length} tokens.`,
    describeBase(model),
    ...losses.map((loss) => `\nThe figures are of the run, from which this model differs: ${markdownText(loss)}.`),
    ...(chatTemplate === undefined ? [] : describeTemplate(chatTemplate)),
    "",
    ...(record ? [describeForCard(record)] : []),
  ].join("\n");
}

/** How the messages of a chat become one text. */
function describeTemplate(template: string): string[] {
  const about = "It was trained on chats, each made one text by this template, which the tokenizer's files have too.";
  const lines = template.split(/\r?\n/).map(printable);
  return ["", "## Chat template", "", about, "", ...markdownFence("jinja", lines)];
}

/** Where others find the base model, and its licence. */
function describeBase({ base, licence }: Model): string {
  const name = markdownText(baseLabel(base));
  const place = {
    hub: `[${name}](${linkTarget(`https://huggingface.co/${base.name}`)})`,
    package: `${name}, which is in the npm package lowrank (npm install lowrank)`,
    folder: `${name}, a file or folder of whoever trained it`,
  }[base.place];
  return licence === undefined
    ? `The base model is ${place}. Find its licence before you publish this model, which is under it too.`
    : `The base model is ${place}. Its licence is ${licence}, and this model is under it too.`;
}
