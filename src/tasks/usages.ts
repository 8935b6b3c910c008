/** What is made with a model of each task: loaded by what labels tables and exports. */
import { usage as classification } from "./classification/classification-usage.ts";
import type { Objective } from "./index.ts";
import { usage as lm } from "./lm/lm-usage.ts";
import { usage as multiLabel } from "./multi-label/multi-label-usage.ts";
import { usage as regression } from "./regression/regression-usage.ts";
import type { Usage } from "./task.ts";
import { usage as tokens } from "./tokens/tokens-usage.ts";

/** What is made with a model of a task; `chat`: one that was trained on chats. */
export function usageOf(objective: Objective, chat: boolean): Usage {
  const usage = USAGES[objective];
  return chat ? { ...usage, ...usage.chat } : usage;
}

export const USAGES: Readonly<Record<Objective, Usage>> = {
  classification,
  regression,
  "multi-label": multiLabel,
  tokens,
  lm,
};
