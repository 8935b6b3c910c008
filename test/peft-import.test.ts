/** Adapters that PEFT itself wrote. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ConfigError, FormatError, ShapeError } from "../src/errors.ts";
import { readAdapter, type Tensors, writeAdapter } from "../src/io/peft.ts";
import { encodeSafetensors } from "../src/io/safetensors.ts";
import { model, ourDelta, product, readAll } from "./adapters.ts";
import { assertFails, assertSameBits, numbers, temporaryFolder } from "./border.ts";
import { test } from "./harness.ts";

const folder = temporaryFolder();

/** An adapter as PEFT writes it: one A and B for c_attn. */
function foreign(name: string, config: object = {}, change: (tensors: Tensors) => void = () => {}): string {
  const directory = join(folder, `foreign-${name}`);
  mkdirSync(directory);
  const random = numbers(11);
  const tensors: Tensors = new Map();
  const add = (key: string, ...shape: number[]) => tensors.set(key, { shape, data: random(shape) });
  for (let layer = 0; layer < model.n_layer; layer++)
    for (const [module, inputs, outputs] of [
      ["attn.c_attn", 8, 24],
      ["attn.c_proj", 8, 8],
      ["mlp.c_proj", 32, 8],
    ] as const) {
      add(`base_model.model.transformer.h.${layer}.${module}.lora_A.weight`, 2, inputs);
      add(`base_model.model.transformer.h.${layer}.${module}.lora_B.weight`, outputs, 2);
    }
  add("base_model.model.score.weight", 3, 8);
  change(tensors);
  const basics = { peft_type: "LORA", task_type: "SEQ_CLS", base_model_name_or_path: "gpt2", r: 2, lora_alpha: 16 };
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify({ ...basics, bias: "none", ...config }));
  const encoded = [...tensors].map(([key, tensor]) => ({ name: key, dtype: "F32" as const, ...tensor }));
  writeFileSync(join(directory, "adapter_model.safetensors"), encodeSafetensors(encoded, { format: "pt" }));
  return directory;
}

test("an adapter that PEFT trained: the same product, q, k and v apart, and writable as ours", async () => {
  const directory = foreign("plain", { use_rslora: true });
  const { meta, tensors } = await readAdapter(directory, { model });
  assert.equal(meta.lora, {
    r: 2,
    lora_alpha: 16,
    scaling: "alpha/sqrt(r)",
    init: "kaiming",
    target_modules: ["q", "k", "v", "o", "proj"],
  });
  assert.equal([meta.labels, meta.task.num_labels, meta.base_model], [["LABEL_0", "LABEL_1", "LABEL_2"], 3, "gpt2"]);
  const peft = await readAll(join(directory, "adapter_model.safetensors"));
  const C = model.n_embd;
  for (let layer = 0; layer < model.n_layer; layer++) {
    const [A, B] = ["A", "B"].map(
      (part) => peft.get(`base_model.model.transformer.h.${layer}.attn.c_attn.lora_${part}.weight`)!.data,
    );
    const fused = product(B!, A!, 2, C, 16 / Math.sqrt(2));
    for (const [third, target] of ["q", "k", "v"].entries())
      assert.equal(
        ourDelta(tensors, `h.${layer}.attn.${target}`, meta.lora!),
        fused.slice(third * C * C, (third + 1) * C * C),
      );
  }
  assertSameBits("head", tensors.get("head.weight")!.data, peft.get("base_model.model.score.weight")!.data);
  const copy = join(folder, "foreign-copy");
  assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
  assert.equal(await readAdapter(copy), { meta, tensors });
});

test("patterns that make every module the same are read as PEFT reads them", async () => {
  const patterns = { r: 9, rank_pattern: { ".*": 2 }, alpha_pattern: { "c_attn|c_proj": 4 } };
  const { meta } = await readAdapter(foreign("patterns", patterns), { model });
  assert.equal([meta.lora!.r, meta.lora!.lora_alpha], [2, 4]);
});

test("adapters of PEFT that cannot be taken over are refused by name", async () => {
  const refused = (name: string, config: object, change?: (tensors: Tensors) => void) => () =>
    readAdapter(foreign(name, config, change), { model });
  for (const [key, value] of Object.entries({
    peft_type: "IA3",
    task_type: "TOKEN_CLS",
    bias: "all",
    use_dora: true,
    init_lora_weights: "pissa",
  }))
    await assertFails(
      ConfigError,
      [`${key} = ${JSON.stringify(value)}`, "adapter_config.json"],
      refused(key, { [key]: value }),
    );
  await assertFails(
    ConfigError,
    ["differ in rank or alpha", "alpha 8"],
    refused("alpha", { alpha_pattern: { c_attn: 8 } }),
  );
  await assertFails(FormatError, ["rank of the configuration", "3 rows", "[2, 8]"], refused("rank", { r: 3 }));
  const first = "base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight";
  await assertFails(
    FormatError,
    ["lacks tensors", "transformer.h.0.mlp.c_proj"],
    refused("half", {}, (tensors) => tensors.delete(first)),
  );
  await assertFails(
    FormatError,
    ["lora.h.1.mlp.proj.A"],
    refused("layer", {}, (tensors) => {
      for (const part of "AB") tensors.delete(`base_model.model.transformer.h.1.mlp.c_proj.lora_${part}.weight`);
    }),
  );
  await assertFails(
    FormatError,
    ["not supported", "score.bias"],
    refused("bias-tensor", {}, (tensors) =>
      tensors.set("base_model.model.score.bias", { shape: [3], data: new Float32Array(3) }),
    ),
  );
  await assertFails(
    FormatError,
    ["score.weight is missing"],
    refused("score", {}, (tensors) => tensors.delete("base_model.model.score.weight")),
  );
  await assertFails(
    ShapeError,
    ["mlp.proj.B", "[8, 2]", "[2, 8]"],
    refused("turned", {}, (tensors) => tensors.set(first, { shape: [2, 8], data: new Float32Array(16) })),
  );
  await assertFails(ConfigError, ["adapter_config.json", "name that too"], () => readAdapter(foreign("no-model")));
});
