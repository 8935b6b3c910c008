import type { Pooling } from "../config.ts";
import type { BlockBatch } from "../data/blocks.ts";
import type { PackedBatch } from "../data/corpus.ts";
import type { DatasetBatch } from "../data/dataset.ts";
import type { Batch } from "../model/batch.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";

/** A batch of any set as the model reads it, with what the trunk made of it where there is one. */
export function modelBatch(packed: DatasetBatch | BlockBatch, pooling: Pooling, trunk?: Float32Array): Batch {
  if ("labels" in packed) return classificationBatch(packed, pooling, trunk);
  const { ids, starts, targets } = packed;
  return { ids, starts, rows: new Uint32Array(), targets, trunk };
}

/** A packed batch of messages: classified at the last token, or at the last row of the padding. */
export function classificationBatch(packed: PackedBatch, pooling: Pooling, trunk?: Float32Array): Batch {
  const rows = Uint32Array.from(packed.labels, (_, b) =>
    pooling === "last" ? packed.starts[b + 1]! - 1 : packed.starts[b]! + packed.lengths[b]! - 1,
  );
  return { ids: packed.ids, starts: packed.starts, rows, targets: packed.labels, trunk };
}

/** Rows of a batch that count. */
export function countedRows({ targets }: Pick<Batch, "targets">): number {
  return targets.reduce((count, target) => count + (target === IGNORE_INDEX ? 0 : 1), 0);
}
