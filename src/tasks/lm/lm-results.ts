/** Measures a language model on texts. */
import type { Measuring } from "../task.ts";
import type { TextDetails, Texts } from "./lm-training.ts";

export const measuring: Measuring<Texts, TextDetails> = {
  predict: (losses) => ({ values: losses }),
  stored: {
    answer: "text",
    columns: () => ({ loss: Infinity, tokens: Infinity, bytes: Infinity }),
    details: { of: "text" },
  },
  describe: (set) => ({ samples: [], mistakes: [], preferred: [], details: { of: set.units().of } }),
};
