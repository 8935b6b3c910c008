/** Measuring a model on a data set. */

import type { Pooling } from "../config.ts";
import type { PackedBatch } from "../data/corpus.ts";
import type { Dataset } from "../data/dataset.ts";
import { evaluationBatches } from "../data/loader.ts";
import type { Batch } from "../model/batch.ts";
import type { Engine } from "./engine.ts";
import { type Prediction, predictions } from "./predictions.ts";
import type { Trunk } from "./trunk.ts";

export interface Evaluation {
  rows: number;
  /** Mean cross-entropy, nats. */
  loss: number;
  /** Share of rows whose class has the largest logit. */
  accuracy: number;
}

/** Batches in flight at a time: enough to keep a device busy, few enough for the slots of their results. */
export const IN_FLIGHT = 4;

/**
 * A packed batch of messages as the model reads it: classified at the last token, or at the last row of the padding; with
 * what the trunk made of it where there is one.
 */
export function classificationBatch(packed: PackedBatch, pooling: Pooling, trunk?: Float32Array): Batch {
  const rows = Uint32Array.from(packed.labels, (_, b) =>
    pooling === "last" ? packed.starts[b + 1]! - 1 : packed.starts[b]! + packed.lengths[b]! - 1,
  );
  return { ids: packed.ids, starts: packed.starts, rows, targets: packed.labels, trunk };
}

/** Loss and accuracy over the first `rows` rows (default: all), and the predictions where asked for. */
export async function evaluate(
  engine: Engine,
  dataset: Dataset,
  options: {
    pooling: Pooling;
    trunk?: Trunk | undefined;
    rows?: number;
    keep?: (predictions: Prediction[]) => void;
  },
): Promise<Evaluation> {
  const { pooling, trunk, keep } = options;
  const classes = engine.plan.spec.task.num_labels;
  let loss = 0;
  let correct = 0;
  let rows = 0;
  const take = async (slot: number, count: number, first: number) => {
    const [result, logits] = await Promise.all([engine.result(slot), keep && engine.logits(count)]);
    loss += result.loss * count;
    correct += result.correct;
    if (logits) keep!(predictions(logits, classes, first));
  };
  const flying: Promise<void>[] = [];
  for (const packed of evaluationBatches(dataset, engine.plan.capacity, options.rows)) {
    const count = packed.labels.length;
    const slot = engine.forward(classificationBatch(packed, pooling, trunk?.of(dataset, packed.positions)));
    const taken = take(slot, count, rows);
    // A rejection is taken up where the batch is awaited, maybe some batches later.
    taken.catch(() => {});
    flying.push(taken);
    rows += count;
    if (flying.length >= IN_FLIGHT) await flying.shift();
  }
  await Promise.all(flying);
  return { rows, loss: loss / rows, accuracy: correct / rows };
}
