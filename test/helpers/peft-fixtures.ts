/** Adapters that PEFT saved, with what it and PyTorch compute from them in float64: opened, run and compared. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile } from "#platform";
import type { Backend } from "../../src/backend/backend.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase, writeTrained } from "../../src/engine/state.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { adaptedSpec } from "../../src/io/peft/adapter-meta.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import type { Tensors } from "../../src/io/peft/peft.ts";
import { importPeft } from "../../src/io/peft/peft-import.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch } from "../../src/model/batch.ts";
import { relativeError } from "./allclose.ts";
import { testDevice } from "./device.ts";

/**
 * The largest errors: of logits and gradients relative to the whole tensor, of losses absolute, of updates after 10
 * steps.
 */
export interface Tolerance {
  logits: number;
  loss: number;
  grad: number;
  final: number;
}

export function assertRelative(what: string, got: Float32Array, want: Float32Array, tolerance: number): void {
  const error = relativeError(got, want);
  assert.ok(error <= tolerance, `${what}: relative error ${error}, tolerance ${tolerance}`);
}

export function assertLoss(what: string, got: number, want: number, tolerance: number): void {
  assert.ok(Math.abs(got - want) <= tolerance, `${what}: ${got} instead of ${want}, tolerance ${tolerance}`);
}

/** Opens `expect.safetensors` of a directory for the time of `body`. */
export async function withExpected(place: string, body: (file: SafetensorsFile) => Promise<void>): Promise<void> {
  const file = await SafetensorsFile.open(await openFile(join(place, "expect.safetensors")));
  try {
    await body(file);
  } finally {
    await file.close();
  }
}

/** A fixture's padded rows, packed: messages without padding, classified at the last token, or a target per token. */
export async function readBatch(file: SafetensorsFile, labels = "labels"): Promise<Batch> {
  const [ids, lengths, targets] = await Promise.all(["ids", "lengths", labels].map((key) => file.readI32(key)));
  const width = ids!.length / lengths!.length;
  const starts = [0];
  for (const length of lengths!) starts.push(starts.at(-1)! + length);
  return {
    ids: Uint32Array.from([...lengths!].flatMap((n, row) => [...ids!.subarray(row * width, row * width + n)])),
    starts: Uint32Array.from(starts),
    rows: Uint32Array.from(starts.slice(1), (end) => end - 1),
    targets: targets!,
  };
}

/** The tensors of a file whose names begin with `prefix`, without it. */
export async function readGroup(file: SafetensorsFile, prefix: string): Promise<Tensors> {
  const all: Tensors = new Map();
  for (const key of file.names.filter((one) => one.startsWith(prefix)))
    all.set(key.slice(prefix.length), { shape: file.info(key).shape, data: await file.readF32(key) });
  return all;
}

/** What PEFT computed for each of its keys, by our names. */
async function readExpected(file: SafetensorsFile, kind: string, place: string, baseModel: BaseModel) {
  const all = await readGroup(file, `${kind}.`);
  const shapes = new Map([...all].map(([key, { shape }]) => [key, shape]));
  const config = JSON.parse(readFileSync(join(place, "adapter_config.json"), "utf8"));
  return importPeft(config, shapes, baseModel, place).from(all);
}

/** Compares the logits, gradients and 10 steps of AdamW of an adapter with PEFT's and PyTorch's. */
export async function checkAdapter(base: string, place: string, tolerance: Tolerance, device?: Backend): Promise<void> {
  const baseModel = await openBaseModel(base);
  const { meta, tensors } = await loadAdapter(place, baseModel);
  await withExpected(place, async (file) => {
    const adamw = JSON.parse(file.metadata.adamw!);
    const batch = await readBatch(file);
    const engine = await Engine.create(device ?? (await testDevice()), {
      spec: adaptedSpec(meta, { config: baseModel.config, train_head: true }),
      capacity: { tokens: batch.ids.length, sequences: batch.rows.length },
      optimizer: new AdamW({ betas: adamw.betas, eps: adamw.eps, weight_decay: adamw.weight_decay, clip: 0 }),
    });
    try {
      await loadBase(engine, baseModel);
      writeTrained(engine, tensors);
      const { loss } = await engine.result(engine.gradients(batch));
      assertRelative("logits", await targetLogits(engine, batch), await file.readF32("logits"), tolerance.logits);
      const gradients = await readExpected(file, "grad", place, baseModel);
      const start = await readExpected(file, "start", place, baseModel);
      const learning = [...start.keys()];
      assert.equal(engine.trainableNames.toSorted(), learning.toSorted());
      for (const one of learning) {
        assertRelative(one, await engine.readParameter(one), start.get(one)!.data, 0);
        assertRelative(`gradient of ${one}`, await engine.readGradient(one), gradients.get(one)!.data, tolerance.grad);
      }
      const losses = await file.readF32("losses");
      assertLoss("loss", loss, losses[0]!, tolerance.loss);
      for (const [step, want] of losses.entries()) {
        const result = await engine.result(engine.step([batch], adamw.lr)[0]!);
        assertLoss(`loss of step ${step}`, result.loss, want, tolerance.loss);
      }
      const final = await readExpected(file, "final", place, baseModel);
      for (const one of learning) {
        const update = (values: Float32Array) =>
          steady(
            one,
            values.map((value, i) => value - start.get(one)!.data[i]!),
          );
        const got = update(await engine.readParameter(one));
        assertRelative(`update of ${one}`, got, update(final.get(one)!.data), tolerance.final);
      }
    } finally {
      engine.destroy();
      await baseModel.close();
    }
  });
}

/** Of every target: a language model has logits of a prompt's virtual tokens too, before those of each message. */
async function targetLogits(engine: Engine, { targets, starts }: Batch): Promise<Float32Array> {
  const { mode, task, num_virtual_tokens = 0, config } = engine.plan.spec;
  if (mode !== "prompt" || task.objective === "classification") return engine.logits(targets.length);
  const all = await engine.logits(targets.length + num_virtual_tokens * (starts.length - 1));
  const virtual = (at: number) =>
    num_virtual_tokens * starts.findLastIndex((start) => start <= at) + num_virtual_tokens;
  const V = config.vocab_size;
  return Float32Array.from({ length: targets.length * V }, (_, i) => {
    const row = Math.floor(i / V);
    return all[(row + virtual(row)) * V + (i % V)]!;
  });
}

/** Without the bias of GPT-2's keys: it has no true gradient, and Adam makes whole steps of rounding errors. */
function steady(name: string, values: Float32Array): Float32Array {
  const third = values.length / 3;
  return name.endsWith("c_attn.bias") ? values.filter((_, i) => i < third || i >= 2 * third) : values;
}
