/** Only the classification head is trained. */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "head only",
  keys: [],
  classifiersOnly: "its last layer is the head of the vocabulary: train the last block, or adapters",
};

export const training: Training = { settings: {}, rates: [1e-2, 1e-3] };

export const guide: Guide = {
  choice: "head only",
  about: "Only the classification head is trained, on what the frozen model makes of a text.",
  rates: { lowest: 1e-3 },
  duration: 0.3,
  compared: [{ settings: {} }],
};
