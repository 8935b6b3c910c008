/** Packed batches of data sets, as the model reads them. */
import type { DatasetBatch } from "../data/dataset.ts";
import type { TokenBatch } from "../data/text/token-set.ts";
import type { Batch } from "../model/batch.ts";
import { classifiedRow, type Pooling } from "../tasks/index.ts";

/** A batch of any data set as the model reads it, with features and class weights, if any. */
export function modelBatch(
  packed: DatasetBatch | TokenBatch,
  pooling: Pooling,
  features?: Float32Array,
  classWeights?: Float32Array,
): Batch {
  if ("labels" in packed) return messagesBatch(packed, pooling, features, classWeights);
  const { ids, starts, targets } = packed;
  return { ids, starts, rows: new Uint32Array(), targets, features };
}

/** A packed batch of messages, with the rows that they are classified at. */
export function messagesBatch(
  packed: Pick<DatasetBatch, "ids" | "starts" | "labels" | "lengths" | "values">,
  pooling: Pooling,
  features?: Float32Array,
  classWeights?: Float32Array,
): Batch {
  const rows = Uint32Array.from(packed.labels, (_, b) =>
    classifiedRow(pooling, packed.starts[b]!, packed.lengths[b]!, packed.starts[b + 1]!),
  );
  const weights = classWeights && Float32Array.from(packed.labels, (label) => classWeights[label]!);
  const { ids, starts, labels: targets, values } = packed;
  return { ids, starts, rows, targets, values, weights, features };
}
