/** Messages of a run's data with their labels: those of the validation set on which the visitor watches it learn. */
import type { Dataset } from "../../data/dataset.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { isLabelled, type TrainingData } from "../../data/training-data.ts";
import type { Answer } from "../../tasks/predictions.ts";
import { TRAINING } from "../../tasks/training.ts";
import type { KnownMessage } from "../protocol.ts";

const MESSAGES = 8;

/** Some from all of the set; none of texts or sentences with tags. */
export const watchedMessages = (data: TrainingData): KnownMessage[] =>
  isLabelled(data) ? someMessages(data, data.val, MESSAGES) : [];

/** At most so many messages of a set, equally far apart. */
function someMessages({ labels, objective }: LoadedDataset, set: Dataset, most: number): KnownMessage[] {
  const truth = (row: number): Answer => TRAINING[objective].labels.answerOf!(set, row, labels);
  const count = Math.min(most, set.size);
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor((i * set.size) / count);
    return { text: set.text(row), truth: truth(row) };
  });
}
