/** Adapters as PEFT writes them: targets, patterns, what learned beside them, and what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/error-codes.ts";
import type { BaseModel } from "../../../src/io/hf.ts";
import { loadAdapter, namedBase } from "../../../src/io/peft/open-adapter.ts";
import { readAdapter, type Tensors } from "../../../src/io/peft/peft.ts";
import { parsePeftConfig } from "../../../src/io/peft/peft-config.ts";
import { encodeSafetensors } from "../../../src/io/safetensors/safetensors-write.ts";
import { GPT2_VOCABULARY } from "../../../src/io/tokenizer/vocabulary.ts";
import { model, readAll, writeAdapter } from "../../helpers/adapters.ts";
import { assertFails, assertSameBits, numbers, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

const folder = temporaryFolder();
const base = { config: model };
const BASICS = { peft_type: "LORA", task_type: "SEQ_CLS", base_model_name_or_path: "gpt2", r: 2, lora_alpha: 16 };

const WIDTHS: Record<string, readonly [inputs: number, outputs: number]> = {
  "attn.c_attn": [8, 24],
  "attn.c_proj": [8, 8],
  "mlp.c_fc": [8, 32],
  "mlp.c_proj": [32, 8],
};

/** An adapter as PEFT writes it, on these kinds of modules in every block. */
function foreign(
  name: string,
  config: object = {},
  { change = () => {}, kinds = ["attn.c_attn"], rank = () => 2 }: Foreign = {},
): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  const random = numbers(11);
  const tensors: Tensors = new Map();
  const add = (key: string, ...shape: number[]) => tensors.set(key, { shape, data: random(shape) });
  for (let layer = 0; layer < model.n_layer; layer++)
    for (const kind of kinds) {
      const [inputs, outputs] = WIDTHS[kind]!;
      const r = rank(kind, layer);
      if (r === 0) continue;
      add(`base_model.model.transformer.h.${layer}.${kind}.lora_A.weight`, r, inputs);
      add(`base_model.model.transformer.h.${layer}.${kind}.lora_B.weight`, outputs, r);
    }
  add("base_model.model.score.weight", 3, 8);
  change(tensors, add);
  const text = JSON.stringify({ ...BASICS, bias: "none", target_modules: kinds, ...config });
  writeFileSync(join(directory, "adapter_config.json"), text);
  const encoded = [...tensors].map(([key, tensor]) => ({ name: key, dtype: "F32" as const, ...tensor }));
  writeFileSync(join(directory, "adapter_model.safetensors"), encodeSafetensors(encoded, { format: "pt" }));
  return directory;
}

interface Foreign {
  change?: (tensors: Tensors, add: (key: string, ...shape: number[]) => void) => unknown;
  kinds?: string[];
  rank?: (kind: string, layer: number) => number;
}

test("what a head was trained for: one output is a score, otherwise the base model's problem_type says it", async () => {
  const one = foreign(
    "score",
    {},
    {
      change: (tensors, add) => {
        tensors.delete("base_model.model.score.weight");
        add("base_model.model.score.weight", 1, 8);
      },
    },
  );
  const three = foreign("three");
  const task = async (directory: string, problemType?: string) =>
    (await readAdapter(directory, { base: { ...base, ...(problemType ? { problemType } : {}) } })).meta.task;
  assert.equal((await task(one)).objective, "regression");
  assert.equal((await task(one, "multi_label_classification")).objective, "multi-label");
  assert.equal((await task(three)).objective, "classification");
  assert.equal((await task(three, "multi_label_classification")).objective, "multi-label");
  for (const problemType of ["regression", "other"])
    await assertFails("unsupported-model-config", [problemType], () => task(three, problemType));
});

test("an adapter that PEFT trained: its tensors bit for bit, c_attn in one, and writable as ours", async () => {
  const directory = foreign("plain", { use_rslora: true }, { kinds: ["attn.c_attn", "mlp.c_proj"] });
  const { meta, tensors } = await readAdapter(directory, { base });
  const scale = 16 / Math.sqrt(2);
  assert.equal(
    meta.lora!.sites,
    ["h.0.attn.c_attn", "h.0.mlp.proj", "h.1.attn.c_attn", "h.1.mlp.proj"].map((site) => ({ site, r: 2, scale })),
  );
  assert.equal(meta.lora!.target_modules, ["c_attn", "proj"]);
  assert.equal([meta.labels, meta.task.num_labels, meta.base_model], [["LABEL_0", "LABEL_1", "LABEL_2"], 3, "gpt2"]);
  const peft = await readAll(join(directory, "adapter_model.safetensors"));
  const same = (ours: string, theirs: string) =>
    assertSameBits(ours, tensors.get(ours)!.data, peft.get(`base_model.model.${theirs}.weight`)!.data);
  same("lora.h.1.attn.c_attn.A", "transformer.h.1.attn.c_attn.lora_A");
  same("lora.h.1.attn.c_attn.B", "transformer.h.1.attn.c_attn.lora_B");
  same("lora.h.0.mlp.proj.A", "transformer.h.0.mlp.c_proj.lora_A");
  same("head.weight", "score");
  const copy = join(folder, "plain-copy");
  assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
  assert.equal(await readAdapter(copy), { meta, tensors });
  const again = await readAll(join(copy, "adapter_model.safetensors"));
  assert.equal([...again.keys()].sort(), [...peft.keys()].sort());
  for (const [key, { data }] of peft) assertSameBits(key, again.get(key)!.data, data);
});

test("patterns, some layers only, biases and saved modules come in and go out", async () => {
  const config = {
    target_modules: "transformer\\.h\\.(0\\.attn\\.c_attn|\\d\\.mlp\\.c_\\w+)",
    rank_pattern: { c_fc: 5, "h.1.mlp.c_proj": 3 },
    alpha_pattern: { "mlp.*": 4 },
    bias: "lora_only",
    modules_to_save: ["ln_f"],
  };
  const directory = foreign("patterns", config, {
    kinds: ["attn.c_attn", "mlp.c_fc", "mlp.c_proj"],
    rank: (kind, layer) => (kind === "mlp.c_fc" ? 5 : kind === "mlp.c_proj" ? 2 + layer : layer === 0 ? 2 : 0),
    change: (tensors, add) => {
      for (const key of [...tensors.keys()].filter((one) => one.endsWith("lora_B.weight")))
        add(key.replace("lora_B.weight", "base_layer.bias"), tensors.get(key)!.shape[0]!);
      add("base_model.model.transformer.ln_f.weight", 8);
      add("base_model.model.transformer.ln_f.bias", 8);
    },
  });
  const { meta, tensors } = await readAdapter(directory, { base });
  assert.equal(meta.lora!.sites, [
    { site: "h.0.attn.c_attn", r: 2, scale: 8 },
    { site: "h.0.mlp.fc", r: 5, scale: 4 / 5 },
    { site: "h.0.mlp.proj", r: 2, scale: 2 },
    { site: "h.1.mlp.fc", r: 5, scale: 4 / 5 },
    { site: "h.1.mlp.proj", r: 3, scale: 4 / 3 },
  ]);
  assert.equal(meta.lora!.modulesToSave!.length, 7);
  const copy = join(folder, "patterns-copy");
  assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
  assert.equal(await readAdapter(copy), { meta, tensors });
  const [before, after] = await Promise.all(
    [directory, copy].map((place) => readAll(join(place, "adapter_model.safetensors"))),
  );
  assert.equal([...after!.keys()].sort(), [...before!.keys()].sort());
  for (const [key, { data }] of before!) assertSameBits(key, after!.get(key)!.data, data);

  // Older versions of PEFT leave the wrapper out of the keys of biases.
  const bare = [...before!].map(([key, one]) => ({
    name: key.replace(".base_layer.", "."),
    dtype: "F32" as const,
    ...one,
  }));
  writeFileSync(join(directory, "adapter_model.safetensors"), encodeSafetensors(bare));
  assert.equal((await readAdapter(directory, { base })).tensors, tensors);
});

test("an adapter's dropout comes in; one that is no share is refused by the file's name", async () => {
  const read = (name: string, lora_dropout: unknown) => readAdapter(foreign(name, { lora_dropout }), { base });
  assert.is((await read("dropout", 0.1)).meta.lora!.lora_dropout, 0.1);
  for (const none of [0, null, undefined])
    assert.not.ok("lora_dropout" in (await read(`dropout-${none}`, none)).meta.lora!);
  for (const bad of [1, -0.5, "0.1", true])
    await assertFails("invalid-value", ["dropout", `dropout-${bad}`, JSON.stringify(bad)], () =>
      read(`dropout-${bad}`, bad),
    );
});

test("DoRA: magnitudes by PEFT's key, or by that of its memory; where they are missing or too many, it is said", async () => {
  const key = (layer: number) => `base_model.model.transformer.h.${layer}.attn.c_attn.lora_magnitude_vector`;
  const write = (name: string, use_dora: boolean, suffixes: readonly string[]) =>
    foreign(
      name,
      { use_dora },
      {
        change: (_, add) => {
          for (const [layer, suffix] of suffixes.entries()) add(key(layer) + suffix, 24);
        },
      },
    );
  for (const suffix of ["", ".weight"]) {
    const directory = write(`dora${suffix}`, true, [suffix, suffix]);
    const { meta, tensors } = await readAdapter(directory, { base });
    assert.is(meta.lora!.use_dora, true);
    const peft = await readAll(join(directory, "adapter_model.safetensors"));
    for (const layer of [0, 1])
      assertSameBits(
        "magnitude",
        tensors.get(`lora.h.${layer}.attn.c_attn.magnitude`)!.data,
        peft.get(key(layer) + suffix)!.data,
      );
    const copy = join(folder, `dora${suffix}-copy`);
    assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
    assert.equal(await readAdapter(copy), { meta, tensors });
    assert.ok((await readAll(join(copy, "adapter_model.safetensors"))).has(key(1)));
  }
  const refused = (directory: string, ...words: string[]) =>
    assertFails("wrong-tensors", words, () => readAdapter(directory, { base }));
  await refused(write("dora-missing", true, [""]), `also ${key(1)}`);
  await refused(write("dora-unsaid", false, ["", ""]), `also ${key(0)}`);
});

test("variants that are not computed are refused by name", async () => {
  for (const [key, value] of Object.entries({
    task_type: "FEATURE_EXTRACTION",
    bias: "all",
    lora_bias: true,
    use_qalora: true,
    init_lora_weights: "pissa",
    layer_replication: [[0, 2]],
    alora_invocation_tokens: [1, 2],
    trainable_token_indices: [5],
    target_parameters: ["wte"],
    velora_config: { rank: 1 },
    a_variant_of_next_year: 3,
  }))
    await assertFails(
      "unsupported-adapter-config",
      [`${key} = ${JSON.stringify(value)}`, "not supported", "c.json"],
      () => parsePeftConfig({ ...BASICS, [key]: value }, model, "c.json"),
    );
  const refused = (config: object, code: ErrorCode, ...words: string[]) =>
    assertFails(code, words, () => parsePeftConfig({ ...BASICS, ...config }, model, "c.json"));
  const table = { target_modules: ["c_attn", "wte"] };
  for (const config of [
    { ...table, use_dora: true },
    { ...table, task_type: "CAUSAL_LM" },
    { target_modules: ["c_attn", "wpe"] },
  ])
    await refused(config, "unsupported-adapter-config", `transformer.${config.target_modules[1]}`, "not supported");
  await refused({ target_modules: ["q_proj", "v_proj"] }, "no-matching-target", "q_proj");
  await refused({ target_modules: "(?P<x>c_attn" }, "unsupported-pattern", "(?P<x>c_attn");
  await refused(
    { task_type: "CAUSAL_LM", modules_to_save: ["lm_head"] },
    "unsupported-adapter-config",
    "lm_head",
    "tied",
  );
  const untied = { ...model, tie_word_embeddings: false };
  await parsePeftConfig({ ...BASICS, task_type: "CAUSAL_LM", modules_to_save: ["lm_head"] }, untied, "c.json");
});

/** Virtual tokens as PEFT writes them, on `model`. */
function virtual(name: string, config: object = {}, change: Foreign["change"] = () => {}): string {
  return foreign(
    name,
    {
      ...{ peft_type: "PREFIX_TUNING", task_type: "SEQ_CLS", num_virtual_tokens: 4, token_dim: 8, num_layers: 2 },
      ...{ num_attention_heads: 2, num_transformer_submodules: 1, encoder_hidden_size: 8, prefix_projection: true },
      ...{ r: undefined, lora_alpha: undefined, bias: undefined, target_modules: undefined, peft_version: "0.21.2" },
      ...config,
    },
    {
      kinds: [],
      change: (tensors, add) => {
        tensors.clear();
        add("prompt_embeddings", 4, 32);
        add("base_model.score.weight", 3, 8);
        change(tensors, add);
      },
    },
  );
}

test("prompts and prefixes that PEFT trained: bit for bit, and writable as ours", async () => {
  const short = (_: Tensors, add: (key: string, ...shape: number[]) => void) => add("prompt_embeddings", 4, 8);
  const alone = (tensors: Tensors) => tensors.delete("base_model.score.weight");
  const prompt = { peft_type: "PROMPT_TUNING", prefix_projection: undefined, prompt_tuning_init: "TEXT" };
  const lm = { task_type: "CAUSAL_LM", num_layers: null, base_model_name_or_path: null };
  for (const [mode, classes, directory] of [
    ["prefix", 3, virtual("prefix", { prompt_tuning_init_text: null })],
    ["prefix", 0, virtual("prefix-lm", lm, alone)],
    ["prompt", 3, virtual("prompt", prompt, short)],
    ["prompt", 0, virtual("prompt-lm", { ...prompt, ...lm }, (t, add) => [short(t, add), alone(t)])],
  ] as const) {
    const { meta, tensors } = await readAdapter(directory, { base });
    assert.equal([meta.mode, meta.lora, meta.num_virtual_tokens, meta.labels.length], [mode, null, 4, classes]);
    assert.equal([...tensors.keys()], [...(classes > 0 ? ["head.weight"] : []), `${mode}.weight`]);
    const peft = await readAll(join(directory, "adapter_model.safetensors"));
    assertSameBits(mode, tensors.get(`${mode}.weight`)!.data, peft.get("prompt_embeddings")!.data);
    const copy = `${directory}-copy`;
    assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
    assert.equal(await readAdapter(copy), { meta, tensors });
  }
});

test("prompts and prefixes of another method, model or size, and damaged ones, are refused by name", async () => {
  let count = 0;
  const refused = (code: ErrorCode, words: string[], config: object, change?: Foreign["change"]) =>
    assertFails(code, [...words, "refused-"], () =>
      readAdapter(virtual(`refused-${count++}`, config, change), {
        base: { ...base, directory: "some/base" },
      }),
    );
  const methods = ["peft_type =", '"LORA" or "PROMPT_TUNING" or "PREFIX_TUNING"'];
  for (const peft_type of ["P_TUNING", "MULTITASK_PROMPT_TUNING", "IA3", 5, null])
    await refused("unsupported-adapter-config", methods, { peft_type });
  for (const [key, value] of Object.entries({ token_dim: 16, num_layers: 3, num_attention_heads: 4 }))
    await refused("wrong-base-model", [`${key} = ${value} (gpt2)`, "(some/base)"], { [key]: value });
  for (const config of [
    { task_type: "SEQ_2_SEQ_LM" },
    ...[{ num_transformer_submodules: 2 }, { prefix_projection: 1 }, { a_variant_of_next_year: 3 }, { r: 8 }],
    { modules_to_save: ["score", "ln_f"] },
  ]) {
    const [[key, value]] = Object.entries(config) as [[string, unknown]];
    await refused("unsupported-adapter-config", [`${key} = ${JSON.stringify(value)}`, "not supported"], config);
  }
  await refused("invalid-field", ["task_type is invalid"], { task_type: null });
  for (const num_virtual_tokens of [0, -1, 1.5, "4", null, 1e20])
    await refused("invalid-field", ["num_virtual_tokens is invalid"], { num_virtual_tokens });
  for (const num_virtual_tokens of [10, 11, 1e9])
    await refused("too-many-virtual-tokens", ["10 tokens", String(num_virtual_tokens)], { num_virtual_tokens });
  const [head, rows] = ["base_model.score.weight", "prompt_embeddings"];
  const spoil: Foreign["change"] = (tensors) => tensors.get(rows)!.data.fill(Number.NaN, 5, 6);
  for (const [code, words, config, change] of [
    ["wrong-shape", ["[4, 32] instead of [5, 32]", "num_virtual_tokens"], { num_virtual_tokens: 5 }],
    ["wrong-shape", ["[4, 32] instead of [4, 8]"], { peft_type: "PROMPT_TUNING" }],
    ["wrong-shape", ["[3, 7] instead of [3, 8]"], {}, (_, add) => add(head, 3, 7)],
    ["wrong-tensors", [`also ${rows}`, "state dict"], {}, rename(rows, EMBEDDING)],
    ["wrong-tensors", [`also ${head}`], {}, (tensors) => tensors.delete(head)],
    ["wrong-tensors", ["found:    also score.weight", "prefix base_model. to"], {}, rename(head, "score.weight")],
    ["wrong-tensors", [`found:    also ${head}`], { task_type: "CAUSAL_LM" }],
    ["wrong-tensors", ["compare peft_type"], {}, rename(rows, key(0, "A"))],
    ["not-finite", [`${rows} is not finite`, "NaN at element 5"], {}, spoil],
  ] as [ErrorCode, string[], object, Foreign["change"]?][])
    await refused(code, words, config, change);
});

const EMBEDDING = "prompt_encoder.default.embedding.weight";

test("settings of another type are refused by name", async () => {
  const refused = (code: ErrorCode, words: string[], json: unknown) =>
    assertFails(code, [...words, "c.json"], () => parsePeftConfig(json, model, "c.json"));
  for (const [key, value] of [
    ["target_modules", 5],
    ["rank_pattern", []],
    ["alpha_pattern", "x"],
    ["layers_to_transform", { a: 1 }],
    ["modules_to_save", { 0: "score" }],
    ["exclude_modules", [5]],
    ["r", 1.5],
    ["lora_alpha", "16"],
  ] as const)
    await refused("invalid-adapter-config", [key], { ...BASICS, [key]: value });
  await refused("invalid-adapter-config", ["scale of"], { ...BASICS, alpha_pattern: { c_attn: 1e300 } });
  for (const json of [null, 5, "x", []]) await refused("invalid-adapter-config", ["an object"], json);
  const layers = { ...BASICS, target_modules: ".*c_attn", layers_to_transform: [1] };
  await refused("unsupported-adapter-config", ["layers_to_transform", "as a list"], layers);
  const named = foreign("named", { base_model_name_or_path: { a: 1 } });
  for (const read of [() => readAdapter(named, { base }), () => namedBase(named)])
    await assertFails("invalid-adapter-config", ["base_model_name_or_path", '{"a":1}'], read);
});

test("the tokenizer in the directory of a PEFT adapter is checked like a model's", async () => {
  const directory = foreign("with-tokenizer");
  const closed = { read: async () => new Float32Array(0), close: async () => {} };
  const base = { config: model, vocabulary: GPT2_VOCABULARY, names: [], directory: "base" };
  const baseModel = { ...closed, ...base } as unknown as BaseModel;
  const write = (add_prefix_space: boolean) =>
    writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify({ add_prefix_space }));
  write(false);
  assert.is((await loadAdapter(directory, baseModel)).meta.task.num_labels, 3);
  write(true);
  await assertFails("unsupported-tokenizer", [directory], () => loadAdapter(directory, baseModel));
});

const SCORE = "base_model.model.score.weight";
const key = (layer: number, part: "A" | "B") =>
  `base_model.model.transformer.h.${layer}.attn.c_attn.lora_${part}.weight`;

/** Gives a tensor another key. */
const rename = (from: string, to: string) => (tensors: Tensors) => {
  tensors.set(to, tensors.get(from)!);
  tensors.delete(from);
};

test("damage of an adapter directory is reported", async () => {
  const [A, B] = [key(0, "A"), key(0, "B")];
  const turn: Foreign["change"] = (tensors) => tensors.set(B, { ...tensors.get(B)!, shape: [2, 24] });
  const cases: [ErrorCode, words: string[], config: object, change?: Foreign["change"]][] = [
    ["wrong-tensors", ["expected: also", key(1, "B")], {}, (tensors) => tensors.delete(key(1, "B"))],
    ["wrong-tensors", ["found:    also", "score.bias"], {}, (_, add) => add("base_model.model.score.bias", 3)],
    ["wrong-tensors", [SCORE], {}, (tensors) => tensors.delete(SCORE)],
    ["wrong-tensors", [A, "PEFT ignores"], {}, rename(A, A.slice("base_model.model.".length))],
    ["wrong-tensors", ["state dict"], {}, rename(A, A.replace(".weight", ".default.weight"))],
    ["wrong-tensors", ["mlp.c_fc.lora_A", "compare target_modules"], { target_modules: ["c_fc"] }],
    ["wrong-tensors", ["c_attn.base_layer.bias"], { bias: "lora_only" }],
    ["wrong-tensors", ["no tensors"], {}, (tensors) => tensors.clear()],
    ["wrong-shape", ["[2, 8] instead of [3, 8]", "rank_pattern"], { r: 3 }],
    ["wrong-shape", ["[2, 24] instead of [24, 2]"], {}, turn],
    ["invalid-adapter-config", ["r for ", '"four"'], { r: "four" }],
    ["invalid-adapter-config", ["r is invalid", "1 or more"], { rank_pattern: { c_attn: 0 } }],
    ["invalid-adapter-config", ["alpha_pattern for ", '"big"'], { alpha_pattern: { c_attn: "big" } }],
  ];
  for (const [i, [code, words, config, change]] of cases.entries()) {
    const directory = foreign(`damaged-${i}`, config, change ? { change } : {});
    await assertFails(code, words, () => readAdapter(directory, { base }));
  }
  const cut = foreign("damaged-cut");
  writeFileSync(join(cut, "adapter_model.safetensors"), encodeSafetensors([]).subarray(0, 5));
  await assertFails("truncated-file", ["adapter_model.safetensors", "copy the adapter again"], () =>
    readAdapter(cut, { base }),
  );
  await assertFails("not-an-adapter", ["adapter_config.json", "give its base model as well"], () =>
    readAdapter(foreign("no-model")),
  );
});

test("PEFT's copy of the head with an adapter of lm_head is ignored, and another head is refused", async () => {
  const key = "base_model.model.lm_head.base_layer.weight";
  const table = numbers(5)([model.vocab_size, 8]);
  const directory = (name: string, head: Float32Array) =>
    foreign(
      name,
      { task_type: "CAUSAL_LM", target_modules: ["attn.c_attn", "lm_head"] },
      {
        change: (tensors, add) => {
          tensors.delete("base_model.model.score.weight");
          add("base_model.model.lm_head.lora_A.weight", 2, 8);
          add("base_model.model.lm_head.lora_B.weight", model.vocab_size, 2);
          tensors.set(key, { shape: [model.vocab_size, 8], data: head });
        },
      },
    );
  const withTable = { base: { ...base, read: async () => table } };
  const { meta, tensors } = await readAdapter(directory("head", table), withTable);
  assert.equal([meta.task.objective, tensors.get("lora.head.B")!.shape], ["lm", [model.vocab_size, 2]]);
  const other = table.map((value, i) => (i === 7 ? value + 1 : value));
  await assertFails("damaged-adapter", ["the head in the adapter differs", key], () =>
    readAdapter(directory("other-head", other), withTable),
  );
});
