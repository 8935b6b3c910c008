/** A QLoRA adapter on its quantised base against PyTorch on the dequantised model: for fixtures and the live check. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { openDevice } from "../../src/backend/device.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase, writeTrained } from "../../src/engine/state.ts";
import { adaptedSpec } from "../../src/io/adapter-meta.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/open-adapter.ts";
import { importPeft } from "../../src/io/peft-import.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { AdamW } from "../../src/model/adamw.ts";

/** What make_quantized.py writes of a model. */
export interface Case {
  /** Of the dequantised matrices, [in, out]. */
  sha256: Record<string, string>;
  ids: number[][];
  logits: number[];
  loss: number;
  /** By the keys of PEFT's file. */
  grads: Record<string, number[]>;
}

export { openDevice };

export function readCases(folder: string): Record<string, Case> {
  return JSON.parse(readFileSync(join(folder, "expect.json"), "utf8")).cases;
}

function relative(got: Float32Array, want: readonly number[]): number {
  if (got.length !== want.length) return Number.NaN;
  let [square, norm] = [0, 0];
  for (const [i, value] of want.entries()) {
    square += (got[i]! - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(square / norm);
}

/** The errors of a case: of logits and gradients relative to their norm, of the loss absolute. */
export async function measureErrors(folder: string, name: string, device: Backend): Promise<Record<string, number>> {
  const { ids, logits, loss, grads } = readCases(folder)[name]!;
  const directory = join(folder, `${name}-adapter`);
  const length = ids[0]!.length;
  const batch = {
    ids: Uint32Array.from(ids.flat()),
    starts: Uint32Array.from({ length: ids.length + 1 }, (_, row) => row * length),
    rows: Uint32Array.from(ids, (_, row) => (row + 1) * length - 1),
    targets: Int32Array.from(ids.flatMap((row) => [...row.slice(1), -100])),
  };
  const [tokens, sequences] = [batch.ids.length, ids.length];
  const model = await openBaseModel(join(folder, name));
  const { meta, tensors } = await loadAdapter(directory, model);
  const file = await openSafetensors(join(directory, "adapter_model.safetensors"));
  const shapes = file.floatShapes();
  await file.close();
  const config = JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"));
  const { entries } = await importPeft(config, shapes, { config: model.config }, directory);
  const keys = new Map([...entries].map(([key, { name }]) => [name, key]));
  const engine = await Engine.create(device, {
    spec: adaptedSpec(meta, { config: model.config, train_head: false }),
    capacity: { tokens, sequences },
    optimizer: new AdamW({ betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, clip: 0 }),
  });
  try {
    await loadBase(engine, model);
    writeTrained(engine, tensors);
    const found = await engine.result(engine.gradients(batch));
    const errors: Record<string, number> = {
      logits: relative(await engine.logits(tokens), logits),
      loss: Math.abs(found.loss - loss),
    };
    if (engine.trainableNames.length !== Object.keys(grads).length) errors.trained = Number.NaN;
    for (const one of engine.trainableNames)
      errors[one] = relative(await engine.readGradient(one), grads[keys.get(one)!] ?? []);
    return errors;
  } finally {
    engine.destroy();
    await model.close();
  }
}
