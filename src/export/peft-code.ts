/** The Python code that loads an adapter with PEFT, and what to know about its padding. */

import { lookUp } from "../checks.ts";
import { textContext } from "../config.ts";
import { SHIPPED_MODELS } from "../io/hf.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { headModule } from "../io/peft/peft-form.ts";
import type { Vocabulary } from "../io/tokenizer/vocabulary.ts";
import { METHODS } from "../methods/index.ts";
import { readsPairs, type TextOrPair } from "../pair.ts";
import { isGguf } from "../platform/paths.ts";
import { literal } from "../quote.ts";
import type { BaseName } from "../run/base-name.ts";
import { hasHead, isMean, readsTokens, TASKS } from "../tasks/index.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { USAGES, usageOf } from "../tasks/words.ts";

type End = Vocabulary["end"];

/**
 * Maximum text length in tokens: longer messages were truncated in training. A language model takes its whole context.
 */
export function longestText(meta: AdapterMeta): number {
  const context = textContext(meta.model, meta);
  if (!hasHead(meta.task)) return context;
  const { padTo = 0, maxLength = context } = meta.settings as { padTo?: number; maxLength?: number };
  return Math.min(padTo || maxLength, context);
}

/** Where the base model is for transformers. */
export const pythonPath = ({ name, place }: BaseName): string =>
  place === "package" ? `node_modules/lowrank/${lookUp(SHIPPED_MODELS, name)}` : name;

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
  const { problemType } = TASKS[meta.task.objective];
  const { transformers: auto } = USAGES[meta.task.objective];
  const model = pythonSource(base);
  const labels = Object.fromEntries(meta.labels.map((label, i) => [i, label]));
  const problem = problemType === undefined ? "" : ` problem_type="${problemType}",`;
  const [first, ...others] = hasHead(meta.task)
    ? [`, num_labels=${meta.labels.length}, pad_token_id=${end.id},${problem}`, `    id2label=${literal(labels)})`]
    : [")"];
  return [
    "import torch",
    "from peft import PeftModel",
    `from transformers import AutoTokenizer, ${auto}`,
    // The tokenizer that transformers makes of a GGUF file splits some texts as GPT-2's does.
    `tokenizer = AutoTokenizer.from_pretrained(${isGguf(base) ? literal(directory) : model}, pad_token=${literal(end.text)}, padding_side="right")`,
    `base = ${auto}.from_pretrained(${model}, dtype=torch.float32${first}`,
    ...others,
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

/** The lines that run a transformers model and print its output. */
export function useCode(meta: AdapterMeta, end: End, text: TextOrPair = textToTry([], readsPairs(meta))): string[] {
  const { python } = usageOf(meta.task.objective, readsChats(meta));
  if (readsTokens(meta.task)) return [...python];
  const texts = [text].flat().map((one) => literal([one]));
  return [
    ...(readsPairs(meta) ? pairCode(end) : []),
    `batch = tokenizer(${texts.join(", ")}, ${pads(meta) ? "padding=True, " : ""}truncation=True, max_length=${longestText(meta)}, return_tensors="pt")`,
    ...(isMean(meta.task) ? meanCode(meta) : ["logits = model.eval()(**batch).logits"]),
    ...python,
  ];
}

/** The lines that compute the logits of the mean of a text's tokens. PEFT's prompts are rows before them. */
const meanCode = ({ task, model }: AdapterMeta) => [
  "# The mean, not the last token.",
  'mask = batch["attention_mask"].unsqueeze(-1)',
  "x = model.eval()(**batch, output_hidden_states=True).hidden_states[-1][:, -mask.shape[1]:]",
  `logits = model.${headModule(task.objective, model)!.name}((x * mask).sum(1) / mask.sum(1))`,
];

/** Whether PEFT 0.21 fails with transformers 5.24, which changed how GPT-2 receives past keys and values. */
export function needsOlder({ mode, task }: AdapterMeta): boolean {
  const { virtual } = METHODS[mode];
  return virtual === "keys" || (virtual === "rows" && !hasHead(task));
}

/** Whether texts can be padded: with rows before them, PEFT cannot tell which token is the last. */
const pads = ({ mode, task }: AdapterMeta) => isMean(task) || METHODS[mode].virtual !== "rows";

export const OLDER = "PEFT 0.21 needs transformers below 5.24 for it.";

/** What is to be known of mean pooling before a model is used in Python. */
export const AT_MEAN =
  "It classifies by the mean of a text's tokens: use the README's code. transformers alone takes the last token.";

/** What to install to load it with PEFT, and what to know of it. */
export const peftInstall = (meta: AdapterMeta, end: End): string =>
  [`pip install peft ${needsOlder(meta) ? '"transformers<5.24"' : "transformers"} torch.`, remarks(meta, end)]
    .join(" ")
    .trim();

/** What to know of the pooling, and of the padding of a batch. */
export function remarks(meta: AdapterMeta, { id, text }: End): string {
  if (readsTokens(meta.task)) return "";
  if (!pads(meta)) return "PEFT reads the logits at the last position: classify texts one by one, without padding.";
  const empty = `An empty text is one ${text}.`;
  if (isMean(meta.task)) return `${AT_MEAN} Pad on the right. ${empty}`;
  return `transformers reads the logits at the last token that is not pad_token_id (${id}, ${text}): pad on the right. ${empty}`;
}
