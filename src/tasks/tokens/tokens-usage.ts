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
    'ids, firsts = tokenizer("")["input_ids"], []',
    "for word in words:",
    "    firsts.append(len(ids))",
    '    ids += tokenizer(" " + word, add_special_tokens=False)["input_ids"]',
    'batch = tokenizer.pad({"input_ids": [ids]}, return_tensors="pt")',
    "logits = model.eval()(**batch).logits[0, -len(ids):]",
    "tags = list(model.config.id2label.values())",
    "for word, first in zip(words, firsts):",
    "    print(word, tags[logits[first].argmax().item()])",
  ],
  javascript: [],
  hasPipeline: false,
};
