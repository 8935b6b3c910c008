import { Tensor } from "../../src/core/tensor.ts";
import {
  attentionBackward,
  attentionCached,
  attentionForward,
  MAX_HEAD_SIZE,
  type Prefix,
} from "../../src/ops/attention.ts";
import { cacheShape } from "../../src/ops/cache.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, type OpCase, pairs, rowBounds, sequenceStarts, testAlone, testOp } from "../helpers/op-case.ts";

/** Scores are sums of up to 128 products, exponentials carry their error on; weights sum to 1. */
const FORWARD = { atol: 1e-6, rtol: 1e-6 };
/** Sums over up to 130 queries of such weights times sums of up to 128 products. */
const BACKWARD = { atol: 1e-5, rtol: 2e-6 };
/** Half a million results, of which some are further off; sums over 2160 and 4320 queries, of a prefix's keys. */
const MANY = [
  { atol: 2e-6, rtol: 1e-6 },
  { atol: 6e-5, rtol: 2e-6 },
];
/** Scores near 155 are good to 155 * 2^-23 times a few, and so, relatively, are their exponentials. */
const LARGE = { atol: 1e-4, rtol: 1e-4 };

interface Shape {
  lengths: readonly number[];
  heads: number;
  /** Key-value heads: by default as many. */
  kvHeads?: number;
  size: number;
  /** What scores are multiplied by. */
  factor?: number;
  prefix?: Prefix | undefined;
  /** Whether a token sees none behind it: by default. */
  isCausal?: boolean;
}

const scoreFactor = ({ size, factor = 1 / Math.sqrt(size) }: Pick<Shape, "size" | "factor">) => factor;

/** Columns of a row of qkv, and where head h's queries, keys and values begin in it. */
function rowLayout({ heads, kvHeads = heads, size }: Pick<Shape, "heads" | "kvHeads" | "size">) {
  const served = (h: number) => Math.floor(h / (heads / kvHeads));
  return {
    columns: (heads + 2 * kvHeads) * size,
    q: (h: number) => h * size,
    k: (h: number) => (heads + served(h)) * size,
    v: (h: number) => (heads + kvHeads + served(h)) * size,
  };
}

/** The rows whose keys token n of a sequence from `start` to `end` sees: the prefix's, then start .. n, or all. */
function visibleKeys(n: number, start: number, end: number, { prefix, isCausal = true }: Shape): number[] {
  const { count, row } = prefix ?? { count: 0, row: 0 };
  const length = count + (isCausal ? n + 1 : end) - start;
  return Array.from({ length }, (_, j) => (j < count ? row : start - count) + j);
}

/** Weights of query n on the keys in these rows, and what they were divided by. */
function weights(qkv: Float64Array, n: number, keys: number[], h: number, shape: Shape) {
  const { columns, q, k } = rowLayout(shape);
  const scores = keys.map((j) => {
    let score = 0;
    for (let i = 0; i < shape.size; i++) score += qkv[n * columns + q(h) + i]! * qkv[j * columns + k(h) + i]!;
    return score * scoreFactor(shape);
  });
  const largest = Math.max(...scores);
  const total = scores.reduce((sum, s) => sum + Math.exp(s - largest), 0);
  const lse = largest + Math.log(total);
  return { p: scores.map((s) => Math.exp(s - lse)), lse };
}

/** Both results; of one query alone, if `only` says which. */
function attention(qkv: Float64Array, shape: Shape, only = -1) {
  const { lengths, heads, size } = shape;
  const C = heads * size;
  const { columns, v } = rowLayout(shape);
  const starts = sequenceStarts(lengths);
  const N = starts.at(-1)!;
  const out = new Float64Array(N * C);
  const lse = new Float64Array(N * heads);
  for (let b = 0; b < lengths.length; b++)
    for (let n = only < 0 ? starts[b]! : only; n < starts[b + 1]!; n++)
      for (let h = 0; h < heads; h++) {
        const keys = visibleKeys(n, starts[b]!, starts[b + 1]!, shape);
        const row = weights(qkv, n, keys, h, shape);
        lse[n * heads + h] = row.lse;
        row.p.forEach((p, j) => {
          for (let i = 0; i < size; i++) out[n * C + h * size + i]! += p * qkv[keys[j]! * columns + v(h) + i]!;
        });
      }
  return { out, lse };
}

function attentionGradient(dout: Float64Array, qkv: Float64Array, shape: Shape) {
  const { lengths, heads, size } = shape;
  const C = heads * size;
  const layout = rowLayout(shape);
  const starts = sequenceStarts(lengths);
  const dqkv = new Float64Array(qkv.length);
  for (let b = 0; b < lengths.length; b++)
    for (let n = starts[b]!; n < starts[b + 1]!; n++)
      for (let h = 0; h < heads; h++) {
        const keys = visibleKeys(n, starts[b]!, starts[b + 1]!, shape);
        const { p } = weights(qkv, n, keys, h, shape);
        const q = n * layout.columns + layout.q(h);
        const d = n * C + h * size;
        const at = (j: number, part: "k" | "v") => keys[j]! * layout.columns + layout[part](h);
        const dp = p.map((_, j) => {
          let sum = 0;
          for (let i = 0; i < size; i++) sum += dout[d + i]! * qkv[at(j, "v") + i]!;
          return sum;
        });
        const mean = p.reduce((sum, w, j) => sum + w * dp[j]!, 0);
        p.forEach((w, j) => {
          const ds = w * (dp[j]! - mean) * scoreFactor(shape);
          for (let i = 0; i < size; i++) {
            dqkv[q + i]! += ds * qkv[at(j, "k") + i]!;
            dqkv[at(j, "k") + i]! += ds * qkv[q + i]!;
            dqkv[at(j, "v") + i]! += w * dout[d + i]!;
          }
        });
      }
  return dqkv;
}

interface Options {
  isDear?: boolean;
  /** Scores are so many times as large. */
  scale?: number;
  tolerances?: (typeof FORWARD)[];
  /** The sequence that has NaN in it, which only that one may show. */
  spoil?: number;
  /** Keys and values of the prefix. */
  count?: number;
}

/** Both passes over a case, against the reference. */
function build(
  c: OpCase,
  given: Shape,
  { scale = 1, tolerances = [FORWARD, BACKWARD], spoil, count = 0 }: Options = {},
) {
  const { lengths, heads, kvHeads = heads, size } = given;
  const C = heads * size;
  const { columns, v } = rowLayout(given);
  const starts = sequenceStarts(lengths);
  const N = starts.at(-1)!;
  const prefix = { count, row: N + 1 };
  const shape = { ...given, prefix };
  const scaled = { count: heads, kvCount: kvHeads, scale: scoreFactor(given), isCausal: given.isCausal ?? true };
  const rows = prefix.row + count;
  /** Fills what is not used: a row behind the tokens', and the queries of the prefix. */
  const withoutUse = (all: Float64Array) => {
    all.fill(Number.NaN, N * columns, prefix.row * columns);
    for (let n = prefix.row; n < rows; n++) all.fill(Number.NaN, n * columns, n * columns + C);
    return all;
  };
  const inputs = new Float64Array(rows * columns);
  inputs.set(c.drawRows([N, columns]));
  inputs.set(c.normals((1 + count) * columns), N * columns);
  withoutUse(inputs);
  // Scores grow with the product of queries and keys; the values keep their size.
  for (let n = 0; n < rows; n++) for (let i = 0; i < v(0); i++) inputs[n * columns + i]! *= Math.sqrt(scale);
  if (spoil !== undefined) inputs.fill(Number.NaN, starts[spoil]! * columns, starts[spoil + 1]! * columns);
  const qkv = c.of("qkv", [rows, columns], Float32Array.from(inputs));
  const bounds = c.rows("bounds", [N, 2], rowBounds(lengths));
  const dout = c.input("dout", [N, C]);
  const [out, lse, delta] = [c.output("out", [N, C]), c.output("lse", [N, heads]), c.output("delta", [N, heads])];
  const dqkv = c.output("dqkv", [N, columns], rows);
  c.run(
    attentionForward(out, lse, qkv, bounds, scaled, prefix),
    ...attentionBackward(dqkv, delta, dout, out, lse, qkv, bounds, scaled, prefix),
  );
  let made: ReturnType<typeof attention> | undefined;
  const forward = () => {
    made ??= attention(c.data(qkv), shape);
    return made;
  };
  const backward = () => {
    const gradient = attentionGradient(c.data(dout), c.data(qkv), shape);
    if (N < 50 && spoil === undefined)
      assertGradient("qkv", c.data(qkv), gradient, (qkv) => dot(attention(qkv, shape).out, c.data(dout)));
    return withoutUse(gradient);
  };
  c.after(out, () => forward().out, tolerances[0]!);
  c.after(lse, () => forward().lse, tolerances[0]!);
  c.after(dqkv, backward, tolerances[1]!);
  return { tokens: N };
}

for (const { count = 0, tolerances = [FORWARD, BACKWARD], isDear, ...shape } of [
  // Sequences that begin and end at, before and behind the edges of tiles, several in one; columns that fill no tile.
  // Tiles and groups in which the prefix ends, and those behind.
  { lengths: [7, 1, 5, 70, 2], heads: 6, kvHeads: 2, size: 36, count: 33 },
  { lengths: [1], heads: 1, size: 4 },
  { lengths: [17], heads: 3, size: 8 },
  { lengths: [5, 1, 11], heads: 3, size: 4 },
  { lengths: [1, 1, 1], heads: 1, size: 32 },
  { lengths: [64, 1, 65], heads: 3, size: 32 },
  { lengths: [3, 1, 20], heads: 1, size: 128 },
  { lengths: [31, 32, 33], heads: 2, size: 36 },
  { lengths: [7, 2, 40, 1, 1, 44, 5], heads: 2, size: 36 },
  { lengths: [33, 63], heads: 2, size: 80 },
  { lengths: [130], heads: 3, size: 128, isDear: true },
  { lengths: [70], heads: 1, size: 128 },
  { lengths: [1], heads: 1, size: 4, count: 5 },
  { lengths: [5, 1, 33], heads: 3, size: 4, count: 5 },
  { lengths: [33], heads: 2, size: 36, count: 33 },
  { lengths: [7, 1, 5, 70, 2], heads: 2, size: 36, count: 33 },
  { lengths: [5], heads: 1, size: 4, count: 1 },
  { lengths: [1, 1, 33], heads: 2, size: 32, count: 2 },
  { lengths: [70, 1], heads: 3, size: 64, count: 20 },
  { lengths: [5, 33], heads: 2, size: 80, count: 70, isDear: true },
  { lengths: [1, 70, 5], heads: 1, size: 128, count: 3 },
  // More tokens than are copied to scratch memory.
  { lengths: Array<number>(108).fill(20), heads: 1, size: 128, count: 3, tolerances: MANY },
  { lengths: [7, 1, 5, 70, 2], heads: 6, kvHeads: 2, size: 36, count: 33, isCausal: false },
  { lengths: [64, 1, 65], heads: 3, size: 32, isCausal: false },
  { lengths: [5, 1, 11], heads: 3, size: 4, isCausal: false },
  { lengths: [1, 130], heads: 2, size: 128, isCausal: false },
  { lengths: Array<number>(108).fill(20), heads: 1, size: 128, count: 3, tolerances: MANY, isCausal: false },
  { lengths: [5, 1, 11], heads: 4, kvHeads: 1, size: 4 },
  { lengths: [31, 32, 33], heads: 4, kvHeads: 2, size: 36 },
  { lengths: [64, 1, 65], heads: 9, kvHeads: 3, size: 64, isDear: true },
  { lengths: [17, 70], heads: 4, kvHeads: 1, size: 80, count: 5 },
  { lengths: [33, 2], heads: 4, kvHeads: 2, size: 128, count: 3 },
  { lengths: Array<number>(108).fill(20), heads: 2, kvHeads: 1, size: 128, count: 3, tolerances: MANY, isDear: true },
] as readonly (Shape & Options)[]) {
  const { lengths, heads, kvHeads = heads, size, isCausal = true } = shape;
  const sequences = lengths.length > 9 ? `${lengths.length} sequences` : `sequences of ${lengths}`;
  const name = `${isCausal ? "" : "not causal, "}${sequences}, a prefix of ${count}, ${heads} heads of ${size}, ${kvHeads} of keys and values`;
  testOp(name, (c) => build(c, shape, { count, tolerances }), undefined, isDear);
}

for (const factor of [1, 1 / 3 / Math.sqrt(8)])
  testOp(`scores times ${factor.toFixed(3)}`, (c) => build(c, { lengths: [17], heads: 3, size: 8, factor }));

testOp("scores up to 155 and more", (c) =>
  build(c, { lengths: [40, 1, 7], heads: 3, size: 8 }, { scale: 60, tolerances: [LARGE, LARGE] }),
);

for (const lengths of [
  [5, 3, 9],
  [20, 30, 20],
])
  testOp(`NaN in the second sequence of ${lengths} stays there`, (c) =>
    build(c, { lengths, heads: 1, size: 8 }, { spoil: 1 }),
  );

for (const { count, heads, kvHeads, isCausal } of [
  { count: 0, heads: 2, kvHeads: 2, isCausal: true },
  { count: 33, heads: 6, kvHeads: 2, isCausal: true },
  { count: 33, heads: 6, kvHeads: 2, isCausal: false },
])
  testAlone(`sequences behind a prefix of ${count}, causal: ${isCausal}`, [31, 1, 70, 3, 33], (c, lengths) =>
    build(c, { lengths, heads, kvHeads, size: 36, isCausal }, { count }),
  );

test("heads that the kernels can't hold, or that the key-value heads don't divide, are refused", () => {
  for (const [count, size, kvCount, words] of [
    [1, 6, 1, "6"],
    [1, MAX_HEAD_SIZE + 4, 1, String(MAX_HEAD_SIZE + 4)],
    ...[0, 3, 8].map((kvCount) => [4, 4, kvCount, `4 heads, ${kvCount} of keys`] as const),
  ] as const) {
    const widths = [count * size, count, (count + 2 * kvCount) * size, 2];
    const [out, lse, qkv, bounds] = widths.map((n) => new Tensor("t", [1, n], "output"));
    assertRefused(() => attentionForward(out!, lse!, qkv!, bounds!, { count, kvCount, scale: 1 }), words);
  }
});

/** The same sums as FORWARD's, over up to 1100 keys. */
const CACHED = { atol: 1e-6, rtol: 4e-6 };

for (const { slots, sequences, heads, kvHeads = heads, size, positions, scale = 1 } of [
  { slots: pairs(0, 0), sequences: 1, heads: 1, size: 4, positions: 1 },
  { slots: pairs(2, 6, 0, 0, 1, 3, 1, 2), sequences: 3, heads: 3, size: 12, positions: 7 },
  { slots: pairs(1, 66, 0, 129), sequences: 2, heads: 2, size: 20, positions: 130 },
  { slots: pairs(0, 63), sequences: 1, heads: 2, size: MAX_HEAD_SIZE, positions: 64, scale: 0.3 },
  // A tile of the shader has 256 keys.
  { slots: pairs(0, 255, 0, 256), sequences: 1, heads: 1, size: 80, positions: 257 },
  { slots: pairs(0, 1098), sequences: 1, heads: 2, size: 64, positions: 1100, scale: 0.5 },
  { slots: pairs(1, 66, 0, 129), sequences: 2, heads: 4, kvHeads: 1, size: 20, positions: 130 },
  { slots: pairs(1, 299), sequences: 2, heads: 9, kvHeads: 3, size: 64, positions: 300 },
  { slots: pairs(0, 40), sequences: 1, heads: 14, kvHeads: 2, size: 64, positions: 41 },
])
  testOp(
    `${slots.length} tokens against the cache: ${sequences} sequences of ${positions}, ${heads} heads of ${size}, ${kvHeads} of keys and values`,
    (c) => {
      const [N, C] = [slots.length, heads * size];
      const { columns } = rowLayout({ heads, kvHeads, size });
      // Only what lies up to the last token of a slot may be read.
      const row = (slot: number, part: number, g: number) => ((slot * 2 + part) * kvHeads + g) * positions * size;
      const held = new Float32Array(2 * sequences * positions * kvHeads * size).fill(Number.NaN);
      for (let slot = 0; slot < sequences; slot++) {
        const last = Math.max(-1, ...slots.filter(([one]) => one === slot).map(([, position]) => position));
        for (const part of [0, 1])
          for (let g = 0; g < kvHeads; g++) held.set(c.normals((last + 1) * size, scale), row(slot, part, g));
      }
      const cache = c.of("cache", cacheShape(sequences, kvHeads, positions, size), held);
      const [qkv, out] = [c.input("qkv", [N, columns], scale), c.output("out", [N, C])];
      const places = c.rows("slots", [N, 2], Uint32Array.from(slots.flat()));
      c.run(attentionCached(out, qkv, cache, places, { count: heads, kvCount: kvHeads, scale: scoreFactor({ size }) }));
      const [from, query] = [c.data(cache), c.data(qkv)];
      const expected = new Float64Array(N * C);
      for (const [n, [slot, position]] of slots.entries())
        for (let h = 0; h < heads; h++) {
          // A sequence of its own, as the reference has it; the token's own key and value are in the cache.
          const length = position + 1;
          const alone = new Float64Array(length * 3 * size);
          const at = n * columns + h * size;
          alone.set(query.subarray(at, at + size), position * 3 * size);
          for (const part of [0, 1])
            for (let j = 0; j < length; j++) {
              const first = row(slot, part, Math.floor((h * kvHeads) / heads)) + j * size;
              alone.set(from.subarray(first, first + size), (j * 3 + 1 + part) * size);
            }
          const { out } = attention(alone, { lengths: [length], heads: 1, size }, position);
          expected.set(out.subarray(position * size), n * C + h * size);
        }
      c.after(out, expected, CACHED);
      return { tokens: N };
    },
  );
