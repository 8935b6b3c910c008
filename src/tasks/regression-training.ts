/** How a regression is trained and measured. */
import type { Training } from "./task.ts";

export const training: Training = {
  defaults: { classWeights: "none" },
  lacks: {
    labelSeparator: "a message has one score",
    stride: "messages are not cut into blocks",
    balance: "scores are no classes",
    "split stratified": "scores are no classes",
    "split experiment": "scores are no classes",
    classWeights: "scores are no classes",
    calibrate: "a score has no probability",
    threshold: "a score has no probability",
    positive: "scores are no classes",
  },
  labels: "score",
};
