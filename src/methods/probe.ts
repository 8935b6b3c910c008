/**
 * A linear probe: only the head is trained, on what the frozen model makes of a text, beside TF-IDF in one regression
 * (src/classic), which fits both at once. No step is taken.
 */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "linear probe",
  keys: [],
  isFitted: true,
  isSeparate: true,
  classifiersOnly: "a probe is a regression on whole texts: train adapters",
};

export const training: Training = { settings: {}, rates: [0, 0] };

export const guide: Guide = {
  choice: "linear probe with TF-IDF",
  about:
    "A regression on what the frozen model makes of a text, and on its words: seconds, and hard to beat with few rows.",
  rates: { lowest: 0 },
  duration: 0.1,
};
