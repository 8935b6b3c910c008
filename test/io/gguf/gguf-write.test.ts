/** GGUF files that are written here: the codes of ggml, and headers that our own reader and another one take. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ENCODINGS } from "../../../src/io/gguf/ggml-encode.ts";
import { readGgufHeader } from "../../../src/io/gguf/gguf.ts";
import * as write from "../../../src/io/gguf/gguf-write.ts";
import { blobReader } from "../../../src/platform/reader.ts";
import { assertFails, numbers } from "../../helpers/border.ts";
import { decodeGguf } from "../../helpers/gguf.ts";
import { test } from "../../helpers/harness.ts";

test("the bytes of each type are those of gguf.quantize", () => {
  const file = readFileSync(packagePath(join("test/golden/gguf", "quantized.gguf")));
  const stored = new Map(decodeGguf(file).tensors.map(({ type, data }) => [type, data]));
  const values = new Float32Array(new Uint8Array(stored.get(ENCODINGS.f32.id)!).buffer);
  for (const [name, { id, encode }] of Object.entries(ENCODINGS)) {
    const bytes = encode(values);
    // The last tensor is padded in the file.
    assert.equal([...bytes], [...stored.get(id)!.subarray(0, bytes.length)], name);
  }
});

const random = numbers(1);

/** A tensor whose rows are given one by one. */
function tensor(name: string, shape: number[], type: keyof typeof ENCODINGS, rows = shape[0]!): write.GgufOutput {
  const width = shape[1] ?? 1;
  const pieces = async function* () {
    for (let i = 0; i < rows; i++) yield random([width]);
  };
  return { name, shape, type: ENCODINGS[type], pieces };
}

async function written(metadata: Record<string, Uint8Array>, tensors: write.GgufOutput[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of write.streamGguf(new Map(Object.entries(metadata)), tensors)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

test("a file has its metadata, and its tensors where the header says", async () => {
  const long = "é".repeat(5000);
  const file = await written(
    {
      "a.u32": write.u32(2 ** 32 - 1),
      "a.f32": write.f32(0.1),
      "a.yes": write.bool(true),
      "a.text": write.text(long),
      "a.texts": write.texts(["", "Ġa", "\u{1f600}"]),
      "a.list": write.i32s([-1, 2 ** 31 - 1]),
      "a.none": write.texts([]),
    },
    [
      tensor("one", [3], "f32"),
      tensor("two", [5, 64], "q4"),
      tensor("three", [2, 7], "f16"),
      tensor("four", [1, 32], "q8"),
    ],
  );
  const header = await readGgufHeader(blobReader("file", new Blob([file as Uint8Array<ArrayBuffer>])));
  assert.equal(Object.fromEntries(header.metadata), {
    "a.u32": 2 ** 32 - 1,
    "a.f32": Math.fround(0.1),
    "a.yes": true,
    "a.text": long,
    "a.texts": ["", "Ġa", "\u{1f600}"],
    "a.list": [-1, 2 ** 31 - 1],
    "a.none": [],
  });
  assert.equal(
    [...header.tensors].map(([name, { shape, type, begin, end }]) => [name, shape, type.name, begin, end]),
    [
      ["one", [3], "F32", 0, 12],
      ["two", [5, 64], "Q4_0", 32, 212],
      ["three", [2, 7], "F16", 224, 252],
      ["four", [1, 32], "Q8_0", 256, 290],
    ],
  );
  assert.is(file.length, header.dataStart + 320);
  assert.is(decodeGguf(file).version, 3);
  assert.equal(header.encoded.get("a.yes"), write.bool(true));
});

test("a tensor with other values than its shape says is no file", async () => {
  await assertFails("wrong-shape", ["short", "96 elements"], () => written({}, [tensor("short", [4, 32], "q8", 3)]));
});
