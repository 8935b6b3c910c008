/** The Python code that loads an adapter with PEFT, and what to know about its padding. */
import { isMean, textContext } from "../config.ts";
import { SHIPPED_MODELS } from "../io/hf.ts";
import type { AdapterMeta } from "../io/peft.ts";
import { PROBLEM_TYPES } from "../io/peft-names.ts";
import type { Vocabulary } from "../io/vocabulary.ts";
import { lookUp } from "../kinds.ts";
import { METHODS } from "../methods/index.ts";
import { readsPairs, type TextOrPair } from "../pair.ts";
import { isGguf } from "../platform/paths.ts";
import { literal, markdownCode } from "../quote.ts";
import type { BaseName } from "../run/base-name.ts";
import { textToTry } from "../train/text-to-try.ts";

type End = Vocabulary["end"];

/** transformers' class for a task. */
export const autoModelClass = ({ task }: AdapterMeta) =>
  task.objective !== "lm" ? "AutoModelForSequenceClassification" : "AutoModelForCausalLM";

/** The hub's name of a task. */
export const hubTask = ({ task }: AdapterMeta) => (task.objective !== "lm" ? "text-classification" : "text-generation");

/**
 * Maximum text length in tokens: longer messages were truncated in training. A language model takes its whole context.
 */
export function longestText(meta: AdapterMeta): number {
  const context = textContext(meta.model, meta);
  if (meta.task.objective === "lm") return context;
  const { padTo = 0, maxLength = context } = meta.settings as { padTo?: number; maxLength?: number };
  return Math.min(padTo || maxLength, context);
}

/**
 * A model card's front matter in JSON, which is YAML; `more`: further keys. Only a base model on the hub has a name
 * there. Without `library` Lowrank alone reads it.
 */
export function frontMatter(
  meta: AdapterMeta,
  base: BaseName,
  { library, isAdapter }: { library?: string; isAdapter?: true },
  more: object = {},
): string[] {
  const entries = {
    ...(base.place === "hub" ? { base_model: base.name, base_model_relation: isAdapter ? "adapter" : "finetune" } : {}),
    ...(library === undefined ? {} : { library_name: library }),
    pipeline_tag: hubTask(meta),
    ...more,
  };
  return ["---", ...Object.entries(entries).map(([key, value]) => `${key}: ${literal(value)}`), "---", ""];
}

/** Where the base model is for transformers, and how it gets there. */
export const PYTHON_BASES = {
  package: (name: string) => [
    `node_modules/lowrank/${lookUp(SHIPPED_MODELS, name)}`,
    `${name} is not on the Hugging Face Hub: it is in the npm package lowrank (npm install lowrank).`,
  ],
  hub: (name: string) => [name, ""],
  folder: (name: string) => [name, `${name} is the folder of the base model.`],
} as const;

/** What others call a base model: of a folder its last part, as the rest is its owner's own. */
export const baseLabel = ({ name, place }: BaseName): string =>
  place === "folder" ? name.replace(/^.*[\\/](?=[^\\/])/, "").replace(/[\\/]+$/, "") : name;

/** The first arguments of `from_pretrained`: transformers reads a GGUF file by its name in a directory. */
function pythonSource(base: string): string {
  if (!isGguf(base)) return literal(base);
  const [, directory, file] = /^(?:(.*)[\\/])?([^\\/]+)$/s.exec(base)!;
  return `${literal(directory ?? ".")}, gguf_file=${literal(file!)}`;
}

/** The lines that load the adapter in `directory` on the model `base`. */
export function peftCode(meta: AdapterMeta, end: End, base: string, directory: string): string[] {
  const auto = autoModelClass(meta);
  const model = pythonSource(base);
  const labels = Object.fromEntries(meta.labels.map((label, i) => [i, label]));
  const { objective } = meta.task;
  const type =
    objective === "lm" || objective === "classification" ? "" : ` problem_type="${PROBLEM_TYPES[objective]}",`;
  const classifies = objective !== "lm";
  return [
    "import torch",
    "from peft import PeftModel",
    `from transformers import AutoTokenizer, ${auto}`,
    // The tokenizer that transformers makes of a GGUF file splits some texts as GPT-2's does.
    `tokenizer = AutoTokenizer.from_pretrained(${isGguf(base) ? literal(directory) : model}, pad_token=${literal(end.text)}, padding_side="right")`,
    `base = ${auto}.from_pretrained(${model}, dtype=torch.float32${classifies ? `, num_labels=${meta.labels.length}, pad_token_id=${end.id},${type}` : ")"}`,
    ...(classifies ? [`    id2label=${literal(labels)})`] : []),
    `model = PeftModel.from_pretrained(base, ${literal(directory)})`,
  ];
}

/** The lines by which transformers' tokenizer joins the texts of a pair as in training. */
function pairCode({ id, text }: End): string[] {
  const end = literal(text);
  return [
    `# GPT-2's tokenizer joins the texts of a pair with nothing between them. In training there was ${end}.`,
    "from tokenizers.processors import TemplateProcessing",
    "tokenizer.backend_tokenizer.post_processor = TemplateProcessing(",
    `    single="$A", pair=["$A", ${end}, "$B"], special_tokens=[(${end}, ${id})])`,
  ];
}

/** What is made of logits. */
const PRINT = {
  classification: ["print(dict(zip(model.config.id2label.values(), logits[0].softmax(-1).tolist())))"],
  regression: ["print(logits[0].item())"],
  "multi-label": ["print(dict(zip(model.config.id2label.values(), logits[0].sigmoid().tolist())))"],
} as const;

/** The lines that run a transformers model and print its output. */
export function useCode(meta: AdapterMeta, end: End, text: TextOrPair = textToTry([], readsPairs(meta))): string[] {
  if (meta.task.objective === "lm")
    return [
      'batch = tokenizer("Once upon a time", return_tensors="pt")',
      "print(tokenizer.decode(model.eval().generate(**batch, max_new_tokens=60)[0]))",
    ];
  const texts = [text].flat().map((one) => literal([one]));
  return [
    ...(readsPairs(meta) ? pairCode(end) : []),
    `batch = tokenizer(${texts.join(", ")}, ${pads(meta) ? "padding=True, " : ""}truncation=True, max_length=${longestText(meta)}, return_tensors="pt")`,
    ...(isMean(meta.task) ? MEAN_CODE : ["logits = model.eval()(**batch).logits"]),
    ...PRINT[meta.task.objective],
  ];
}

/** The lines that compute the logits of the mean of a text's tokens. PEFT's prompts are rows before them. */
const MEAN_CODE = [
  "# The mean, not the last token.",
  'mask = batch["attention_mask"].unsqueeze(-1)',
  "x = model.eval()(**batch, output_hidden_states=True).hidden_states[-1][:, -mask.shape[1]:]",
  "logits = model.score((x * mask).sum(1) / mask.sum(1))",
];

/** Whether PEFT 0.21 fails with transformers 5.24, which changed how GPT-2 receives past keys and values. */
export function needsOlder({ mode, task }: AdapterMeta): boolean {
  const { virtual } = METHODS[mode];
  return virtual === "keys" || (virtual === "rows" && task.objective === "lm");
}

/** Whether texts can be padded: with rows before them, PEFT cannot tell which token is the last. */
const pads = ({ mode, task }: AdapterMeta) => isMean(task) || METHODS[mode].virtual !== "rows";

export const OLDER = "PEFT 0.21 needs transformers below 5.24 for it.";

/** What to install to load it with PEFT. */
export function peftInstall(meta: AdapterMeta): string {
  return `pip install peft ${needsOlder(meta) ? '"transformers<5.24"' : "transformers"} torch`;
}

/** What to know of versions, and of the padding of a classifier's batch. */
export function remarks(meta: AdapterMeta, end: End): string[] {
  const older = needsOlder(meta) ? [OLDER] : [];
  if (meta.task.objective === "lm") return older;
  const isPair = readsPairs(meta);
  const empty = isPair
    ? "Leave out a pair whose second text is empty."
    : `Encode an empty text as one ${markdownCode(end.text)}.`;
  if (!pads(meta))
    return [
      `PEFT reads the logits at the last position of a batch: classify texts one by one, without padding. ${empty}`,
    ];
  if (isMean(meta.task)) return [`Pad on the right. ${empty}`, ...older];
  return [
    `transformers reads the logits at the last token that is not \`pad_token_id\`: ${end.id}, ${markdownCode(end.text)}, which does not`,
    `occur ${isPair ? "otherwise than between the texts of a pair" : "in texts"}. Pad on the right. ${empty}`,
    ...older,
  ];
}
