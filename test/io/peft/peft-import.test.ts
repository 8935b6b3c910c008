/** Adapters as PEFT writes them: names, patterns, what was trained beside them, and what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
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
const base = { config: model, directory: "some/base" };
const COMMON = { task_type: "SEQ_CLS", base_model_name_or_path: "gpt2", peft_version: "0.21.2" };
const LORA = { ...COMMON, peft_type: "LORA", r: 2, lora_alpha: 16, bias: "none", target_modules: ["attn.c_attn"] };
const PREFIX = {
  ...{ ...COMMON, peft_type: "PREFIX_TUNING", num_virtual_tokens: 4, token_dim: 8, num_layers: 2 },
  ...{ num_attention_heads: 2, num_transformer_submodules: 1, encoder_hidden_size: 8, prefix_projection: true },
};
const PROMPT = { ...PREFIX, peft_type: "PROMPT_TUNING", prefix_projection: undefined, prompt_tuning_init: "TEXT" };
const LM = { task_type: "CAUSAL_LM", base_model_name_or_path: null };

const H = "base_model.model.transformer.h";
const SCORE = "base_model.model.score.weight";
const ROWS = "prompt_embeddings";
const key = (layer: number, part: string, kind = "attn.c_attn") => `${H}.${layer}.${kind}.${part}`;
const [A, B] = ["lora_A.weight", "lora_B.weight"] as const;

/** The tensors of a file: their shapes by their keys. */
type Shapes = Record<string, readonly number[]>;
const factors = (layer: number, kind: string, [inputs, outputs]: readonly [number, number], r = 2): Shapes => ({
  [key(layer, A, kind)]: [r, inputs],
  [key(layer, B, kind)]: [outputs, r],
});
const C_ATTN: Shapes = { ...factors(0, "attn.c_attn", [8, 24]), ...factors(1, "attn.c_attn", [8, 24]) };
const PLAIN: Shapes = { ...C_ATTN, [SCORE]: [3, 8] };
const OF_PREFIX: Shapes = { [ROWS]: [4, 32], "base_model.score.weight": [3, 8] };

let count = 0;
/** An adapter as PEFT writes it. */
function foreign(config: object = LORA, shapes: Shapes = PLAIN, change: (tensors: Tensors) => unknown = () => {}) {
  const directory = join(folder, `adapter-${count++}`);
  mkdirSync(directory);
  const random = numbers(11);
  const tensors: Tensors = new Map(
    Object.entries(shapes).map(([name, shape]) => [name, { shape: [...shape], data: random(shape) }]),
  );
  change(tensors);
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify(config));
  const encoded = [...tensors].map(([name, tensor]) => ({ name, dtype: "F32" as const, ...tensor }));
  writeFileSync(join(directory, "adapter_model.safetensors"), encodeSafetensors(encoded, { format: "pt" }));
  return directory;
}

test("what a head was trained for: one output is a score, otherwise the base model's problem_type says it", async () => {
  const objective = async (outputs: number, problemType?: string) => {
    const directory = foreign(LORA, { ...C_ATTN, [SCORE]: [outputs, 8] });
    return (await readAdapter(directory, { base: { ...base, problemType } })).meta.task.objective;
  };
  assert.equal(await objective(1), "regression");
  assert.equal(await objective(1, "multi_label_classification"), "multi-label");
  assert.equal(await objective(3), "classification");
  assert.equal(await objective(3, "multi_label_classification"), "multi-label");
  for (const problemType of ["regression", "other"])
    await assertFails("unsupported-model-config", [problemType], () => objective(3, problemType));
});

const sitesOf = (r: number, scale: number, ...sites: string[]) => sites.map((site) => ({ site, r, scale }));
const NORM: Shapes = { "base_model.model.transformer.ln_f.weight": [8], "base_model.model.transformer.ln_f.bias": [8] };
const magnitudes = (suffix = ""): Shapes => ({
  [key(0, `lora_magnitude_vector${suffix}`)]: [24],
  [key(1, `lora_magnitude_vector${suffix}`)]: [24],
});
const biases = (wrapper: string): Shapes => ({ [key(0, `${wrapper}bias`)]: [24], [key(1, `${wrapper}bias`)]: [24] });

/** Adapters: what we make of them. Those of the second list have keys of older versions or of PEFT's memory. */
const READ: [title: string, config: object, shapes: Shapes, lora: object | null, older?: Shapes][] = [
  [
    "rsLoRA",
    { ...LORA, use_rslora: true, lora_dropout: 0.1 },
    PLAIN,
    { sites: sitesOf(2, 16 / Math.sqrt(2), "h.0.attn.c_attn", "h.1.attn.c_attn"), lora_dropout: 0.1 },
  ],
  [
    "ranks by name in some layers, a module that is saved",
    {
      ...{ ...LORA, target_modules: ["c_fc", "mlp.c_proj", "transformer.h.0.attn.c_attn"], layers_to_transform: [1] },
      ...{ rank_pattern: { c_fc: 5, "h.1.mlp.c_proj": 3 }, alpha_pattern: { "mlp.c_fc": 4, c_fc: 9 } },
      ...{ modules_to_save: ["ln_f"] },
    },
    {
      ...{ ...factors(0, "attn.c_attn", [8, 24]), ...factors(1, "mlp.c_fc", [8, 32], 5) },
      ...{ ...factors(1, "mlp.c_proj", [32, 8], 3), ...NORM, [SCORE]: [3, 8] },
    },
    {
      sites: [
        ...sitesOf(2, 8, "h.0.attn.c_attn"),
        ...sitesOf(5, 4 / 5, "h.1.mlp.fc"),
        ...sitesOf(3, 16 / 3, "h.1.mlp.proj"),
      ],
      modulesToSave: ["ln_f.weight", "ln_f.bias"],
    },
  ],
  [
    "biases",
    { ...LORA, bias: "lora_only", lora_dropout: null },
    { ...PLAIN, ...biases("base_layer.") },
    { modulesToSave: ["h.0.attn.c_attn.bias", "h.1.attn.c_attn.bias"] },
    { ...PLAIN, ...biases("") },
  ],
  [
    "DoRA",
    { ...LORA, use_dora: true, lora_dropout: 0 },
    { ...PLAIN, ...magnitudes() },
    { use_dora: true },
    { ...PLAIN, ...magnitudes(".weight") },
  ],
  [
    "token classes",
    { ...LORA, task_type: "TOKEN_CLS" },
    { ...C_ATTN, "base_model.model.classifier.weight": [3, 8], "base_model.model.classifier.bias": [3] },
    {},
  ],
  ["a prefix", { ...PREFIX, prompt_tuning_init_text: null }, OF_PREFIX, null],
  ["a prefix of a language model", { ...PREFIX, ...LM, num_layers: null }, { [ROWS]: [4, 32] }, null],
  ["a prompt", PROMPT, { ...OF_PREFIX, [ROWS]: [4, 8] }, null],
  ["a prompt of a language model", { ...PROMPT, ...LM }, { [ROWS]: [4, 8] }, null],
];

for (const [title, config, shapes, lora, older] of READ)
  test(`${title}: as PEFT has it, and the same tensors when it is written again`, async () => {
    const directory = foreign(config, shapes);
    const { meta, tensors } = await readAdapter(directory, { base });
    for (const [name, value] of Object.entries(lora ?? {})) assert.equal(meta.lora![name as "sites"], value, name);
    assert.is("lora_dropout" in (meta.lora ?? {}), "lora_dropout" in (lora ?? {}));
    assert.equal([meta.lora === null, meta.num_virtual_tokens], lora ? [false, undefined] : [true, 4]);
    const isLm = "task_type" in config && config.task_type === "CAUSAL_LM";
    assert.equal(meta.labels, isLm ? [] : ["LABEL_0", "LABEL_1", "LABEL_2"]);
    const copy = `${directory}-copy`;
    assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
    assert.equal(await readAdapter(copy), { meta, tensors });
    const [before, after] = await Promise.all(
      [directory, copy].map((place) => readAll(join(place, "adapter_model.safetensors"))),
    );
    assert.equal([...after!.keys()].sort(), [...before!.keys()].sort());
    for (const [name, { data }] of before!) assertSameBits(name, after!.get(name)!.data, data);
    if (older) assert.equal((await readAdapter(foreign(config, older), { base })).tensors, tensors);
  });

/** What check_target_module_exists and get_pattern_key of PEFT 0.21.2 say to these, on 12 blocks. */
const NAMES: [config: object, hits: string][] = [
  [{ target_modules: ["attn", "h.1.mlp.c_fc"] }, "mlp.c_fc: 1"],
  [{ target_modules: ["c_fc", "transformer.h.2.attn.c_attn"] }, "mlp.c_fc: all; attn.c_attn: 2"],
  [{ modules_to_save: ["h.1"] }, "attn.c_attn: 0 2 3 4 5 6 7 8 9 10 11"],
  [{ modules_to_save: ["attn", "x"] }, ""],
  [{ modules_to_save: ["tn"] }, "attn.c_attn: all"],
  [{ layers_to_transform: [1, 11] }, "attn.c_attn: 1 11"],
  [{ layers_to_transform: 3 }, "attn.c_attn: 3"],
  [{ layers_to_transform: [] }, "attn.c_attn: all"],
  [
    { layers_to_transform: [1], target_modules: ["c_fc", "transformer.h.0.attn.c_attn"] },
    "attn.c_attn: 0; mlp.c_fc: 1",
  ],
  [{ rank_pattern: { "transformer.h.1.attn.c_attn": 2, c_attn: 3 }, layers_to_transform: 1 }, "attn.c_attn=2: 1"],
  [{ rank_pattern: { attn: 2, _attn: 3, "attn.c_attn": 4 } }, "attn.c_attn=4: all"],
  [{ rank_pattern: { "1.attn.c_attn": 2, c_attn: 3 } }, "attn.c_attn=3: 0 2 3 4 5 6 7 8 9 10 11; attn.c_attn=2: 1"],
  [{ rank_pattern: { c_attn: 3, "1.attn.c_attn": 2 } }, "attn.c_attn=3: all"],
  [{ rank_pattern: { "": 2, "h.2.attn.c_attn.": 3, "h.2.attn.c_att": 4 } }, "attn.c_attn: all"],
];

test("names and patterns are of the same modules as in PEFT", async () => {
  // PEFT's _set_trainable compares the ends of names, whatever is before them.
  const { saves } = parsePeftConfig(
    { ...LORA, r: 8, target_modules: ["c_attn"], modules_to_save: ["_1"] },
    model,
    "c.json",
  );
  assert.equal(["transformer.h.0.ln_1", "transformer.h.0.ln_2", "ln_1.weight"].map(saves), [true, false, true]);
  for (const [config, expected] of NAMES) {
    const parse = () =>
      parsePeftConfig({ ...LORA, r: 8, target_modules: ["c_attn"], ...config }, { ...model, n_layer: 12 }, "c.json");
    if (expected === "") {
      await assertFails("no-matching-target", ["c_attn", "c_fc"], parse);
      continue;
    }
    const blocks = new Map<string, string[]>();
    for (const { name, r } of parse().adapted) {
      const [, layer, kind] = /^transformer\.h\.(\d+)\.(.*)$/.exec(name)!;
      const hit = r === 8 ? kind! : `${kind}=${r}`;
      blocks.set(hit, [...(blocks.get(hit) ?? []), layer!]);
    }
    const hits = [...blocks].map(([hit, all]) => `${hit}: ${all.length === 12 ? "all" : all.join(" ")}`).join("; ");
    assert.is(hits, expected, JSON.stringify(config));
  }
});

test("30,000 names, and a rank of each module, are matched at once", () => {
  const names = Array.from({ length: 30_000 }, (_, i) => `transformer.h.47.attn.c_${i.toString(36).padStart(4, "x")}`);
  const config = { ...LORA, target_modules: [...names, "c_attn"], modules_to_save: names };
  const ranks = Object.fromEntries([...names, "c_attn"].map((name, i) => [name, i + 1]));
  const { adapted } = parsePeftConfig({ ...config, rank_pattern: ranks }, { ...model, n_layer: 48 }, "c.json");
  assert.equal([adapted.length, adapted[47]!.r], [48, 30_001]);
});

const UNSUPPORTED: [method: object, settings: object][] = [
  [
    LORA,
    {
      ...{
        task_type: "FEATURE_EXTRACTION",
        bias: "all",
        lora_bias: true,
        use_qalora: true,
        init_lora_weights: "pissa",
      },
      ...{ layer_replication: [[0, 2]], alora_invocation_tokens: [1, 2], trainable_token_indices: [5] },
      ...{ target_parameters: ["wte"], velora_config: { rank: 1 }, a_variant_of_next_year: 3, constructor: 3 },
      ...{ exclude_modules: ["c_fc"], layers_pattern: "h", target_modules: ".*c_attn" },
      ...{ modules_to_save: ["ln_*"], rank_pattern: { "h.[01]": 3 }, alpha_pattern: { "^c_attn": 3 } },
    },
  ],
  [LORA, { task_type: null, target_modules: "all-linear", modules_to_save: "score" }],
  [LORA, { target_modules: ["c_attn", "transformer.wpe"] }],
  [{ ...LORA, use_dora: true }, { target_modules: ["c_attn", "wte"] }],
  [
    { ...LORA, ...LM },
    { target_modules: ["c_attn", "wte"], modules_to_save: ["lm_head"] },
  ],
  [{ ...LORA, ...LM }, { target_modules: ["c_attn", "score"] }],
  [
    PREFIX,
    {
      ...{ task_type: "SEQ_2_SEQ_LM", num_transformer_submodules: 2, prefix_projection: 1, r: 8 },
      ...{ a_variant_of_next_year: 3, modules_to_save: ["score", "ln_f"] },
    },
  ],
  [PREFIX, { task_type: null }],
  ...["P_TUNING", "IA3", 5, null].map((peft_type): [object, object] => [LORA, { peft_type }]),
];

test("what is not computed is refused by name, with what to do", async () => {
  for (const [method, settings] of UNSUPPORTED)
    for (const [name, value] of Object.entries(settings)) {
      const words = [`${name} = ${JSON.stringify(value)} is not supported`, "adapter_config.json"];
      const isLora = method !== PREFIX && name !== "peft_type" && name !== "task_type";
      await assertFails("unsupported-adapter-config", [...words, ...(isLora ? ["merge_and_unload"] : [])], () =>
        readAdapter(foreign({ ...method, [name]: value }), { base }),
      );
    }
  parsePeftConfig(
    { ...LORA, task_type: "CAUSAL_LM", modules_to_save: ["lm_head"] },
    { ...model, tie_word_embeddings: false },
    "c.json",
  );
});

/** Gives a tensor another key. */
const rename = (from: string, to: string) => (tensors: Tensors) => {
  tensors.set(to, tensors.get(from)!);
  tensors.delete(from);
};
const spoil = (tensors: Tensors) => tensors.get(ROWS)!.data.fill(Number.NaN, 5, 6);

const DAMAGED: [
  code: ErrorCode,
  words: string[],
  config: object,
  shapes?: Shapes,
  change?: (tensors: Tensors) => unknown,
][] = [
  ["wrong-tensors", ["expected: also", key(1, B)], LORA, PLAIN, (tensors) => tensors.delete(key(1, B))],
  ["wrong-tensors", ["found:    also", "score.bias"], LORA, { ...PLAIN, "base_model.model.score.bias": [3] }],
  ["wrong-tensors", [SCORE], LORA, C_ATTN],
  ["wrong-tensors", [key(0, A), "save_pretrained"], LORA, PLAIN, rename(key(0, A), key(0, A).slice(17))],
  [
    "wrong-tensors",
    ["compare target_modules"],
    LORA,
    PLAIN,
    rename(key(0, A), key(0, A).replace(".weight", ".default.weight")),
  ],
  ["wrong-tensors", ["mlp.c_fc.lora_A", "compare target_modules"], { ...LORA, target_modules: ["c_fc"] }],
  ["wrong-tensors", ["c_attn.base_layer.bias"], { ...LORA, bias: "lora_only" }],
  ["wrong-tensors", [`also ${key(0, "lora_magnitude_vector")}`], { ...LORA, use_dora: true }],
  ["wrong-tensors", [`also ${key(0, "lora_magnitude_vector")}`], LORA, { ...PLAIN, ...magnitudes() }],
  ["wrong-tensors", ["no tensors"], LORA, {}],
  ["wrong-shape", ["[2, 8] instead of [3, 8]", "rank_pattern"], { ...LORA, r: 3 }],
  ["wrong-shape", ["[2, 24] instead of [24, 2]"], LORA, { ...PLAIN, [key(0, B)]: [2, 24] }],
  [
    "wrong-shape",
    ["[4, 32] instead of [5, 32]", "num_virtual_tokens"],
    { ...PREFIX, num_virtual_tokens: 5 },
    OF_PREFIX,
  ],
  ["wrong-shape", ["[4, 32] instead of [4, 8]"], PROMPT, OF_PREFIX],
  ["wrong-shape", ["[3, 7] instead of [3, 8]"], PREFIX, { ...OF_PREFIX, "base_model.score.weight": [3, 7] }],
  ["wrong-tensors", ["also score.weight"], PREFIX, { [ROWS]: [4, 32], "score.weight": [3, 8] }],
  ["wrong-tensors", ["compare peft_type"], PREFIX, PLAIN],
  ["not-finite", [`${ROWS} is not finite`, "NaN at element 5"], PREFIX, OF_PREFIX, spoil],
  ["too-many-virtual-tokens", ["10 tokens", "10"], { ...PREFIX, num_virtual_tokens: 10 }],
  ...Object.entries({ token_dim: 16, num_layers: 3, num_attention_heads: 4 }).map(
    ([name, value]): [ErrorCode, string[], object] => [
      "wrong-base-model",
      [`${name} = ${value} (gpt2)`, "(some/base)"],
      { ...PREFIX, [name]: value },
    ],
  ),
  ...[0, -1, 1.5, "4", null, 1e20].map((num_virtual_tokens): [ErrorCode, string[], object] => [
    "invalid-field",
    ["num_virtual_tokens is invalid"],
    { ...PREFIX, num_virtual_tokens },
  ]),
  ...[1, -0.5, "0.1", true].map((lora_dropout): [ErrorCode, string[], object] => [
    "invalid-value",
    ["dropout", JSON.stringify(lora_dropout)],
    { ...LORA, lora_dropout },
  ]),
  // Of other types.
  ...Object.entries({
    ...{ target_modules: 5, rank_pattern: [], alpha_pattern: "x", layers_to_transform: { a: 1 }, r: "four" },
    ...{ modules_to_save: [5], lora_alpha: "16", base_model_name_or_path: { a: 1 } },
  }).map(([name, value]): [ErrorCode, string[], object] => [
    "invalid-adapter-config",
    [name],
    { ...LORA, [name]: value },
  ]),
  ["invalid-adapter-config", ["alpha_pattern of c_attn", '"big"'], { ...LORA, alpha_pattern: { c_attn: "big" } }],
  ["invalid-adapter-config", ["scale of"], { ...LORA, alpha_pattern: { c_attn: 1e300 } }],
  ...[null, 5, "x", []].map((json): [ErrorCode, string[], object] => [
    "invalid-adapter-config",
    ["an object"],
    json as object,
  ]),
];

test("damage of an adapter directory is reported", async () => {
  for (const [code, words, config, shapes, change] of DAMAGED)
    await assertFails(code, [...words, "adapter_"], () => readAdapter(foreign(config, shapes, change), { base }));
  const named = foreign({ ...LORA, base_model_name_or_path: { a: 1 } });
  await assertFails("invalid-adapter-config", ["base_model_name_or_path", '{"a":1}'], () => namedBase(named));
  const cut = foreign();
  writeFileSync(join(cut, "adapter_model.safetensors"), encodeSafetensors([]).subarray(0, 5));
  await assertFails("truncated-file", ["adapter_model.safetensors", "copy the adapter again"], () =>
    readAdapter(cut, { base }),
  );
  await assertFails("not-an-adapter", ["adapter_config.json", "give its base model as well"], () =>
    readAdapter(foreign()),
  );
});

test("the tokenizer in the directory of a PEFT adapter is checked like a model's", async () => {
  const directory = foreign();
  const closed = { read: async () => new Float32Array(0), close: async () => {} };
  const baseModel = { ...closed, ...base, vocabulary: GPT2_VOCABULARY, names: [] } as unknown as BaseModel;
  const write = (add_prefix_space: boolean) =>
    writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify({ add_prefix_space }));
  write(false);
  assert.is((await loadAdapter(directory, baseModel)).meta.task.num_labels, 3);
  write(true);
  await assertFails("unsupported-tokenizer", [directory], () => loadAdapter(directory, baseModel));
});

test("PEFT's copy of the head with an adapter of lm_head is left out", async () => {
  const [head, V] = ["base_model.model.lm_head", model.vocab_size];
  const directory = foreign(
    { ...LORA, ...LM, target_modules: ["attn.c_attn", "lm_head"], layers_to_transform: [0, 1] },
    { ...C_ATTN, [`${head}.${A}`]: [2, 8], [`${head}.${B}`]: [V, 2], [`${head}.base_layer.weight`]: [V, 8] },
  );
  const { meta, tensors } = await readAdapter(directory, { base });
  assert.equal([meta.task.objective, tensors.get("lora.head.B")!.shape], ["lm", [V, 2]]);
});
