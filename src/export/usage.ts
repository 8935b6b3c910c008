/** How a trained model is used elsewhere: what it is for, and code for a page, for Node and for PEFT. */
import { architectureName } from "../core/config.ts";
import { readsPairs, type TextOrPair } from "../core/pair.ts";
import { printableLine } from "../core/printable.ts";
import { literal, scriptLiteral } from "../core/quote.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { adapterOptions, describeMethod } from "../methods/training.ts";
import type { BaseName } from "../record/base-name.ts";
import { TASKS, type TaskConfig } from "../tasks/index.ts";
import { USAGES, usageOf } from "../tasks/words.ts";
import { DEFAULTS } from "../train/options.ts";
import { type Frame, peftCode, peftInstall, pythonPath, useCode } from "./peft-code.ts";

/** A trained model, as far as it is known. */
export interface Trained {
  meta: AdapterMeta;
  /** The base model's name, and where others find it: in the package, on the hub, or in a folder of its owner. */
  base: BaseName;
  /** Put before, behind and between texts. */
  frame: Frame;
  /** A message to try: of `textToTry`. */
  example: TextOrPair;
  /** Why PEFT cannot load it; null: it can. */
  obstacle: string | null;
}

/** Code for one place. */
export interface Usage {
  title: string;
  language: "html" | "js" | "python" | "sh";
  /** The steps before it, or why there is no code. */
  text: string;
  code: string | null;
}

/** "LoRA, rank 8, alpha 16, on gpt2-micro" */
export const trainedTitle = ({ meta, base }: Pick<Trained, "meta" | "base">): string =>
  `${describeMethod({ ...DEFAULTS, ...adapterOptions(meta) })}, on ${base.name}`;

/** "A GPT-2 that classifies messages as ham or spam." */
export function describeTask(meta: AdapterMeta): string {
  const texts = readsPairs(meta) ? "pairs of texts" : "messages";
  const does = usageOf(meta.task.objective, readsChats(meta)).does(texts, meta.labels.map(printableLine));
  return `A ${architectureName(meta.model)} that ${does}.`;
}

/** The title of a classifier's page: "Ham or spam?", or "Which of 77 classes?" */
export function pageQuestion({
  labels,
  task,
}: {
  labels: readonly string[];
  task: Pick<TaskConfig, "objective">;
}): string {
  const text = USAGES[task.objective].choice?.(labels.map(printableLine), "which of") ?? "";
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}?`;
}

/** The code that uses the trained model in `directory`, a run or an adapter; `adapter`: the adapter's directory. */
export function listUsages(trained: Trained, directory = "adapter", adapter = directory): Usage[] {
  return [pageUsage(trained, directory), nodeUsage(trained, directory), peftUsage(trained, adapter)];
}

/** A prompt with which a model that writes texts is tried. */
export const promptOf = (meta: AdapterMeta): string => (readsChats(meta) ? "Hello" : "Once upon a time");

/** The lines of JavaScript that load it and make something of an example; the result is in `result`. */
function scriptCode(
  { meta, example }: Trained,
  quote: (value: string | object) => string,
  from: string,
  ...load: string[]
): string[] {
  const [directory, base] = load;
  const { predicts } = TASKS[meta.task.objective];
  const [call, text] = predicts ? [predicts.method, example] : ["generate", promptOf(meta)];
  const options = readsChats(meta) ? ", { chat: true }" : "";
  return [
    `import { load } from ${quote(from)};`,
    `const model = await load(${directory}${base === undefined ? "" : `, { model: ${base} }`});`,
    `const [result] = await model.${call}([${quote(text)}]${options});`,
  ];
}

function pageUsage(trained: Trained, directory: string): Usage {
  const folders = trained.base.place === "folder" ? [directory, trained.base.name] : [directory];
  const load = folders.map((folder) => `new URL(${scriptLiteral(folder)}, location.href).href`);
  const code = [
    ...scriptCode(trained, scriptLiteral, "./lowrank/dist/browser/index.js", ...load),
    "document.body.append(JSON.stringify(result));",
  ];
  return {
    title: "In a web page",
    language: "html",
    text: `Copy dist/ and data/ of the npm package lowrank into the folder lowrank/ of your site, and ${folders.join(" and ")} next to the page.`,
    code: [
      "<!doctype html>",
      '<meta charset="utf-8">',
      "<body></body>",
      '<script type="module">',
      ...code.map((line) => `  ${line}`),
      "</script>",
    ].join("\n"),
  };
}

function nodeUsage(trained: Trained, directory: string): Usage {
  const { base } = trained;
  const load = [literal(`./${directory}`), ...(base.place === "folder" ? [literal(base.name)] : [])];
  const code = [...scriptCode(trained, literal, "lowrank", ...load), "console.log(result);", "model.destroy();"];
  return {
    title: "In Node",
    language: "js",
    text: `npm install lowrank, and put this into a file that ends in .mjs, next to the folder ${directory}${base.place === "folder" ? `. ${base.name} is the folder of the base model` : ""}.`,
    code: code.join("\n"),
  };
}

function peftUsage({ meta, base, frame, example, obstacle }: Trained, adapter: string): Usage {
  const usage = { title: "In Python, with PEFT", language: "python" } as const;
  if (obstacle !== null) return { ...usage, text: `PEFT cannot load this model: ${obstacle}.`, code: null };
  const code = [...peftCode(meta, frame.end, pythonPath(base), adapter), ...useCode(meta, frame, example)];
  return { ...usage, text: peftInstall(meta, frame), code: code.join("\n") };
}
