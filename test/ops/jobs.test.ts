/** Products of several members: each has the bits of the product alone, whichever shader computes them all. */

import * as assert from "uvu/assert";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { joinJobs } from "../../src/ops/jobs.ts";
import { linearForward } from "../../src/ops/linear.ts";
import { matmul } from "../../src/ops/matmul.ts";
import type { BatchRows } from "../../src/ops/shares.ts";
import { alignView, type Tensor } from "../../src/tensor.ts";
import { OpCase, testOp } from "../helpers/op-case.ts";
import { type Alone, assertSameAlone, type Batch, members } from "../helpers/shares.ts";

/** Rows of the members: less than a tile, one, and more than a tile. */
const ROWS = [33, 1, 70];
/** Rows for large tiles. */
const MANY = 1984;

/** Each member's part of a page: tensors of this shape. */
function cutPage(page: Tensor, shape: readonly [number, number]): Tensor[] {
  const size = alignView(shape[0] * shape[1]);
  return ROWS.map((_, i) => page.view(`${page.name} ${i}`, shape, i * size));
}

function openBatch(seed: number) {
  const c = new OpCase(seed);
  const batch = members(
    c,
    ROWS.map((tokens) => ({ tokens })),
  );
  return { c, batch, page: (name: string, size: number) => c.random(name, [ROWS.length * alignView(size)]) };
}

/** The products of members alone: each a case of its own, with what is the member's of the tensors of all. */
function apart(
  { list }: Batch,
  seed: number,
  make: (own: OpCase, at: { i: number; token: number; tokens: number }) => Alone["parts"],
): Alone[] {
  return list.map(({ token, tokens }, i) => {
    const c = new OpCase(seed);
    return { c, values: { tokens }, parts: make(c, { i, token, tokens }) };
  });
}

const floats = (values: Float64Array, from = 0, count = values.length) =>
  Float32Array.from(values.subarray(from, from + count));

for (const { shader, n, k, capacity = 108 } of [
  { shader: "middle", n: 72, k: 36 },
  { shader: "middle.scalar", n: 70, k: 21 },
  { shader: "wide", n: 2180, k: 36, capacity: MANY },
  { shader: "wide.scalar", n: 2179, k: 21, capacity: MANY },
  { shader: "narrow", n: 8, k: 36 },
  { shader: "narrow.scalar", n: 3, k: 21 },
])
  testOp(`x W: ${shader}`, async () => {
    const { c, batch, page } = openBatch(n);
    const x = c.random("x", [capacity, k], 1, batch.values.tokens * k);
    const out = c.blank("out", [capacity, n]);
    const weights = cutPage(page("W", k * n), [k, n]);
    const sizes = { n, k };
    const m = { count: "tokens", shares: batch.shares } as const;
    const list = joinJobs(weights.map((b, member) => ({ member, of: matmul({ out, a: x, b, m, ...sizes }) })));
    assert.equal(
      list.map((one) => chooseShader(one).name),
      [`matmul_${shader}`],
    );
    c.run(...list);
    const alone = apart(batch, 1, (own, { i, token, tokens }) => {
      const a = own.of("x", [tokens, k], floats(c.data(x), token * k, tokens * k));
      const y = own.blank("out", [tokens, n]);
      const b = own.of("W", [k, n], floats(c.data(weights[i]!)));
      own.run(matmul({ out: y, a, b, m: own.tokens, ...sizes }));
      return [{ own: y, whole: out, at: token * n }];
    });
    await assertSameAlone(c, batch.values, alone);
  });

for (const { shader, m, n } of [
  { shader: "middle", m: 36, n: 72 },
  { shader: "flat", m: 8, n: 72 },
  { shader: "flat.scalar", m: 5, n: 70 },
])
  testOp(`x^T dy, added: ${shader}`, async () => {
    const { c, batch, page } = openBatch(m);
    const { tokens: room } = batch.values;
    const [x, dy] = [c.random("x", [room + 1, m], 1, room * m), c.random("dy", [room + 1, n], 1, room * n)];
    const all = page("dW", m * n);
    const grads = cutPage(all, [m, n]);
    const sizes = { m, n, lda: m, transA: true, beta: 1 };
    const k = { count: "tokens", shares: batch.shares } as const;
    const list = joinJobs(grads.map((out, member) => ({ member, of: matmul({ out, a: x, b: dy, k, ...sizes }) })));
    assert.equal(
      list.map((one) => chooseShader(one).name),
      [`matmul_${shader}`],
    );
    c.run(...list);
    const alone = apart(batch, 1, (own, { i, token, tokens }) => {
      const [a, b] = [
        own.of("x", [tokens, m], floats(c.data(x), token * m, tokens * m)),
        own.of("dy", [tokens, n], floats(c.data(dy), token * n, tokens * n)),
      ];
      const out = own.of("dW", [m, n], floats(c.data(grads[i]!)));
      own.run(matmul({ out, a, b, k: own.tokens, ...sizes }));
      return [{ own: out, whole: all, at: grads[i]!.offset }];
    });
    await assertSameAlone(c, batch.values, alone);
  });

for (const { shader, dtype, input, n, r, capacity = 108 } of [
  { shader: "middle", input: 36, n: 72, r: 4 },
  { shader: "wide", input: 36, n: 2180, r: 5, capacity: MANY },
  { shader: "middle.quantized", dtype: "q8", input: 64, n: 72, r: 5 },
  { shader: "wide.quantized", dtype: "q8", input: 32, n: 2176, r: 4, capacity: MANY },
] as const)
  testOp(`a layer with adapters: ${shader}`, async () => {
    const { c, batch, page } = openBatch(n);
    /** Drawn first in each case: the same. */
    const makeWeight = (one: OpCase) =>
      dtype ? one.blocks("W", dtype, [input, n], "matrix") : one.random("W", [input, n]);
    const W = makeWeight(c);
    const x = c.random("x", [capacity, input], 1, batch.values.tokens * input);
    const [out, bias] = [c.blank("out", [capacity, n]), c.random("bias", [n])];
    const downs = cutPage(page("down", capacity * r), [capacity, r]);
    const ups = cutPage(page("B", n * r), [n, r]);
    type Given = Record<"out" | "x" | "W" | "bias", Tensor> & { rows: BatchRows };
    const layer = (given: Given, down: Tensor, B: Tensor) => {
      const place = { count: 1, r, input, width: n, column: 0, step: 0, skew: 0, scale: 1, stride: 0 };
      return linearForward({ ...given, adapters: { group: { ...place, A: B, B }, down } });
    };
    const rows = { count: "tokens", shares: batch.shares } as const;
    const given = { out, x, W, bias, rows };
    const list = joinJobs(ups.map((B, member) => ({ member, of: layer(given, downs[member]!, B) })));
    assert.equal(
      list.map((one) => chooseShader(one).name),
      [`linear_${shader}`],
    );
    c.run(...list);
    const alone = apart(batch, n, (own, { i, token, tokens }) => {
      const copy = (name: string, shape: readonly [number, number], from: Tensor, first = 0) =>
        own.of(name, shape, floats(c.data(from), first, shape[0] * shape[1]));
      const given = { rows: own.tokens, W: makeWeight(own), bias: own.of("bias", [n], floats(c.data(bias))) };
      const [a, y] = [copy("x", [tokens, input], x, token * input), own.blank("out", [tokens, n])];
      const [down, B] = [copy("down", [tokens, r], downs[i]!), copy("B", [n, r], ups[i]!)];
      own.run(layer({ ...given, x: a, out: y }, down, B));
      return [{ own: y, whole: out, at: token * n }];
    });
    await assertSameAlone(c, batch.values, alone);
  });
