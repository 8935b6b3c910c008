/** How the answers of each task are made, measured and stored: loaded when a run begins, or a stored one is read. */
import type { Objective } from "./index.ts";
import type { Measuring } from "./task.ts";

export const MEASURING: Readonly<Record<Objective, () => Promise<Measuring>>> = {
  classification: async () => (await import("./classification/classification-results.ts")).measuring,
  regression: async () => (await import("./regression/regression-results.ts")).measuring,
  "multi-label": async () => (await import("./multi-label/multi-label-results.ts")).measuring,
  tokens: async () => (await import("./tokens/tokens-results.ts")).measuring,
  lm: async () => (await import("./lm/lm-results.ts")).measuring,
};
