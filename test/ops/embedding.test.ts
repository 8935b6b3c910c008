import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { Rng } from "../../src/core/rng.ts";
import type { TensorPiece } from "../../src/core/tensor.ts";
import { embeddingBackward, embeddingForward, embeddingPositionBackward } from "../../src/ops/embedding.ts";
import { addRows } from "../helpers/gradient.ts";
import { EXACT, type OpCase, rowBounds, sequenceStarts, testOp } from "../helpers/op-case.ts";

/** Sums of up to a few dozen normal numbers onto another, in f32. */
const SUMS = { atol: 5e-6, rtol: 1e-6 };

const positionsOf = (lengths: readonly number[]) => lengths.flatMap((length) => [...new Array(length).keys()]);

/** The rows of tokens and positions, added in f32. */
function embed(ids: number[], positions: number[], wte: Float64Array, wpe: Float64Array, C: number): Float64Array {
  const tokens = addRows(new Float64Array(ids.length * C), wte, C, [...ids.entries()]);
  return addRows(tokens, wpe, C, [...positions.entries()]).map(Math.fround);
}

/** A table [V, C] as separate tensors of `rows` rows. */
function cut(c: OpCase, name: string, whole: Float32Array | Uint16Array, C: number, rows: number): TensorPiece[] {
  const V = whole.length / C;
  return Array.from({ length: Math.ceil(V / rows) }, (_, i) => {
    const first = i * rows;
    const end = Math.min(first + rows, V);
    return { tensor: c.of(`${name} ${first}`, [end - first, C], whole.slice(first * C, end * C)), first };
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
  testOp(`sequences of ${lengths}, a table of ${V} x ${C} in pieces of ${rows}`, (c) => {
    const starts = sequenceStarts(lengths);
    const N = starts.at(-1)!;
    const rng = new Rng(N);
    // The first and last rows of the pieces come up, and few others, so that ids repeat.
    const edges = [0, rows - 1, rows, 2 * rows - 1, 2 * rows, V - 1].filter((id) => id < V);
    const ids = Array.from({ length: N }, () => (rng.below(2) ? rng.below(V) : edges[rng.below(edges.length)]!));
    const idsTensor = c.rows("ids", [N], Uint32Array.from(ids));
    const bounds = c.rows("bounds", [N, 2], rowBounds(lengths));
    const wte = c.normals(V * C);
    const [wpe, halfWpe] = [c.random("wpe", [80, C]), c.halves("wpe in f16", [80, C])];
    const halves = floatToHalf(wte);
    const [table, halfTable] = [cut(c, "wte", wte, C, rows), cut(c, "wte in f16", halves, C, rows)];
    const positions = positionsOf(lengths);
    // In both orders: a piece must leave the rows of the others alone, made or not.
    for (const [values, order, places] of [
      [wte, table, wpe],
      [wte, [...table].reverse(), wpe],
      [halfToFloat(halves), halfTable, halfWpe],
      [wte, table, halfWpe],
      [halfToFloat(halves), halfTable, wpe],
    ] as const) {
      const out = c.output("out", [N, C]);
      c.run(...embeddingForward(out, [...order], places, idsTensor, bounds));
      c.after(out, embed(ids, positions, Float64Array.from(values), c.data(places), C), EXACT);
    }

    const sorted = ids.map((_, n) => n).sort((a, b) => ids[a]! - ids[b]! || a - b);
    const groups = sorted.flatMap((n, i) => (i === 0 || ids[n] !== ids[sorted[i - 1]!] ? [i] : []));
    const dout = c.input("dout", [N, C]);
    const dwte = c.normals(V * C);
    const [pieces, dwpe] = [cut(c, "dwte", dwte, C, rows), c.random("dwpe", [80, C])];
    const sortedTensor = c.rows("sorted", [N], Uint32Array.from(sorted));
    const groupsTensor = c.of("groups", [groups.length + 1], Uint32Array.from([...groups, N]));
    c.run(
      ...embeddingBackward(pieces, dout, idsTensor, sortedTensor, groupsTensor),
      embeddingPositionBackward(dwpe, dout, c.of("starts", [starts.length], Uint32Array.from(starts))),
    );
    const byRow = (rows: number[]) => rows.map((row, n) => [row, n] as const);
    const expected = addRows(Float64Array.from(dwte), c.data(dout), C, byRow(ids));
    for (const { tensor, first } of pieces)
      c.after(tensor, expected.subarray(first * C, first * C + tensor.size), SUMS);
    c.after(dwpe, addRows(c.data(dwpe), c.data(dout), C, byRow(positions)), SUMS);
    return { tokens: N, unique: groups.length, longest: Math.max(...lengths), sequences: lengths.length };
  });

for (const dtype of ["q8", "q4"] as const)
  testOp(`a table in ${dtype}`, (c) => {
    const [V, C, lengths] = [97, 192, [2, 4]];
    const ids = [0, 96, 50, 50, 31, 32];
    const tensor = c.blocks("wte", dtype, [V, C], "table");
    const [idsTensor, bounds] = [
      c.rows("ids", [6], Uint32Array.from(ids)),
      c.rows("bounds", [6, 2], rowBounds(lengths)),
    ];
    for (const wpe of [c.random("wpe", [8, C]), c.halves("wpe in f16", [8, C])]) {
      const out = c.output("out", [6, C]);
      c.run(...embeddingForward(out, [{ tensor, first: 0 }], wpe, idsTensor, bounds));
      c.after(out, embed(ids, positionsOf(lengths), c.data(tensor), c.data(wpe), C), EXACT);
    }
    return { tokens: ids.length };
  });
