import * as assert from "uvu/assert";
import { doraBackward, doraForward, doraNorm } from "../../src/ops/dora.ts";
import type { AdapterGroup } from "../../src/ops/lora.ts";
import type { Tensor, WeightDtype } from "../../src/tensor.ts";
import { dense, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { gemm } from "../helpers/gemm.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";

/** Sums of squares of up to 772 numbers of deviation 1 to 5, all positive; a few roundings in each. */
const NORM = { atol: 1e-5, rtol: 3e-6 };
/** A division, a product and two sums. */
const SCALED = { atol: 1e-6, rtol: 1e-6 };
/** Sums of up to 129 products of normal numbers, one after the other. */
const SUMS = { atol: 3e-5, rtol: 3e-6 };

/** The lengths of the columns of a matrix [inputs, n]. */
function norms(matrix: Float64Array, n: number): Float64Array {
  const squares = new Float64Array(n);
  for (const [i, value] of matrix.entries()) squares[i % n]! += value * value;
  return squares.map(Math.sqrt);
}

/** out = magnitude / norm * z + bias. */
function forward(z: Float64Array, magnitude: Float64Array, norm: Float64Array, bias: Float64Array): Float64Array {
  const n = norm.length;
  return z.map((value, i) => (magnitude[i % n]! / norm[i % n]!) * value + bias[i % n]!);
}

function backward(dy: Float64Array, z: Float64Array, magnitude: Float64Array, norm: Float64Array) {
  const n = norm.length;
  const dmagnitude = new Float64Array(n);
  for (const [i, d] of dy.entries()) dmagnitude[i % n]! += (d * z[i]!) / norm[i % n]!;
  return { dz: dy.map((d, i) => (magnitude[i % n]! / norm[i % n]!) * d), dmagnitude };
}

test("the reference's gradients are those of its function, whose outputs have the magnitude as their length", () => {
  const [rows, inputs, n] = [3, 4, 5];
  const make = (count: number, at: number) => Float64Array.from({ length: count }, (_, i) => Math.sin(at + i * i));
  const [x, W, magnitude, bias, dy] = [make(12, 1), make(20, 2), make(5, 3), make(5, 4), make(15, 5)] as const;
  const norm = norms(W, n);
  const z = gemm({ out: new Float64Array(rows * n), a: x, b: W, m: rows, n, k: inputs });
  const { dz, dmagnitude } = backward(dy, z, magnitude, norm);
  const loss = () => dot(forward(z, magnitude, norm, bias), dy);
  assertGradient("z", loss, z, dz);
  assertGradient("magnitude", loss, magnitude, dmagnitude);
  // The scaled matrix: the outputs of the unit vectors.
  const scaled = norms(forward(W, magnitude, norm, new Float64Array(n)), n);
  for (const [j, m] of magnitude.entries()) assert.ok(Math.abs(scaled[j]! - Math.abs(m)) < 1e-12);
});

type Matrix = Place & { n: number };

const single = (inputs: number, n: number, r: number): Matrix => ({
  ...{ n, count: 1, r, input: inputs, width: n, column: 0, step: 0 },
});

const MATRICES = [
  ["q, k and v of fewer heads", { ...single(68, 108, 3), count: 3, width: 20, step: 20, skew: 48 }],
  ["the smallest matrix", single(4, 4, 1)],
  ["rank 3, outputs of no whole panel", single(20, 68, 3)],
  ["q, k and v", { ...single(68, 204, 8), count: 3, width: 68, step: 68 }],
  ["q and v", { ...single(20, 60, 4), count: 2, width: 20, step: 40 }],
  ["k alone", { ...single(36, 108, 5), width: 36, column: 36 }],
  ["a rank above all sizes", single(32, 64, 80)],
  ["blocks of any type", { ...single(192, 576, 8), count: 3, width: 192, step: 192 }],
  ["more inputs than are widened at a time", single(772, 132, 4)],
] as const satisfies readonly (readonly [string, Matrix])[];

/** A matrix of a type with normal numbers; a frozen one, which the CPU stores in panels. */
function makeWeight(c: OpCase, dtype: WeightDtype, inputs: number, n: number): Tensor {
  if (dtype === "q8" || dtype === "q4") return c.blocks("W", dtype, [inputs, n], "matrix");
  if (dtype === "f16") return c.halves("W", [inputs, n]);
  return c.of("W", [inputs, n], c.normals(inputs * n), "weight");
}

const sum = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

for (const [name, { n, ...place }] of MATRICES)
  for (const dtype of ["f32", "f16", "q8", "q4"] as const) {
    const block = { f32: 4, f16: 4, q8: 32, q4: 64 }[dtype];
    if (place.input % block !== 0 || n % Math.min(block, 8) !== 0) continue;
    testOp(`norms of ${name} in ${dtype}`, async () => {
      const c = new OpCase(name.length);
      const W = makeWeight(c, dtype, place.input, n);
      const { group } = makeGroup(c, 0.7, place);
      const norm = c.blank("norm", [n]);
      c.run(...doraNorm(norm, W, [group]));
      c.expect(name, norm, norms(sum(c.data(W), dense(c, group, n)), n), NORM);
      await c.check();
    });
  }

testOp("norms of a trained matrix, and of adapters of different ranks in several groups", async () => {
  const c = new OpCase(3);
  const [inputs, n] = [20, 60];
  const W = c.random("W", [inputs, n]);
  const part = (r: number, column: number) => ({ ...single(inputs, 20, r), column });
  const groups: AdapterGroup[] = [makeGroup(c, 0.5, part(3, 0)).group, makeGroup(c, 2, part(6, 40)).group];
  const norm = c.blank("norm", [n]);
  c.run(...doraNorm(norm, W, groups));
  const all = groups.reduce((matrix, group) => sum(matrix, dense(c, group, n)), c.data(W));
  c.expect("groups", norm, norms(all, n), NORM);
  await c.check();
});

testOp("odd shapes: forward with and without a residual, backward", async () => {
  const c = new OpCase(1);
  for (const [rows, cols] of [
    [1, 4],
    [17, 20],
    [3, 64],
    [129, 68],
    [5, 768],
  ] as const) {
    const name = `${rows} x ${cols}`;
    const make = (tensor: string, role = 1) => c.random(tensor, [rows + 1, cols], role, rows * cols);
    const [z, dy, residual] = [make("z", 2), make("dy"), make("residual")];
    const [magnitude, bias] = [c.random("magnitude", [cols]), c.random("bias", [cols])];
    const norm = c.of(
      "norm",
      [cols],
      c.normals(cols).map((x) => 0.5 + Math.abs(x)),
    );
    const [out, onto, dz] = ["out", "onto", "dz"].map((tensor) => c.blank(tensor, [rows + 1, cols])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const dmagnitude = c.random("dmagnitude", [cols]);
    c.run(
      doraForward({ out, z, magnitude, norm, bias, rows }),
      doraForward({ out: onto, z, magnitude, norm, bias, rows, residual }),
      doraBackward(dz, dmagnitude, dy, { z, magnitude, norm }, rows),
    );
    const used = (tensor: Tensor) => c.data(tensor).subarray(0, rows * cols);
    const plain = forward(used(z), c.data(magnitude), c.data(norm), c.data(bias));
    const gradients = backward(used(dy), used(z), c.data(magnitude), c.data(norm));
    c.expect(name, out, plain, SCALED);
    c.expect(name, onto, sum(plain, used(residual)), SCALED);
    c.expect(name, dz, gradients.dz, SCALED);
    c.expect(name, dmagnitude, sum(gradients.dmagnitude, c.data(dmagnitude)), SUMS);
  }
  await c.check();
});
