/** Frozen matrices in 8 and 4 bits: the numbers of GGUF's Q8_0 and of bitsandbytes' NF4, bit for bit. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import { type BlockDtype, blockBytes, MOST_CODE } from "../../src/core/blocks.ts";
import { dequantize } from "../../src/core/dequantize.ts";
import { MAXIMA, NF4, Quantizer } from "../../src/core/quantize.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const sha = (data: Uint8Array | Float32Array) =>
  createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");

const [OUT, IN] = [128, 192];

/** Numbers of seven sizes, and a block of zeros. Every step is exact or rounded once, so that Python makes the same. */
const x = Float32Array.from({ length: OUT * IN }, (_, i) => {
  let h = Math.imul(i, 2654435761) >>> 0;
  h ^= h >>> 15;
  h = Math.imul(h, 2246822519) >>> 0;
  h ^= h >>> 13;
  const v = ((h >>> 0) - 2147483648) / 2147483648;
  return i >> 6 === 5 ? 0 : v * v * v * 2 ** -((i >> 6) % 7);
});

function quantize(dtype: BlockDtype, values = x): Uint8Array {
  const quantizer = new Quantizer("w", dtype, OUT, IN);
  quantizer.take(values, { output: IN, input: 1 }, { output: 0, outputs: OUT, input: 0, inputs: IN });
  assert.is(quantizer.left, 0);
  return quantizer.finish();
}

// Made by bitsandbytes 0.50.2 and gguf 0.19 from the same numbers; the mean, which bitsandbytes sums in an order that
// depends on the processor, in f64.
test("the tables are bitsandbytes'", () => {
  assert.is(sha(x), "af8fac5be7abcc7157434c70a2d585d437212ed3465df15396e2c5068289fd56");
  assert.is(sha(MAXIMA), "e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c");
  const bits = [...new Uint32Array(NF4.buffer)].map((word) => word.toString(16).padStart(8, "0"));
  const expected = [
    "bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 00000000",
    "3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000",
  ];
  assert.is(bits.join(" "), expected.join(" "));
});

test("q4 has the codes, maxima and values of bitsandbytes' NF4 with double quantisation", () => {
  const bytes = quantize("q4");
  const [codes, maxima] = [(OUT * IN) / 2, (OUT * IN) / 64];
  assert.is(sha(bytes.slice(0, codes)), "8fa0206c23798119684e0d4e1520dd9b3b61b1f8c6b460619112137937417f5b");
  assert.is(
    sha(bytes.slice(codes, codes + maxima)),
    "5888196ada816d9dd90528ed1050e4aae96d0468dfe13c58a3168cfcad81497e",
  );
  const words = new Uint32Array(bytes.buffer, codes + maxima, 3);
  assert.equal([...words], [0x3f3aa48b, 0x3f38b5d0, 0x3e8ab6ea]);
  const values = dequantize("q4", bytes, OUT * IN, IN);
  assert.is(sha(values), "6c16036c608313067f65e1212145c6692c445c2f209875f3c7111aa653bdbb94");
});

test("q8 has the values of Q8_0", () => {
  const values = dequantize("q8", quantize("q8"), OUT * IN, IN);
  assert.is(sha(values), "df271f41b96dc9224c089f4d0bd30209e104773c31446df2d21cdd661316118b");
});

test("int16 has the nearest of 4,095 multiples of a row's scale", () => {
  const values = dequantize("int16", quantize("int16"), OUT * IN, IN);
  for (let at = 0; at < x.length; at += IN) {
    const row = x.subarray(at, at + IN);
    const most = Math.max(...row.map(Math.abs));
    // Half a step, and the rounding of the value to f32.
    const within = most / MOST_CODE / 2 + most * 2 ** -23;
    for (const [i, weight] of row.entries()) assert.ok(Math.abs(values[at + i]! - weight) <= within, `${at + i}`);
    assert.is(
      Math.max(...values.subarray(at, at + IN).map(Math.abs)),
      Math.fround(Math.fround(most / MOST_CODE) * MOST_CODE),
    );
  }
});

test("a matrix whose rows have outliers is refused in int16, with what it would lose", async () => {
  const outliers = x.map((value, i) => (i % IN === 7 ? 60 : 0.1 * value));
  await assertFails(
    "weights-out-of-range",
    ["w cannot be kept in int16", "similar sizes", "of the mean weight", "q8"],
    () => quantize("int16", outliers),
  );
  quantize("int16", x);
});

test("a matrix that comes in pieces of its inputs, transposed, gives the same bytes", () => {
  const turned = Float32Array.from(x, (_, i) => x[(i % OUT) * IN + Math.floor(i / OUT)]!);
  for (const dtype of ["q8", "q4", "int16"] as const) {
    const quantizer = new Quantizer("w", dtype, OUT, IN);
    for (const input of [128, 0, 64]) {
      const piece = turned.subarray(input * OUT, (input + 64) * OUT);
      quantizer.take(piece, { output: 1, input: OUT }, { output: 0, outputs: OUT, input, inputs: 64 });
    }
    assert.equal(quantizer.finish(), quantize(dtype));
  }
});

test("inputs that are no whole blocks are refused", async () => {
  const quantizer = new Quantizer("w", "q8", OUT, IN);
  for (const [input, inputs] of [
    [0, 48],
    [16, 32],
  ] as const)
    await assertFails("wrong-shape", ["w", "multiples of 32", `${inputs} from ${input} on`], () =>
      quantizer.take(x, { output: IN, input: 1 }, { output: 0, outputs: 1, input, inputs }),
    );
});

test("bits a weight: 8.5, and 4.13 and its tables; 16 and a scale a row", () => {
  assert.is(blockBytes("int16", 1 << 20, 1 << 11), 2 * (1 << 20) + 4 * (1 << 11));
  assert.is(blockBytes("q8", 1 << 20), (1 << 20) * (8.5 / 8));
  assert.is(blockBytes("q4", 1 << 20), (1 << 19) + (1 << 14) + 4 * (64 + 1 + 256 + 16));
});

test("what has no scale is refused with its name", async () => {
  for (const [dtype, value] of [
    ["q8", Number.NaN],
    ["q4", Number.NaN],
    ["q8", Infinity],
    ["q4", -Infinity],
    ["q8", 1e7],
    ["int16", Number.NaN],
    ["int16", Infinity],
  ] as const) {
    const values = x.slice();
    values[777] = value;
    await assertFails("weights-out-of-range", ["w cannot be kept in", dtype, "finite"], () => quantize(dtype, values));
  }
});
