/** How a classifier with several labels a message is trained and measured. */
import type { Training } from "./task.ts";

export const training: Training = {
  defaults: { classWeights: "none" },
  lacks: {
    stride: "messages are not cut into blocks",
    balance: "a message has several labels",
    "split stratified": "a message has several labels",
    "split experiment": "a message has several labels",
    classWeights: "a message has several labels",
    calibrate: "a temperature is for one class a message",
    positive: "each label has a threshold",
  },
  labels: "set",
};
