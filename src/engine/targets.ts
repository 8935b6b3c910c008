/** What a forward pass gives for the targets of its batch. */
import { type Batch, promptLength } from "../model/batch.ts";
import { readsTokens } from "../tasks/index.ts";
import type { Engine } from "./engine.ts";

type Numbers = Float32Array | Float64Array;

/** What `read` gives for the rows of a batch, without a prompt's virtual tokens: rows before those of each sequence. */
async function readTargets<T extends Numbers>(
  { plan: { spec } }: Engine,
  { starts, targets }: Pick<Batch, "starts" | "targets">,
  read: (rows: number) => Promise<T>,
): Promise<T> {
  const virtual = readsTokens(spec.task) ? promptLength(spec) : 0;
  const rows = targets.length + virtual * (starts.length - 1);
  const all = await read(rows);
  if (virtual === 0) return all;
  const width = all.length / rows;
  const kept = all.slice(0, targets.length * width) as T;
  for (let b = 1; b < starts.length; b++) {
    const [first, end] = [starts[b - 1]!, starts[b]!];
    kept.set(all.subarray((first + virtual * b) * width, (end + virtual * b) * width), first * width);
  }
  return kept;
}

/** The loss of each target of the last forward pass, which was over this batch, in nats. */
export const targetLosses = (engine: Engine, batch: Batch) =>
  readTargets<Float64Array>(engine, batch, (rows) => engine.losses(rows));

/** The logits [targets, outputs] of the last forward pass, which was over this batch. */
export const targetLogits = (engine: Engine, batch: Batch) =>
  readTargets<Float32Array>(engine, batch, (rows) => engine.logits(rows));
