/** GGUF files of base models, changed at random: keys, tensors, their places, and bytes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "#platform";
import type { Rng } from "../../src/core/rng.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { decodeGguf, encodeGguf, type Parts, type Tensor, type Value } from "../helpers/gguf.ts";
import { fuzz } from "./fuzz.ts";
import { readBase } from "./models.ts";
import { mutateBytes, oneIn, pick, split } from "./mutate.ts";

const MODEL = "model.gguf";
const files = ["gpt2-q8_0", "llama-q4_1", "llama3-bf16", "qwen2-q8_0"].map((name) =>
  Uint8Array.from(readFileSync(packagePath(`test/golden/gguf/${name}.gguf`))),
);

const NUMBERS = [0, 1, -1, 2, 3, 4, 8, 32, 33, 64, 0.5, 255, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 1e308, NaN, Infinity];
const TEXTS = [
  "",
  "\0",
  "x".repeat(2000),
  ...split("gpt2 llama qwen2 smollm none linear yarn ä __proto__ constructor"),
];
/** Keys that a file may have, and does not have here. */
const KEYS = split(
  "general.alignment llama.attention.key_length llama.attention.value_length llama.rope.scaling.type " +
    "llama.rope.scaling.factor qwen2.rope.dimension_count gpt2.vocab_size llama.expert_count " +
    "tokenizer.ggml.add_bos_token __proto__",
);

function changeValue(rng: Rng, { type, elements, value }: Value): Value {
  if (elements !== undefined && !oneIn(rng, 8)) {
    const list = [...(value as unknown[])];
    const at = rng.below(list.length + 1);
    if (oneIn(rng, 2)) list[at % Math.max(1, list.length)] = list[rng.below(list.length)];
    else list.splice(at, rng.below(3), ...(oneIn(rng, 2) ? list.slice(0, 2) : []));
    return { type, elements, value: list };
  }
  if (oneIn(rng, 2)) return { type: 8, value: pick(rng, TEXTS) };
  const other = oneIn(rng, 3) ? pick(rng, [0, 3, 4, 5, 6, 7, 10, 12]) : 4;
  const number = typeof value === "number" && oneIn(rng, 2) ? value + pick(rng, [1, -1, value]) : pick(rng, NUMBERS);
  // A whole number of its type.
  const isFloat = other === 6 || other === 12;
  return { type: other, value: isFloat ? number : Number.isFinite(number) ? Math.trunc(number) : 0 };
}

function changeKeys(rng: Rng, { metadata }: Parts): void {
  const key = pick(rng, [...metadata.keys()]);
  const value = metadata.get(key)!;
  const changes = [
    () => metadata.delete(key),
    () => metadata.set(pick(rng, KEYS), changeValue(rng, { type: 4, value: 1 })),
    () => metadata.set(key, metadata.get(pick(rng, [...metadata.keys()]))!),
  ];
  (changes[rng.below(5)] ?? (() => metadata.set(key, changeValue(rng, value))))();
}

function changeTensors(rng: Rng, tensors: Tensor[]): void {
  const at = rng.below(tensors.length);
  const tensor = tensors[at]!;
  const other = pick(rng, tensors);
  const names = ["output.weight", "rope_freqs.weight", "blk.9.attn_q.weight", "", tensor.name];
  const sizes = tensor.dimensions;
  const number = () => Math.abs(Math.trunc(pick(rng, NUMBERS.slice(0, -3))));
  pick<() => unknown>(rng, [
    () => tensors.splice(at, 1),
    () => tensors.splice(at, 0, { ...tensor, name: pick(rng, names) }),
    () => ([tensor.name, other.name] = [other.name, tensor.name]),
    () => (tensor.dimensions = pick(rng, [[], [...sizes, 1], [...sizes].reverse(), [0], [1, 1, 1, 1, 1]])),
    () => (sizes[rng.below(sizes.length)] = number()),
    () => (tensor.type = rng.below(44)),
    () => (tensor.offset = number()),
    () => rng.shuffle(tensors),
    () => (tensor.data = mutateBytes(rng, tensor.data)),
  ])();
}

function changed(rng: Rng): Uint8Array {
  const parts = decodeGguf(pick(rng, files));
  parts.tensors = parts.tensors.map((tensor) => ({ ...tensor, dimensions: [...tensor.dimensions] }));
  if (oneIn(rng, 10)) parts.version = rng.below(5);
  for (let left = rng.below(3); left > 0; left--) changeKeys(rng, parts);
  for (let left = rng.below(3); left > 0; left--) changeTensors(rng, parts.tensors);
  const bytes = encodeGguf(parts, oneIn(rng, 8) ? 64 : 32);
  if (!oneIn(rng, 4)) return bytes;
  // Most of it is data, in which any bytes are good.
  const header = bytes.subarray(0, 2000);
  return new Uint8Array([...mutateBytes(rng, header), ...bytes.subarray(header.length)]);
}

fuzz({
  name: "gguf",
  count: 250,
  make: (rng) => ({ files: new Map([[MODEL, changed(rng)]]) }),
  read: (_, folder) => readBase(join(folder, MODEL)),
});

fuzz({
  name: "gguf-head",
  count: 50,
  ends: "read",
  make(rng) {
    const parts = decodeGguf(pick(rng, files));
    const table = parts.tensors.find(({ name }) => name === "token_embd.weight")!;
    // Without the padding behind it: one byte of any row.
    const data = Uint8Array.from(table.data);
    data[rng.below(data.length - 32)]! ^= 1 << rng.below(7);
    parts.tensors = [
      ...parts.tensors.filter(({ name }) => name !== "output.weight"),
      { ...table, name: "output.weight", data },
    ];
    return { files: new Map([[MODEL, encodeGguf(parts)]]) };
  },
  async read(_, folder) {
    await using model = await openBaseModel(join(folder, MODEL));
    return () => {
      if (!model.names.includes("lm_head.weight")) throw new Error("a head that differs from the table is left out");
    };
  },
});
