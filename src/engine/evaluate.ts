/** Evaluation of a model on a data set. */

import type { Pooling } from "../config.ts";
import type { BlockBatch, Blocks, Units } from "../data/blocks.ts";
import type { Dataset, DatasetBatch } from "../data/dataset.ts";
import { type Examples, evaluationBatches } from "../data/loader.ts";
import { type Batch, countedRows } from "../model/batch.ts";
import { IGNORE_INDEX } from "../ops/crossentropy.ts";
import { countConfusions, countHits, f1Of, type Hits, macroF1 } from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasHead, type TaskConfig } from "../tasks/index.ts";
import { argmaxRows, type Prediction } from "../tasks/predictions.ts";
import { modelBatch } from "./batches.ts";
import type { Engine } from "./engine.ts";
import type { Features } from "./features.ts";
import { InFlight } from "./in-flight.ts";
import { targetLogits, targetLosses } from "./targets.ts";

/** That of a classifier with one class a message. */
type ClassEvaluation = Evaluation & Required<Pick<Evaluation, "accuracy" | "macroF1">>;

/** The evaluation of some rows, from their predictions. */
export function evaluateRows(some: readonly Prediction[], truth: (row: number) => number): ClassEvaluation {
  const mean = (of: (one: Prediction) => number) => some.reduce((sum, one) => sum + of(one), 0) / some.length;
  const confusions = countConfusions(
    some.map(({ row }) => truth(row)),
    some.map(({ label }) => label),
  );
  return {
    rows: some.length,
    loss: mean(({ row, probabilities }) => -Math.log(probabilities[truth(row)]!)),
    accuracy: mean(({ row, label }) => Number(label === truth(row))),
    macroF1: macroF1(confusions),
  };
}

/** The losses of a language model on each document of a set, or on each block: see `Units`. */
export interface TextLosses extends Units {
  /** Sums over the tokens, in nats. */
  loss: number[];
}

/** Sums the losses of a set's targets, which arrive in order, by document or by block. */
export function textLosses(set: Blocks): { sums: TextLosses; add: (losses: Float64Array) => void } {
  const units = set.units();
  const sums: TextLosses = { ...units, loss: units.tokens.map(() => 0) };
  let unit = 0;
  let left = units.tokens[0]!;
  const add = (losses: Float64Array) => {
    for (const loss of losses) {
      while (left === 0) left = units.tokens[++unit]!;
      sums.loss[unit]! += loss;
      left--;
    }
  };
  return { sums, add };
}

/** What an evaluation measures of the logits of messages, a batch at a time. */
interface Tally {
  add(batch: Batch, logits: Float32Array): void;
  /** `correct`: rows that the device has counted as right. */
  measures(counted: { rows: number; correct: number }): Partial<Evaluation>;
}

function makeTally({ objective, num_labels: outputs }: TaskConfig): Tally {
  if (objective === "regression") {
    let sum = 0;
    return {
      add({ values }, scores) {
        for (const [i, score] of scores.entries()) sum += Math.abs(score - values![i]!);
      },
      measures: ({ rows }) => ({ meanError: sum / rows }),
    };
  }
  if (objective === "multi-label") {
    const hits: Hits[] = Array.from({ length: outputs }, () => ({ there: 0, named: 0, right: 0 }));
    return {
      add: ({ values }, logits) => countHits(hits, values!, logits, (logit) => logit > 0),
      measures: ({ rows, correct }) => ({ accuracy: correct / rows, ...f1Of(hits) }),
    };
  }
  const [truth, predicted]: [number[], number[]] = [[], []];
  return {
    add({ targets }, logits) {
      truth.push(...targets);
      predicted.push(...argmaxRows(logits, outputs));
    },
    // The first of equal logits counts, as for a classifier; the device counts the target's.
    measures: ({ rows }) => ({
      accuracy: truth.filter((label, i) => label === predicted[i]).length / rows,
      macroF1: macroF1(countConfusions(truth, predicted)),
    }),
  };
}

/**
 * Loss and measures over the first `rows` examples (default: all), the logits of messages if `keep` is given, and the
 * losses of a language model's targets, in their order, if `keepLosses` is. Rejects with the signal's reason when it
 * aborts.
 */
export async function evaluate(
  engine: Engine,
  set: Dataset | Blocks,
  options: {
    pooling: Pooling;
    features?: Features | undefined;
    rows?: number;
    keep?: (logits: Float32Array) => void;
    keepLosses?: (losses: Float64Array) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<Evaluation> {
  const { pooling, features, keep, keepLosses, signal } = options;
  const { task } = engine.plan.spec;
  // Those of a vocabulary are in pieces, and too many to read.
  const readsLogits = hasHead(task);
  const tally = makeTally(task);
  let loss = 0;
  let correct = 0;
  let rows = 0;
  let bytes = 0;
  const take = async (slot: number, batch: Batch) => {
    const { targets } = batch;
    const [result, logits, losses] = await Promise.all([
      engine.result(slot),
      readsLogits ? targetLogits(engine, batch) : null,
      keepLosses ? targetLosses(engine, batch) : null,
    ]);
    loss += result.loss * countedRows(batch);
    correct += result.correct;
    if (losses) keepLosses?.(losses.filter((_, row) => targets[row] !== IGNORE_INDEX));
    if (!logits) return;
    tally.add(batch, logits);
    keep?.(logits);
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
  const measured = { rows, loss: loss / rows };
  if (!readsLogits)
    return {
      ...{ ...measured, accuracy: correct / rows },
      ...{ perplexity: Math.exp(measured.loss), bitsPerByte: loss / Math.LN2 / bytes },
    };
  return { ...measured, ...tally.measures({ rows, correct }) };
}
