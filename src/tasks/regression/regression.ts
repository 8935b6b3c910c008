/** A score of each message. */
import type { Scored } from "../predictions.ts";
import { type Predictor, SCORE, type Task } from "../task.ts";

const predicts: Predictor<Scored> = {
  method: "score",
  blank: () => ({ score: null }),
  of: (logits) => Array.from(logits, (score) => ({ score })),
};

export const task: Task = {
  peft: "SEQ_CLS",
  module: SCORE,
  title: "a regression",
  target: "text",
  head: "own",
  loss: "squared",
  outputs: { least: 1, most: 1 },
  problemType: "regression",
  predicts,
};
