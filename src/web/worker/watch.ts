/** Messages of a run's data with their labels: those of the validation set on which the visitor watches it learn. */
import type { Dataset } from "../../data/dataset.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { TRAINING } from "../../tasks/training.ts";
import type { KnownMessage } from "../protocol.ts";

const MESSAGES = 8;

/** Some from all of the set, equally far apart; none of texts or sentences with tags. */
export function watchedMessages({ objective, val, labels }: TrainingData): KnownMessage[] {
  const { answerOf } = TRAINING[objective].labels;
  const count = answerOf ? Math.min(MESSAGES, val.size) : 0;
  const set = val as Dataset;
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor((i * set.size) / count);
    return { text: set.text(row), truth: answerOf!(set, row, labels) };
  });
}
