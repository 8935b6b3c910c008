/** How a classifier is trained and measured. */
import type { Training } from "./task.ts";

export const training: Training = {
  defaults: {},
  lacks: {
    labelSeparator: "a message has one class",
    stride: "messages are not cut into blocks",
  },
  labels: "class",
};
