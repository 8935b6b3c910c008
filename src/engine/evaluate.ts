/** Evaluation of a model on a data set. */

import type { Pooling } from "../config.ts";
import type { BlockBatch, Blocks } from "../data/blocks.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import { type Batch, countedRows } from "../model/batch.ts";
import { confusionsOf, macroF1 } from "../report/statistics.ts";
import { modelBatch } from "./batches.ts";
import type { Engine } from "./engine.ts";
import type { FrozenPrefix } from "./frozen-prefix.ts";
import { labelsOf, type Prediction, predictions } from "./predictions.ts";

export interface Evaluation {
  /** Messages, or tokens that a language model predicts. */
  rows: number;
  /** Mean cross-entropy, nats; never weighted by class, so that it can be compared between runs. */
  loss: number;
  /** Share of rows whose class, or whose token, has the largest logit. */
  accuracy: number;
  /** Of a classifier: see `macroF1`. */
  macroF1?: number;
  /** Of a language model: exp(loss). */
  perplexity?: number;
  /**
   * Of a language model: the loss of all tokens, in bits, divided by the UTF-8 bytes of their text; <|endoftext|> has a loss and
   * no bytes.
   */
  bitsPerByte?: number;
}

/** The evaluation of some rows, from their predictions. */
export function evaluationOf(some: readonly Prediction[], truth: (row: number) => number): Evaluation {
  const mean = (of: (one: Prediction) => number) => some.reduce((sum, one) => sum + of(one), 0) / some.length;
  return {
    rows: some.length,
    loss: mean(({ row, probabilities }) => -Math.log(probabilities[truth(row)]!)),
    accuracy: mean(({ row, label }) => Number(label === truth(row))),
  };
}

/** Batches in flight at a time: enough to keep a device busy, and fewer than there are slots for results. */
export const IN_FLIGHT = 4;

/**
 * Loss, accuracy and macro F1 over the first `rows` examples (default: all), and a classifier's predictions if `keep` is given. Rejects with
 * the signal's reason when it aborts.
 */
export async function evaluate(
  engine: Engine,
  set: Dataset | Blocks,
  options: {
    pooling: Pooling;
    prefix?: FrozenPrefix | undefined;
    rows?: number;
    keep?: (predictions: Prediction[]) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<Evaluation> {
  const { pooling, prefix, keep, signal } = options;
  const { num_labels: classes, objective } = engine.plan.spec.task;
  const isClassifier = objective === "classification";
  let loss = 0;
  let correct = 0;
  let rows = 0;
  let bytes = 0;
  const truth: number[] = [];
  const predicted: number[] = [];
  const take = async (slot: number, batch: Batch, first: number) => {
    const [result, logits] = await Promise.all([
      engine.result(slot),
      isClassifier ? engine.logits(batch.targets.length) : null,
    ]);
    loss += result.loss * countedRows(batch);
    correct += result.correct;
    if (!logits) return;
    truth.push(...batch.targets);
    predicted.push(...labelsOf(logits, classes));
    keep?.(predictions(logits, classes, first));
  };
  const inFlight: Promise<void>[] = [];
  const examples: Examples<DatasetBatch | BlockBatch> = set;
  for (const packed of evaluationBatches(examples, engine.plan.capacity, options.rows)) {
    signal?.throwIfAborted();
    const batch = modelBatch(packed, pooling, prefix?.of(set, packed.positions));
    const taken = take(engine.forward(batch), batch, rows);
    // A rejection is handled where the batch is awaited, maybe some batches later.
    taken.catch(() => {});
    inFlight.push(taken);
    rows += countedRows(batch);
    if ("bytes" in packed) bytes += packed.bytes;
    if (inFlight.length >= IN_FLIGHT) await inFlight.shift();
  }
  await Promise.all(inFlight);
  const measured = { rows, loss: loss / rows, accuracy: correct / rows };
  if (isClassifier) return { ...measured, macroF1: macroF1(confusionsOf(truth, predicted)) };
  return { ...measured, perplexity: Math.exp(measured.loss), bitsPerByte: loss / Math.LN2 / bytes };
}
