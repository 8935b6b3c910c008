/** What is made with a regression, in words, tables and code. */
import type { Scored } from "../predictions.ts";
import type { Usage } from "../task.ts";

export const usage: Usage<Scored> = {
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
  does: (texts) => `gives ${texts} a score`,
  choice: () => "a score",
  columns: () => ["score"],
  cells: ({ score }) => [score],
  python: ["print(logits[0].item())"],
  javascript: ["console.log(logits.tolist());"],
  hasPipeline: false,
};
