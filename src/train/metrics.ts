/** Measuring a model on a data set. */

import type { Pooling } from "../config.ts";
import type { BlockBatch, Blocks } from "../data/blocks.ts";
import type { PackedBatch } from "../data/corpus.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import type { Batch } from "../model/batch.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import type { Engine } from "./engine.ts";
import { type Prediction, predictions } from "./predictions.ts";
import type { Trunk } from "./trunk.ts";

export interface Evaluation {
  /** Messages, or tokens that a language model predicts. */
  rows: number;
  /** Mean cross-entropy, nats. */
  loss: number;
  /** Share of rows whose class, or whose token, has the largest logit. */
  accuracy: number;
  /** Of a language model: exp(loss). */
  perplexity?: number;
  /**
   * Of a language model: the loss of all tokens, in bits, over the UTF-8 bytes of their text. <|endoftext|> is predicted, and
   * has no bytes.
   */
  bitsPerByte?: number;
}

/** Batches in flight at a time: enough to keep a device busy, few enough for the slots of their results. */
export const IN_FLIGHT = 4;

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

/**
 * Loss and accuracy over the first `rows` examples (default: all), and a classifier's predictions where asked for. Rejects with
 * the signal's reason once it aborts.
 */
export async function evaluate(
  engine: Engine,
  set: Dataset | Blocks,
  options: {
    pooling: Pooling;
    trunk?: Trunk | undefined;
    rows?: number;
    keep?: (predictions: Prediction[]) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<Evaluation> {
  const { pooling, trunk, keep, signal } = options;
  const { num_labels: classes, objective } = engine.plan.spec.task;
  let loss = 0;
  let correct = 0;
  let rows = 0;
  let bytes = 0;
  const take = async (slot: number, count: number, first: number) => {
    const [result, logits] = await Promise.all([engine.result(slot), keep && engine.logits(count)]);
    loss += result.loss * count;
    correct += result.correct;
    if (logits) keep!(predictions(logits, classes, first));
  };
  const flying: Promise<void>[] = [];
  const examples: Examples<DatasetBatch | BlockBatch> = set;
  for (const packed of evaluationBatches(examples, engine.plan.capacity, options.rows)) {
    signal?.throwIfAborted();
    const batch = modelBatch(packed, pooling, trunk?.of(set, packed.positions));
    const count = countedRows(batch);
    const taken = take(engine.forward(batch), count, rows);
    // A rejection is taken up where the batch is awaited, maybe some batches later.
    taken.catch(() => {});
    flying.push(taken);
    rows += count;
    if ("bytes" in packed) bytes += packed.bytes;
    if (flying.length >= IN_FLIGHT) await flying.shift();
  }
  await Promise.all(flying);
  const measured = { rows, loss: loss / rows, accuracy: correct / rows };
  if (objective === "classification") return measured;
  return { ...measured, perplexity: Math.exp(measured.loss), bitsPerByte: loss / Math.LN2 / bytes };
}
