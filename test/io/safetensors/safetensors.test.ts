import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { bfloatToFloat, halfToFloat } from "../../../src/core/half.ts";
import { LIMITS } from "../../../src/io/limits.ts";
import { SafetensorsFile } from "../../../src/io/safetensors/safetensors.ts";
import { encodeSafetensors } from "../../../src/io/safetensors/safetensors-write.ts";
import type { FileReader } from "../../../src/platform/reader.ts";
import { assertFails, assertSameBits, numbers } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

/** A file in memory that notes how much was read at most at once. */
function memory(bytes: Uint8Array): FileReader & { largest: number } {
  return {
    name: "some/model.safetensors",
    size: bytes.length,
    largest: 0,
    async read(offset, length) {
      assert.ok(offset >= 0 && length >= 0 && offset + length <= bytes.length, "read beyond the file");
      this.largest = Math.max(this.largest, length);
      return new Uint8Array(bytes.slice(offset, offset + length));
    },
    close: async () => {},
  };
}

/** A file put together by hand: any header, and `dataBytes` bytes of data (or those given). */
function assemble(header: unknown, data: number | Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}

const open = (bytes: Uint8Array) => SafetensorsFile.open(memory(bytes));
const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

async function refused(bytes: Uint8Array, code: ErrorCode, ...words: string[]): Promise<void> {
  await assertFails(code, ["some/model.safetensors", ...words], () => open(bytes));
}

test("round trips are bit-exact: F32, I32, metadata, empty and scalar tensors", async () => {
  const random = numbers(3);
  const a = random([5, 7]);
  a.set([-0, Number.NaN, Number.POSITIVE_INFINITY, 1e-45]);
  const ids = Int32Array.of(-1, 0, 2147483647, -2147483648);
  const file = await open(
    encodeSafetensors(
      [
        { name: "b.ids", shape: [2, 2], dtype: "I32", data: ids },
        { name: "scalar", shape: [], dtype: "F32", data: Float32Array.of(3.5) },
        { name: "a.weight", shape: [5, 7], dtype: "F32", data: a },
        { name: "none", shape: [0, 4], dtype: "F32", data: new Float32Array(0) },
      ],
      { format: "pt", ünïcode: '"quoted"' },
    ),
  );
  assert.equal(file.metadata, { format: "pt", ünïcode: '"quoted"' });
  assert.equal(file.names, ["a.weight", "none", "scalar", "b.ids"]);
  assert.equal(file.info("a.weight"), { dtype: "F32", shape: [5, 7], begin: 0, end: 140 });
  assertSameBits("a.weight", await file.readF32("a.weight"), a);
  assert.equal(await file.readI32("b.ids"), ids);
  assert.equal(await file.readF32("scalar"), Float32Array.of(3.5));
  assert.is((await file.readF32("none")).length, 0);
});

test("the bytes are those of the reference library, whatever the order of the tensors", () => {
  const tensors = [
    { name: "b", shape: [2], dtype: "F32", data: Float32Array.of(1, 2) },
    { name: "a", shape: [1], dtype: "I32", data: Int32Array.of(7) },
    { name: "a.b", shape: [1, 1], dtype: "F32", data: Float32Array.of(3) },
  ] as const;
  const bytes = encodeSafetensors(tensors, { format: "pt" });
  assert.equal(encodeSafetensors([...tensors].reverse(), { format: "pt" }), bytes);
  // As safetensors.numpy.save wrote them; checked with version 0.8.
  const header =
    '{"__metadata__":{"format":"pt"},"a.b":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},' +
    '"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"a":{"dtype":"I32","shape":[1],"data_offsets":[12,16]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const data = new Uint8Array(16);
  data.set(new Uint8Array(Float32Array.of(3, 1, 2).buffer));
  data.set(new Uint8Array(Int32Array.of(7).buffer), 12);
  assert.equal(bytes, assemble(padded, data));
});

test("encoding refuses data that does not match its shape, and duplicate names", async () => {
  const one = { name: "x", shape: [2, 2], dtype: "F32", data: new Float32Array(4) } as const;
  await assertFails("wrong-shape", ["x", "4 elements", "3 elements"], () =>
    encodeSafetensors([{ ...one, data: new Float32Array(3) }]),
  );
  await assertFails("duplicate-tensor", ["x"], () => encodeSafetensors([one, one]));
  await assertFails("duplicate-tensor", ["__metadata__"], () => encodeSafetensors([{ ...one, name: "__metadata__" }]));
});

test("views into larger arrays are written from where they begin", async () => {
  const data = Float32Array.of(1, 2, 3, 4, 5).subarray(1, 4);
  const file = await open(encodeSafetensors([{ name: "x", shape: [3], dtype: "F32", data }]));
  assert.equal(await file.readF32("x"), Float32Array.of(2, 3, 4));
});

test("a data segment at every offset modulo 8", async () => {
  const values = Float32Array.of(1.5, -2.25, 1e-30, 7);
  const bytes = new Uint8Array(values.buffer);
  const halves = Uint16Array.of(0x3c00, 0xc000);
  for (let pad = 0; pad < 8; pad++) {
    const data = new Uint8Array(20);
    data.set(bytes);
    data.set(new Uint8Array(halves.buffer), 16);
    const header = JSON.stringify({ x: entry("F32", [2, 2], 0, 16), half: entry("F16", [2], 16, 20) });
    const file = await open(assemble(header + " ".repeat(pad), data));
    assert.equal(await file.readF32("x"), values);
    assert.equal(await file.readF32("x", 1), values.slice(2));
    assert.equal(await file.readF32("half"), Float32Array.of(1, -2));
  }
});

test("NaN and infinities are named with their place, in every type of floats", async () => {
  for (const [dtype, nan, infinite, largest] of [
    ["F32", 0x7fc00000, 0xff800000, 0x7f7fffff],
    ["F16", 0x7e01, 0xfc00, 0x7bff],
    ["BF16", 0xffc0, 0x7f80, 0xff7f],
  ] as const)
    for (const [found, word] of [
      [nan, "NaN"],
      [infinite, "Infinity"],
      [largest, ""],
    ] as const) {
      const values = Uint32Array.of(0, 0, 0, 0, found, 0);
      const data = new Uint8Array(dtype === "F32" ? values.buffer : Uint16Array.from(values).buffer);
      const file = await open(assemble({ "a.b": entry(dtype, [2, 3], 0, data.length) }, data));
      if (word === "") assert.is((await file.readFinite("a.b")).length, 6);
      else
        await assertFails("not-finite", ["a.b is not finite", "some/model", word, "element 4 of [2, 3]"], () =>
          file.readFinite("a.b"),
        );
    }
});

test("a header is bounded: its bytes, tensors, names, dimensions, and products of sizes", async () => {
  const long = "n".repeat(LIMITS.tensorName + 1);
  const many = Object.fromEntries(Array.from({ length: LIMITS.tensors + 1 }, (_, i) => [i, entry("F32", [0], 0, 0)]));
  await refused(
    assemble({ [long]: entry("F32", [0], 0, 0) }, 0),
    "invalid-safetensors",
    "the name is too long",
    "at most 1024",
  );
  await refused(assemble(many, 0), "exceeds-limit", "too many tensors", String(LIMITS.tensors + 1));
  await refused(
    assemble({ x: entry("F32", Array(9).fill(1), 0, 4) }, 4),
    "invalid-safetensors",
    "x: too many dimensions",
    "at most 8",
  );
  for (const shape of [[2 ** 53 - 1, 2 ** 53 - 1, 0], [0, 2 ** 40, 2 ** 40], [2 ** 51], Array(8).fill(2 ** 53 - 1)])
    await refused(assemble({ x: entry("F32", shape, 0, 0) }, 0), "invalid-safetensors", "x: the shape is too large");
  const reader = memory(assemble({}, LIMITS.safetensorsHeader + 1));
  const bytes = await reader.read(0, reader.size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(LIMITS.safetensorsHeader + 1), true);
  await refused(bytes, "invalid-safetensors", "longer than the file", `at most ${LIMITS.safetensorsHeader} bytes`);
});

test("rows are read alone, from a file that is never read whole", async () => {
  const data = numbers(5)([1000, 3]);
  const reader = memory(encodeSafetensors([{ name: "x", shape: [1000, 3], dtype: "F32", data }]));
  const file = await SafetensorsFile.open(reader);
  reader.largest = 0;
  assert.equal(await file.readF32("x", 998, 1000), data.slice(2994));
  assert.equal(await file.readF32("x", 0, 2), data.slice(0, 6));
  assert.is((await file.readF32("x", 500, 500)).length, 0);
  assert.is(reader.largest, 24);
  for (const [start, end] of [
    [0, 1001],
    [-1, 2],
    [5, 4],
    [0.5, 2],
    [Number.NaN, 2],
  ] as const)
    await assertFails("rows-out-of-range", ["x", `[${start}, ${end})`, "[1000, 3]"], () =>
      file.readF32("x", start, end),
    );
});

for (const [name, convert, bits, bias] of [
  ["F16", halfToFloat, 10, 15],
  ["BF16", bfloatToFloat, 7, 127],
] as const)
  test(`${name}: all 65536 patterns against the definition`, () => {
    const found = convert(Uint16Array.from({ length: 65536 }, (_, i) => i));
    const largest = 2 ** (15 - bits) - 1;
    for (let i = 0; i < 65536; i++) {
      const sign = i >= 32768 ? -1 : 1;
      const exponent = Math.floor(i / 2 ** bits) % (largest + 1);
      const fraction = (i % 2 ** bits) / 2 ** bits;
      let expected = sign * 2 ** (exponent - bias) * (1 + fraction);
      if (exponent === 0) expected = sign * 2 ** (1 - bias) * fraction;
      if (exponent === largest) expected = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      if (!Object.is(found[i], expected)) throw new Error(`0x${i.toString(16)}: ${found[i]} instead of ${expected}`);
    }
  });

test("BF16 is read from a file as floats", async () => {
  const data = new Uint8Array(Uint16Array.of(0x3f80, 0xc040, 0x7f80).buffer);
  const file = await open(assemble({ x: entry("BF16", [3], 0, 6) }, data));
  assert.equal(await file.readF32("x"), Float32Array.of(1, -3, Number.POSITIVE_INFINITY));
});

test("files that are not safetensors files", async () => {
  await refused(new Uint8Array(0), "truncated-file");
  await refused(new Uint8Array(7), "truncated-file");
  await refused(
    new TextEncoder().encode("<!DOCTYPE html><html>"),
    "invalid-safetensors",
    "header is longer than the file",
  );
  const long = assemble({}, 0);
  new DataView(long.buffer).setBigUint64(0, 2n ** 63n, true);
  await refused(long, "invalid-safetensors", "longer than the file", "9223372036854775808 bytes");
  await refused(assemble({}, 0).subarray(0, 9), "invalid-safetensors", "longer than the file", "at most 1 bytes");
  await refused(assemble("{nonsense", 0), "invalid-json", "not JSON");
  await refused(assemble("[1]", 0), "invalid-safetensors", "not a JSON object");
  await refused(assemble("\ufeff{}", 0), "invalid-safetensors", "not a JSON object");
  const x = '"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}';
  await refused(assemble(`{${x},${x}}`, 16), "invalid-safetensors", "a duplicate or nested key");
  await refused(
    assemble(`{${x.replace('"shape"', '"dtype":"I32","shape"')}}`, 16),
    "invalid-safetensors",
    "a duplicate or nested key",
  );
  const latin1 = assemble('{"x":"?"}', 0);
  latin1[8 + 6] = 0xff;
  await refused(latin1, "invalid-json", "not JSON");
  await refused(assemble({ __metadata__: { a: 1 } }, 0), "invalid-safetensors", "__metadata__");
});

test("an invalid entry is reported, with the expected and the found value", async () => {
  const x = (value: unknown, data = 16) => assemble({ x: value }, data);
  await refused(x("text"), "invalid-safetensors", "x", "dtype");
  await refused(x(entry("F33", [4], 0, 16)), "invalid-safetensors", "x: unknown element type", "F32", "F33");
  await refused(x({ shape: [4], data_offsets: [0, 16] }), "invalid-safetensors", "x: unknown element type");
  await refused(x(entry("toString", [4], 0, 16)), "invalid-safetensors", "x: unknown element type", "toString");
  await refused(x(entry("F32", [2.5], 0, 16)), "invalid-safetensors", "x: invalid shape", "[2.5]");
  await refused(x(entry("F32", [-4], 0, 16)), "invalid-safetensors", "x: invalid shape", "[-4]");
  await refused(x(entry("F32", 4, 0, 16)), "invalid-safetensors", "x: invalid shape");
  await refused(x({ dtype: "F32", shape: [4], data_offsets: [0] }), "invalid-safetensors", "x: invalid offsets");
  await refused(x(entry("F32", [4], -16, 0)), "invalid-safetensors", "x: invalid offsets");
  await refused(x(entry("F32", [4], 16, 0)), "invalid-safetensors", "x: the data ends before it begins", "[16,0]");
  await refused(
    x(entry("F32", [2, 3], 0, 16)),
    "invalid-safetensors",
    "x: the size",
    "24 bytes for F32 [2, 3]",
    "16 bytes",
  );
  await refused(x(entry("F16", [4], 0, 16)), "invalid-safetensors", "x: the size", "8 bytes for F16 [4]", "16 bytes");
  await refused(
    x(entry("F32", [8], 0, 32)),
    "truncated-file",
    "x: the data extends beyond the end",
    "at most 16 bytes",
    "0 to 32",
  );
});

test("data that is truncated, overlaps, has gaps or a tail", async () => {
  const good = encodeSafetensors([
    { name: "a", shape: [4], dtype: "F32", data: new Float32Array(4) },
    { name: "b", shape: [4], dtype: "F32", data: new Float32Array(4) },
  ]);
  await refused(good.subarray(0, -1), "truncated-file", "b: the data extends beyond the end", "truncated");
  const two = (begin: number, size: number) =>
    assemble({ a: entry("F32", [4], 0, 16), b: entry("F32", [4], begin, begin + 16) }, size);
  await open(two(16, 32));
  await refused(two(12, 28), "invalid-safetensors", "b and a overlap", "byte 16", "byte 12");
  await refused(two(0, 16), "invalid-safetensors", "overlap");
  await refused(two(20, 36), "invalid-safetensors", "a gap between a and b", "byte 16", "byte 20");
  await refused(two(16, 40), "invalid-safetensors", "data after the last tensor", "32 bytes", "40 bytes");
  await refused(assemble({ a: entry("F32", [1], 4, 8) }, 8), "invalid-safetensors", "a gap between the header and a");
});

test("a wrong element type or an unknown name", async () => {
  const file = await open(assemble({ ids: entry("I64", [2], 0, 16) }, 16));
  await assertFails("wrong-dtype", ["ids", "F32, F16, BF16", "I64"], () => file.readF32("ids"));
  await assertFails("wrong-dtype", ["ids", "expected: I32", "I64"], () => file.readI32("ids"));
  await assertFails("no-such-tensor", ["there is no tensor nothing", "ids"], () => file.readF32("nothing"));
});
