/**
 * Adapters that real PEFT wrote on a model that real transformers wrote (test/exchange/make_fixtures.py; versions in
 * their metadata): the logits, loss, gradients of everything that learns and 10 AdamW steps that they compute in
 * float64.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { bytesReader } from "../../../src/data/corpus.ts";
import { openBaseModel } from "../../../src/io/hf.ts";
import { loadAdapter } from "../../../src/io/peft/open-adapter.ts";
import { adapterFiles } from "../../../src/io/peft/peft-write.ts";
import { SafetensorsFile } from "../../../src/io/safetensors/safetensors.ts";
import { assertSameBits } from "../../helpers/border.ts";
import { DEVICE_NAMES, testDevice } from "../../helpers/device.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { checkAdapter } from "../../helpers/peft-fixtures.ts";

const folder = packagePath("test/golden/peft");
const names = readdirSync(folder).filter((name) => name !== "base" && name !== "README.md");

const VIRTUAL = ["prefix", "prefix-lm", "prompt", "prompt-lm"];
/** PEFT repeats the head's names; what is saved of a prefix with a projection has none. */
const TRAINING = ["modules_to_save", "prefix_projection", "encoder_hidden_size"];

/** As for the other fixtures (src/train/golden.ts): of the whole tensor, and of its update after the last step. */
const TOLERANCE = { logits: 1e-4, loss: 1e-4, grad: 1e-4, final: 1e-3 };

test("the fixtures are here", () => {
  const lora = ["all-linear", "c_attn", "dora", "dora-some-layers", "lora-only-bias", "patterns", "some-layers", "wte"];
  assert.equal(names.sort(), [...lora, ...VIRTUAL].sort());
});

for (const name of VIRTUAL)
  test(`${name}: written again, the files are PEFT's but for settings that only training reads`, async () => {
    const baseModel = await openBaseModel(join(folder, "base"));
    const { meta, tensors } = await loadAdapter(join(folder, name), baseModel);
    await baseModel.close();
    const { files, peft } = await adapterFiles({ meta, tensors });
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

/** One of each method, for WebGPU. The kernels' own tests have the other devices. */
const OF_METHODS = ["all-linear", "dora", "prefix", "prompt"];

for (const name of names)
  for (const device of DEVICE_NAMES) {
    const declare = device === "wasm 1 thread" || (device === "webgpu" && OF_METHODS.includes(name)) ? test : testAll;
    declare(`${name}: logits, loss, gradients and 10 steps of AdamW are PEFT's and PyTorch's on ${device}`, async () =>
      checkAdapter(join(folder, "base"), join(folder, name), TOLERANCE, await testDevice(device)),
    );
  }
