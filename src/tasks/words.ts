/** What people read of each task: loaded by what shows runs and data. */
import { words as classification } from "./classification-words.ts";
import type { Objective } from "./index.ts";
import { words as lm } from "./lm-words.ts";
import { words as multiLabel } from "./multi-label-words.ts";
import { words as regression } from "./regression-words.ts";
import type { Words } from "./task.ts";

export const WORDS: Readonly<Record<Objective, Words>> = { classification, regression, "multi-label": multiLabel, lm };
