/** The Python code that loads an adapter with PEFT, and what to know about its padding. */

import { lookUp } from "../core/checks.ts";
import { isEncoder, textContext } from "../core/config.ts";
import { readsPairs, type TextOrPair } from "../core/pair.ts";
import { literal } from "../core/quote.ts";
import { SHIPPED_MODELS } from "../io/hf.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { hasOwnPooling, headModule } from "../io/peft/peft-form.ts";
import type { Vocabulary } from "../io/tokenizer/vocabulary.ts";
import { METHODS } from "../methods/index.ts";
import { isGguf } from "../platform/paths.ts";
import type { BaseName } from "../record/base-name.ts";
import { hasHead, isMean, type Pooling, readsTokens, TASKS } from "../tasks/index.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { USAGES, usageOf } from "../tasks/words.ts";

type End = Vocabulary["end"];
/** Put before, behind and between texts. */
export type Frame = Pick<Vocabulary, "end" | "prompt" | "closes">;

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

/** The name of a base model for others: of a folder its last part, as the rest is its owner's own. */
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
  // An encoder's padding has a token of its own, from which RoBERTa counts positions.
  const [padToken, padId] = isEncoder(meta.model)
    ? ["", ""]
    : [`, pad_token=${literal(end.text)}`, ` pad_token_id=${end.id},`];
  const [first, ...others] = hasHead(meta.task)
    ? [`, num_labels=${meta.labels.length},${padId}${problem}`, `    id2label=${literal(labels)})`]
    : [")"];
  return [
    "import torch",
    "from peft import PeftModel",
    `from transformers import AutoTokenizer, ${auto}`,
    // The tokenizer that transformers makes of a GGUF file splits some texts as GPT-2's does.
    `tokenizer = AutoTokenizer.from_pretrained(${isGguf(base) ? literal(directory) : model}${padToken}, padding_side="right")`,
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
export function useCode(
  meta: AdapterMeta,
  { end, prompt, closes }: Frame,
  text: TextOrPair = textToTry([], readsPairs(meta)),
  isOwn = hasOwnPooling(meta),
): string[] {
  const { python } = usageOf(meta.task.objective, readsChats(meta));
  if (readsTokens(meta.task)) return [...python];
  const texts = [text].flat().map((one) => (prompt === "" ? literal([one]) : `[prompt + ${literal(one)}]`));
  // Of an encoder's token types all texts have the first.
  const types = readsPairs(meta) && closes ? "return_token_type_ids=False, " : "";
  return [
    ...(readsPairs(meta) && !closes ? pairCode(end) : []),
    ...(prompt === "" ? [] : [`prompt = ${literal(prompt)}  # before every text, as in training`]),
    `batch = tokenizer(${texts.join(", ")}, ${pads(meta) ? "padding=True, " : ""}${types}truncation=True, max_length=${longestText(meta)}, return_tensors="pt")`,
    ...(isOwn ? pooledCode(meta) : ["logits = model.eval()(**batch).logits"]),
    ...python,
  ];
}

const AT_LAST = "x[range(len(x)), (mask.sum((1, 2)) - 1).tolist()]";
/** The outputs, and the words, of what a text is classified by. */
const POOLED: Readonly<Record<Pooling, readonly [rows: string, words: string]>> = {
  mean: ["(x * mask).sum(1) / mask.sum(1)", "the mean of a text's tokens"],
  cls: ["x[:, 0]", "a text's first token"],
  "last-token": [AT_LAST, "a text's last token"],
  last: [AT_LAST, "a text's last token"],
};

/**
 * The lines that compute the logits of a pooling that transformers' class has not. PEFT's prompts are rows before
 * texts.
 */
const pooledCode = ({ task, model }: AdapterMeta) => [
  isEncoder(model) ? "# Without the layer that transformers has before the head." : "# The mean, not the last token.",
  'mask = batch["attention_mask"].unsqueeze(-1)',
  "x = model.eval()(**batch, output_hidden_states=True).hidden_states[-1][:, -mask.shape[1]:]",
  `logits = model.${headModule(task.objective, model)!.name}(${POOLED[task.pooling][0]})`,
];

/** Whether PEFT 0.21 fails with transformers 5.24, which changed how GPT-2 receives past keys and values. */
export function needsOlder({ mode, task }: AdapterMeta): boolean {
  const { virtual } = METHODS[mode];
  return virtual === "keys" || (virtual === "rows" && !hasHead(task));
}

/** Whether texts can be padded: with rows before them, PEFT cannot tell which token is the last. */
const pads = ({ mode, task }: AdapterMeta) => isMean(task) || METHODS[mode].virtual !== "rows";

export const OLDER = "PEFT 0.21 needs transformers below 5.24 for it.";

/** A note on the pooling, before a model is used in Python. */
export const atPooling = ({ task, model }: AdapterMeta) =>
  `It classifies by ${POOLED[task.pooling][1]}: use the README's code. transformers alone ${
    isEncoder(model) ? "has a layer before the head that was not trained" : "takes the last token"
  }.`;

/** The packages that load it with PEFT, and notes on them. */
export const peftInstall = (meta: AdapterMeta, frame: Frame): string =>
  [`pip install peft ${needsOlder(meta) ? '"transformers<5.24"' : "transformers"} torch.`, remarks(meta, frame)]
    .join(" ")
    .trim();

/** Notes on the pooling, and on the padding of a batch. */
export function remarks(meta: AdapterMeta, { end: { id, text }, prompt }: Frame, isOwn = hasOwnPooling(meta)): string {
  if (readsTokens(meta.task)) return "";
  if (!pads(meta)) return "PEFT reads the logits at the last position: classify texts one by one, without padding.";
  const empty = `An empty text is one ${text}.`;
  if (isOwn) return `${atPooling(meta)} Pad on the right. ${empty}`;
  // A pipeline knows no prompt, and tells the texts of a pair apart.
  const how = prompt === "" && !readsPairs(meta) ? ', also in pipeline("text-classification")' : "";
  if (isEncoder(meta.model)) return `transformers reads ${POOLED.cls[1]}, as in training${how}. ${empty}`;
  return `transformers reads the logits at the last token that is not pad_token_id (${id}, ${text}): pad on the right. ${empty}`;
}
