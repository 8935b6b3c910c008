/** The Python code that loads an adapter with PEFT, and what to know about its padding. */
import { textContext } from "../config.ts";
import type { AdapterMeta } from "../io/peft.ts";
import type { Vocabulary } from "../io/vocabulary.ts";

type End = Vocabulary["end"];

/** transformers' class for a task. */
export const autoModelOf = ({ task }: AdapterMeta) =>
  task.objective === "classification" ? "AutoModelForSequenceClassification" : "AutoModelForCausalLM";

/** Maximum text length in tokens: longer texts were truncated in training. */
export function longestText(meta: AdapterMeta): number {
  const context = textContext(meta.model, meta);
  const { padTo = 0, maxLength = context } = meta.settings as { padTo?: number; maxLength?: number };
  return Math.min(padTo || maxLength, context);
}

/** The lines that load the adapter in `directory` on the model `base`. */
export function peftCode(meta: AdapterMeta, end: End, base: string, directory: string): string[] {
  const auto = autoModelOf(meta);
  const model = JSON.stringify(base);
  const labels = Object.fromEntries(meta.labels.map((label, i) => [i, label]));
  const classifies = meta.task.objective === "classification";
  return [
    "import torch",
    "from peft import PeftModel",
    `from transformers import AutoTokenizer, ${auto}`,
    `tokenizer = AutoTokenizer.from_pretrained(${model}, pad_token=${JSON.stringify(end.text)}, padding_side="right")`,
    `base = ${auto}.from_pretrained(${model}, dtype=torch.float32${classifies ? `, num_labels=${meta.labels.length}, pad_token_id=${end.id},` : ")"}`,
    ...(classifies ? [`    id2label=${JSON.stringify(labels)})`] : []),
    `model = PeftModel.from_pretrained(base, ${JSON.stringify(directory)})`,
  ];
}

/** The lines that classify `text` with a model of transformers. With a prompt, PEFT cannot tell padding from text. */
export function logitsCode(meta: AdapterMeta, text = "some text"): string[] {
  return [
    `batch = tokenizer([${JSON.stringify(text)}], ${meta.mode === "prompt" ? "" : "padding=True, "}truncation=True, max_length=${longestText(meta)}, return_tensors="pt")`,
    "logits = model.eval()(**batch).logits",
  ];
}

/** What the padding of a classifier's batch has to be. */
export function paddingRemarks({ mode }: AdapterMeta, end: End): string[] {
  const empty = `Encode an empty text as one ${end.text}.`;
  if (mode === "prompt")
    return [
      `PEFT reads the logits at the last position of a batch: classify texts one by one, without padding. ${empty}`,
    ];
  return [
    `transformers reads the logits at the last token that is not \`pad_token_id\`: ${end.id}, ${end.text}, which does not`,
    `occur in texts. Pad on the right. Texts of different lengths can share a batch. ${empty}`,
    ...(mode === "prefix" ? ["PEFT 0.21 runs prefix tuning of a classifier with transformers below 5.24."] : []),
  ];
}
