/** GGUF's header and ggml's element types: fixtures by the package gguf (test/exchange/make_gguf.py), damaged files. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { readGgufHeader } from "../../../src/io/gguf/gguf.ts";
import { LIMITS } from "../../../src/io/limits.ts";
import { blobReader, type FileReader } from "../../../src/platform/reader.ts";
import { assertFails } from "../../helpers/border.ts";
import { decodeGguf, encodeGguf, type Parts } from "../../helpers/gguf.ts";
import { test } from "../../helpers/harness.ts";

const golden = packagePath("test/golden/gguf");
const expected = JSON.parse(readFileSync(join(golden, "expect.json"), "utf8"));
const types = Uint8Array.from(readFileSync(join(golden, "types.gguf")));
const model = Uint8Array.from(readFileSync(join(golden, "llama-q4_1.gguf")));

const reader = (bytes: Uint8Array<ArrayBuffer>) => blobReader("some.gguf", new Blob([bytes]));
const read = (bytes: Uint8Array<ArrayBuffer>) => readGgufHeader(reader(bytes));

test("values of every type are those that the package gguf dequantises, to the bit", async () => {
  const { tensors, dataStart } = await read(types);
  assert.equal([...tensors.keys()].sort(), Object.keys(expected.types).sort());
  for (const [name, { type, shape, begin, end }] of tensors) {
    assert.is(type.name, name);
    assert.equal(shape, [2, 512]);
    const values = type.decode(types.slice(dataStart + begin, dataStart + end));
    const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
    assert.is(hash, expected.types[name], name);
  }
});

test("keys have values of every type", async () => {
  const parts = decodeGguf(types);
  const values = [
    ...[255, -128, 65535, -32768, 4294967295, -2147483648, 0.5, true, "text", ["ä", ""], 2 ** 40, -(2 ** 40), 0.1],
  ];
  for (const [type, value] of values.entries())
    parts.metadata.set(`key.${type}`, { type, value, ...(type === 9 ? { elements: 8 } : {}) });
  parts.metadata.set("numbers", { type: 9, elements: 6, value: [1, -2.5] });
  const { metadata } = await read(encodeGguf(parts));
  for (const [type, value] of values.entries()) assert.equal(metadata.get(`key.${type}`), value);
  assert.equal(metadata.get("numbers"), [1, -2.5]);
});

test("version 2 is read, and data with another alignment", async () => {
  const parts = decodeGguf(types);
  parts.version = 2;
  assert.is((await read(encodeGguf(parts))).tensors.size, parts.tensors.length);
  parts.metadata.set("general.alignment", { type: 4, value: 64 });
  const { dataStart, alignment } = await read(encodeGguf(parts, 64));
  assert.is(alignment, 64);
  assert.is(dataStart % 64, 0);
});

test("a header of any length is read, and no more than its data needs", async () => {
  const parts = decodeGguf(types);
  parts.metadata.set("long", { type: 8, value: "x".repeat(5 << 20) });
  const bytes = encodeGguf(parts);
  const lengths: number[] = [];
  const inner = reader(bytes);
  const counted: FileReader = {
    ...inner,
    read: (offset, length) => {
      lengths.push(length);
      return inner.read(offset, length);
    },
  };
  assert.is((await readGgufHeader(counted)).tensors.size, parts.tensors.length);
  assert.equal(lengths, [2 << 20, bytes.length]);
});

async function refused(
  code: ErrorCode,
  words: string[],
  change: (parts: Parts) => unknown,
  from = types,
): Promise<void> {
  const parts = decodeGguf(from);
  const changed = change(parts);
  const bytes = changed instanceof Uint8Array ? changed : encodeGguf(parts);
  await assertFails(code, ["some.gguf", ...words], () => read(bytes as Uint8Array<ArrayBuffer>));
}

test("other files, versions and byte orders are refused", async () => {
  await refused("invalid-gguf", ["not a GGUF file"], () => new TextEncoder().encode("GGML and something more"));
  await refused("truncated-file", ["does not end"], () => new Uint8Array(0));
  await refused("invalid-gguf", ["version", "1"], (parts) => {
    parts.version = 1;
  });
  await refused("invalid-gguf", ["big-endian"], (parts) => {
    parts.version = 3 << 24;
  });
});

test("a file that ends early or late is refused, wherever it was cut", async () => {
  const cut = new Set([0, 3, 4, 8, 23, 24, 40, model.length / 4, model.length / 2, model.length - 33].map(Math.floor));
  for (const length of cut) await refused("truncated-file", ["does not end"], () => model.slice(0, length), model);
  // The padding of the last tensor may be missing.
  const last = decodeGguf(types).tensors.at(-1)!;
  assert.is(last.data.length % 32, 0);
  await refused("invalid-gguf", ["after the last tensor"], () => Uint8Array.of(...types, ...new Uint8Array(32)));
});

test("sizes, places, names and types that are wrong are refused", async () => {
  const first = (change: (tensor: Parts["tensors"][number], parts: Parts) => void) => (parts: Parts) =>
    change(parts.tensors.find(({ name }) => name === "Q8_0")!, parts);
  const cases: [ErrorCode, string[], ReturnType<typeof first>][] = [
    ["wrong-dtype", ["Q8_0", "found:    Q2_K", "Q4_K"], first((tensor) => (tensor.type = 10))],
    ["wrong-dtype", ["type 4"], first((tensor) => (tensor.type = 4))],
    ["wrong-dtype", ["type 99"], first((tensor) => (tensor.type = 99))],
    ["exceeds-limit", ["dimensions", "5"], first((tensor) => (tensor.dimensions = [32, 2, 2, 2, 4]))],
    ["invalid-gguf", ["invalid shape"], first((tensor) => (tensor.dimensions = [0, 2]))],
    ["invalid-gguf", ["invalid shape", "multiple of 32"], first((tensor) => (tensor.dimensions = [2, 512]))],
    ["invalid-gguf", ["invalid shape"], first((tensor) => (tensor.dimensions = [1024]))],
    ["invalid-gguf", ["invalid shape"], first((tensor) => (tensor.dimensions = [2 ** 32, 2 ** 32]))],
    ["invalid-gguf", ["overlap"], first((tensor) => (tensor.offset = 0))],
    ["invalid-gguf", ["gap"], first((tensor) => (tensor.offset = 2 ** 40))],
    ["invalid-gguf", ["overlap"], first((tensor) => (tensor.dimensions = [512, 4]))],
    ["invalid-gguf", ["gap"], first((tensor) => (tensor.dimensions = [512, 1]))],
    ["truncated-file", ["does not end"], first((_, { tensors }) => tensors.at(-1)!.dimensions.splice(1, 1, 9))],
    ["invalid-gguf", ["the same name", "F32"], first((tensor) => (tensor.name = "F32"))],
    ["exceeds-limit", ["name of a tensor"], first((tensor) => (tensor.name = "x".repeat(LIMITS.tensorName + 1)))],
  ];
  for (const [code, words, change] of cases) await refused(code, words, change);
});

test("keys that are wrong, or too many, are refused", async () => {
  const set = (type: number, value: unknown, elements?: number) => (parts: Parts) =>
    parts.metadata.set("general.alignment", { type, value, ...(elements === undefined ? {} : { elements }) });
  for (const alignment of [0, 3, 2 ** 31])
    await refused("invalid-gguf", ["alignment", `${alignment}`], set(4, alignment));
  await refused("invalid-gguf", ["alignment"], set(8, "wide"));
  await refused("invalid-gguf", ["true nor false", "7"], set(7, 7));
  await refused("invalid-gguf", ["no known type", "type 13"], (parts) => {
    // The type of the first value, behind its key: a string.
    const bytes = encodeGguf(parts);
    const at = 24 + 8 + [...parts.metadata.keys()][0]!.length;
    bytes[at] = 13;
    return bytes;
  });
  const count = (at: number, value: bigint) => (parts: Parts) => {
    const bytes = encodeGguf(parts);
    new DataView(bytes.buffer).setBigUint64(at, value, true);
    return bytes;
  };
  await refused("exceeds-limit", ["tensors"], count(8, 2n ** 63n));
  await refused("exceeds-limit", ["keys"], count(16, 5000n));
  await refused("truncated-file", ["does not end"], count(16, 4000n));
  // The length of the first key.
  for (const length of [2n ** 32n, 2n ** 64n - 1n])
    await refused("truncated-file", ["does not end"], count(24, length));
  const length = BigInt(LIMITS.ggufLists + 1);
  await refused("exceeds-limit", ["elements", `${LIMITS.ggufLists}`], (parts) => {
    parts.metadata = new Map([["list", { type: 9, elements: 0, value: [] }]]);
    return count(24 + 8 + 4 + 4 + 4, length)(parts);
  });
});
