/** Any number of labels a message. */
import { byLabel, type Classification, labelThreshold, sigmoid } from "../predictions.ts";
import { type Predictor, SCORE, type Task } from "../task.ts";

const predicts: Predictor<Classification> = {
  method: "classify",
  blank: () => ({ label: null, reason: "blank", probability: null, probabilities: {}, labels: [] }),
  of: (logits, { labels: names, settings }) =>
    Array.from({ length: logits.length / names.length }, (_, row) => {
      const shares = Float64Array.from(names, (_, i) => sigmoid(logits[row * names.length + i]!));
      const probabilities = byLabel(names, shares);
      const labels = names.filter((_, i) => shares[i]! >= labelThreshold(settings, i));
      const [label] = labels.toSorted((a, b) => probabilities[b]! - probabilities[a]!);
      if (label !== undefined) return { label, probability: probabilities[label]!, probabilities, labels };
      return { label: null, reason: "none", probability: Math.max(...shares), probabilities, labels };
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
