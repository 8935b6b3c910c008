/** Products of several members: each has the bits of the product alone, whichever shader computes them all. */
import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { joinJobs } from "../../src/ops/jobs.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { linearForward } from "../../src/ops/linear.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { gemm } from "../helpers/gemm.ts";
import { type OpCase, testAlone, testOp } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Sums of up to 70 products of normal numbers. */
const PRODUCT = { atol: 2e-5, rtol: 2e-6 };
/** Rows of the members: less than a tile, one, and more than a tile. */
const ROWS = [33, 1, 70];
/** Room for rows, and for so many that tiles are large. */
const ROOM = 108;
const MANY = 1984;

/** A case of all members, or of one, which has room for its rows alone. */
function open(c: OpCase, lengths: readonly number[], first: number, room = ROOM) {
  const batch = members(
    c,
    lengths.map((tokens) => ({ tokens })),
  );
  const { tokens } = batch.values;
  const isWhole = lengths.length === ROWS.length;
  const join = (list: Dispatch[], shader: string) => {
    const joined = joinJobs(list.map((of, member) => ({ member, of })));
    if (isWhole)
      assert.equal(
        joined.map((one) => chooseShader(one).name),
        [shader],
      );
    c.run(...joined);
  };
  return {
    ...{ batch, tokens, join, capacity: isWhole ? room : tokens },
    rows: { count: "tokens", shares: batch.shares } as const,
    /** Each member's part of a page. */
    page(name: string, shape: readonly [number, number]) {
      const { page, own } = c.page(name, shape, ROWS.length);
      return { page, own: own.slice(first, first + lengths.length) };
    },
    /** What `f` makes of each member's rows, one behind the other. */
    each(f: (i: number, token: number, count: number) => Float64Array): Float64Array {
      return Float64Array.from(batch.list.flatMap((one, i) => [...f(i, one.token, one.tokens)]));
    },
  };
}

function testMembers(
  name: string,
  build: (c: OpCase, lengths: readonly number[], first: number) => Record<string, number>,
) {
  testOp(name, (c) => build(c, ROWS, 0));
  testAlone(name, ROWS, build);
}

for (const { shader, n, k, room } of [
  { shader: "middle", n: 72, k: 36 },
  { shader: "middle.scalar", n: 70, k: 21 },
  { shader: "wide", n: 2180, k: 36, room: MANY },
  { shader: "wide.scalar", n: 2179, k: 21, room: MANY },
  { shader: "narrow", n: 8, k: 36 },
  { shader: "narrow.scalar", n: 3, k: 21 },
])
  testMembers(`x W: ${shader}`, (c, lengths, first) => {
    const { tokens, rows: m, join, page, each, batch, capacity } = open(c, lengths, first, room);
    const W = page("W", [k, n]).own;
    const [x, out] = [c.input("x", [tokens, k], 1, capacity), c.output("out", [tokens, n], capacity)];
    join(
      W.map((b) => matmul({ out, a: x, b, m, n, k })),
      `matmul_${shader}`,
    );
    const expected = () =>
      each((i, token, m) =>
        gemm({ out: new Float64Array(m * n), a: c.data(x), aOffset: token * k, b: c.data(W[i]!), m, n, k }),
      );
    c.after(out, expected, PRODUCT);
    return batch.values;
  });

for (const { shader, m, n } of [
  { shader: "middle", m: 36, n: 72 },
  { shader: "flat", m: 8, n: 72 },
  { shader: "flat.scalar", m: 5, n: 70 },
])
  testMembers(`x^T dy, added: ${shader}`, (c, lengths, first) => {
    const { tokens, rows: k, join, page, batch } = open(c, lengths, first);
    const dW = page("dW", [m, n]);
    const [x, dy] = [c.input("x", [tokens, m]), c.input("dy", [tokens, n])];
    join(
      dW.own.map((out) => matmul({ out, a: x, b: dy, m, n, k, lda: m, transA: true, beta: 1 })),
      `matmul_${shader}`,
    );
    const expected = c.data(dW.page);
    for (const [i, { token, tokens: count }] of batch.list.entries()) {
      const rows = (of: typeof x, width: number) => c.data(of).subarray(token * width, (token + count) * width);
      const product = { a: rows(x, m), b: rows(dy, n), transA: true, m, n, k: count, lda: m, beta: 1 };
      expected.set(gemm({ ...product, out: c.data(dW.own[i]!) }), dW.own[i]!.offset);
    }
    c.after(dW.page, expected, PRODUCT);
    return batch.values;
  });

for (const { shader, dtype, input, n, r, room } of [
  { shader: "middle", input: 36, n: 72, r: 4 },
  { shader: "wide", input: 36, n: 2180, r: 5, room: MANY },
  { shader: "middle.quantized", dtype: "q8", input: 64, n: 72, r: 5 },
  { shader: "wide.quantized", dtype: "q8", input: 32, n: 2176, r: 4, room: MANY },
] as const)
  testMembers(`a layer with adapters: ${shader}`, (c, lengths, first) => {
    const { tokens, rows, join, page, each, batch, capacity } = open(c, lengths, first, room);
    const W = dtype ? c.blocks("W", dtype, [input, n], "matrix") : c.random("W", [input, n]);
    const bias = c.random("bias", [n]);
    const [whole, ups] = [page("down", [room ?? ROOM, r]), page("B", [n, r]).own];
    const downs = whole.own.map(({ name, offset }) => whole.page.view(name, [capacity, r], offset));
    const [x, out] = [c.input("x", [tokens, input], 1, capacity), c.output("out", [tokens, n], capacity)];
    const place = { count: 1, r, input, width: n, column: 0, step: 0, skew: 0, scale: 1, stride: 0 };
    join(
      ups.map((B, i) =>
        linearForward({ out, x, W, bias, rows, adapters: { group: { ...place, A: B, B }, down: downs[i]! } }),
      ),
      `linear_${shader}`,
    );
    const expected = () =>
      each((i, token, m) => {
        const base = { a: c.data(x), aOffset: token * input, b: c.data(W), m, n, k: input, bias: c.data(bias) };
        const up = { a: c.data(downs[i]!), b: c.data(ups[i]!), transB: true, m, n, k: r, beta: 1 };
        return gemm({ ...up, out: gemm({ ...base, out: new Float64Array(m * n) }) });
      });
    c.after(out, expected, PRODUCT);
    return batch.values;
  });
