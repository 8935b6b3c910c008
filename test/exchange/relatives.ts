/** Logits, loss and gradients of checkpoints by our engines: the side of `relatives.mjs` that needs the sources. */

import { openDevice } from "../../src/backend/device.ts";
import { Decoder } from "../../src/engine/decoder.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { readTrained } from "../../src/engine/trained.ts";
import type { Weights } from "../../src/engine/weights.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { mergedTensors } from "../../src/io/merge.ts";
import { streamSafetensors } from "../../src/io/safetensors-write.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch } from "../../src/model/batch.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";

export interface Job {
  objective: "classification" | "lm";
  directory: string;
  ids: number[][];
  targets: number[];
}

/** A batch of rows of one length. */
function fixedBatch({ ids, targets }: Job): Batch {
  const length = ids[0]!.length;
  return {
    ids: Uint32Array.from(ids.flat()),
    starts: Uint32Array.from({ length: ids.length + 1 }, (_, b) => b * length),
    rows: Uint32Array.from(ids, (_, b) => (b + 1) * length - 1),
    targets: Int32Array.from(targets),
  };
}

function jobSpec({ objective }: Job, model: BaseModel): ModelSpec {
  const classes = objective === "lm" ? 0 : model.shape("score.weight")[0]!;
  const task = { objective, num_labels: classes, pooling: "last-token", head_bias: false } as const;
  return { config: model.config, task, mode: "all", lora: null, train_head: true };
}

async function load(engine: Weights, model: BaseModel): Promise<void> {
  await loadBase(engine, model);
  if (engine.plan.parameters.all.has("head.weight"))
    engine.writeParameter("head.weight", await model.read("score.weight"));
}

/** Everything that is compared, on a device, and the merged model after a training step: its file and its logits. */
export async function compute(job: Job, device: "wasm" | "webgpu") {
  const backend = await openDevice(device);
  const model = await openBaseModel(job.directory);
  const spec = jobSpec(job, model);
  const batch = fixedBatch(job);
  const [tokens, sequences] = [batch.ids.length, job.ids.length];
  const optimizer = new AdamW({ betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01, clip: 0 });
  const engine = await Engine.create(backend, { spec, capacity: { tokens, sequences }, optimizer });
  await load(engine, model);
  const { loss } = await engine.result(engine.gradients(batch));
  const count = job.objective === "lm" ? tokens : sequences;
  const logits = await engine.logits(count);
  const grads: Record<string, Float32Array> = {};
  for (const name of engine.trainableNames) grads[name] = await engine.readGradient(name);
  const written = job.objective === "lm" ? await generated(job, model, spec) : undefined;
  const [slot] = engine.step([batch], 1e-2);
  await engine.result(slot!);
  await engine.result(engine.forward(batch));
  const settings = { base_model: job.directory, model: model.config, labels: [], settings: {} };
  const meta = { ...settings, mode: "all" as const, lora: null, task: spec.task };
  const merged = await mergedTensors(model, { meta, tensors: await readTrained(engine) }, undefined);
  const pieces: Uint8Array[] = [];
  for await (const piece of streamSafetensors(merged, { format: "pt" })) pieces.push(piece);
  const trained = { file: Buffer.concat(pieces), logits: [...(await engine.logits(count))] };
  engine.destroy();
  await model.close();
  backend.destroy();
  return { loss, logits, grads, written, trained };

  /** The logits of the last token of each row, by the cache: half a row at once, then token by token. */
  async function generated({ ids }: Job, model: BaseModel, spec: ModelSpec): Promise<Float32Array> {
    const decoder = await Decoder.create(backend, { spec, capacity: { tokens: 64, sequences } });
    await load(decoder, model);
    const half = 5;
    let last = await decoder.prefill(ids.map((row, slot) => ({ slot, position: 0, ids: row.slice(0, half) })));
    for (let at = half; at < ids[0]!.length; at++)
      last = await decoder.decode(ids.map((row, slot) => ({ slot, position: at, ids: [row[at]!] })));
    decoder.destroy();
    return last;
  }
}
