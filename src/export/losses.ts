/** What an exported classifier cannot express of the run: found before anything is written. */

import type { Adapter, FinalNorm } from "../io/peft.ts";
import { biasObstacle } from "../io/peft-write.ts";
import { type Decision, USUAL_THRESHOLD } from "../tasks/predictions.ts";

/** A difference between the exported model and the run's. */
export interface Loss {
  kind: "bias" | "pooling" | "decision";
  reason: string;
  /** The effect of dropping it. */
  effect?: string;
}

/** What transformers' classes, which all forms follow, do otherwise than the run. */
export function listLosses({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined): Loss[] {
  const losses: Loss[] = [];
  const bias = biasObstacle({ meta, tensors }, finalNorm);
  if (bias !== undefined) {
    const values = [...tensors.get("head.bias")!.data];
    const spread = Math.max(...values) - Math.min(...values);
    const effect = `the bias is [${values.map((value) => value.toPrecision(3)).join(", ")}]: differences of logits change by up to ${spread.toPrecision(3)}`;
    losses.push({ kind: "bias", reason: bias, effect });
  }
  const { padTo = 0, temperature, threshold, positive } = meta.settings as Decision & { padTo?: number };
  if (temperature !== undefined)
    losses.push({
      kind: "decision",
      reason: "the run divides its logits by a temperature, which transformers does not",
      effect: `its probabilities are the softmax of logits / ${temperature.toPrecision(6)}`,
    });
  const { thresholds = [] } = meta.settings as { thresholds?: readonly number[] };
  if (thresholds.some((one) => one !== USUAL_THRESHOLD))
    losses.push({
      kind: "decision",
      reason: "the run has a threshold for each label, and transformers has one for all",
      effect: `the run predicts ${meta.labels.map((label, i) => `"${label}" from ${thresholds[i]!.toPrecision(6)}`).join(", ")}`,
    });
  if (threshold !== undefined)
    losses.push({
      kind: "decision",
      reason: "the run has a threshold, and transformers predicts the class with the larger logit",
      effect: `the run predicts "${meta.labels[positive!]}" from a probability of ${threshold.toPrecision(6)}`,
    });
  if (meta.task.pooling === "last" && padTo > 0)
    losses.push({
      kind: "pooling",
      reason: `the run classifies at the last of ${padTo} positions, including padding; transformers classifies at the last token of the text`,
    });
  return losses;
}

/** Describes a loss. */
export function showLoss({ reason, effect }: Loss): string {
  return effect === undefined ? reason : `${reason}; ${effect}`;
}
