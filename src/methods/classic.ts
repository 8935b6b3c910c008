/**
 * A linear model on TF-IDF (src/classic): no method of fine-tuning, as there is no base model and no device. It is what
 * each run on messages is compared with, and `train --mode classic` makes it alone.
 */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "TF-IDF with a linear model",
  keys: [],
  withoutModel: true,
};

export const training: Training = { settings: {}, rates: [0, 0] };

export const guide: Guide = { choice: "TF-IDF", rates: { lowest: 0 }, duration: 0 };
