/** What is made with a token classifier, in words, tables and code. */
import type { TaggedText } from "../predictions.ts";
import type { Usage } from "../task.ts";

export const usage: Usage<TaggedText> = {
  transformers: "AutoModelForTokenClassification",
  hub: "token-classification",
  does: (texts, labels) => `tags each word of ${texts} with one of ${labels.length} tags`,
  columns: () => ["entities"],
  cells: ({ entities }) => [
    JSON.stringify(entities.map((one) => ({ ...one, probability: Number(one.probability.toFixed(6)) }))),
  ],
  python: [
    "for token, row in zip(tokenizer.convert_ids_to_tokens(batch['input_ids'][0]), logits[0]):",
    "    print(token, model.config.id2label[row.argmax().item()])",
  ],
  javascript: ["console.log(model.config.id2label, logits.tolist());"],
  hasPipeline: false,
};
