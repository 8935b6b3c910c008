/** The scores of a regression's messages. */
import type { Dataset } from "../data/dataset.ts";

/** Of each row. */
export const trueScores = (set: Dataset) => Array.from({ length: set.size }, (_, row) => set.values(row)[0]!);

export function meanScore(set: Dataset): number {
  return trueScores(set).reduce((sum, score) => sum + score, 0) / set.size;
}
