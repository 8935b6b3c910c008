import type { Tensor, WeightDtype } from "../../src/core/tensor.ts";
import { doraBackward, doraForward, doraNorm } from "../../src/ops/dora.ts";
import { dense, makeGroup, type Place } from "../helpers/adapter-groups.ts";
import { add, addColumns, assertGradient, dot, times } from "../helpers/gradient.ts";
import { type OpCase, testOp, testRows } from "../helpers/op-case.ts";

/** Sums of squares of up to 772 numbers of deviation 1 to 5, all positive; a few roundings in each. */
const NORM = { atol: 1e-5, rtol: 3e-6 };
/** A division, a product and two sums. */
const SCALED = { atol: 1e-6, rtol: 1e-6 };
/** Sums of up to 129 products of normal numbers, one after the other. */
const SUMS = { atol: 3e-5, rtol: 3e-6 };

/** The lengths of the columns of a matrix [inputs, n]. */
const norms = (matrix: Float64Array, n: number) =>
  addColumns(new Float64Array(n), times(matrix, matrix)).map(Math.sqrt);

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

for (const [name, { n, ...place }] of MATRICES)
  for (const dtype of ["f32", "f16", "q8", "q4"] as const) {
    const block = { f32: 4, f16: 4, q8: 32, q4: 64 }[dtype];
    if (place.input % block !== 0 || n % Math.min(block, 8) !== 0) continue;
    testOp(`norms of ${name} in ${dtype}`, (c) => {
      const W = makeWeight(c, dtype, place.input, n);
      const { group } = makeGroup(c, 0.7, place);
      const norm = c.blank("norm", [n]);
      c.run(...doraNorm(norm, W, [group]));
      c.after(norm, norms(add(c.data(W), dense(c, group, n)), n), NORM);
    });
  }

testOp("norms of a trained matrix, and of adapters of different ranks in several groups", (c) => {
  const [inputs, n] = [20, 60];
  const W = c.random("W", [inputs, n]);
  const part = (scale: number, r: number, column: number) =>
    makeGroup(c, scale, { ...single(inputs, 20, r), column }).group;
  const groups = [part(0.5, 3, 0), part(2, 6, 40)];
  const norm = c.blank("norm", [n]);
  c.run(...doraNorm(norm, W, groups));
  const whole = groups.reduce((matrix, group) => add(matrix, dense(c, group, n)), c.data(W));
  c.after(norm, norms(whole, n), NORM);
});

/** The parts of a matrix that have magnitudes, in eighths of its columns. */
const SCALED_PARTS: Record<string, [first: number, width: number][]> = {
  all: [[0, 8]],
  "those of q and v": [
    [0, 2],
    [5, 3],
  ],
  "those of k": [[3, 2]],
};

for (const [which, parts] of Object.entries(SCALED_PARTS))
  testRows(
    `magnitude / norm * z + bias, of ${which}`,
    (c, rows, eighth) => {
      const cols = which === "all" ? eighth : 8 * eighth;
      const unit = which === "all" ? eighth / 8 : eighth;
      const columns = parts.map(([first, width]) => ({ first: first * unit, width: width * unit }));
      const scaledAt = columns.flatMap(({ first, width }) => Array.from({ length: width }, (_, i) => first + i));
      const [z, dy, residual] = [
        c.input("z", [rows, cols], 2),
        c.input("dy", [rows, cols]),
        c.input("residual", [rows, cols]),
      ];
      const bias = c.random("bias", [cols]);
      const [magnitude, dmagnitude] = ["magnitude", "dmagnitude"].map((name) => c.random(name, [scaledAt.length]));
      const norm = c.of(
        "norm",
        [cols],
        c.normals(cols).map((x) => 0.5 + Math.abs(x)),
      );
      const [out, onto, dz] = ["out", "onto", "dz"].map((name) => c.output(name, [rows, cols]));
      const dora = { z, magnitude: magnitude!, norm, columns };
      c.run(
        ...doraForward({ ...dora, bias, rows, out: out! }),
        ...doraForward({ ...dora, bias, rows, out: onto!, residual }),
        ...doraBackward(dz!, dmagnitude!, dy, dora, rows),
      );
      const scaled = (z: Float64Array, magnitude: Float64Array) => {
        const factors = new Float64Array(cols).fill(1);
        for (const [i, column] of scaledAt.entries()) factors[column] = magnitude[i]! / c.data(norm)[column]!;
        return z.map((value, i) => factors[i % cols]! * value);
      };
      const sums = addColumns(new Float64Array(cols), times(c.data(dy), c.data(z)));
      const gradients = {
        dz: scaled(c.data(dy), c.data(magnitude!)),
        dmagnitude: Float64Array.from(scaledAt, (column) => sums[column]! / c.data(norm)[column]!),
      };
      const loss = (z: Float64Array, magnitude: Float64Array) => dot(scaled(z, magnitude), c.data(dy));
      assertGradient("z", c.data(z), gradients.dz, (z) => loss(z, c.data(magnitude!)));
      assertGradient("magnitude", c.data(magnitude!), gradients.dmagnitude, (all) => loss(c.data(z), all));
      const plain = scaled(c.data(z), c.data(magnitude!)).map((value, i) => value + c.data(bias)[i % cols]!);
      c.after(out!, plain, SCALED);
      c.after(onto!, add(plain, c.data(residual)), SCALED);
      c.after(dz!, gradients.dz, SCALED);
      c.after(dmagnitude!, add(c.data(dmagnitude!), gradients.dmagnitude), SUMS);
    },
    which === "all" ? undefined : [[17, 12]],
  );
