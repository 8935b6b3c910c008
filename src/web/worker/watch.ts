/** Messages of the validation set on which the visitor watches a run learn. */
import { isLabelled, type TrainingData } from "../../data/training-data.ts";
import type { TextOrPair } from "../../pair.ts";
import { hasValues } from "../../tasks/index.ts";
import type { Answer } from "../../tasks/predictions.ts";
import { TRAINING } from "../../tasks/training.ts";

const MESSAGES = 8;

/** Some from all of the set; none of texts or sentences with tags. */
export function watchedMessages(data: TrainingData): { text: TextOrPair; truth: Answer }[] {
  if (!isLabelled(data)) return [];
  const { val, labels, objective } = data;
  const truth = (row: number): Answer => {
    if (!hasValues({ objective })) return labels[val.label(row)]!;
    const values = val.values(row);
    return TRAINING[objective].labels === "score" ? values[0]! : labels.filter((_, label) => values[label] === 1);
  };
  return Array.from({ length: Math.min(MESSAGES, val.size) }, (_, i) => {
    const row = Math.floor((i * val.size) / Math.min(MESSAGES, val.size));
    return { text: val.text(row), truth: truth(row) };
  });
}
