/** The weights of the classes in the loss. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/training-data.ts";
import { TRAINING } from "../tasks/training.ts";

export const CLASS_WEIGHTS = ["auto", "none"] as const;
export type ClassWeights = (typeof CLASS_WEIGHTS)[number];

/** Classes are unequal if the largest has over this many times the rows of the smallest: a random split stays below. */
const UNEQUAL = 1.5;

/** Rows of each class in the training set, by class id; none where messages have not one class. */
export function rowsPerClass(data: TrainingData): number[] {
  if (!TRAINING[data.objective].labels.classOf) return [];
  const { classes } = (data as LoadedDataset).stats.train;
  return data.labels.map((label) => classes[label]!);
}

/** Whether the classes of the training set are unequal: their loss is weighted, and accuracy alone says little. */
export function isUnequal(data: TrainingData): boolean {
  const present = rowsPerClass(data).filter((count) => count > 0);
  const largest = present.reduce((most, count) => Math.max(most, count), 0);
  return present.some((count) => largest > UNEQUAL * count);
}

/**
 * The weight of each class if the classes are unequal and `how` is auto: proportional to 1 / sqrt(rows of the class),
 * with mean 1 over the training rows (Mahajan et al. 2018, "Exploring the limits of weakly supervised pretraining",
 * sampled by it; Cui et al. 2019, "Class-balanced loss based on effective number of samples", discuss it as a weight).
 * Of the weights tried it raised macro F1 at little cost in accuracy; data/README.md has the figures. A class without
 * training rows has weight 1, which is never used.
 */
export function weighClasses(data: TrainingData, how: ClassWeights): Float32Array | undefined {
  if (how === "none" || !isUnequal(data)) return undefined;
  const counts = rowsPerClass(data);
  const sum = (of: (count: number) => number) => counts.reduce((total, count) => total + of(count), 0);
  const scale = sum((count) => count) / sum(Math.sqrt);
  return Float32Array.from(counts, (count) => (count > 0 ? scale / Math.sqrt(count) : 1));
}
