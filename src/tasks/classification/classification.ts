/** One class a message. */
import { byLabel, type Classification, decide, predictions } from "../predictions.ts";
import { type Predictor, SCORE, type Task } from "../task.ts";

const predicts: Predictor<Classification> = {
  method: "classify",
  blank: () => ({ label: null, reason: "blank", probability: null, probabilities: {} }),
  of: (logits, { labels, settings }) =>
    predictions(logits, labels.length).map((one) => {
      const { label, probability, probabilities } = decide(one, settings);
      return { label: labels[label]!, probability, probabilities: byLabel(labels, probabilities) };
    }),
};

export const task: Task = {
  peft: "SEQ_CLS",
  module: SCORE,
  title: "a classifier",
  target: "text",
  head: "own",
  loss: "cross-entropy",
  outputs: { least: 2 },
  problemType: "single_label_classification",
  predicts,
};
