import { floatToHalf, halfToFloat } from "../../src/half.ts";
import { embeddingBackward, embeddingForward, embeddingPositionBackward } from "../../src/ops/embedding.ts";
import { Rng } from "../../src/rng.ts";
import type { TensorPiece } from "../../src/tensor.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { EXACT, OpCase, sequenceStarts, testOp } from "../helpers/op-case.ts";

/** Sums of up to a few dozen normal numbers onto another, in f32. */
const SUMS = { atol: 5e-6, rtol: 1e-6 };

function embed(ids: number[], starts: number[], wte: Float64Array, wpe: Float64Array, C: number): Float64Array {
  const out = new Float64Array(ids.length * C);
  for (let b = 0; b + 1 < starts.length; b++)
    for (let n = starts[b]!; n < starts[b + 1]!; n++)
      for (let c = 0; c < C; c++) out[n * C + c] = wte[ids[n]! * C + c]! + wpe[(n - starts[b]!) * C + c]!;
  return out;
}

/** Adds the gradients to dwte and dwpe. */
function embedBackward(
  ids: number[],
  starts: number[],
  dout: Float64Array,
  { dwte, dwpe }: { dwte: Float64Array; dwpe: Float64Array },
  C: number,
): void {
  for (let b = 0; b + 1 < starts.length; b++)
    for (let n = starts[b]!; n < starts[b + 1]!; n++)
      for (let c = 0; c < C; c++) {
        dwte[ids[n]! * C + c]! += dout[n * C + c]!;
        dwpe[(n - starts[b]!) * C + c]! += dout[n * C + c]!;
      }
}

test("the reference's gradient is that of its function", () => {
  const C = 3;
  const [ids, starts] = [
    [1, 0, 1, 1, 3],
    [0, 1, 5],
  ];
  const [wte, wpe, dout] = [4 * C, 4 * C, 5 * C].map((n) =>
    Float64Array.from({ length: n }, (_, i) => Math.sin(n + i)),
  );
  const gradients = { dwte: new Float64Array(4 * C), dwpe: new Float64Array(4 * C) };
  embedBackward(ids, starts, dout!, gradients, C);
  const loss = () => dot(embed(ids, starts, wte!, wpe!, C), dout!);
  assertGradient("wte", loss, wte!, gradients.dwte);
  assertGradient("wpe", loss, wpe!, gradients.dwpe);
});

/** A table [V, C] as separate tensors of `rows` rows. */
function cut(c: OpCase, name: string, whole: Float32Array | Uint16Array, C: number, rows: number): TensorPiece[] {
  const V = whole.length / C;
  return Array.from({ length: Math.ceil(V / rows) }, (_, i) => {
    const first = i * rows;
    const end = Math.min(first + rows, V);
    const data = whole.slice(first * C, end * C);
    return { tensor: c.of(`${name}[${first}:${end}]`, [end - first, C], data), first };
  });
}

for (const { lengths, V, C, rows } of [
  { lengths: [5, 1, 17], V: 131, C: 68, rows: 64 },
  { lengths: [1], V: 97, C: 4, rows: 97 },
  { lengths: [17], V: 97, C: 20, rows: 64 },
  { lengths: [3, 4], V: 97, C: 7, rows: 64 },
  { lengths: [64, 1, 3, 65], V: 131, C: 132, rows: 131 },
  { lengths: [2, 1, 30], V: 131, C: 132, rows: 1 },
])
  testOp(`sequences of ${lengths}, a table of ${V} x ${C} in pieces of ${rows}`, async () => {
    const N = lengths.reduce((a, b) => a + b);
    const c = new OpCase(N + V + C);
    const rng = new Rng(N);
    const starts = sequenceStarts(lengths);
    // The first and last rows of the pieces come up, and few others, so that ids repeat.
    const edges = [0, rows - 1, rows, 2 * rows - 1, 2 * rows, V - 1].filter((id) => id < V);
    const ids = Array.from({ length: N }, () => (rng.below(2) ? rng.below(V) : edges[rng.below(edges.length)]!));
    const idsTensor = c.of("ids", [N + 1], Uint32Array.from([...ids, 0]));
    const bounds = lengths.flatMap((length, b) => Array.from({ length }, () => [starts[b]!, starts[b + 1]!])).flat();
    const wte = c.normals(V * C);
    const wpe = c.random("wpe", [80, C]);
    const table = cut(c, "wte", wte, C, rows);
    const boundsTensor = c.of("bounds", [N + 1, 2], Uint32Array.from([...bounds, 0, 0]));
    const halves = floatToHalf(wte);
    const halfTable = cut(c, "wte in f16", halves, C, rows);
    const halfWpe = c.halves("wpe in f16", [80, C]);
    // In both orders: a piece must leave the rows of the others alone, made or not.
    for (const [values, order, places] of [
      [wte, table, wpe],
      [wte, [...table].reverse(), wpe],
      [halfToFloat(halves), halfTable, halfWpe],
      [wte, table, halfWpe],
      [halfToFloat(halves), halfTable, wpe],
    ] as const) {
      const out = c.blank("out", [N + 1, C]);
      c.run(...embeddingForward(out, [...order], places, idsTensor, boundsTensor));
      c.expect(
        "forward",
        out,
        embed(ids, starts, Float64Array.from(values), c.data(places), C).map(Math.fround),
        EXACT,
      );
    }

    const sorted = ids.map((_, n) => n).sort((a, b) => ids[a]! - ids[b]! || a - b);
    const groups = sorted.flatMap((n, i) => (i === 0 || ids[n] !== ids[sorted[i - 1]!] ? [i] : []));
    const dout = c.random("dout", [N + 1, C], 1, N * C);
    const dwte = c.normals(V * C);
    const pieces = cut(c, "dwte", dwte, C, rows);
    const dwpe = c.random("dwpe", [80, C]);
    const expected = { dwte: Float64Array.from(dwte), dwpe: c.data(dwpe) };
    embedBackward(ids, starts, c.data(dout), expected, C);
    c.run(
      ...embeddingBackward(
        pieces,
        dout,
        idsTensor,
        c.of("sorted", [N + 1], Uint32Array.from([...sorted, 0])),
        c.of("groups", [groups.length + 1], Uint32Array.from([...groups, N])),
      ),
      embeddingPositionBackward(dwpe, dout, c.of("starts", [starts.length], Uint32Array.from(starts))),
    );
    for (const { tensor, first } of pieces)
      c.expect("backward", tensor, expected.dwte.subarray(first * C, first * C + tensor.size), SUMS);
    c.expect("backward", dwpe, expected.dwpe, SUMS);
    await c.check({ tokens: N, unique: groups.length, longest: Math.max(...lengths), sequences: lengths.length });
  });

for (const dtype of ["q8", "q4"] as const)
  testOp(`a table in ${dtype}`, async () => {
    const [V, C] = [97, 192];
    const ids = [0, 96, 50, 50, 31, 32];
    const starts = [0, 2, 6];
    const c = new OpCase(V);
    const tensor = c.blocks("wte", dtype, [V, C], "table");
    const idsTensor = c.of("ids", [7], Uint32Array.from([...ids, 0]));
    const bounds = c.of("bounds", [7, 2], Uint32Array.from([0, 2, 0, 2, 2, 6, 2, 6, 2, 6, 2, 6, 0, 0]));
    for (const wpe of [c.random("wpe", [8, C]), c.halves("wpe in f16", [8, C])]) {
      const out = c.blank("out", [7, C]);
      c.run(...embeddingForward(out, [{ tensor, first: 0 }], wpe, idsTensor, bounds));
      const expected = embed(ids, starts, c.data(tensor), c.data(wpe), C).map(Math.fround);
      c.expect("forward", out, expected, EXACT);
    }
    await c.check({ tokens: ids.length });
  });
