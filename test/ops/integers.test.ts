/** Products with weights in int16: the bits are defined, so they are the same in every build and for any threads. */
import { linearBackward, linearForward } from "../../src/ops/linear.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { integerProduct } from "../helpers/integers.ts";
import { assertSameRows, EXACT, type OpCase, testOp } from "../helpers/op-case.ts";

/** All builds of the CPU's backend. */
const CPU = ["wasm 1 thread", "wasm 2 threads", "wasm relaxed 2 threads"];

/** A layer [input, out] and its backward pass, without adapters, whose sums are not in integers. */
function layer(c: OpCase, rows: number, input: number, out: number, count: "tokens" | "slots" = "tokens") {
  const W = c.blocks("W", "int16", [input, out], "matrix");
  const [x, dy, bias] = [c.input("x", [rows, input]), c.input("dy", [rows, out]), c.random("bias", [out])];
  const [y, dx] = [c.output("y", [rows, out]), c.output("dx", [rows, input])];
  c.run(linearForward({ out: y, x, W, bias, rows: count }), linearBackward({ dx, dy, W, rows: count }));
  const stored = { words: c.words(W), inputs: input, m: rows };
  c.after(
    y,
    () => integerProduct({ ...stored, a: c.data(x), n: out, k: input, along: true, bias: c.data(bias) }),
    EXACT,
  );
  c.after(dx, () => integerProduct({ ...stored, a: c.data(dy), n: input, k: out, along: false }), EXACT);
  return { [count]: rows };
}

for (const [rows, input, out] of [
  [1, 8, 8],
  [5, 24, 40],
  [9, 392, 24],
  [3, 40, 776],
  [1, 776, 392],
  [37, 16, 12],
  [2, 40, 13],
  [260, 24, 72],
] as const)
  testOp(`${rows} rows of a layer, ${input} to ${out}`, (c) => layer(c, rows, input, out), CPU);

testOp("few rows of a layer", (c) => layer(c, 3, 392, 72, "slots"), CPU);

testOp(
  "rows of a layer: the same bits for any number of them",
  async (c) => {
    const W = c.blocks("W", "int16", [392, 40], "matrix");
    const [x, y] = [c.input("x", [70, 392]), c.output("y", [70, 40])];
    c.run(linearForward({ out: y, x, W, rows: "tokens" }));
    await assertSameRows(c, [y], [70, 33, 5, 1], CPU);
    return undefined;
  },
  CPU,
);

/** Logits, and their gradients, of all tokens and of some, whose number may be odd. */
for (const [rows, V, C, count] of [
  [40, 141, 24, "tokens"],
  [3, 21, 392, "tokens"],
  [5, 393, 16, "tokens"],
  [70, 33, 40, "tokens"],
  [1, 45, 776, "slots"],
  [3, 45, 40, "slots"],
] as const)
  testOp(
    `${rows} ${count}, a table of ${V} x ${C}`,
    (c) => {
      const table = c.blocks("wte", "int16", [V, C], "table");
      for (const n of [V, 13]) {
        const first = V - n;
        const b = table.view("part", [n, C], first * C);
        const words = c.words(table);
        const [x, dlogits] = [c.input("x", [rows, C]), c.input("dlogits", [rows, n])];
        const [logits, dx] = [c.output("logits", [rows, n]), c.input("dx", [rows, C])];
        c.run(matmul({ out: logits, a: x, b, m: count, n, k: C, transB: true }));
        c.run(matmul({ out: dx, a: dlogits, b, m: count, n: C, k: n, beta: 1 }));
        const part = new Uint32Array([
          ...words.subarray((first * C) / 2, (V * C) / 2),
          ...words.subarray((V * C) / 2 + first),
        ]);
        const stored = { words: part, inputs: C, m: rows };
        c.after(logits, () => integerProduct({ ...stored, a: c.data(x), n, k: C, along: true }), EXACT);
        const onto = c.data(dx);
        c.after(dx, () => integerProduct({ ...stored, a: c.data(dlogits), n: C, k: n, along: false, onto }), EXACT);
      }
      return { [count]: rows };
    },
    CPU,
  );

testOp(
  "what is not finite stays so, and what is tiny becomes 0",
  (c) => {
    const W = c.blocks("W", "int16", [40, 16], "matrix");
    const values = c.normals(5 * 40);
    values[3] = Number.NaN;
    values[40 + 7] = Infinity;
    for (let i = 80; i < 120; i++) values[i] = 1e-31;
    for (let i = 120; i < 160; i++) values[i] = 0;
    const x = c.rows("x", [5, 40], values);
    const y = c.output("y", [5, 16]);
    c.run(linearForward({ out: y, x, W, rows: "tokens" }));
    c.after(
      y,
      () => integerProduct({ a: values, words: c.words(W), inputs: 40, m: 5, n: 16, k: 40, along: true }),
      EXACT,
    );
    return { tokens: 5 };
  },
  CPU,
);
