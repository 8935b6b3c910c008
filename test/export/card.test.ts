/** What the model card of an export says. test/exchange reads it with huggingface_hub, and runs its code. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { writeDirectory } from "#platform";
import { type ExportKind, planExport } from "../../src/export/index.ts";
import { baseLicence } from "../../src/export/licence.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import { parseRecord } from "../../src/run/check-record.ts";
import { makeRecords } from "../fuzz/records.ts";
import { drawTensors, LM, testMeta } from "../helpers/adapters.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "someone", "tiny"));
writeFileSync(join(base, "README.md"), '---\nlanguage: en\nlicense: "Apache-2.0"\n---\n# Tiny\n');

let count = 0;

type Options = Parameters<typeof planExport>[2];

async function exported(rest: Partial<AdapterMeta> = {}, options: Options = {}, kind: ExportKind = "peft") {
  await using baseModel = await openBaseModel(base);
  const task = { ...TASKS.classification, head_bias: false };
  const meta = testMeta({}, { model: baseModel.config, base_model: base, task, ...rest });
  const { files } = await planExport(kind, { adapter: { meta, tensors: drawTensors(meta) }, baseModel }, options);
  const out = join(folder, `card ${++count}`);
  await writeDirectory(out, files);
  const card = readFileSync(join(out, "README.md"), "utf8");
  const [, front] = /^---\n(.*?)---\n/s.exec(card)!;
  return { out, files: [...files.keys()].sort(), card, front: parse(front!) };
}

test("a card says what the model is for; with its base model an adapter names no folder of its owner's", async () => {
  const settings = { maxLength: 12 };
  const task = { ...TASKS.classification, head_bias: false, pooling: "mean" } as const;
  const { out, files, card, front } = await exported({ settings, task }, { withBase: true });
  const own = ["README.md", "adapter_config.json", "adapter_model.safetensors", "lowrank.json", "lowrank.safetensors"];
  assert.equal(
    files.filter((name) => !name.startsWith("base/")),
    own,
  );
  for (const name of ["README.md", "adapter_config.json", "lowrank.json"]) {
    const text = readFileSync(join(out, name), "utf8");
    for (const place of [folder, "someone"]) assert.not.ok(text.includes(place), `${name}: ${place}`);
  }
  await using baseModel = await openBaseModel(base);
  const { meta } = await loadAdapter(out, baseModel);
  assert.equal([meta.labels, meta.base_model, meta.settings], [["ham", "spam"], "tiny", settings]);
  assert.equal(front, {
    ...{ library_name: "peft", pipeline_tag: "text-classification", license: "apache-2.0" },
    tags: ["lowrank", "peft", "lora"],
  });
  for (const words of ["ham or spam", "longer than 12 tokens", 'from_pretrained("base"'])
    assert.ok(card.includes(words), words);
});

test("the card of a model that was trained on chats has their template, and code that answers one", async () => {
  const template = "{% for message in messages %}{{ message.content }}\n{% endfor %}";
  const file = join(base, "tokenizer_config.json");
  writeFileSync(file, JSON.stringify({ chat_template: template }));
  const { card } = await exported({ ...LM, settings: { chat: true } });
  rmSync(file);
  for (const words of [
    `\`\`\`jinja\n${template}\n\`\`\``,
    "A GPT-2 that answers as in its chats.",
    "batch = tokenizer.apply_chat_template(messages, add_generation_prompt=True",
  ])
    assert.ok(card.includes(words), words);
  assert.not.match((await exported(LM)).card, /chat/i);
});

test("the card names a base model of the hub, its licence, and how the model is related to it", async () => {
  const hub = { base: { name: "openai-community/gpt2", place: "hub" } } as const;
  for (const [kind, relation] of [
    ["peft", "adapter"],
    ["merged", "finetune"],
  ] as const) {
    const { front, card } = await exported(LM, hub, kind);
    assert.equal([front.base_model, front.base_model_relation], ["openai-community/gpt2", relation]);
    assert.ok(card.includes("https://huggingface.co/openai-community/gpt2"));
    if (kind === "peft") assert.ok(card.includes('from_pretrained("openai-community/gpt2"'));
  }
});

const RECORDS = await Promise.all(makeRecords().map((json) => parseRecord(json, "run.json")));
const estimate = (value: number) => ({ value, low: value - 0.1, high: value + 0.1 });

test("the card has the measure that a run is judged by, and the data", async () => {
  const hub = { dataset: "owner/name:part" };
  for (const [objective, settings, key, [type, name, value]] of [
    ["classification", { dataset: "spam" }, "acc", ["accuracy", "Accuracy", 0.9]],
    ["regression", hub, "rmse", ["rmse", "RMSE", 1]],
    ["multi-label", {}, "micro_f1", ["f1", "Micro F1", 0.5]],
    ["lm", { dataset: "human-rights" }, "ppl", ["perplexity", "Perplexity", 7.5]],
  ] as const) {
    const record = RECORDS.find((one) => one.objective === objective)!;
    record.results!.test.compared[0].measured[key] = estimate(value);
    const data = "dataset" in settings ? {} : { file: "/home/someone/tickets\u0085.csv" };
    const { front, card } = await exported(objective === "lm" ? LM : {}, { record: { ...record, settings, data } });
    const [{ results: found }] = front["model-index"];
    assert.equal(found[0].metrics, [{ type, name, value }]);
    assert.equal(
      [found[0].dataset, front.datasets, front.language],
      {
        classification: [{ name: "spam", type: "spam", split: "test" }, undefined, ["en"]],
        regression: [{ name: "owner/name:part", type: "owner/name", split: "test" }, ["owner/name"], undefined],
        "multi-label": [{ name: "tickets\u0085.csv", type: "tickets\u0085.csv", split: "test" }, undefined, undefined],
        lm: [{ name: "human-rights", type: "human-rights", split: "test" }, undefined, ["en"]],
      }[objective],
    );
    for (const words of ["## Training", "## Results"]) assert.ok(card.includes(words), words);
  }
  // A run that was stopped has measured nothing.
  const { front } = await exported({}, { record: { ...RECORDS[0]!, results: null } });
  assert.is(front["model-index"], undefined);
});

test("the licence of a base model is that of its files, or of a known model", async () => {
  const at = (directory: string) => ({ directory }) as BaseModel;
  const bare = join(folder, "bare");
  mkdirSync(bare);
  assert.is(await baseLicence(at(base), { name: base, place: "folder" }), "apache-2.0");
  assert.is(await baseLicence(at(bare), { name: "gpt2-micro", place: "folder" }), undefined);
  for (const [name, place, licence] of [
    ["gpt2-micro", "package", "cc-by-4.0"],
    ["e5-small-cut", "package", "mit"],
    ["openai-community/gpt2-xl", "hub", "mit"],
    ["HuggingFaceTB/SmolLM2-135M-Instruct", "hub", "apache-2.0"],
    ["Qwen/Qwen2.5-3B", "hub", undefined],
  ] as const)
    assert.is(await baseLicence(at(bare), { name, place }), licence, name);
});
