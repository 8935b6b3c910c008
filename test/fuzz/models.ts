/** Valid directories of adapters, checkpoints and base models in memory, and the readers and checks for them. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "#platform";
import { baseShapes } from "../../src/core/names.ts";
import { formatShape, type Shape, sameShape } from "../../src/core/tensor.ts";
import { Chat } from "../../src/data/text/chat.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { adapterShapes } from "../../src/io/peft/adapter-meta.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { type Adapter, type AdapterMeta, readAdapter, type Tensors } from "../../src/io/peft/peft.ts";
import { adapterFiles } from "../../src/io/peft/peft-write.ts";
import { encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { readVocabulary } from "../../src/io/tokenizer/tokenizer-files.ts";
import { encodeCheckpoint, keepCheckpoint, lastCheckpoint } from "../../src/run/checkpoint.ts";
import type { Checkpoint } from "../../src/train/records.ts";
import { drawTensors, LM, model, modeMeta, testMeta } from "../helpers/adapters.ts";
import { assertSameBits, numbers } from "../helpers/border.ts";
import { type Files, put } from "./fuzz.ts";
import { makeRecords } from "./records.ts";

const text = (value: unknown) => JSON.stringify(value, null, 2);

/** A folder of the repository's as files. */
function readFolder(path: string): Map<string, string | Uint8Array> {
  const names = readdirSync(path).filter((name) => /^(adapter_|config|model)/.test(name));
  return new Map(names.map((name) => [name, Uint8Array.from(readFileSync(join(path, name)))]));
}

const golden = packagePath("test/golden/peft");
export const BASE: Files = readFolder(join(golden, "base"));

/** Adapters of PEFT's, each on BASE. */
export const PEFT: readonly Files[] = readdirSync(golden)
  .filter((name) => name !== "base" && name !== "README.md")
  .map((name) => readFolder(join(golden, name)));

const llama = packagePath("test/golden/llama");
/** Adapters of PEFT's on a Qwen2. */
export const PEFT_QWEN2: readonly Files[] = [readFolder(join(llama, "qwen2/lora"))];

const ours = async (...args: Parameters<typeof testMeta>) => {
  const meta = testMeta(...args);
  return (await adapterFiles({ meta, tensors: drawTensors(meta) })).files;
};
const sites = [
  { site: "h.0.attn.c_attn", r: 2, scale: 0.5 },
  { site: "h.1.mlp.fc", r: 3, scale: 2 },
];

/** Adapters and other trained tensors of ours, in every mode and form. */
export const OURS: readonly Files[] = await Promise.all([
  ours(),
  ours(
    { target_modules: ["q", "v"], layers_to_transform: [1], scaling: "alpha/sqrt(r)" },
    { settings: { maxLength: 9, padTo: 9 } },
  ),
  ours({ target_modules: ["c_attn", "fc"], sites, modulesToSave: ["h.0.attn.c_attn.bias", "ln_f.weight"] }),
  ours({ target_modules: ["c_attn", "head"], init: "gaussian" }, LM),
  ours({}, { mode: "last_layer", lora: null, task: { ...testMeta().task, head_bias: true } }),
  ours({}, { mode: "all", lora: null, settings: { dtype: "f32" } }),
  ours({}, { mode: "last_block", lora: null }),
  ...(["bitfit", "adapter", "prompt", "prefix"] as const).map((mode) => ours({}, modeMeta(mode))),
  ours({}, { ...modeMeta("prefix"), ...LM }),
]);

const ones = (shape: Shape, name: string) => numbers(3)(shape).map((x) => 0.2 * x + (name.includes("ln_") ? 1 : 0));
const stored = (name: string, shape: Shape) => ({ name, shape, dtype: "F32" as const, data: ones(shape, name) });
const config = { model_type: "gpt2", ...model };

/** Base models as transformers writes them: a classifier, quantised, bare, and old ones with redundant tensors. */
export const BASES: readonly Files[] = [
  BASE,
  new Map<string, string | Uint8Array>([
    [
      "config.json",
      text({ ...config, n_ctx: 10, activation_function: "gelu_new", architectures: ["GPT2LMHeadModel"] }),
    ],
    ["model.safetensors", encodeSafetensors([...baseShapes(model)].map(([name, shape]) => stored(name, shape)))],
  ]),
  new Map<string, string | Uint8Array>([
    [
      "config.json",
      text({ ...config, n_inner: null, task_specific_params: { "text-generation": { do_sample: true } } }),
    ],
    [
      "model.safetensors",
      encodeSafetensors(
        [
          ...[...baseShapes(model)].map(([name, shape]) => stored(`transformer.${name}`, shape)),
          stored("transformer.h.0.attn.bias", [1, 1, 10, 10]),
          stored("lm_head.weight", [23, 8]),
        ],
        { format: "pt" },
      ),
    ],
  ]),
  ...["llama", "llama3", "qwen2"].map((name) => readFolder(join(llama, name, "base"))),
];

/** A chat template with what such templates do. */
const TEMPLATE =
  "{% for m in messages %}{{ '<' ~ m.role ~ '>' + m.content | trim }}{% if loop.last and add_generation_prompt %}{{ eos_token }}{% endif %}{% endfor %}";

/** Tokenizers: a vocabulary of a few tokens, and settings for GPT-2's. */
export const TOKENIZERS: readonly Files[] = [
  new Map([
    [
      "tokenizer.json",
      JSON.stringify({
        version: "1.0",
        added_tokens: [
          { id: 6, content: "<|endoftext|>", special: true },
          { id: 9, content: " he", special: false, lstrip: true, single_word: true },
        ],
        pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
        model: {
          type: "BPE",
          vocab: { Ġ: 0, t: 1, Ġt: 2, h: 3, e: 4, he: 5, "<|endoftext|>": 6 },
          merges: ["Ġ t", ["h", "e"]],
        },
      }),
    ],
  ]),
  new Map([
    [
      "tokenizer_config.json",
      JSON.stringify({
        model_max_length: 1024,
        tokenizer_class: "GPT2Tokenizer",
        add_prefix_space: false,
        bos_token: { content: "<|endoftext|>" },
        chat_template: [{ name: "default", template: TEMPLATE }],
      }),
    ],
  ]),
];
const checkpoint = (step: number, meta: AdapterMeta): Checkpoint => {
  const steps = [{ step, epoch: 1, loss: 0.5, lr: 1e-3, gradNorm: 1 }] as unknown as Checkpoint["steps"];
  const tensors: Tensors = new Map();
  for (const [name, tensor] of drawTensors(meta))
    for (const prefix of ["", "m.", "v."]) tensors.set(`${prefix}${name}`, tensor);
  return { step, seconds: 1.5, steps, evaluations: [], tensors };
};

/** Folders with the checkpoints of a run: the second-last generation is there or not. */
export const CHECKPOINTS: readonly Files[] = [
  new Map([["checkpoint/step-000000004.safetensors", encodeCheckpoint(checkpoint(4, testMeta()))]]),
  new Map([
    ["checkpoint/step-000000002.safetensors", encodeCheckpoint(checkpoint(2, testMeta({ target_modules: ["v"] })))],
    ["checkpoint/step-000000004.safetensors", encodeCheckpoint(checkpoint(4, testMeta({ target_modules: ["v"] })))],
  ]),
];

function sameTensors(found: Tensors, expected: Tensors): void {
  if (found.size !== expected.size) throw new Error(`${found.size} tensors, expected ${expected.size}`);
  for (const [name, { shape, data }] of expected) {
    const other = found.get(name);
    if (!other || !sameShape(other.shape, shape)) throw new Error(`${name}: ${other && formatShape(other.shape)}`);
    assertSameBits(name, other.data, data);
  }
}

function checkTensors(tensors: Tensors): void {
  for (const [name, { shape, data }] of tensors) {
    if (data.length !== shape.reduce((a, b) => a * b, 1)) throw new Error(`${name}: ${data.length} values, ${shape}`);
    if (!data.every(Number.isFinite)) throw new Error(`${name} has values that are not finite`);
  }
}

/** The tensors are those of the description, finite, and the same once they have been written and read again. */
export async function checkAdapter(adapter: Adapter, folder: string): Promise<void> {
  const { meta, tensors } = adapter;
  const shapes = adapterShapes(meta);
  if ([...shapes.keys()].join() !== [...tensors.keys()].join()) throw new Error("other tensors than the description's");
  for (const [name, shape] of shapes)
    if (!sameShape(tensors.get(name)!.shape, shape))
      throw new Error(`${name}: ${tensors.get(name)!.shape}, not ${shape}`);
  checkTensors(tensors);
  const again = join(folder, "again");
  put(again, (await adapterFiles(adapter)).files);
  const back = await readAdapter(again);
  sameTensors(back.tensors, tensors);
  if (JSON.stringify(back.meta) !== JSON.stringify(meta)) throw new Error("another description when it is read again");
  rmSync(again, { recursive: true });
}

/** Each of these reads what was put in a folder, as the commands do, and returns what checks it. */
export async function readOurs(folder: string): Promise<() => Promise<void>> {
  const adapter = await readAdapter(folder);
  return () => checkAdapter(adapter, folder);
}

const readPeftOn =
  (directory: string) =>
  async (path: string, folder = path) => {
    await using base = await openBaseModel(directory);
    const adapter = await loadAdapter(path, base);
    return () => checkAdapter(adapter, folder);
  };
export const readPeft = readPeftOn(join(golden, "base"));
export const readPeftQwen2 = readPeftOn(join(llama, "qwen2/base"));

export async function readBase(folder: string): Promise<() => Promise<void>> {
  const found = await openBaseModel(folder);
  const shapes = new Map(found.names.map((name) => [name, found.shape(name)]));
  const tensors: Tensors = new Map();
  try {
    for (const [name, shape] of shapes) tensors.set(name, { shape, data: await found.read(name) });
  } finally {
    await found.close();
  }
  return async () => {
    for (const [name, shape] of baseShapes(found.config))
      if (!sameShape(shapes.get(name)!, shape)) throw new Error(`${name}: ${shapes.get(name)}, not ${shape}`);
    for (const [name, { shape, data }] of tensors)
      if (data.length !== shape.reduce((a, b) => a * b, 1)) throw new Error(`${name}: ${data.length} values, ${shape}`);
  };
}

export async function readCheckpoint(folder: string): Promise<() => Promise<void>> {
  const found = await lastCheckpoint(folder);
  return async () => {
    checkTensors(found.tensors);
    const again = join(folder, "again");
    await keepCheckpoint(again, found);
    sameTensors((await lastCheckpoint(again)).tensors, found.tensors);
    rmSync(again, { recursive: true });
  };
}

export async function readTokenizer(folder: string): Promise<() => void> {
  const vocabulary = await readVocabulary(folder, null);
  const model = { vocabulary, config: { vocab_size: 1e6 }, read: () => {}, close: () => {} };
  const tokenizer = await Tokenizer.load({ model: model as unknown as BaseModel });
  if (vocabulary.chat) new Chat(tokenizer).prompt([{ role: "user", content: "the he" }]);
  return () => {
    const ids = tokenizer.encode("the  he\u00a0t, <|endoftext|>the", { allowSpecial: true });
    const { size, end } = vocabulary;
    if (!(end.id < size) || ids.some((id) => id >= size)) throw new Error(JSON.stringify({ size, end, ids: [...ids] }));
    tokenizer.decode(ids);
  };
}

/** Records of runs of every objective. */
export const RECORDS: readonly Files[] = makeRecords().map((record) => new Map([["run.json", JSON.stringify(record)]]));

const vocabulary = (analyzer: string, ngrams: string[], text = 0) => ({
  ...{ text, analyzer, ngram_range: analyzer === "word" ? [1, 2] : [2, 5], ngrams, df: ngrams.map(() => 2) },
  coef: [ngrams.map(() => 0.5)],
});
/** Classic models of every objective that has them. */
export const CLASSICS: readonly Files[] = [
  {},
  { objective: "regression", labels: ["score"] },
  { objective: "multi-label" },
].map((rest) => {
  const vocabularies = [vocabulary("word", ["aa", "bb", "aa bb"]), vocabulary("char_wb", [" a", "aa", "aa "])];
  const about = { format: "lowrank-classic", version: 1, objective: "classification", name: "TF-IDF", rows: 3 };
  const labels = "objective" in rest ? ["score"] : ["a", "b"];
  return new Map([["classic.json", JSON.stringify({ ...about, labels, intercept: [1], vocabularies, ...rest })]]);
});
