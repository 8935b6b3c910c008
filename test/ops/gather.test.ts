import { gatherBackward, gatherForward } from "../../src/ops/gather.ts";
import { addRows } from "../helpers/gradient.ts";
import { EXACT, pairs, testOp } from "../helpers/op-case.ts";

const SUMS = { atol: 1e-6, rtol: 1e-5 };

const single = (rows: number[]) => rows.map((row) => [row, row] as const);

/** The first and the last row of each mean. */
for (const { tokens, cols, spans } of [
  { tokens: 131, cols: 68, spans: pairs(0, 99, 102, 130) },
  { tokens: 130, cols: 132, spans: single(Array.from({ length: 43 }, (_, i) => 3 * i + 2)) },
  { tokens: 1, cols: 4, spans: single([0]) },
  { tokens: 17, cols: 20, spans: single([0, 3, 16]) },
  { tokens: 19, cols: 7, spans: pairs(0, 0, 1, 4, 6, 18) },
]) {
  const isMean = spans.some(([first, last]) => last > first);
  testOp(`${spans.length} ${isMean ? "means of rows" : "rows"} of ${tokens} of ${cols}`, (c) => {
    const count = spans.length;
    const [inp, out] = [c.input("inp", [tokens, cols]), c.output("out", [count, cols], count + 2)];
    const [dinp, dout] = [c.output("dinp", [tokens, cols]), c.input("dout", [count, cols], 1, count + 2)];
    const selected = new Uint32Array(2 * tokens);
    const terms = spans.flatMap(([first, last], b) =>
      Array.from({ length: last - first + 1 }, (_, i) => {
        selected.set([b + 1, last - first + 1], 2 * (first + i));
        return [b, first + i, 1 / (last - first + 1)] as const;
      }),
    );
    const [firsts, rows] = [0, 1].map((end) =>
      c.rows(
        "ends",
        [count],
        Uint32Array.from(spans, (span) => span[end]!),
        count + 2,
      ),
    );
    c.run(
      gatherForward(out, inp, rows!, isMean ? firsts : undefined),
      gatherBackward(dinp, dout, c.rows("selected", [tokens, 2], selected)),
    );
    const gradient = terms.map(([to, from, factor]) => [from, to, factor] as const);
    const tolerance = isMean ? SUMS : EXACT;
    c.after(out, addRows(new Float64Array(count * cols), c.data(inp), cols, terms), tolerance);
    c.after(dinp, addRows(new Float64Array(tokens * cols), c.data(dout), cols, gradient), tolerance);
    return { tokens, sequences: count };
  });
}
