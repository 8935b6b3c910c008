import type { Dispatch, Scalar } from "../ops/kernel.ts";
import { scorelossBackward, scorelossForward } from "../ops/scoreloss.ts";
import { TASKS, type TaskConfig } from "../tasks/index.ts";
import type { Tensor } from "../tensor.ts";

/** What the loss reads of a batch. */
interface Inputs {
  values: Tensor;
  weights: Tensor;
}

/** The dispatches of a loss, over the logits of the outputs from `first` on. */
export interface ValueLoss {
  /** Updates the state of the rows, of which `crossentropyLoss` makes the loss of the batch. */
  forward(state: Tensor, logits: Tensor, batch: Inputs, rows: Scalar, first: number): Dispatch;
  backward(dlogits: Tensor, logits: Tensor, batch: Inputs, rows: Scalar, first: number): Dispatch;
}

/** As transformers has it for the task's `problem_type`; undefined where rows have a class: cross-entropy. */
export function makeValueLoss(task: TaskConfig): ValueLoss | undefined {
  const { loss } = TASKS[task.objective];
  if (loss === "cross-entropy") return undefined;
  return {
    forward: (state, logits, { values }, rows, first) => scorelossForward(state, logits, values, rows, first, loss),
    backward: (dlogits, logits, { values, weights }, rows, first) =>
      scorelossBackward(dlogits, logits, { values, weights }, rows, first, loss),
  };
}
