/**
 * Adapters that real PEFT wrote on a model that real transformers wrote (test/exchange/make_fixtures.py; versions in
 * their metadata): the logits, loss, gradients of everything that learns and 10 AdamW steps that they compute in
 * float64.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase, writeTrained } from "../../src/engine/state.ts";
import { adaptedSpec } from "../../src/io/adapter-meta.ts";
import { openGPT2 } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/open-adapter.ts";
import type { Tensors } from "../../src/io/peft.ts";
import { transposed } from "../../src/io/peft-form.ts";
import { importPeft } from "../../src/io/peft-import.ts";
import { adapterFiles } from "../../src/io/peft-write.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import type { Batch } from "../../src/model/batch.ts";
import { assertSameBits } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";

const folder = packagePath("test/golden/peft");
const names = readdirSync(folder).filter((name) => name !== "base" && name !== "README.md");

const VIRTUAL = ["prefix", "prefix-lm", "prompt", "prompt-lm"];
/** PEFT repeats the head's names; what is saved of a prefix with a projection has none. */
const TRAINING = ["modules_to_save", "prefix_projection", "encoder_hidden_size"];

/** As for the other fixtures (src/train/golden.ts): of the whole tensor, and of its update after the last step. */
const TOLERANCE = { logits: 1e-4, loss: 1e-4, grad: 1e-4, final: 1e-3 };

function relative(what: string, got: Float32Array, want: Float32Array, tolerance: number, from?: Float32Array): void {
  assert.is(got.length, want.length, what);
  let difference = 0;
  let norm = 0;
  for (const [i, value] of want.entries()) {
    difference += (got[i]! - value) ** 2;
    norm += (value - (from?.[i] ?? 0)) ** 2;
  }
  const error = Math.sqrt(difference / norm);
  assert.ok(error <= tolerance, `${what}: relative error ${error}, tolerance ${tolerance}`);
}

test("the fixtures are here", () => {
  const lora = [
    "all-linear",
    "c_attn",
    "dora",
    "dora-some-layers",
    "lora-only-bias",
    "patterns",
    "regex",
    "score",
    "some-layers",
    "wte",
  ];
  assert.equal(names.sort(), [...lora, ...VIRTUAL].sort());
});

for (const name of VIRTUAL)
  test(`${name}: written again, the files are PEFT's but for settings that only training reads`, async () => {
    const checkpoint = await openGPT2(join(folder, "base"));
    const { meta, tensors } = await loadAdapter(join(folder, name), checkpoint);
    await checkpoint.close();
    const { files, peft } = adapterFiles({ meta, tensors });
    assert.ok(peft);
    const theirs = JSON.parse(readFileSync(join(folder, name, "adapter_config.json"), "utf8"));
    const ours = JSON.parse(String(files.get("adapter_config.json")));
    assert.equal([...new Set(theirs.modules_to_save)], ours.modules_to_save ?? []);
    for (const key of Object.keys(ours).filter((one) => !TRAINING.includes(one)))
      assert.equal(ours[key], theirs[key], key);
    const stored = files.get("adapter_model.safetensors") as Uint8Array<ArrayBuffer>;
    const file = await SafetensorsFile.open(bytesReader("ours", stored));
    const other = await SafetensorsFile.open(await openFile(join(folder, name, "adapter_model.safetensors")));
    assert.equal(file.names.toSorted(), other.names.toSorted());
    for (const one of file.names) assertSameBits(one, await file.readF32(one), await other.readF32(one));
    await other.close();
  });

for (const name of names)
  testOnDevices(`${name}: logits, loss, gradients and 10 steps of AdamW are PEFT's and PyTorch's`, async () => {
    const place = join(folder, name);
    const checkpoint = await openGPT2(join(folder, "base"));
    const file = await SafetensorsFile.open(await openFile(join(place, "expect.safetensors")));
    const { meta, tensors } = await loadAdapter(place, checkpoint);
    const score = { shape: checkpoint.shape("score.weight"), data: await checkpoint.read("score.weight") };
    const config = JSON.parse(readFileSync(join(place, "adapter_config.json"), "utf8"));
    const adamw = JSON.parse(file.metadata.adamw!);
    /** What PEFT computed for each of its keys, by our names. */
    const expected = async (kind: string): Promise<Tensors> => {
      const all: Tensors = new Map();
      for (const key of file.names.filter((one) => one.startsWith(`${kind}.`)))
        all.set(key.slice(kind.length + 1), { shape: file.info(key).shape, data: await file.readF32(key) });
      const shapes = new Map([...all].map(([key, { shape }]) => [key, shape]));
      const { keys } = await importPeft(config, shapes, { config: checkpoint.config, score }, place);
      // A row of our A of the token table is a token's.
      const isTurned = (name: string) => name === "lora.wte.A";
      return new Map(
        [...keys].map(([name, key]) => [name, isTurned(name) ? transposed(all.get(key)!) : all.get(key)!]),
      );
    };
    const batch = await readBatch(file);
    const engine = await Engine.create(await testDevice(), {
      // An adapter of score learns beside a frozen score.weight: PEFT was given no task there.
      spec: adaptedSpec(meta, { config: checkpoint.config, train_head: name !== "score" }),
      capacity: { tokens: batch.ids.length, sequences: batch.rows.length },
      optimizer: { betas: adamw.betas, eps: adamw.eps, weight_decay: adamw.weight_decay, clip: 0 },
    });
    try {
      await loadBase(engine, checkpoint);
      writeTrained(engine, tensors);
      const { loss } = await engine.result(engine.gradients(batch));
      relative("logits", await targetLogits(engine, batch), await file.readF32("logits"), TOLERANCE.logits);
      const gradients = await expected("grad");
      const start = await expected("start");
      const learning = [...start.keys()].filter((one) => name !== "score" || one !== "head.weight");
      assert.equal(engine.trainableNames.toSorted(), learning.toSorted());
      for (const one of learning) {
        relative(one, await engine.readParameter(one), start.get(one)!.data, 0);
        relative(`gradient of ${one}`, await engine.readGradient(one), gradients.get(one)!.data, TOLERANCE.grad);
      }
      const losses = await file.readF32("losses");
      assert.ok(Math.abs(loss - losses[0]!) <= TOLERANCE.loss, `loss ${loss}`);
      for (const [step, want] of losses.entries()) {
        const result = await engine.result(engine.step([batch], adamw.lr)[0]!);
        assert.ok(Math.abs(result.loss - want) <= TOLERANCE.loss, `loss ${result.loss} of step ${step}`);
      }
      const final = await expected("final");
      for (const one of learning) {
        const got = await engine.readParameter(one);
        const [want, from] = [final.get(one)!.data, start.get(one)!.data];
        relative(`update of ${one}`, steady(one, got), steady(one, want), TOLERANCE.final, steady(one, from));
      }
    } finally {
      engine.destroy();
      await file.close();
      await checkpoint.close();
    }
  });

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

/** Without the bias of the keys: it has no true gradient, and Adam makes whole steps of rounding errors. */
function steady(name: string, values: Float32Array): Float32Array {
  const third = values.length / 3;
  return name.endsWith("c_attn.bias") ? values.filter((_, i) => i < third || i >= 2 * third) : values;
}

/** A fixture's padded rows, packed: messages without padding, classified at the last token, or a target per token. */
async function readBatch(file: SafetensorsFile): Promise<Batch> {
  const [ids, lengths, targets] = await Promise.all(["ids", "lengths", "labels"].map((key) => file.readI32(key)));
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
