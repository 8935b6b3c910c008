/** What is opened is closed at the end of its block with `await using`; a model that is forgotten is freed. */
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { openBackend, openDevice } from "../../src/backend/device.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { loadModel } from "../../src/io/hf.ts";
import { drawTensors } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { tinyModel } from "../helpers/tiny.ts";

const model = tinyModel(join(temporaryFolder(), "model"));

test("await using: a device, a base model and a language model", async () => {
  const used = await (async () => {
    await using device = await openDevice("wasm", { threads: 1 });
    await using baseModel = await loadModel(model);
    await using lm = await LanguageModel.load(model, { device });
    assert.is((await lm.complete("a", { maxNewTokens: 1 })).length, 1);
    return { device, baseModel, lm };
  })();
  await assertFails("already-destroyed", ["the model was destroyed"], () => used.lm.complete("a"));
  await assertFails("already-destroyed", ["the model is closed"], () => used.baseModel.read("ln_f.weight"));
  await assertFails("already-destroyed", [], () => LanguageModel.load(model, { device: used.device }));
});

/** A device that counts the sessions that are open. */
function counting(device: Backend) {
  const state = { open: 0, backend: null as unknown as Backend };
  state.backend = {
    info: device.info,
    limits: device.limits,
    destroy: () => device.destroy(),
    async prepare(...args) {
      const session = await device.prepare(...args);
      state.open++;
      let isOpen = true;
      return new Proxy(session, {
        get(target, key) {
          const value = Reflect.get(target, key);
          if (key !== "destroy") return typeof value === "function" ? value.bind(target) : value;
          return () => {
            if (isOpen) state.open--;
            isOpen = false;
            target.destroy();
          };
        },
      });
    },
  };
  return state;
}

const META = {
  base_model: model,
  mode: "last_layer",
  lora: null,
  task: { ...TASKS.classification, head_bias: true },
  labels: ["a", "b"],
  settings: {},
} as const;

test("a classifier whose tokenizer cannot be loaded leaves nothing on the device", async () => {
  await using device = await openBackend("wasm", { threads: 1 });
  await using baseModel = await loadModel(model);
  const state = counting(device);
  const broken = {
    ...baseModel,
    get vocabulary(): never {
      throw new Error("no vocabulary");
    },
  };
  const meta = { ...META, model: baseModel.config, labels: [...META.labels] };
  const error = await Classifier.of({ meta, tensors: drawTensors(meta) }, broken, state.backend).catch(
    (reason) => reason,
  );
  assert.is(error.message, "no vocabulary");
  assert.is(state.open, 0);
});

test("models that are forgotten without destroy are freed by the garbage collector", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await using device = await openBackend("wasm", { threads: 1 });
  const state = counting(device);
  const use = async () => {
    const lm = await LanguageModel.load(model, { device: state.backend });
    await lm.complete("a", { maxNewTokens: 1 });
    for await (const _ of lm.generate("a")) break;
    const baseModel = await loadModel(model);
    const meta = { ...META, model: baseModel.config, labels: [...META.labels] };
    const classifier = await Classifier.of({ meta, tensors: drawTensors(meta) }, baseModel, state.backend);
    await classifier.classify("see you");
    await baseModel.close();
  };
  await use();
  assert.is(state.open, 2);
  for (let i = 0; i < 50 && state.open > 0; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.is(state.open, 0);
});
