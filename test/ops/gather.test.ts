import { gatherBackward, gatherForward } from "../../src/ops/gather.ts";
import { assertGradient, dot } from "../helpers/gradient.ts";
import { test } from "../helpers/harness.ts";
import { EXACT, OpCase, testOp } from "../helpers/op-case.ts";

/** The first and the last row of each mean. */
type Spans = (readonly [first: number, last: number])[];

const SUMS = { atol: 1e-6, rtol: 1e-5 };

function gather(inp: Float64Array, spans: Spans, cols: number): Float64Array {
  const out = new Float64Array(spans.length * cols);
  spans.forEach(([first, last], b) => {
    for (let n = first; n <= last; n++)
      for (let c = 0; c < cols; c++) out[b * cols + c]! += inp[n * cols + c]! / (last - first + 1);
  });
  return out;
}

function scatter(dout: Float64Array, spans: Spans, tokens: number, cols: number): Float64Array {
  const dinp = new Float64Array(tokens * cols);
  spans.forEach(([first, last], b) => {
    for (let n = first; n <= last; n++)
      for (let c = 0; c < cols; c++) dinp[n * cols + c]! += dout[b * cols + c]! / (last - first + 1);
  });
  return dinp;
}

test("the reference's gradient is that of its function", () => {
  const spans: Spans = [
    [1, 1],
    [2, 4],
  ];
  const inp = Float64Array.from({ length: 20 }, (_, i) => Math.sin(i));
  const dout = Float64Array.from({ length: 8 }, (_, i) => Math.cos(i));
  assertGradient("inp", () => dot(gather(inp, spans, 4), dout), inp, scatter(dout, spans, 5, 4));
});

const single = (rows: number[]): Spans => rows.map((row) => [row, row]);

for (const { tokens, cols, spans } of [
  {
    tokens: 131,
    cols: 68,
    spans: [
      [0, 99],
      [102, 130],
    ] as Spans,
  },
  { tokens: 130, cols: 132, spans: single(Array.from({ length: 43 }, (_, i) => 3 * i + 2)) },
  { tokens: 1, cols: 4, spans: single([0]) },
  { tokens: 17, cols: 20, spans: single([0, 3, 16]) },
  {
    tokens: 19,
    cols: 7,
    spans: [
      [0, 0],
      [1, 4],
      [6, 18],
    ] as Spans,
  },
]) {
  const isMean = spans.some(([first, last]) => last > first);
  testOp(`${isMean ? `${spans.length} means of rows` : `${spans.length} rows`} of ${tokens} of ${cols}`, async () => {
    const c = new OpCase(tokens);
    const count = spans.length;
    const inp = c.random("inp", [tokens + 1, cols], 1, tokens * cols);
    const out = c.blank("out", [count + 2, cols]);
    const dout = c.random("dout", [count + 2, cols], 1, count * cols);
    const dinp = c.blank("dinp", [tokens + 1, cols]);
    const selected = new Uint32Array(2 * (tokens + 1));
    spans.forEach(([first, last], b) => {
      for (let n = first; n <= last; n++) selected.set([b + 1, last - first + 1], 2 * n);
    });
    const rows = c.of("rows", [count + 2], Uint32Array.from([...spans.map(([, last]) => last), 0, 0]));
    const firsts = isMean
      ? c.of("firsts", [count + 2], Uint32Array.from([...spans.map(([first]) => first), 0, 0]))
      : undefined;
    c.run(
      gatherForward(out, inp, rows, firsts),
      gatherBackward(dinp, dout, c.of("selected", [tokens + 1, 2], selected)),
    );
    c.expect("forward", out, gather(c.data(inp), spans, cols), isMean ? SUMS : EXACT);
    c.expect("backward", dinp, scatter(c.data(dout), spans, tokens, cols), isMean ? SUMS : EXACT);
    await c.check({ tokens, sequences: count });
  });
}
