import { Tokenizer } from "../data/tokenizer.ts";
import type { Engine } from "../engine/engine.ts";
import { targetLogits, targetLosses } from "../engine/targets.ts";
import { keptLogits, keptLosses, referenceDocuments, referenceRows } from "../infer/reference.ts";
import { packRows } from "../infer/rows.ts";
import type { Reference } from "../io/peft/adapter-meta.ts";
import type { Batch } from "../model/batch.ts";
import { hasHead, hasValues } from "../tasks/index.ts";
import type { PreparedRun, RunArguments } from "./prepare.ts";

/** The texts as batches of one, cut to what the run's rows and its plan have room for. */
export async function referenceBatches(
  { model, data }: Pick<RunArguments, "model" | "data">,
  { spec: { task }, capacity }: Pick<PreparedRun, "spec" | "capacity">,
): Promise<Batch[]> {
  const tokenizer = await Tokenizer.load({ model });
  const most = Math.min(data.maxLength, capacity.tokens);
  if (!hasHead(task))
    return referenceDocuments(tokenizer, most).map(({ ids, targets }) => ({
      ...{ ids, starts: Uint32Array.of(0, ids.length), rows: new Uint32Array(), targets: Int32Array.from(targets) },
    }));
  const { padTo } = data.train;
  const settings = "pairs" in data && data.pairs !== undefined ? { pairs: data.pairs } : {};
  const rows = await referenceRows(tokenizer, { settings, task }, Math.min(padTo || most, most));
  const values = hasValues(task) ? { values: new Float32Array(task.num_labels) } : {};
  return rows.tokens.map((row) => ({ ...packRows({ ...rows, tokens: [row], padTo }), ...values }));
}

/** What the parameters that are on the device give; undefined if that is not finite. */
export async function measureReference(engine: Engine, batches: readonly Batch[]): Promise<Reference | undefined> {
  const { task } = engine.plan.spec;
  const losses: Float64Array[] = [];
  const logits: number[] = [];
  for (const batch of batches) {
    engine.forward(batch);
    if (hasHead(task)) logits.push(...(await targetLogits(engine, batch)));
    else losses.push(await targetLosses(engine, batch));
  }
  const outputs = hasHead(task) ? keptLogits(Float32Array.from(logits), task.num_labels) : keptLosses(losses);
  const maxLength = Math.max(...batches.map(({ ids }) => ids.length));
  return outputs.every(Number.isFinite) ? { maxLength, outputs } : undefined;
}
