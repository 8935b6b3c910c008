/** Properties of a run that an exported classifier cannot express: found before anything is written. */

import type { Adapter, AdapterMeta, FinalNorm } from "../io/peft/peft.ts";
import type { NamedTensor } from "../io/peft/peft-form.ts";
import { biasObstacle } from "../io/peft/peft-write.ts";
import { type Decision, USUAL_THRESHOLD } from "../tasks/predictions.ts";

/** The tensors of which the logits are multiples. */
const HEAD = ["head.weight", "head.bias", "lora.head.B"];

/** The adapter with its temperature in the head, where other programs need not know of it: logits / T is (W / T) x. */
export function foldTemperature({ meta, tensors }: Adapter): Adapter {
  const { temperature = 1, ...settings } = meta.settings as Decision & AdapterMeta["settings"];
  return divideHead({ meta: { ...meta, settings }, tensors }, temperature, HEAD);
}

/** The adapter with these tensors of its head divided by a number. */
export function divideHead({ meta, tensors }: Adapter, by: number, names: readonly string[]): Adapter {
  const divide = ({ shape, data }: NamedTensor) => ({ shape, data: data.map((value) => value / by) });
  return {
    meta,
    tensors: new Map([...tensors].map(([name, tensor]) => [name, names.includes(name) ? divide(tensor) : tensor])),
  };
}

/** Differences of transformers' classes, which all forms follow, from the run, and the effect of dropping them. */
export function listLosses({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined): string[] {
  const losses: string[] = [];
  const bias = biasObstacle({ meta, tensors }, finalNorm);
  if (bias !== undefined) {
    const values = [...tensors.get("head.bias")!.data];
    const spread = Math.max(...values) - Math.min(...values);
    losses.push(
      `${bias}; the bias is [${values.map((value) => value.toPrecision(3)).join(", ")}]: differences of logits change by up to ${spread.toPrecision(3)}`,
    );
  }
  const { padTo = 0, threshold, positive } = meta.settings as Decision & { padTo?: number };
  const { thresholds = [] } = meta.settings as { thresholds?: readonly number[] };
  if (thresholds.some((one) => one !== USUAL_THRESHOLD))
    losses.push(
      `the run has a threshold for each label, and transformers has one for all; the run predicts ${meta.labels.map((label, i) => `"${label}" from ${thresholds[i]!.toPrecision(6)}`).join(", ")}`,
    );
  if (threshold !== undefined)
    losses.push(
      `the run has a threshold, and transformers predicts the class with the larger logit; the run predicts "${meta.labels[positive!]}" from a probability of ${threshold.toPrecision(6)}`,
    );
  if (meta.task.pooling === "last" && padTo > 0)
    losses.push(
      `the run classifies at the last of ${padTo} positions, including padding; transformers classifies at the last token of the text`,
    );
  return losses;
}
