/** What is made with a token classifier, in words, tables and code. */
import type { TaggedText } from "../predictions.ts";
import type { Usage } from "../task.ts";

export const usage: Usage<TaggedText> = {
  transformers: "AutoModelForTokenClassification",
  hub: "token-classification",
  does: (_, labels) => `tags each word of sentences with one of ${labels.length} tags`,
  choice: () => "a tag for each word",
  columns: () => ["entities"],
  cells: ({ entities }) => [
    JSON.stringify(entities.map((one) => ({ ...one, probability: Number(one.probability.toFixed(6)) }))),
  ],
  python: [
    "# As in training: a space before each word, whose tag is that of its first token.",
    'words = "Ann Lee lives in New York .".split()',
    'parts = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in words]',
    'batch = tokenizer.pad({"input_ids": [tokenizer("")["input_ids"] + sum(parts, [])]}, return_tensors="pt")',
    "logits = model.eval()(**batch).logits[0, -sum(map(len, parts)):]",
    "tags = list(model.config.id2label.values())",
    "for word, part in zip(words, parts):",
    "    print(word, tags[logits[0].argmax().item()])",
    "    logits = logits[len(part):]",
  ],
  javascript: [],
  hasPipeline: false,
};
