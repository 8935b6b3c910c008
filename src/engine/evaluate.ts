/** Evaluation of a model on a data set. */

import type { Pooling } from "../config.ts";
import type { BlockBatch, Blocks } from "../data/blocks.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import { type Batch, countedRows } from "../model/batch.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasHead } from "../tasks/index.ts";
import type { Outputs } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { modelBatch } from "./batches.ts";
import type { Engine } from "./engine.ts";
import type { Features } from "./features.ts";
import { InFlight } from "./in-flight.ts";
import { targetLogits, targetLosses } from "./targets.ts";

/**
 * Loss and measures over the first `rows` examples (default: all). `keep` gets the logits of a head of the model's own,
 * and of a language model the losses of the targets, in their order. Rejects with the signal's reason when it aborts.
 */
export async function evaluate(
  engine: Engine,
  set: Dataset | Blocks,
  options: {
    pooling: Pooling;
    features?: Features | undefined;
    rows?: number;
    keep?: (outputs: Outputs) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<Evaluation> {
  const { pooling, features, keep, signal } = options;
  const { task } = engine.plan.spec;
  // Those of a vocabulary are in pieces, and too many to read.
  const readsLogits = hasHead(task);
  const tally = TRAINING[task.objective].tally(task.num_labels);
  let loss = 0;
  let correct = 0;
  let rows = 0;
  let bytes = 0;
  const take = async (slot: number, batch: Batch) => {
    const { targets } = batch;
    const [result, logits, losses] = await Promise.all([
      engine.result(slot),
      readsLogits ? targetLogits(engine, batch) : null,
      keep && !readsLogits ? targetLosses(engine, batch) : null,
    ]);
    loss += result.loss * countedRows(batch);
    correct += result.correct;
    if (logits) tally.add?.(batch, logits);
    const outputs = losses?.filter((_, row) => targets[row] !== IGNORE_INDEX) ?? logits;
    if (outputs) keep?.(outputs);
  };
  const inFlight = new InFlight<void>(engine.answerTime());
  const examples: Examples<DatasetBatch | BlockBatch> = set;
  for (const packed of evaluationBatches(examples, engine.plan.capacity, options.rows)) {
    signal?.throwIfAborted();
    const batch = modelBatch(packed, pooling, features?.select(set, packed.positions));
    inFlight.add(take(engine.forward(batch), batch));
    rows += countedRows(batch);
    if ("bytes" in packed) bytes += packed.bytes;
    while (inFlight.isFull) await inFlight.next();
  }
  while (inFlight.length > 0) await inFlight.next();
  return { rows, loss: loss / rows, ...tally.measures({ rows, correct, loss, bytes }) };
}
