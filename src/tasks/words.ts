/** What people read of each task, and what is made with a model of it. */
import * as classification from "./classification/classification-words.ts";
import type { Objective } from "./index.ts";
import * as lm from "./lm/lm-words.ts";
import * as multiLabel from "./multi-label/multi-label-words.ts";
import * as regression from "./regression/regression-words.ts";
import type { Usage, Words } from "./task.ts";
import * as tokens from "./tokens/tokens-words.ts";

export const WORDS: Readonly<Record<Objective, Words>> = {
  classification: classification.words,
  regression: regression.words,
  "multi-label": multiLabel.words,
  tokens: tokens.words,
  lm: lm.words,
};

export const USAGES: Readonly<Record<Objective, Usage>> = {
  classification: classification.usage,
  regression: regression.usage,
  "multi-label": multiLabel.usage,
  tokens: tokens.usage,
  lm: lm.usage,
};

/** What is made with a model of a task; `chat`: one that was trained on chats. */
export function usageOf(objective: Objective, chat: boolean): Usage {
  const usage = USAGES[objective];
  return chat ? { ...usage, ...usage.chat } : usage;
}
