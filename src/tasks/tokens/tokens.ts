/** A tag for each word of a sentence: entities, parts of speech. The target is that of a word's first token. */
import type { Task } from "../task.ts";

export const task: Task = {
  title: "a token classifier",
  target: "token",
  head: "own",
  loss: "cross-entropy",
  outputs: { least: 2 },
  peft: "TOKEN_CLS",
  module: { name: "classifier", llama: "score", hasBias: true },
  predicts: { method: "tag", blank: () => ({ entities: [] }) },
};
