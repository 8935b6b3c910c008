/** What transformers calls that which is learned of messages: the `problem_type` of a config.json. */
import type { MessagesObjective } from "../config.ts";

export const PROBLEM_TYPES: Record<MessagesObjective, string> = {
  classification: "single_label_classification",
  regression: "regression",
  "multi-label": "multi_label_classification",
};
