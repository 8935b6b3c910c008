/** One class a message. */
import { byLabel, type Classification, decide, predictions } from "./predictions.ts";
import { LISTED, OF_TEXTS, type Predictor, type Task, type Usage } from "./task.ts";

const predicts: Predictor<Classification> = {
  method: "classify",
  blank: () => ({ label: null, probability: null, probabilities: {} }),
  of: (logits, { labels, settings }) =>
    predictions(logits, labels.length).map((one) => {
      const { label, probability, probabilities } = decide(one, settings);
      return { label: labels[label]!, probability, probabilities: byLabel(labels, probabilities) };
    }),
  columns: () => ["predicted", "probability"],
  cells: ({ label, probability }) => [label, probability],
};

export const task: Task = {
  ...OF_TEXTS,
  title: "a classifier",
  target: "text",
  head: "own",
  loss: "cross-entropy",
  outputs: { least: 2 },
  problemType: "single_label_classification",
  predicts,
};

const choice = (labels: readonly string[]) =>
  labels.length > LISTED ? `one of ${labels.length} classes` : `${labels.slice(0, -1).join(", ")} or ${labels.at(-1)}`;

export const usage: Usage = {
  does: (texts, labels) => `classifies ${texts} as ${choice(labels)}`,
  choice,
  python: ["print(dict(zip(model.config.id2label.values(), logits[0].softmax(-1).tolist())))"],
  javascript: ["console.log(model.config.id2label, logits.softmax(-1).tolist());"],
  hasPipeline: true,
};
