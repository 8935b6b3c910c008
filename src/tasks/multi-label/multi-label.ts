/** Any number of labels a message. */
import { byLabel, type Classification, labelThreshold, sigmoid } from "../predictions.ts";
import { type Predictor, SCORE, type Task } from "../task.ts";

const predicts: Predictor<Classification> = {
  method: "classify",
  blank: () => ({ label: null, probability: null, probabilities: {}, labels: [] }),
  of: (logits, { labels: names, settings }) =>
    Array.from({ length: logits.length / names.length }, (_, row) => {
      const shares = Float64Array.from(names, (_, i) => sigmoid(logits[row * names.length + i]!));
      const probabilities = byLabel(names, shares);
      const labels = names.filter((_, i) => shares[i]! >= labelThreshold(settings, i));
      const [label = null] = labels.toSorted((a, b) => probabilities[b]! - probabilities[a]!);
      return { label, probability: probabilities[label!] ?? null, probabilities, labels };
    }),
};

export const task: Task = {
  peft: "SEQ_CLS",
  module: SCORE,
  title: "a classifier with several labels a message",
  target: "text",
  head: "own",
  loss: "binary",
  outputs: { least: 1 },
  problemType: "multi_label_classification",
  predicts,
};
