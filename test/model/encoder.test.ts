/**
 * BERT, RoBERTa and XLM-R that transformers wrote, and adapters of them that PEFT wrote (test/golden/encoders): logits,
 * losses, every gradient and 10 steps of AdamW, as they and PyTorch compute them in float64.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath, writeDirectory } from "#platform";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { planExport } from "../../src/export/index.ts";
import { parseModelConfig } from "../../src/io/common.ts";
import { describeModel, openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import type { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import type { Mode } from "../../src/methods/index.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch } from "../../src/model/batch.ts";
import { parameterList } from "../../src/model/trainable.ts";
import type { Objective, Pooling } from "../../src/tasks/index.ts";
import { knownBase, resolveOptions } from "../../src/train/options.ts";
import { drawTensors, readAll, testMeta } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import {
  assertLoss,
  assertRelative,
  checkAdapter,
  readBatch,
  readGroup,
  type Tolerance,
  withExpected,
} from "../helpers/peft-fixtures.ts";
import { encoderModel, smallModel } from "../helpers/tiny.ts";

const folder = packagePath("test/golden/encoders");
const names = ["bert", "roberta", "xlm-roberta"];
/** Of a step: the bias of the keys has no true gradient, and Adam makes whole steps of rounding errors. */
const STEP_LOSS = 1e-5;
/** transformers in float32 is up to 4e-7 from these logits. */
const TOLERANCE: Tolerance = { logits: 2e-6, loss: 2e-6, grad: 1e-5, final: 1e-3 };
const TOKENS = { objective: "tokens", num_labels: 3, pooling: "last-token", head_bias: true } as const;

test("the fixtures are here", () => assert.equal(readdirSync(folder).toSorted(), ["README.md", ...names]));

test("what an encoder cannot do, or is computed otherwise, is refused by name", async () => {
  const path = join(folder, "roberta", "base", "config.json");
  const json = JSON.parse(readFileSync(path, "utf8"));
  const spec = { config: await parseModelConfig(json, path), mode: "all", lora: null, train_head: true } as const;
  await assertFails("unsupported-mode", ["RoBERTa", "a decoder"], () => parameterList({ ...spec, task: TASKS.lm }));
  for (const [key, value, word] of [
    ["pad_token_id", 3, "positions begin behind it"],
    ["position_embedding_type", "relative_key", "absolute"],
    ["is_decoder", true, "false"],
    ["max_position_embeddings", 2, "more than 2"],
  ] as const)
    await assertFails("unsupported-model-config", [key, word], () => parseModelConfig({ ...json, [key]: value }, path));
});

test("a folder of sentence-transformers says its pooling and its prompt; what is not read is refused by name", async () => {
  const directory = temporaryFolder();
  cpSync(join(folder, "bert", "base"), directory, { recursive: true });
  mkdirSync(join(directory, "1_Pooling"));
  const write = (name: string, json: unknown) => writeFileSync(join(directory, name), JSON.stringify(json));
  const module = (type: string) => ({ type: `sentence_transformers.models.${type}` });
  const modules = ["Transformer", "Pooling", "Normalize"].map(module);
  const prompts = { prompts: { query: "query: ", other: "x" }, default_prompt_name: "query" };
  const open = async () => {
    await using model = await openBaseModel(directory);
    const described = await describeModel(directory);
    assert.equal([described.pooling, described.vocabulary], [model.pooling, model.vocabulary]);
    return model;
  };
  const { vocabulary: plain } = await open();
  for (const [pooling, expected] of [
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false, word_embedding_dimension: 48 }, "cls"],
    [{ pooling_mode: "mean", include_prompt: true }, "mean"],
    [{ pooling_mode: ["cls"] }, "cls"],
  ] as const) {
    write("modules.json", modules);
    write("1_Pooling/config.json", pooling);
    write("config_sentence_transformers.json", prompts);
    const model = await open();
    assert.equal([model.pooling, model.vocabulary.prompt], [expected, "query: "]);
    // An adapter that was trained with the prompt does not fit a base without it.
    assert.is.not(model.vocabulary.fingerprint, plain.fingerprint);
    const chosen = (objective: Objective, given = {}) => resolveOptions(given, objective, knownBase(model)).pooling;
    assert.is(chosen("classification"), expected);
    assert.is(chosen("tokens"), "last-token");
    assert.is(chosen("regression", { pooling: "last-token" }), "last-token");
  }
  const [pooling, names] = ["1_Pooling/config.json", "config_sentence_transformers.json"];
  for (const [name, json, words] of [
    [names, { prompts: {}, default_prompt_name: "query" }, ["default_prompt_name", '"query"']],
    ["modules.json", [...modules, module("Dense")], ["Normalize", '"Dense"', "modules.json"]],
    ["sentence_bert_config.json", { do_lower_case: true }, ["do_lower_case"]],
    [pooling, { pooling_mode_weightedmean_tokens: true }, ["mean or cls", '"weightedmean"']],
    [pooling, { pooling_mode: ["cls", "max"] }, ['"cls, max"']],
    [pooling, { pooling_mode: "mean", include_prompt: false }, ["include_prompt"]],
  ] as const) {
    const before = existsSync(join(directory, name)) ? readFileSync(join(directory, name)) : "{}";
    write(name, json);
    await assertFails("unsupported-model-config", [...words], open);
    writeFileSync(join(directory, name), before);
  }
  const { config } = await openBaseModel(smallModel(join(directory, "gpt2")));
  const spec = { config, mode: "all", lora: null, train_head: true } as const;
  const task = { ...TASKS.classification, pooling: "cls" } as const;
  await assertFails("unsupported-mode", ["encoders", "GPT-2"], () => parameterList({ ...spec, task }));
});

const HEADS = [
  ["bert", "classifier", "bert.pooler.dense"],
  ["roberta", "classifier.out_proj", "classifier.dense"],
] as const;

test("an encoder's head for texts is read at our pooling: by the README's code, and from PEFT by no one", async () => {
  for (const [name, head] of HEADS) {
    const directory = temporaryFolder();
    cpSync(join(folder, name), directory, { recursive: true });
    await using opened = await openBaseModel(join(directory, "base"));
    const frame = { prompt: 'say "it": ', closes: true };
    const baseModel = { ...opened, vocabulary: { ...opened.vocabulary, ...frame } };
    const pairs = { columns: ["first", "second"] };
    for (const [kind, pooling, token, row] of [
      ["peft", "cls", "first", "x[:, 0]"],
      ["merged", "last-token", "last", "x[range(len(x)), (mask.sum((1, 2)) - 1).tolist()]"],
    ] as const) {
      const task = { ...TASKS.classification, pooling, head_bias: true };
      const meta = testMeta({ target_modules: ["q"] }, { model: opened.config, task, settings: { pairs } });
      const { files, notes } = await planExport(kind, { adapter: { meta, tensors: drawTensors(meta) }, baseModel });
      assert.match(notes[0]!, "has a layer before the head that was not trained");
      const readme = String(files.get("README.md"));
      for (const words of [
        `**It classifies by a text's ${token} token`,
        "has a layer before the head that was not trained",
        'prompt = "say \\"it\\": "',
        'tokenizer([prompt + "some text"], [prompt + "another text"], padding=True, return_token_type_ids=False, ',
        `logits = model.${head}(${row})`,
      ])
        assert.ok(readme.includes(words), `${words}: ${readme}`);
      assert.not.match(readme, /pad_token|TemplateProcessing/);
      const json = (file: string) => JSON.parse(String(files.get(file)));
      if (kind === "merged") {
        // RoBERTa counts positions from it.
        assert.is(json("config.json").pad_token_id, { bert: 0, roberta: 1 }[name]);
        assert.is(json("config_sentence_transformers.json").prompts.default, frame.prompt);
        continue;
      }
      const { task_type, modules_to_save } = json("adapter_config.json");
      assert.equal([task_type, modules_to_save.at(-1)], [null, name === "bert" ? "score" : head]);
    }
    const settings = join(directory, "lora", "adapter_config.json");
    const peft = JSON.parse(readFileSync(settings, "utf8"));
    writeFileSync(settings, JSON.stringify({ ...peft, task_type: "SEQ_CLS" }));
    await assertFails("unsupported-adapter-config", ["SEQ_CLS", "TOKEN_CLS", "a layer that is not read"], () =>
      loadAdapter(join(directory, "lora"), opened),
    );
  }
});

test("merged, the layer before an encoder's head passes a text's first token, and is no part of a base model", async () => {
  for (const [name, head, layer] of HEADS)
    for (const [dtype, part, temperature] of [
      ["f32", 2 ** -14, 1],
      ["f16", 2 ** -10, 2],
    ] as const) {
      const base = encoderModel(join(temporaryFolder(), name), name);
      // Some name no class: a GPT-2's would read another tokenizer.
      writeFileSync(join(base, "tokenizer_config.json"), JSON.stringify({ eos_token: "w1" }));
      await using baseModel = await openBaseModel(base);
      const { config: model, names } = baseModel;
      const exported = async (pooling: Pooling) => {
        const task = { ...TASKS["multi-label"], pooling, head_bias: true };
        const rest = { model, task, labels: ["a", "b", "c"], settings: { temperature } };
        const meta = testMeta({ target_modules: ["q", "head"] }, rest);
        const plan = await planExport(
          "merged",
          { adapter: { meta, tensors: drawTensors(meta) }, baseModel },
          { dtype },
        );
        const directory = temporaryFolder();
        await writeDirectory(directory, plan.files);
        await using back = await openBaseModel(directory);
        assert.equal(back.names, names);
        return { ...plan, tensors: await readAll(join(directory, "model.safetensors")) };
      };
      const { files, notes, tensors: written } = await exported("cls");
      const { tensors: usual } = await exported("mean");
      const C = model.n_embd;
      const identity = Float32Array.from({ length: C * C }, (_, i) => (i % (C + 1) === 0 ? part : 0));
      assert.equal(written.get(`${layer}.weight`), { shape: [C, C], data: identity });
      assert.equal(written.get(`${layer}.bias`), { shape: [C], data: new Float32Array(C) });
      // Powers of two: not a bit is lost.
      const { data } = written.get(`${head}.weight`)!;
      const expected = usual.get(`${head}.weight`)!.data;
      if (dtype === "f32")
        assert.equal(
          data.map((value) => value * part),
          expected,
        );
      else
        assertRelative(
          "head",
          data.map((value) => value * part),
          expected,
          1e-3,
        );
      for (const [key, tensor] of usual) if (key !== `${head}.weight`) assert.equal(written.get(key), tensor, key);
      assert.is(written.size, usual.size + 2);
      // So transformers' class alone classifies as the run.
      const readme = String(files.get("README.md"));
      assert.equal(notes, []);
      assert.match(
        readme,
        'transformers reads a text\'s first token, as in training, also in pipeline("text-classification").',
      );
      assert.match(readme, "logits = model.eval()(**batch).logits");
      const json = (file: string) => JSON.parse(String(files.get(file)));
      assert.is(json("config.json").problem_type, "multi_label_classification");
      assert.is(json("tokenizer_config.json").tokenizer_class, "PreTrainedTokenizerFast");
    }
});

/** Runs `body` with a model and the head of its fixture. */
async function withModel(
  name: string,
  mode: Mode,
  body: (engine: Engine, batch: Batch, file: SafetensorsFile) => Promise<void>,
): Promise<void> {
  const base = join(folder, name, "base");
  await using baseModel = await openBaseModel(base);
  await withExpected(base, async (file) => {
    const batch = await readBatch(file);
    const { betas, eps, weight_decay } = JSON.parse(file.metadata.adamw!);
    const engine = await Engine.create(await testDevice(), {
      spec: { config: baseModel.config, task: TOKENS, mode, lora: null, train_head: true },
      capacity: { tokens: batch.ids.length, sequences: batch.starts.length - 1 },
      optimizer: new AdamW({ betas, eps, weight_decay, clip: 0 }),
    });
    try {
      await loadBase(engine, baseModel);
      const weights = [...baseModel.files!.values()][0]!;
      for (const part of ["weight", "bias"])
        engine.writeParameter(`head.${part}`, await weights.readF32(`classifier.${part}`));
      await body(engine, batch, file);
    } finally {
      engine.destroy();
    }
  });
}

for (const name of names) {
  testOnDevices(`${name}: logits, loss and gradients are transformers' and PyTorch's`, () =>
    withModel(name, "all", async (engine, batch, file) => {
      const { loss } = await engine.result(engine.gradients(batch));
      assertRelative(
        "logits",
        await engine.logits(batch.targets.length),
        await file.readF32("logits"),
        TOLERANCE.logits,
      );
      assertLoss("loss", loss, (await file.readF32("loss"))[0]!, TOLERANCE.loss);
      // The gradients as a checkpoint: their names and places become ours as those of weights do.
      const all = [...(await readGroup(file, "grad."))];
      const directory = temporaryFolder();
      cpSync(join(folder, name, "base", "config.json"), join(directory, "config.json"));
      const tensors = all.map(([name, { shape, data }]) => ({ name, shape, data, dtype: "F32" as const }));
      writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors));
      await using gradients = await openBaseModel(directory);
      const ofHead = new Map(all.map(([key, { data }]) => [key.replace("classifier", "head"), data]));
      for (const one of engine.trainableNames) {
        const want = ofHead.get(one) ?? (await gradients.read(one));
        assertRelative(`gradient of ${one}`, await engine.readGradient(one), want, TOLERANCE.grad);
      }
    }),
  );

  for (const mode of ["all", "bitfit"] as const)
    testOnDevices(`${name}: the losses of 10 steps of mode ${mode} are PyTorch's`, () =>
      withModel(name, mode, async (engine, batch, file) => {
        const { lr } = JSON.parse(file.metadata.adamw!);
        for (const [step, want] of (await file.readF32(`steps.${mode}`)).entries()) {
          const result = await engine.result(engine.step([batch], lr)[0]!);
          assertLoss(`loss of step ${step}`, result.loss, want, STEP_LOSS);
        }
      }),
    );

  for (const form of ["lora", "dora"])
    testOnDevices(
      `${name}: logits, loss, gradients and 10 steps of an adapter (${form}) are PEFT's and PyTorch's`,
      () => checkAdapter(join(folder, name, "base"), join(folder, name, form), TOLERANCE),
    );
}
