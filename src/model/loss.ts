/** The loss of the logits, by what is trained: cross-entropy of classes and tokens, or one of each score by itself. */
import type { Objective, TaskConfig } from "../config.ts";
import { crossentropyBackward, crossentropyForward } from "../ops/crossentropy.ts";
import type { Dispatch, Scalar } from "../ops/kernel.ts";
import { type ScoreLoss, scorelossBackward, scorelossForward } from "../ops/scoreloss.ts";
import { shareRows } from "../ops/shares.ts";
import type { Tensor } from "../tensor.ts";

/** As transformers has them for its `problem_type`. */
const OF_SCORES: Partial<Record<Objective, ScoreLoss>> = { regression: "squared", "multi-label": "binary" };

/** Whether the targets are values of each output, not the one class of a row. */
export const hasValues = ({ objective }: Pick<TaskConfig, "objective">): boolean => objective in OF_SCORES;

/** What the loss reads of a batch. */
interface Inputs {
  targets: Tensor;
  values: Tensor | null;
  weights: Tensor;
  shares: Tensor;
}

/** Updates the state of the rows with their logits of the outputs from `first` on. */
export function lossForward(
  { objective }: TaskConfig,
  state: Tensor,
  logits: Tensor,
  { targets, values }: Inputs,
  rows: Scalar,
  first: number,
): Dispatch {
  const loss = OF_SCORES[objective];
  return loss
    ? scorelossForward(state, logits, values!, rows, first, loss)
    : crossentropyForward(state, logits, targets, rows, first);
}

/** The gradient of the logits of the outputs from `first` on. */
export function lossBackward(
  { objective }: TaskConfig,
  dlogits: Tensor,
  logits: Tensor,
  state: Tensor,
  { values, ...batch }: Inputs,
  rows: Scalar,
  first: number,
): Dispatch {
  const loss = OF_SCORES[objective];
  const { weights } = batch;
  return loss
    ? scorelossBackward(dlogits, logits, { values: values!, weights }, shareRows(rows), first, loss, batch)
    : crossentropyBackward(dlogits, logits, state, batch, shareRows(rows), first, batch);
}
