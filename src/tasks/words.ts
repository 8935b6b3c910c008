/** What people read of each task: loaded by what shows runs and data. */
import { words as classification } from "./classification/classification-words.ts";
import type { Objective } from "./index.ts";
import { words as lm } from "./lm/lm-words.ts";
import { words as multiLabel } from "./multi-label/multi-label-words.ts";
import { words as regression } from "./regression/regression-words.ts";
import type { Words } from "./task.ts";
import { words as tokens } from "./tokens/tokens-words.ts";

export const WORDS: Readonly<Record<Objective, Words>> = {
  classification,
  regression,
  "multi-label": multiLabel,
  tokens,
  lm,
};
