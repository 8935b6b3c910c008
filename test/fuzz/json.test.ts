/** The JSON files of adapters, models, runs and tokenizers, changed at random. */

import { ClassicModel } from "../../src/classic/model.ts";
import type { Rng } from "../../src/core/rng.ts";
import { MODES } from "../../src/methods/index.ts";
import { readRecord } from "../../src/run/directory.ts";
import { listCells } from "../../src/study/grid.ts";
import { beginStudy, readStudy, type StudyRecord } from "../../src/study/study-record.ts";
import { DEFAULTS, resolveOptions } from "../../src/train/options.ts";
import { type Case, type Files, fuzz } from "./fuzz.ts";
import {
  BASES,
  CLASSICS,
  OURS,
  PEFT,
  PEFT_QWEN2,
  RECORDS,
  readBase,
  readOurs,
  readPeft,
  readPeftQwen2,
  readTokenizer,
  TOKENIZERS,
} from "./models.ts";
import { mutateJson, pick, split, type Words } from "./mutate.ts";
import { showRecord } from "./records.ts";

const parse = (content: string | Uint8Array) =>
  JSON.parse(typeof content === "string" ? content : new TextDecoder().decode(content));

/**
 * Files of which one JSON file is changed, with the words of its kind and how many cases; of `only` a key its value is
 * changed, and nothing else.
 */
type Source = [
  name: string,
  json: RegExp,
  files: readonly Files[],
  words: Words,
  read: (folder: string) => Promise<() => unknown>,
  count: number,
  only?: string,
];

const MODULES = split(
  "c_attn attn.c_proj h.0.mlp.c_fc transformer.h.1.mlp.c_proj lm_head score transformer.wte ln_f q_proj " +
    "self_attn.k_proj gate_proj embed_tokens norm",
);
const SITES = ["h.0.attn.q", "h.1.mlp.fc", "h.99.attn.o", "head", "h.0.attn.c_attn"];

const ADAPTER_WORDS: Words = {
  keys: [
    ...split("peft_type task_type r lora_alpha use_rslora bias target_modules exclude_modules rank_pattern"),
    ...split("alpha_pattern layers_to_transform layers_pattern modules_to_save base_model_name_or_path fan_in_fan_out"),
    ...["num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "num_transformer_submodules"],
    ...["prefix_projection", "encoder_hidden_size", "prompt_tuning_init"],
    ...["use_dora", "init_lora_weights", "layer_replication", "loftq_config", "lora_dropout", "__proto__", ...MODULES],
  ],
  values: [
    ...split("SEQ_CLS CAUSAL_LM LORA PROMPT_TUNING PREFIX_TUNING lora_only all-linear gaussian h transformer.h"),
    ...["", ...MODULES, MODULES, [0], [1, 0], [".*"], ["(c_|"], true, 3],
    ...[{ c_attn: 8 }, { ".*c_attn": 2 }, { "(.*)*x": 1 }, { "^h.0": 1e9 }, { c_attn: -1 }, { __proto__: 1 }],
    ...["(?:.*\\.)*c_attn", "([a-z]+[0-9.]*)+$", "(c_attn|c_proj)", ".*\\.h\\.(0|1)\\..*c_\\w+", "[", "(?=c)c_attn"],
  ],
};

const META_WORDS: Words = {
  keys: split(
    "format version mode model lora task labels settings sites modulesToSave layers_to_transform dtype " +
      "bottleneck num_virtual_tokens",
  ),
  values: [
    ...[...MODES, "lm", "classification", "f16", "last", ...SITES, SITES],
    ...[[0, 1], [1, 0], { site: "h.0.attn.q", r: 1, scale: 1 }],
  ],
};

const MODEL_WORDS: Words = {
  keys: split(
    "model_type n_layer n_embd n_head n_inner n_positions n_ctx vocab_size activation_function " +
      "layer_norm_epsilon tie_word_embeddings num_attention_heads num_key_value_heads hidden_size head_dim " +
      "intermediate_size rope_theta rope_scaling rope_parameters rope_type eos_token_id layer_types",
  ),
  values: ["constructor", "gpt2", "llama", "qwen2", "llama3", "linear", "gelu_new", "relu", 8, 12, 16, 32, 48, 1e-5],
};

const RUN_WORDS: Words = {
  keys: [
    ...["objective", "labels", "counts", "evaluations", "curve", "results", "pairs", "replaces", "adapter"],
    ...["test", "rows", "details", "classes", "decision", "compared", "measured", "against", "unseen", "acc", "low"],
    ...Object.keys(DEFAULTS),
  ],
  values: [...split("lm all last cosine f16"), [0], [3, 1], ["q", "q"], { train: "a", val: "b", test: "c" }],
};

const TOKENIZER_WORDS: Words = {
  keys: split(
    "model vocab merges pre_tokenizer add_prefix_space type added_tokens single_word lstrip id " +
      "chat_template eos_token additional_special_tokens post_processor single",
  ),
  values: [
    [null],
    [{ name: "default" }],
    "{{ messages | tojson }}",
    { type: "TemplateProcessing", single: [{}, { Sequence: {} }] },
    true,
    "Sequence",
    "Metaspace",
    { type: "ByteLevel", add_prefix_space: true },
    999_999,
    1e6,
    "Ġthe",
    "h e",
  ],
};

async function readRun(folder: string): Promise<() => void> {
  const config = await readRecord(folder);
  const options = resolveOptions(config.options, config.objective);
  return () => {
    if (!Object.keys(DEFAULTS).every((key) => key in options)) throw new Error(`options ${JSON.stringify(options)}`);
    if (typeof config.model !== "string" || !Array.isArray(config.labels)) throw new Error(JSON.stringify(config));
    showRecord(config);
  };
}

const CLASSIC_WORDS: Words = {
  keys: split(
    "format version objective name limits labels pairs rows intercept vocabularies text analyzer ngrams df coef",
  ),
  values: [
    ...split("word char_wb regression multi-label lm aa bb"),
    ["aa", "aa"],
    [2, 2, 2],
    [[0.5]],
    [1],
    "",
    "aa bb cc",
  ],
};

async function readClassicModel(folder: string): Promise<() => void> {
  const classic = await ClassicModel.load(folder);
  const logits = await classic.logits(["aa bb", ""]);
  return () => {
    if (logits.length !== 2 * classic.labels.length) throw new Error(`${logits.length} logits`);
  };
}

const STUDY: StudyRecord = {
  objective: "classification",
  data: { source: { file: "messages.csv" }, sha256: "ab" },
  bases: { gpt2: "cd" },
  spec: { base: { model: "gpt2", rank: 4 }, arms: [{ alpha: [4, 8] }, { rank: 2, lr: [0.001, 0.01] }] },
  seeds: 2,
};
const STUDIES: readonly Files[] = [STUDY, { ...STUDY, folds: { count: 3, final: true }, about: "chosen by hand" }].map(
  (study) => new Map([["study.json", JSON.stringify({ format: "lowrank-study", version: 1, ...study })]]),
);
const STUDY_WORDS: Words = {
  keys: [...split("format version objective data source sha256 bases spec base arms seeds folds count final model lr")],
  values: [...split("gpt2 lm tokens regression"), { gpt2: 5 }, { gpt2: "ef" }, [4, 8], [{}], [], 1e9, "4,8"],
};

/** Reads a study as what resumes it does, and begins it again. */
async function readStudyFile(folder: string): Promise<() => void> {
  const study = (await readStudy(folder))!;
  const cells = await listCells(study.spec, study.seeds, (model) => model);
  await beginStudy(folder, STUDY);
  return () => {
    if (cells.length === 0) throw new Error("no cells");
  };
}

const OF_PEFT = OURS.filter((files) => files.has("adapter_config.json"));
const sources: Source[] = [
  ["adapter-config", /^adapter_config\.json$/, PEFT, ADAPTER_WORDS, readPeft, 200],
  ["adapter-config-qwen2", /^adapter_config\.json$/, PEFT_QWEN2, ADAPTER_WORDS, readPeftQwen2, 100],
  ["lowrank-json", /^lowrank\.json$/, OURS, META_WORDS, readOurs, 250],
  ["adapter-config-of-ours", /^adapter_config\.json$/, OF_PEFT, ADAPTER_WORDS, readOurs, 200],
  ["model-config", /^config\.json$/, BASES, MODEL_WORDS, readBase, 250],
  ["run-record", /^run\.json$/, RECORDS, RUN_WORDS, readRun, 250],
  ["run-results", /^run\.json$/, RECORDS, RUN_WORDS, readRun, 250, "results"],
  ["study-json", /^study\.json$/, STUDIES, STUDY_WORDS, readStudyFile, 250],
  ["classic-json", /^classic\.json$/, CLASSICS, CLASSIC_WORDS, readClassicModel, 250],
  ["tokenizer-files", /^tokenizer/, TOKENIZERS, TOKENIZER_WORDS, readTokenizer, 40],
];

/** An object whose value of `key` is this JSON. */
const withPart = (value: object, key: string, part: Uint8Array) =>
  new Uint8Array(
    Buffer.concat([
      Buffer.from(`${JSON.stringify({ ...value, [key]: undefined }).slice(0, -1)},${JSON.stringify(key)}:`),
      part,
      Buffer.from("}"),
    ]),
  );

for (const [name, json, all, words, read, count, only] of sources) {
  const valid = all.map((files) => {
    const path = [...files.keys()].find((file) => json.test(file))!;
    return { files, path, value: parse(files.get(path)!) };
  });
  fuzz({
    name,
    count,
    make(rng: Rng): Case {
      const { files, path, value } = pick(rng, valid);
      const changed = only ? withPart(value, only, mutateJson(rng, value[only], words)) : mutateJson(rng, value, words);
      return { files: new Map(files).set(path, changed) };
    },
    read: (_, folder) => read(folder),
    // What resumes a study writes what it is asked for now.
    leaves: /^study\.json$/,
  });
}
