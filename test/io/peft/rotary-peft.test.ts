/**
 * Adapters in PEFT's files of Llama-type models, where each of our matrices is several modules, and of GPT-NeoX, where
 * queries, keys and values are one, by head; and merged models.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ADAPTED, firstColumn, loraName } from "../../../src/core/names.ts";
import { numel } from "../../../src/core/tensor.ts";
import { type BaseModel, openBaseModel } from "../../../src/io/hf.ts";
import { mergedTensors } from "../../../src/io/peft/merge.ts";
import { loadAdapter } from "../../../src/io/peft/open-adapter.ts";
import type { AdapterMeta, Tensors } from "../../../src/io/peft/peft.ts";
import { readAdapter } from "../../../src/io/peft/peft.ts";
import { streamSafetensors } from "../../../src/io/safetensors/safetensors-write.ts";
import { loraAdapters } from "../../../src/methods/lora.ts";
import { drawTensors, LM, modeMeta, product, readAll, testMeta, writeAdapter } from "../../helpers/adapters.ts";
import { assertAllClose } from "../../helpers/allclose.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

const folder = temporaryFolder();
const basePath = (name: string) => packagePath(`test/golden/${name}/base`);
const BLOCK = ["q", "k", "v", "o", "gate", "up", "down"] as const;
const NEOX = ["c_attn", "o", "fc", "proj"] as const;
const WRAPPER = "base_model.model.";
const SAVED = `${WRAPPER}model.layers.`;

async function withBase(name: string, body: (base: BaseModel) => Promise<void>): Promise<void> {
  await using base = await openBaseModel(basePath(name));
  await body(base);
}

const describe = (base: BaseModel, lora: object, rest: Partial<AdapterMeta> = {}): AdapterMeta =>
  testMeta(lora, { base_model: base.directory, model: base.config, ...rest });

const readConfig = (directory: string) => JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"));

/** Changes the settings of an adapter in PEFT's files, and leaves nothing of ours beside them. */
function change(directory: string, settings: object = {}): void {
  for (const name of ["lowrank.json", "lowrank.safetensors"]) rmSync(join(directory, name), { force: true });
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify({ ...readConfig(directory), ...settings }));
}

/** By the names of the modules: `q_proj lora_A`. */
const kinds = (tensors: Tensors) =>
  [...new Set([...tensors.keys()].map((key) => key.replace(/^.*\.(\w+)\.(lora_\w+)(\.weight)?$/, "$1 $2")))].sort();

const CASES: [
  title: string,
  base: string,
  lora: { target_modules: string[]; [setting: string]: unknown } | null,
  rest?: Partial<AdapterMeta>,
][] = [
  ["all matrices", "llama/llama", { target_modules: [...BLOCK, "head"] }],
  ["queries and values alone", "llama/llama3", { target_modules: ["q", "v"], scaling: "alpha/sqrt(r)" }],
  ["one block", "llama/qwen2", { target_modules: ["k", "up"], layers_to_transform: [1] }],
  [
    "biases, and gate and up whole",
    "llama/qwen2",
    {
      target_modules: ["q", "k", "v", "o"],
      modulesToSave: ["h.0.attn.c_attn.bias", "h.1.attn.c_attn.bias", "h.0.mlp.c_fc.weight"],
    },
  ],
  ["gate and up alone", "llama/llama", { target_modules: ["gate", "up"] }],
  ["down alone of a language model", "llama/qwen2", { target_modules: ["down"] }, LM],
  ["DoRA", "llama/llama", { target_modules: [...BLOCK], use_dora: true }],
  ["DoRA of queries, values and up alone", "llama/llama", { target_modules: ["q", "v", "up"], use_dora: true }],
  ["the token table", "llama/llama", { target_modules: ["gate", "wte"] }],
  ["a language model with its head", "llama/llama", { target_modules: ["o", "head"] }, LM],
  ["a prefix", "llama/llama", null, modeMeta("prefix")],
  ["a prompt of a language model", "llama/qwen2", null, { ...LM, ...modeMeta("prompt") }],
  ["all matrices by head", "neox/pythia", { target_modules: [...NEOX, "head"] }],
  ["DoRA by head", "neox/pythia", { target_modules: [...NEOX], use_dora: true }],
  ["the token table of a GPT-NeoX", "neox/pythia", { target_modules: ["fc", "wte"] }],
  ["a GPT-NeoX with its head", "neox/pythia", { target_modules: ["proj", "head"] }, LM],
  ["a prefix of a GPT-NeoX", "neox/sequential", null, { ...LM, ...modeMeta("prefix") }],
];

for (const [title, name, lora, rest] of CASES)
  test(`${title}: written for PEFT, the same bits come back, with our description and without`, () =>
    withBase(name, async (base) => {
      const meta = describe(base, lora ?? {}, rest);
      const tensors = drawTensors(meta);
      const directory = join(folder, title.replaceAll(" ", "-"));
      assert.equal(await writeAdapter(directory, { meta, tensors }), { peft: true });
      assert.equal(await readAdapter(directory), { meta, tensors });
      const { fan_in_fan_out, token_dim } = readConfig(directory);
      if (lora) assert.is(fan_in_fan_out, false);
      if (meta.mode === "prefix")
        assert.is(2 * base.config.n_layer * token_dim, tensors.get("prefix.weight")!.shape[1]);
      change(directory);
      const read = await loadAdapter(directory, base);
      // A classifier's head is saved whole.
      const targets = lora?.target_modules.filter((target) => rest?.task || target !== "head");
      assert.equal(read.meta.lora?.target_modules.toSorted(), targets?.toSorted());
      for (const [key, { data }] of tensors)
        if (!key.includes("head")) assertSameBits(key, read.tensors.get(key)!.data, data);
    }));

test("of a GPT-NeoX queries, keys and values are one module, by head, also where their adapters are apart", () =>
  withBase("neox/pythia", async (base) => {
    const meta = describe(base, { target_modules: ["q", "v", "o"] });
    const tensors = drawTensors(meta);
    const directory = join(folder, "by-head");
    assert.equal(await writeAdapter(directory, { meta, tensors }), { peft: true });
    assert.equal(await readAdapter(directory), { meta, tensors });
    const { target_modules, rank_pattern, fan_in_fan_out } = readConfig(directory);
    assert.equal(
      [target_modules, rank_pattern, fan_in_fan_out],
      [["query_key_value", "dense"], { query_key_value: 6 }, false],
    );
    const theirs = await readAll(join(directory, "adapter_model.safetensors"));
    const [heads, size] = [3, 16];
    const B = theirs.get(`${WRAPPER}gpt_neox.layers.1.attention.query_key_value.lora_B.weight`)!;
    assert.equal(B.shape, [3 * heads * size, 6]);
    const zeros = new Float32Array(3);
    for (const [part, target] of [..."qkv"].entries()) {
      const own = tensors.get(`lora.h.1.attn.${target}.B`)?.data;
      for (let row = 0; row < heads * size; row++) {
        const at = (Math.floor(row / size) * 3 + part) * size + (row % size);
        const [q, v] = [B.data.slice(at * 6, at * 6 + 3), B.data.slice(at * 6 + 3, at * 6 + 6)];
        const want = own?.slice(row * 3, row * 3 + 3) ?? zeros;
        assert.equal([q, v], target === "v" ? [zeros, want] : [want, zeros], `${target}, row ${row}`);
      }
    }
  }));

test("biases and matrices of a GPT-NeoX that were trained besides are by head in PEFT's files", () =>
  withBase("neox/pythia", async (base) => {
    const modulesToSave = [0, 1].flatMap((block) => [`h.${block}.attn.c_attn.bias`, `h.${block}.mlp.c_proj.weight`]);
    const meta = describe(base, { target_modules: ["c_attn"], modulesToSave });
    const tensors = drawTensors(meta);
    const directory = join(folder, "neox-biases");
    assert.equal(await writeAdapter(directory, { meta, tensors }), { peft: true });
    assert.equal(await readAdapter(directory), { meta, tensors });
    assert.is(readConfig(directory).bias, "lora_only");
    const theirs = await readAll(join(directory, "adapter_model.safetensors"));
    const bias = theirs.get(`${WRAPPER}gpt_neox.layers.0.attention.query_key_value.base_layer.bias`)!.data;
    const own = tensors.get("h.0.attn.c_attn.bias")!.data;
    // Of the second head: its queries, its keys, its values.
    assertSameBits(
      "bias",
      bias.slice(48, 96),
      Float32Array.of(...[0, 1, 2].flatMap((i) => [...own.slice(48 * i + 16, 48 * i + 32)])),
    );
  }));

test("DoRA of queries and values alone: the keys have no magnitudes in PEFT's files, and stay when it is merged", () =>
  withBase("llama/llama", async (base) => {
    const meta = describe(base, { target_modules: ["q", "v"], use_dora: true });
    const tensors = drawTensors(meta);
    const directory = join(folder, "dora-q-v");
    await writeAdapter(directory, { meta, tensors });
    assert.equal(readConfig(directory).target_modules, ["q_proj", "v_proj"]);
    const theirs = await readAll(join(directory, "adapter_model.safetensors"));
    const parts = ["q_proj", "v_proj"].flatMap((one) =>
      ["A", "B", "magnitude_vector"].map((part) => `${one} lora_${part}`),
    );
    assert.equal(kinds(theirs), [...parts, `${WRAPPER}score.weight`].sort());
    // Its queries, then its values.
    const magnitude = tensors.get("lora.h.1.attn.c_attn.magnitude")!;
    assert.equal(magnitude.shape, [64]);
    for (const [module, first, end] of [
      ["q", 0, 48],
      ["v", 48, 64],
    ] as const)
      assertSameBits(
        module,
        theirs.get(`${SAVED}1.self_attn.${module}_proj.lora_magnitude_vector`)!.data,
        magnitude.data.slice(first, end),
      );
    for (const { name, shape, pieces } of await mergedTensors(base, { meta, tensors }, undefined)) {
      const module = /layers\.1\.self_attn\.([qkv])_proj\.weight/.exec(name)?.[1];
      if (module === undefined) continue;
      const values: number[] = [];
      for await (const piece of pieces()) values.push(...piece);
      const merged = Float32Array.from(values);
      const [outputs, inputs] = shape as [number, number];
      const weight = await base.read("h.1.attn.c_attn.weight");
      const column = firstColumn(module as "q", base.config);
      for (let i = 0; i < outputs; i++) {
        const row = merged.subarray(i * inputs, (i + 1) * inputs);
        if (module === "k")
          assertSameBits(
            "k",
            row,
            Float32Array.from(row, (_, j) => weight[j * 80 + column + i]!),
          );
        else
          assert.ok(Math.abs(Math.hypot(...row) / Math.abs(magnitude.data[(module === "q" ? 0 : 48) + i]!) - 1) < 1e-5);
      }
    }
  }));

test("what PEFT trained of a part of our matrices is refused by its names", () =>
  withBase("llama/qwen2", async (base) => {
    const meta = describe(base, { target_modules: ["q", "o"] });
    const cases: [settings: object, key: string, shape: number[]][] = [
      [{ modules_to_save: ["up_proj"] }, "mlp.up_proj.weight", [44, 32]],
      [{ bias: "lora_only" }, "self_attn.q_proj.base_layer.bias", [32]],
    ];
    for (const [settings, key, shape] of cases) {
      const directory = join(folder, key);
      await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
      change(directory, settings);
      const path = join(directory, "adapter_model.safetensors");
      const tensors = await readAll(path);
      for (const block of [0, 1])
        tensors.set(`${SAVED}${block}.${key}`, { shape, data: new Float32Array(numel(shape)) });
      await writeTensors(path, tensors);
      const words = [key, "one matrix here"];
      await assertFails("unsupported-adapter-config", words, () => loadAdapter(directory, base));
    }
  }));

test("an adapter is refused for a model with other heads, other positions or of another type", () =>
  withBase("llama/llama3", async (base) => {
    const meta = describe(base, { target_modules: ["o"] });
    const directory = join(folder, "other-base");
    await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
    const rope = { theta: 1e4 };
    for (const [key, other] of Object.entries({ model_type: "qwen2", n_kv_head: 2, rope }))
      await assertFails("wrong-base-model", [`${key} = ${JSON.stringify(other)}`], () =>
        readAdapter(directory, { base: { config: { ...base.config, [key]: other } } }),
      );
  }));

test("PEFT's copy of the token table beside an adapter of it is left out", () =>
  withBase("llama/llama", async (base) => {
    const meta = describe(base, { target_modules: ["q", "wte"] });
    const directory = join(folder, "table");
    await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
    change(directory);
    const path = join(directory, "adapter_model.safetensors");
    const copy = { shape: base.shape("wte.weight"), data: await base.read("wte.weight") };
    await writeTensors(
      path,
      new Map([...(await readAll(path)), [`${WRAPPER}model.embed_tokens.base_layer.weight`, copy]]),
    );
    assert.equal((await loadAdapter(directory, base)).meta.lora!.target_modules, ["wte", "q"]);
  }));

async function writeTensors(path: string, tensors: Tensors): Promise<void> {
  const pieces: Uint8Array[] = [];
  const list = [...tensors].map(([name, { shape, data }]) => {
    return {
      name,
      shape,
      dtype: "F32" as const,
      pieces: async function* () {
        yield data;
      },
    };
  });
  for await (const piece of streamSafetensors(list, { format: "pt" })) pieces.push(piece);
  writeFileSync(path, Buffer.concat(pieces));
}

for (const [name, head, blockTargets] of [
  ["llama/llama", "a tied head becomes a tensor of its own", BLOCK],
  ["llama/llama3", "an untied head", BLOCK],
  ["neox/pythia", "an untied head", NEOX],
  ["neox/sequential", "a tied head becomes a tensor of its own", ["k", "v", "fc"]],
] as const)
  test(`merged, ${name}: transformers' names and layout, every product in its columns, ${head}`, () =>
    withBase(name, async (base) => {
      const meta = describe(base, { target_modules: [...blockTargets, "head"] }, LM);
      const tensors = drawTensors(meta);
      const directory = join(folder, `merged-${name}`);
      mkdirSync(directory, { recursive: true });
      const pieces: Uint8Array[] = [];
      const merged = await mergedTensors(base, { meta, tensors }, undefined);
      for await (const piece of streamSafetensors(merged, { format: "pt" })) pieces.push(piece);
      writeFileSync(join(directory, "model.safetensors"), Buffer.concat(pieces));
      cpSync(join(base.directory, "config.json"), join(directory, "config.json"));
      const config = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
      writeFileSync(join(directory, "config.json"), JSON.stringify({ ...config, tie_word_embeddings: false }));
      await using read = await openBaseModel(directory);
      const expected = new Map<string, Float32Array>();
      for (const one of read.names) expected.set(one, await base.read(base.names.includes(one) ? one : "wte.weight"));
      for (const adapter of loraAdapters(base.config, meta.lora!)) {
        const { target, block, r, scale } = adapter;
        const [A, B] = (["A", "B"] as const).map((part) => tensors.get(loraName(adapter, part))!);
        const delta = product(B!.data, A!.data, r, A!.shape[1]!, scale);
        const [inputs, outputs] = [A!.shape[1]!, B!.shape[0]!];
        const whole = expected.get(block === null ? "lm_head.weight" : `h.${block}.${ADAPTED[target].layer}.weight`)!;
        const columns = whole.length / inputs;
        const first = firstColumn(target, base.config);
        for (let i = 0; i < outputs; i++)
          for (let j = 0; j < inputs; j++)
            whole[block === null ? i * inputs + j : j * columns + first + i]! += delta[i * inputs + j]!;
      }
      for (const [one, values] of expected)
        if (one !== "score.weight") assertAllClose(one, await read.read(one), values, { atol: 1e-6, rtol: 1e-6 });
    }));
