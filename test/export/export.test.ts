/** Exports: the merged model by value, and errors. test/exchange compares with PEFT and transformers themselves. */

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { joinPath, packagePath, writeDirectory } from "#platform";
import { textContext } from "../../src/core/config.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { baseShapes, type Target } from "../../src/core/names.ts";
import type { CommonDtype } from "../../src/core/tensor.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase, writeTrained } from "../../src/engine/state.ts";
import { EXPORT, type ExportKind, planExport, refuseExport } from "../../src/export/index.ts";
import { plan as planPeft } from "../../src/export/peft.ts";
import { WEIGHTS } from "../../src/io/common.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { marked, ownFiles, writeFolder } from "../../src/io/marker.ts";
import { adaptedSpec, baseDtype } from "../../src/io/peft/adapter-meta.ts";
import { loadAdapter, openAdapter } from "../../src/io/peft/open-adapter.ts";
import { type Adapter, type AdapterMeta, readAdapter } from "../../src/io/peft/peft.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import { drawTensors, LM, modeMeta, readAll, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { ALL_TARGETS, IN_BLOCKS, RELATIVE, randomBatch, SMALL, TASKS } from "../helpers/models.ts";
import { smallModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
/** Tolerance for float32 forward passes that sum in different orders. */
const LOGITS = { atol: 2e-5, rtol: 1e-4 };

const baseDirectory = smallModel(join(folder, "base"));
const MEAN = { ...TASKS.classification, pooling: "mean" } as const;

function metaFor(lora: Partial<LoraConfig> | null, rest: Partial<AdapterMeta> = {}): AdapterMeta {
  const meta = testMeta(lora ?? {}, { model: SMALL, base_model: baseDirectory, ...rest });
  return lora === null ? { ...meta, lora: null } : meta;
}

async function exported(kind: ExportKind, meta: AdapterMeta, name: string, dtype?: CommonDtype) {
  const directory = join(folder, `${name}-adapter`);
  await writeAdapter(directory, { meta, tensors: small(meta) });
  const opened = await openAdapter(directory);
  const plan = await planExport(kind, opened, dtype === undefined ? {} : { dtype });
  const out = join(folder, name);
  await writeFolder(out, marked(plan.files, EXPORT), EXPORT, false);
  return { ...opened, ...plan, out };
}

/** Trained tensors that give logits of ordinary size. */
function small(meta: AdapterMeta): Adapter["tensors"] {
  const tensors = drawTensors(meta);
  for (const [name, { data }] of tensors)
    for (let i = 0; i < data.length; i++) data[i] = data[i]! * 0.3 + (/ln_\w+\.weight$/.test(name) ? 1 : 0);
  return tensors;
}

async function logits(meta: AdapterMeta, directory: string, tensors: Adapter["tensors"]): Promise<Float32Array> {
  const spec = adaptedSpec(meta, { config: SMALL, train_head: true, dtype: baseDtype(meta) });
  const lengths = [5, 1, textContext(SMALL, spec), 9];
  const isLm = meta.task.objective === "lm";
  const engine = await Engine.create(await testDevice("wasm 1 thread"), {
    spec,
    capacity: { tokens: 39, sequences: 4 },
    optimizer: null,
  });
  const baseModel = await openBaseModel(directory);
  try {
    await loadBase(engine, baseModel);
    writeTrained(engine, tensors);
    engine.forward(randomBatch(spec, lengths, 5));
    return await engine.logits(isLm ? 39 : lengths.length);
  } finally {
    engine.destroy();
    await baseModel.close();
  }
}

const SITES: LoraConfig["sites"] = [
  { site: "h.0.attn.c_attn", r: 5, scale: 0.7 },
  { site: "h.1.attn.o", r: 2, scale: 1.5 },
  { site: "h.1.mlp.proj", r: 3, scale: -0.25 },
];
const sites = { sites: SITES, target_modules: ["c_attn", "o", "proj"] as Target[] };

for (const [name, meta] of Object.entries({
  "r 3 on everything": metaFor({ target_modules: ALL_TARGETS }),
  "q and v": metaFor({ target_modules: ["q", "v"], scaling: "alpha/sqrt(r)" }),
  "mixed ranks, biases and the final norm": metaFor({
    ...sites,
    modulesToSave: ["h.0.attn.c_attn.bias", "h.1.attn.c_proj.bias", "h.1.mlp.c_proj.bias", "ln_f.weight", "ln_f.bias"],
  }),
  "DoRA on everything in the blocks": metaFor({ target_modules: IN_BLOCKS, use_dora: true }),
  "DoRA on q and v, a base in f16": metaFor(
    { target_modules: ["q", "v"], use_dora: true },
    { settings: { dtype: "f16" } },
  ),
  "DoRA with mixed ranks and biases": metaFor({ ...sites, use_dora: true, modulesToSave: ["h.0.attn.c_attn.bias"] }),
  "a regression": metaFor({}, { task: { ...TASKS.regression, head_bias: true }, labels: ["score"] }),
  "several labels a message": metaFor({}, { task: TASKS["multi-label"], labels: ["a", "b", "c"] }),
  "a bias of the head": metaFor({}, { task: { ...TASKS.classification, head_bias: true } }),
  all: metaFor(null, { mode: "all" }),
  last_block: metaFor(null, { mode: "last_block" }),
  last_layer: metaFor(null, { mode: "last_layer", task: { ...TASKS.classification, head_bias: true } }),
  bitfit: metaFor(null, { mode: "bitfit", task: { ...TASKS.classification, head_bias: true } }),
  "a base in f16": metaFor({ target_modules: ["q"] }, { settings: { dtype: "f16" } }),
  "last_block, a base in f16": metaFor(null, { mode: "last_block", settings: { dtype: "f16" } }),
}))
  test(`merged, ${name}: the merged model's logits are the run's`, async () => {
    const { out, adapter, losses } = await exported("merged", meta, `merged ${name}`);
    assert.equal(losses, []);
    const ours = await logits(meta, baseDirectory, adapter.tensors);
    const score = (await readAll(join(out, "model.safetensors"))).get("score.weight")!;
    const bare: AdapterMeta = {
      ...meta,
      mode: "last_layer",
      lora: null,
      settings: {},
      task: { ...meta.task, head_bias: false },
    };
    assertAllClose("logits", await logits(bare, out, new Map([["head.weight", score]])), ours, LOGITS);
  });

test("merged, in f16: half the bytes, each value the nearest one", async () => {
  const meta = metaFor({ target_modules: ["q", "v"] });
  const { out } = await exported("merged", meta, "merged f32");
  const half = await exported("merged", meta, "merged f16", "f16");
  const [values, rounded] = [await readAll(join(out, WEIGHTS)), await readAll(join(half.out, WEIGHTS))];
  for (const [name, { data }] of values)
    assertAllClose(name, rounded.get(name)!.data, halfToFloat(floatToHalf(data)), { atol: 0, rtol: 0 });
  const bytes = (directory: string) => statSync(join(directory, WEIGHTS)).size;
  assert.ok(bytes(half.out) < 0.6 * bytes(out), `${bytes(half.out)} of ${bytes(out)}`);
  assert.is(JSON.parse(readFileSync(join(half.out, "config.json"), "utf8")).torch_dtype, "float16");
});

test("a type that a form does not have is refused", async () => {
  await assertFails("options-conflict", ["f32 or f16"], () => exported("merged", metaFor({}), "merged q8", "q8"));
});

test("a merged directory: transformers' names, the classes, the padding, the tokenizer", async () => {
  const { out, baseModel } = await exported("merged", metaFor({}, { settings: { maxLength: 17 } }), "merged");
  assert.equal(readdirSync(out).sort(), [
    "README.md",
    "config.json",
    "lowrank-files.json",
    "merges.txt",
    "model.safetensors",
    "tokenizer_config.json",
    "vocab.json",
  ]);
  const json = (name: string) => JSON.parse(readFileSync(join(out, name), "utf8"));
  const { architectures, id2label, label2id, pad_token_id, resid_pdrop, torch_dtype } = json("config.json");
  assert.equal(
    { architectures, id2label, label2id, pad_token_id, resid_pdrop, torch_dtype },
    {
      architectures: ["GPT2ForSequenceClassification"],
      id2label: { 0: "ham", 1: "spam" },
      label2id: { ham: 0, spam: 1 },
      pad_token_id: 4,
      resid_pdrop: 0.1,
      torch_dtype: "float32",
    },
  );
  const end = "<|endoftext|>";
  assert.equal(json("tokenizer_config.json"), {
    add_prefix_space: false,
    bos_token: end,
    eos_token: end,
    model_max_length: 17,
    pad_token: end,
    padding_side: "right",
    tokenizer_class: "GPT2Tokenizer",
    truncation_side: "right",
    unk_token: end,
  });
  const tensors = await readAll(join(out, "model.safetensors"));
  const expected = [...baseShapes(SMALL).keys()].map((name) => `transformer.${name}`);
  assert.equal([...tensors.keys()].sort(), [...expected, "score.weight"].sort());
  assert.ok(readFileSync(join(out, "README.md"), "utf8").includes("4, \\<|endoftext\\|\\>".replace("<|", "<\\|")));
  await baseModel.close();
});

test("the problem_type of transformers, the code for each, and thresholds that it has not", async () => {
  const settings = { thresholds: [0.5, 0.25, 0.5] };
  for (const [name, meta, type, code, lost] of [
    ["one class", metaFor({}), "single_label_classification", "softmax(-1)", 0],
    ["a score", metaFor({}, { task: TASKS.regression, labels: ["score"] }), "regression", "logits[0].item()", 0],
    [
      "labels",
      metaFor({}, { task: TASKS["multi-label"], labels: ["a", "b", "c"], settings }),
      "multi_label_classification",
      "sigmoid()",
      1,
    ],
  ] as const)
    for (const kind of ["merged", "peft"] as const) {
      const { out, losses, baseModel } = await exported(kind, meta, `${name} ${kind}`);
      const readme = readFileSync(join(out, "README.md"), "utf8");
      assert.ok(readme.includes(code), `${name}: ${code}`);
      assert.is(losses.length, lost);
      if (kind === "merged") {
        const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
        assert.equal([config.problem_type, config.num_labels], [type, meta.labels.length]);
      } else if (type !== "single_label_classification") assert.ok(readme.includes(`problem_type="${type}"`));
      await baseModel.close();
    }
});

test("a language model: the head stays tied, or is untied if it has an adapter", async () => {
  const meta = metaFor({ target_modules: ["c_attn", "head"] }, { task: TASKS.lm, labels: [] });
  const { out, adapter } = await exported("merged", meta, "lm");
  const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
  assert.equal([config.architectures, config.tie_word_embeddings], [["GPT2LMHeadModel"], false]);
  const merged = await readAll(join(out, "model.safetensors"));
  const wte = merged.get("transformer.wte.weight")!.data;
  const [A, B] = ["A", "B"].map((part) => adapter.tensors.get(`lora.head.${part}`)!.data);
  const C = SMALL.n_embd;
  const head = Float64Array.from(wte, (value, i) => {
    let sum = value;
    for (let k = 0; k < 3; k++) sum += (5 / 3) * B![Math.floor(i / C) * 3 + k]! * A![k * C + (i % C)]!;
    return sum;
  });
  assertAllClose("lm_head", merged.get("lm_head.weight")!.data, head, { atol: 1e-6, rtol: 1e-6 });
  const tied = await exported(
    "merged",
    metaFor({ target_modules: ["c_attn"] }, { task: TASKS.lm, labels: [] }),
    "lm tied",
  );
  assert.not.ok((await readAll(join(tied.out, "model.safetensors"))).has("lm_head.weight"));
  const peft = await exported("peft", meta, "lm peft");
  assert.is(JSON.parse(readFileSync(join(peft.out, "adapter_config.json"), "utf8")).task_type, "CAUSAL_LM");
});

test("a relative of GPT-2 keeps its options and its head, frozen or trained, in both forms", async () => {
  const model = { ...SMALL, ...RELATIVE };
  const base = smallModel(join(folder, "relative"), model);
  const rest = { task: TASKS.lm, labels: [], model, base_model: base };
  const frozen = await exported("merged", metaFor({ target_modules: ["c_attn", "proj"] }, rest), "relative frozen");
  const head = (await readAll(join(base, "model.safetensors"))).get("lm_head.weight")!;
  assert.equal((await readAll(join(frozen.out, "model.safetensors"))).get("lm_head.weight"), head);
  const trained = metaFor({ ...sites, modulesToSave: ["lm_head.weight"] }, rest);
  const merged = await exported("merged", trained, "relative trained");
  const written = await readAll(join(merged.out, "model.safetensors"));
  assert.equal(written.get("lm_head.weight"), merged.adapter.tensors.get("lm_head.weight"));
  assert.equal((await openBaseModel(merged.out)).config, model);
  const { out, baseModel: opened, adapter } = await exported("peft", trained, "relative peft");
  assert.equal(JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8")).modules_to_save, ["lm_head"]);
  assert.equal((await loadAdapter(out, opened)).tensors, adapter.tensors);
  await assertFails("wrong-base-model", ["scale_attn_by_inverse_layer_idx = true", "= the default"], () =>
    openAdapter(join(folder, "relative frozen-adapter"), baseDirectory),
  );
  // Also where only the file says that the head is not the token table.
  writeFileSync(join(base, "config.json"), JSON.stringify({ ...model, tie_word_embeddings: true }));
  const said = await exported("merged", metaFor({ target_modules: ["c_attn"] }, rest), "relative said");
  assert.is(JSON.parse(readFileSync(join(said.out, "config.json"), "utf8")).tie_word_embeddings, false);
});

test("a prompt or a prefix for PEFT comes back, with a bias of the head folded", async () => {
  for (const mode of ["prompt", "prefix"] as const)
    for (const rest of [{ task: { ...TASKS.classification, head_bias: true } }, LM]) {
      const name = `peft ${mode} ${rest.task!.objective}`;
      const { out, baseModel, adapter, losses } = await exported(
        "peft",
        metaFor(null, { ...modeMeta(mode), ...rest }),
        name,
      );
      assert.equal([losses, readdirSync(out).length], [[], 4], name);
      const back = await loadAdapter(out, baseModel);
      await baseModel.close();
      assert.equal(back.meta.num_virtual_tokens, 4);
      assert.equal(back.tensors.get(`${mode}.weight`), adapter.tensors.get(`${mode}.weight`));
      const readme = readFileSync(join(out, "README.md"), "utf8");
      assert.match(readme, `# GPT-2 with ${mode} tuning`);
      assert.is(readme.includes("transformers\\<5.24"), mode === "prefix" || rest === LM, name);
      if (rest === LM) continue;
      const ours = await logits(adapter.meta, baseDirectory, adapter.tensors);
      assertAllClose(name, await logits(back.meta, baseDirectory, back.tensors), ours, LOGITS);
      // In PEFT a prompt is given as embeddings: no ids tell the padding.
      const alone = mode === "prompt";
      assert.match(readme, `tokenizer(["some text"], ${alone ? "" : "padding=True, "}truncation=True, max_length=20`);
      assert.match(readme, alone ? "one by one, without padding" : "on the right");
    }
});

test("the README of an export has the Python code to load it", async () => {
  const python = async (kind: ExportKind, meta: AdapterMeta) => {
    const { out, baseModel } = await exported(
      kind,
      meta,
      `python ${kind} ${meta.mode} ${meta.task.objective} ${meta.task.pooling}`,
    );
    await baseModel.close();
    const readme = readFileSync(join(out, "README.md"), "utf8").replaceAll(baseDirectory, "BASE");
    return /```python\n([^`]*)\n```/.exec(readme)![1]!.split("\n");
  };
  const batch = [
    'batch = tokenizer(["some text"], padding=True, truncation=True, max_length=17, return_tensors="pt")',
    "logits = model.eval()(**batch).logits",
    "print(dict(zip(model.config.id2label.values(), logits[0].softmax(-1).tolist())))",
  ];
  const text = [
    'batch = tokenizer("Once upon a time", return_tensors="pt")',
    "print(tokenizer.decode(model.eval().generate(**batch, max_new_tokens=60)[0]))",
  ];
  const merged = (auto: string) => [
    `from transformers import AutoTokenizer, ${auto}`,
    'tokenizer = AutoTokenizer.from_pretrained(".")',
    `model = ${auto}.from_pretrained(".")`,
  ];
  const adapter = (auto: string, ...base: string[]) => [
    "import torch",
    "from peft import PeftModel",
    `from transformers import AutoTokenizer, ${auto}`,
    'tokenizer = AutoTokenizer.from_pretrained("BASE", pad_token="<|endoftext|>", padding_side="right")',
    `base = ${auto}.from_pretrained("BASE", dtype=torch.float32${base[0]}`,
    ...base.slice(1),
    'model = PeftModel.from_pretrained(base, ".")',
  ];
  const classifier = metaFor({}, { settings: { maxLength: 17 } });
  const writer = metaFor({}, { task: TASKS.lm, labels: [] });
  const num = ', num_labels=2, pad_token_id=4, problem_type="single_label_classification",';
  const id2label = '    id2label={"0":"ham","1":"spam"})';
  assert.equal(await python("merged", classifier), [...merged("AutoModelForSequenceClassification"), ...batch]);
  assert.equal(await python("peft", classifier), [
    ...adapter("AutoModelForSequenceClassification", num, id2label),
    ...batch,
  ]);
  assert.equal(await python("merged", writer), [...merged("AutoModelForCausalLM"), ...text]);
  assert.equal(await python("peft", writer), [...adapter("AutoModelForCausalLM", ")"), ...text]);
  const ofMean = [
    "# The mean, not the last token.",
    'mask = batch["attention_mask"].unsqueeze(-1)',
    "x = model.eval()(**batch, output_hidden_states=True).hidden_states[-1][:, -mask.shape[1]:]",
    "logits = model.score((x * mask).sum(1) / mask.sum(1))",
  ];
  const rest = { settings: { maxLength: 17 }, task: MEAN };
  for (const [kind, meta] of [
    ["merged", metaFor({}, rest)],
    ["peft", metaFor({}, rest)],
    ["peft", metaFor(null, { ...modeMeta("prompt"), ...rest })],
  ] as const)
    assert.equal((await python(kind, meta)).slice(-6), [batch[0], ...ofMean, batch[2]]);
});

test("mean pooling is told before all else, and is what is read back, also where a bias was dropped", async () => {
  const task = { ...MEAN, head_bias: true };
  const meta = metaFor({ target_modules: ["q", "v"] }, { task });
  const tensors = small(meta);
  tensors.get("head.bias")!.data.set([0.25, -0.5]);
  const baseModel = await openBaseModel(baseDirectory);
  const opened = { adapter: { meta, tensors }, baseModel };
  for (const kind of ["peft", "merged"] as const) {
    const { files, notes } = await planExport(kind, opened);
    assert.match(notes[0]!, "mean of a text's tokens");
    const readme = String(files.get("README.md"));
    // In the first line, then the code, before all else.
    const [first, usage] = readme
      .replace(/^---.*?\n---\n/s, "")
      .split(/^#.*\n+/m)
      .slice(1);
    assert.match(first!, /^\*\*It classifies by the mean of a text's tokens/);
    assert.match(usage!, "```python");
    if (kind === "merged") continue;
    const out = join(folder, `mean ${kind}`);
    await writeDirectory(out, files);
    // PEFT's automatic classes refuse it: they would read the last token.
    assert.is(JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8")).task_type, null);
    const back = await loadAdapter(out, baseModel);
    assert.equal([back.meta.task, back.meta.labels], [task, meta.labels]);
    assert.equal(back.tensors, tensors);
  }
  const norm = { weight: new Float32Array(SMALL.n_embd).fill(1), bias: new Float32Array(SMALL.n_embd) };
  const dropped = join(folder, "mean dropped");
  const { files } = await planPeft(
    { ...opened, finalNorm: norm, base: { name: baseDirectory, place: "folder" }, record: undefined },
    { withBase: false, dtype: undefined, title: undefined },
  );
  await writeDirectory(dropped, files);
  const back = await loadAdapter(dropped, baseModel);
  assert.equal([back.meta.task, [...back.tensors.get("head.bias")!.data]], [task, [0, 0]]);
  await baseModel.close();
});

test("with its base model an export has all that its code reads, in one file or in shards, and is replaced whole", async () => {
  const read = (...path: string[]) => readFileSync(join(folder, ...path));
  const tokenizer = ["merges.txt", "vocab.json"];
  const sharded = join(folder, "sharded");
  mkdirSync(sharded);
  const names = [...baseShapes(SMALL).keys()];
  const index = { weight_map: Object.fromEntries(names.map((name) => [name, "b.safetensors"])) };
  writeFileSync(join(sharded, "model.safetensors.index.json"), JSON.stringify(index));
  for (const [from, to] of [
    ["config.json"],
    ["model.safetensors", "b.safetensors"],
    ...tokenizer.map((name) => [name]),
  ])
    writeFileSync(join(sharded, to ?? from!), read("base", from!));
  for (const base of ["base", "sharded"]) {
    const meta = metaFor({}, { base_model: join(folder, base) });
    const baseModel = await openBaseModel(join(folder, base));
    const opened = { adapter: { meta, tensors: small(meta) }, baseModel };
    const out = join(folder, `carried ${base}`);
    const { files } = await planExport("peft", opened, { withBase: true });
    await writeFolder(out, marked(files, EXPORT), EXPORT, false);
    for (const name of readdirSync(join(folder, base)))
      assert.equal(read(`carried ${base}`, "base", name), read(base, name), name);
    assert.match(read(`carried ${base}`, "README.md").toString(), 'from_pretrained("base", dtype');
    await (await openBaseModel(join(out, "base"))).close();
    const names = [...files.keys(), EXPORT.name].sort();
    assert.equal([...(await ownFiles(out, EXPORT)).keys()].sort(), names);
    await assertFails("options-conflict", ["--to merged has the base model in it"], () =>
      planExport("merged", opened, { withBase: true }),
    );
    await baseModel.close();
  }
});

test("what PEFT or transformers cannot express is reported before anything is written", async () => {
  const plan = async (kind: ExportKind, meta: AdapterMeta) => {
    const baseModel = await openBaseModel(baseDirectory);
    try {
      return await planExport(kind, { adapter: { meta, tensors: small(meta) }, baseModel });
    } finally {
      await baseModel.close();
    }
  };
  const scales = [0.5, 1].map((scale, i) => ({ site: `h.0.attn.${"qk"[i]}`, r: 2, scale }));
  const unequal = metaFor({ target_modules: ["q", "k"], sites: scales });
  const kept = ["adapter layers (--mode adapter)", "keep the run's directory"];
  const cases: [ExportKind, ErrorCode, words: string[], meta: AdapterMeta][] = [
    ["peft", "not-expressible-in-format", ["mode last_block", "--to merged"], metaFor(null, { mode: "last_block" })],
    ["peft", "not-expressible-in-format", ["(--mode bitfit)", "--to merged"], metaFor(null, { mode: "bitfit" })],
    ["peft", "not-expressible-in-format", kept, metaFor(null, modeMeta("adapter"))],
    ["merged", "not-mergeable", kept, metaFor(null, modeMeta("adapter"))],
    ["merged", "not-mergeable", ["prompt tuning", "use --to peft"], metaFor(null, modeMeta("prompt"))],
    ["merged", "not-mergeable", ["prefix tuning", "use --to peft"], metaFor(null, modeMeta("prefix"))],
    ["peft", "not-expressible-in-format", ["only the head", "--to merged"], metaFor({ target_modules: ["head"] })],
    ["peft", "not-expressible-in-format", ["h.0.attn.c_attn", "different scales"], unequal],
  ];
  for (const [kind, code, words, meta] of cases) await assertFails(code, words, () => plan(kind, meta));
  const padded = metaFor(
    {},
    { task: { ...TASKS.classification, pooling: "last" }, settings: { padTo: 9, maxLength: 9 } },
  );
  const { losses, files } = await plan("merged", padded);
  assert.is(losses.length, 1);
  assert.match(losses[0]!, "last of 9 positions");
  assert.ok(String(files.get("README.md")).includes("from which this model differs"));
  const mean = metaFor({}, { task: MEAN, settings: { padTo: 9, maxLength: 9 } });
  assert.equal((await plan("merged", mean)).losses, []);
  // If the final norm's bias is zero, the head's bias cannot be folded into it.
  const flat = small(metaFor(null, { mode: "all", task: { ...TASKS.classification, head_bias: true } }));
  flat.get("ln_f.bias")!.data.fill(0);
  flat.get("head.bias")!.data.set([0.25, -0.5]);
  const baseModel = await openBaseModel(baseDirectory);
  const biased = {
    meta: metaFor(null, { mode: "all", task: { ...TASKS.classification, head_bias: true } }),
    tensors: flat,
  };
  const found = (await planExport("merged", { adapter: biased, baseModel })).losses;
  await baseModel.close();
  assert.is(found.length, 1);
  assert.match(found[0]!, /a bias of the head.*\[0\.250, -0\.500\].*up to 0\.750/);
});

test("only an earlier export's own files are replaced", async () => {
  await refuseExport(join(folder, "nowhere"), false);
  await assertFails("output-exists", ["another output"], () => refuseExport(baseDirectory, false));
  await assertFails("output-exists", [baseDirectory, "config.json"], () => refuseExport(baseDirectory, true));
  const merged = joinPath(folder, "merged");
  await assertFails("output-exists", ["an earlier export"], () => refuseExport(merged, false));
  assert.ok(await refuseExport(merged, true));
  assert.ok(existsSync(join(folder, "merged", "model.safetensors")));
  await assertFails("not-an-adapter", () => readAdapter(join(folder, "merged")));
});

test("an adapter on a GGUF file is exported with its tokenizer; the code names the file, or its copy", async () => {
  const directory = packagePath("test/golden/gguf");
  await using baseModel = await openBaseModel(join(directory, "gpt2-q8_0.gguf"));
  const meta = testMeta({}, { model: baseModel.config, base_model: baseModel.directory });
  const adapter = { meta, tensors: drawTensors(meta) };
  for (const [withBase, place, file] of [
    [false, directory, "gpt2-q8_0.gguf"],
    [true, "base", "model.gguf"],
  ] as const) {
    const { files } = await planExport("peft", { adapter, baseModel }, { withBase });
    const readme = String(files.get("README.md"));
    assert.match(readme, `from_pretrained("${place}", gguf_file="${file}", dtype`);
    assert.match(readme, 'AutoTokenizer.from_pretrained(".", pad_token="<|endoftext|>"');
    assert.ok(files.has("tokenizer.json") && files.has("tokenizer_config.json"));
    assert.is(files.has("base/model.gguf"), withBase);
  }
});

test("an export says which architecture it is", async () => {
  for (const [name, architecture] of [
    ["llama3", "Llama"],
    ["qwen2", "Qwen2"],
  ] as const) {
    await using baseModel = await openBaseModel(packagePath(`test/golden/llama/${name}/base`));
    const meta = testMeta({ target_modules: ["q"] }, { base_model: baseModel.directory, model: baseModel.config });
    const adapter = { meta, tensors: drawTensors(meta) };
    const read = async (kind: ExportKind, file: string) =>
      (await planExport(kind, { adapter, baseModel })).files.get(file) as string;
    assert.match(await read("peft", "README.md"), `# ${architecture} with LoRA`);
    assert.match(await read("merged", "README.md"), `# A fine-tuned ${architecture}`);
    const config = JSON.parse(await read("merged", "config.json"));
    assert.equal(config.architectures, [`${architecture}ForSequenceClassification`]);
  }
});
