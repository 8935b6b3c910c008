/** Measures a language model on texts. */

import type { Measuring } from "../task.ts";
import type { TextDetails, Texts } from "./lm-training.ts";

export const measuring: Measuring<Texts, TextDetails> = {
  predict: (losses) => ({ values: losses }),
  columns(set, losses) {
    const { tokens, bytes } = set.units();
    let target = 0;
    const loss = tokens.map((count) => {
      let sum = 0;
      for (const end = target + count; target < end; target++) sum += losses[target]!;
      return sum;
    });
    return { loss, tokens, bytes };
  },
  stored: {
    evaluated: ["accuracy", "perplexity", "bitsPerByte"],
    answer: "text",
    columns: () => ({ loss: Infinity, tokens: Infinity, bytes: Infinity }),
    details: { of: "text" },
  },
  describe: (set) => ({ samples: [], mistakes: [], preferred: [], details: { of: set.units().of } }),
};
