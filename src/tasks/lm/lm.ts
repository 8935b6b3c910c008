/** The next token of texts. */
import type { Task } from "../task.ts";

export const task: Task = {
  title: "a language model",
  target: "token",
  head: "vocabulary",
  loss: "cross-entropy",
  outputs: { least: 0, most: 0 },
  peft: "CAUSAL_LM",
};
