/** Evaluation of a model on a data set. */

import { concat } from "../core/concat.ts";
import type { DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import type { TokenBatch } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type Batch, countedRows } from "../model/batch.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import { keptFigures } from "../tasks/compare.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasHead, type Pooling } from "../tasks/index.ts";
import type { Outputs } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { modelBatch } from "./batches.ts";
import type { Engine } from "./engine.ts";
import type { Features } from "./features.ts";
import { InFlight } from "./in-flight.ts";
import { targetLogits, targetLosses } from "./targets.ts";

/**
 * Loss and measures over the first `rows` examples (default: all); and the logits of a head of the model's own, or, if
 * they are asked for, the losses of a language model's targets, in their order. Rejects with the signal's reason when
 * it aborts.
 */
export async function evaluate(
  engine: Engine,
  set: TrainingData["train"],
  options: {
    pooling: Pooling;
    features?: Features | undefined;
    rows?: number | undefined;
    losses?: boolean;
    /** Receives how many examples were evaluated, batch by batch. */
    onRows?: (rows: number) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<[Evaluation, Outputs]> {
  const { pooling, features, losses: readsLosses, onRows, signal } = options;
  const { task } = engine.plan.spec;
  // Those of a vocabulary are in pieces, and too many to read.
  const readsLogits = hasHead(task);
  const some: Outputs[] = [];
  let loss = 0;
  let correct = 0;
  let rows = 0;
  let bytes = 0;
  const take = async (slot: number, batch: Batch) => {
    const { targets } = batch;
    const [result, logits, losses] = await Promise.all([
      engine.result(slot),
      readsLogits ? targetLogits(engine, batch) : null,
      readsLosses && !readsLogits ? targetLosses(engine, batch) : null,
    ]);
    loss += result.loss * countedRows(batch);
    correct += result.correct;
    const outputs = losses ?? logits;
    if (outputs) some.push(counted(outputs, targets));
    onRows?.(batch.starts.length - 1);
  };
  const inFlight = new InFlight<void>(engine.answerTime());
  const examples: Examples<DatasetBatch | TokenBatch> = set;
  for (const packed of evaluationBatches(examples, engine.plan.capacity, options.rows)) {
    signal?.throwIfAborted();
    const batch = modelBatch(packed, pooling, features?.select(set, packed.positions));
    inFlight.add(take(engine.forward(batch), batch));
    rows += countedRows(batch);
    if ("bytes" in packed) bytes += packed.bytes ?? 0;
    while (inFlight.isFull) await inFlight.next();
  }
  while (inFlight.length > 0) await inFlight.next();
  const outputs = readsLogits ? concat(Float32Array, some) : concat(Float64Array, some);
  const { answer, columns, measures } = TRAINING[task.objective];
  const own = answer?.(outputs as Float32Array, task.num_labels);
  const device = { accuracy: correct / rows, perplexity: Math.exp(loss / rows), bitsPerByte: loss / Math.LN2 / bytes };
  const measured = own ? keptFigures(measures, columns(set, own, task.num_labels)) : device;
  return [{ rows, loss: loss / rows, ...measured }, outputs];
}

/** The outputs of the rows that have a target. */
function counted<T extends Outputs>(outputs: T, targets: Int32Array): T {
  const width = outputs.length / targets.length;
  return outputs.filter((_, i) => targets[Math.floor(i / width)] !== IGNORE_INDEX) as T;
}
