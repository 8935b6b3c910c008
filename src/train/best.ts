/** Choices on the validation set: an evaluation of a run, and one of several runs or settings. */
import type { EvaluationRecord } from "./records.ts";

/**
 * The one with the lowest validation loss, of equal ones the first; undefined if no loss is finite. Evaluations of a
 * run and the settings of a sweep are chosen by it, whether classes are equal or not: accuracy and macro F1 are shares
 * of a few rows, often equal, and where a class has two validation rows, macro F1 is decided by them.
 */
export function lowestLoss<T>(items: readonly T[], lossAt: (item: T) => number): T | undefined {
  let best: T | undefined;
  // A loss that is not finite is null in a checkpoint.
  for (const item of items)
    if (Number.isFinite(lossAt(item)) && !(best !== undefined && lossAt(best) <= lossAt(item))) best = item;
  return best;
}

/** The best evaluation after the first step. */
export function bestEvaluation(evaluations: readonly EvaluationRecord[]): EvaluationRecord | undefined {
  return lowestLoss(
    evaluations.filter(({ step }) => step > 0),
    ({ val }) => val.loss,
  );
}

/** Whether one has a loss that is 5 % below that of a model which says nothing, as it is before its first step. */
export const isAboveChance = ([initial, ...later]: readonly EvaluationRecord[]): boolean =>
  later.some(({ val }) => val.loss < 0.95 * initial!.val.loss);

/** How many evaluations follow the best one. */
export const sinceBest = (evaluations: readonly EvaluationRecord[]): number =>
  evaluations.length - 1 - Math.max(0, evaluations.indexOf(bestEvaluation(evaluations)!));
