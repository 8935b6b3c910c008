/** How a trained model is used elsewhere: code for a page, for Node and for PEFT, and the README with it. */
import { architectureName, type MessagesObjective } from "../config.ts";
import type { AdapterMeta } from "../io/peft.ts";
import type { Vocabulary } from "../io/vocabulary.ts";
import { adapterOptions, describeMethod, METHODS } from "../methods/index.ts";
import { pairSettings, readsPairs, type TextOrPair } from "../pair.ts";
import { printableLine } from "../printable.ts";
import { htmlText, literal, markdownFence, markdownLine, markdownText, scriptLiteral } from "../quote.ts";
import type { BaseName } from "../run/base-name.ts";
import { DEFAULTS, ofMode, SETTING_NAMES, type TrainOptions } from "../train/options.ts";
import { frontMatter, PYTHON_BASES, peftCode, peftInstall, remarks, useCode } from "./peft-code.ts";

/** A trained model, as far as it is known. */
export interface Trained {
  meta: AdapterMeta;
  /** The base model's name, and where others find it: in the package, on the hub, or in a folder of its owner. */
  base: BaseName;
  /** The token that ends a text. */
  end: Vocabulary["end"];
  /** The name of the data set or file; null: unknown. */
  data: string | null;
  /** The settings of the run; null: unknown. */
  options: TrainOptions | null;
  /** A message to try: of `textToTry`. */
  example: TextOrPair;
  /** Its result on the test set; null: unknown. */
  result: string | null;
  /** Why PEFT cannot load it; null: it can. */
  obstacle: string | null;
}

/** Code for one place. */
export interface Usage {
  title: string;
  language: "html" | "js" | "python";
  /** What to do first, or why there is no code. */
  text: string;
  code: string | null;
}

/** "LoRA, rank 8, alpha 16, on gpt2-micro" */
function trainedTitle({ meta, base }: Trained): string {
  return `${describeMethod({ ...DEFAULTS, ...adapterOptions(meta) })}, on ${base.name}`;
}

/** Classes that are listed in a sentence. */
const LISTED = 6;

/** "ham or spam", or "one of 77 classes"; "any of politics, sport"; "a score" */
function classChoice({ labels, task }: Pick<AdapterMeta, "labels" | "task">): string {
  if (task.objective === "regression") return "a score";
  const names = labels.map(printableLine);
  if (task.objective === "multi-label")
    return `any of ${labels.length > LISTED ? `${labels.length} labels` : names.join(", ")}`;
  if (labels.length > LISTED) return `one of ${labels.length} classes`;
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** "A GPT-2 that classifies messages as ham or spam." */
export function describeTask(meta: AdapterMeta): string {
  const name = architectureName(meta.model);
  const { objective } = meta.task;
  if (objective === "lm") return `A ${name} that continues texts.`;
  const texts = readsPairs(meta) ? "pairs of texts" : "messages";
  return `A ${name} that ${objective === "regression" ? `gives ${texts}` : `classifies ${texts} as`} ${classChoice(meta)}.`;
}

/** The title of a classifier's page: "Ham or spam?", or "Which of 77 classes?" */
export function pageQuestion(meta: Pick<AdapterMeta, "labels" | "task">): string {
  if (meta.task.objective === "regression") return "Which score?";
  const text = meta.labels.length > LISTED ? `which of ${meta.labels.length} classes` : classChoice(meta);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}?`;
}

/** "GPT-2 fine-tuned on spam with LoRA, rank 8, alpha 16, on gpt2-micro: 97.2 % of ..." */
export function describeTrained(trained: Trained): string {
  const { data, meta, result } = trained;
  return `${architectureName(meta.model)}, fine-tuned${data === null ? "" : ` on ${data}`}: ${trainedTitle(trained)}.${result === null ? "" : ` ${result}.`}`;
}

/** The code that uses the trained model in `directory`, a run or an adapter; `adapter`: the adapter's directory. */
export function listUsages(trained: Trained, directory = "adapter", adapter = directory): Usage[] {
  return [pageUsage(trained, directory), nodeUsage(trained, directory), peftUsage(trained, adapter)];
}

/** What is read of a result. */
const RESULTS = {
  classification: ["label", "probability"],
  regression: ["score"],
  "multi-label": ["labels", "probabilities"],
} as const;

/** How it is shown. */
const SHOWN = {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code
  classification: "`${label}, ${(100 * probability).toFixed(1)} %`",
  regression: "score.toFixed(2)",
  "multi-label": 'labels.join(", ")',
} as const;

/** The line that classifies or scores a text. */
function resultLine(objective: MessagesObjective, text: string): string {
  const call = objective === "regression" ? "score" : "classify";
  return `const [{ ${RESULTS[objective].join(", ")} }] = await classifier.${call}([${text}]);`;
}

const LIBRARY = "./lowrank/dist/browser/index.js";
const className = ({ task }: AdapterMeta) => (task.objective === "lm" ? "LanguageModel" : "Classifier");
const importLine = (meta: AdapterMeta, from: string) =>
  `import { ${className(meta)}, openDevice } from ${literal(from)};`;

const textField = (id: string, label: string, example: string) =>
  `<p><label>${label} <input id="${id}" size="60" placeholder="${htmlText(example)}"></label></p>`;

/** The code of a page that shows what is made of a text, or of a pair, while it is typed. */
function typedCode(objective: MessagesObjective, isPair: boolean): string[] {
  const names = isPair ? ["first", "second"] : ["text"];
  const ids = [...names, "answer"].map((name) => literal(`#${name}`)).join(", ");
  const values = names.map((name) => `${name}.value`);
  const isTyped = values.map((value) => `${value}.trim()`).join(" && ");
  return [
    `  const [${[...names, "answer"].join(", ")}] = [${ids}].map((id) => document.querySelector(id));`,
    `  ${names.map((name) => `${name}.oninput`).join(" = ")} = async () => {`,
    `    ${resultLine(objective, isPair ? `[${values.join(", ")}]` : values[0]!)}`,
    `    answer.value = ${isTyped} && ${SHOWN[objective]};`,
    "  };",
  ];
}

function pageUsage({ meta, base, example }: Trained, directory: string): Usage {
  const { objective } = meta.task;
  const isPair = typeof example !== "string";
  const url = (folder: string) => `new URL(${scriptLiteral(folder)}, location.href).href`;
  const model = base.place === "folder" ? `, model: ${url(base.name)}` : "";
  const load = `await ${className(meta)}.load(${url(directory)}, { device: await openDevice()${model} });`;
  const [fields, script] =
    objective !== "lm"
      ? [
          isPair
            ? [textField("first", "First text", example[0]!), textField("second", "Second text", example[1]!)]
            : [textField("text", "Message", example)],
          [`  const classifier = ${load}`, ...typedCode(objective, isPair)],
        ]
      : [
          [],
          [
            `  const lm = ${load}`,
            '  for await (const { text } of lm.generate("Once upon a time", { maxNewTokens: 60 }))',
            '    document.querySelector("#answer").append(text);',
          ],
        ];
  const own = base.place === "folder" ? `, and the folder ${base.name} of the base model` : "";
  return {
    title: "In a web page",
    language: "html",
    text: `Copy dist/ and data/ of the npm package lowrank into the folder lowrank/ of your site, and the folder ${directory}${own} beside the page.`,
    code: lines(
      "<!doctype html>",
      '<meta charset="utf-8">',
      ...fields,
      '<p><output id="answer"></output></p>',
      '<script type="module">',
      `  ${importLine(meta, LIBRARY)}`,
      ...script,
      "</script>",
    ),
  };
}

function nodeUsage({ meta, base, example }: Trained, directory: string): Usage {
  const own = base.place === "folder";
  const options = `{ device${own ? `, model: ${literal(base.name)}` : ""} }`;
  const load = `await ${className(meta)}.load(${literal(`./${directory}`)}, ${options});`;
  const { objective } = meta.task;
  const body =
    objective !== "lm"
      ? [
          `const classifier = ${load}`,
          resultLine(objective, literal(example)),
          `console.log(${RESULTS[objective].join(", ")}); // ${classChoice(meta)}`,
        ]
      : [
          `const lm = ${load}`,
          'for await (const { text } of lm.generate("Once upon a time", { maxNewTokens: 60 })) process.stdout.write(text);',
        ];
  return {
    title: "In Node",
    language: "js",
    text: `npm install lowrank, and put this into a file that ends in .mjs, beside the folder ${directory}${own ? `. ${base.name} is the folder of the base model` : ""}.`,
    code: lines(importLine(meta, "lowrank"), "const device = await openDevice();", ...body, "device.destroy();"),
  };
}

function peftUsage({ meta, base, end, example, obstacle }: Trained, adapter: string): Usage {
  const usage = { title: "In Python, with PEFT", language: "python" } as const;
  if (obstacle !== null) return { ...usage, text: `PEFT cannot load this model: ${obstacle}.`, code: null };
  const [path, note] = PYTHON_BASES[base.place](base.name);
  return {
    ...usage,
    text: [`${peftInstall(meta)}.`, note].join(" ").trim(),
    code: lines(...peftCode(meta, end, path!, adapter), ...useCode(meta, end, example)),
  };
}

function lines(...all: readonly string[]): string {
  return all.join("\n");
}

/** The README of a download with the trained model in `directory`. */
export function writeReadme(trained: Trained, directory?: string, adapter?: string): string {
  const { meta, base, end, data, options, result } = trained;
  const pairs = pairSettings(meta);
  const classifies = meta.task.objective !== "lm";
  const facts: [string, string | null][] = [
    ["Base model", base.name],
    ["Method", `${METHODS[meta.mode].title} (mode ${meta.mode})`],
    ["Classes", classifies && meta.task.objective !== "regression" ? meta.labels.join(", ") : null],
    ["Data", data],
    ["Pairs", pairs ? `${pairs.columns.join(" and ")}, with ${end.text} between their tokens` : null],
    ["Settings", options && showSettings(options)],
    ["Result", result],
  ];
  const usages = listUsages(trained, directory, adapter);
  return lines(
    ...frontMatter(meta, base, { isAdapter: true, ...(trained.obstacle === null ? { library: "peft" } : {}) }),
    `# ${markdownText(trainedTitle(trained))}`,
    "",
    `${markdownLine(describeTask(meta))} It was trained with Lowrank.`,
    "",
    ...facts.flatMap(([name, value]) => (value === null ? [] : [`- ${name}: ${markdownText(value)}`])),
    ...usages.flatMap(({ title, language, text, code }) => [
      "",
      `## ${title}`,
      "",
      markdownLine(text),
      ...(code === null ? [] : ["", ...markdownFence(language, code.split("\n"))]),
    ]),
    ...(usages.at(-1)!.code === null ? [] : ["", ...remarks(meta, end)]),
    "",
  );
}

/** The settings that matter most, and those that are not the defaults: "epochs 3, batchSize 8, lr 0.001, seed 1". */
export function showSettings(options: TrainOptions): string {
  const shown = ["epochs", "batchSize", "lr", "seed"];
  const own = ofMode(options, options.mode);
  return SETTING_NAMES.filter(
    (name) => name in own && (shown.includes(name) || JSON.stringify(own[name]) !== JSON.stringify(DEFAULTS[name])),
  )
    .map((name) => `${name} ${[own[name]].flat().join(" ")}`)
    .join(", ");
}
