/** Large and small tiles of products give the same bits, where nothing in the files of the ops chooses both. */
import * as assert from "uvu/assert";
import { chooseVariant } from "../../src/backend/webgpu-shaders.ts";
import type { Tensor } from "../../src/core/tensor.ts";
import { loraDown } from "../../src/ops/adapters.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { linearBackward, linearForward } from "../../src/ops/linear.ts";
import { loraUpBackward } from "../../src/ops/lora.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { makeGroup } from "../helpers/adapter-groups.ts";
import { assertSameBits } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { OpCase } from "../helpers/op-case.ts";

/** Runs products by both tiles: the results, `outs`, have the same bits. */
async function assertTiles(c: OpCase, products: Dispatch[], outs: Tensor[], rows: number): Promise<void> {
  const by = (variant: "middle" | "wide") => {
    c.replace = (one) => (products.includes(one) ? { ...one, variant } : one);
    return c.results({ tokens: rows, sequences: rows }, outs, "webgpu");
  };
  for (const product of products) assert.is(chooseVariant(product), "middle");
  const [middle, wide] = [await by("middle"), await by("wide")];
  for (const [i, { name, shape }] of outs.entries()) assertSameBits(`${name} [${shape}]`, wide[i]!, middle[i]!);
}

testAll("x^T dy, over any number of rows: both tiles give the same bits", async () => {
  for (const [m, n, k] of [
    [36, 40, 1],
    [40, 36, 35],
    [136, 72, 130],
  ] as const) {
    const c = new OpCase(k);
    const [a, b] = [c.input("a", [k, m], 1, k + 3), c.input("b", [k, n], 1, k + 3)];
    const out = c.random("out", [m, n]);
    const product = matmul({ out, a, b, m, n, k: "tokens", lda: m, transA: true, beta: 1 });
    c.run(product);
    await assertTiles(c, [product], [out], k);
  }
});

for (const dtype of ["f32", "q4"] as const)
  (dtype === "f32" ? test : testAll)(
    `linear layers with adapters, W in ${dtype}: both tiles give the same bits`,
    async () => {
      for (const [rows, r] of [
        [3, 8],
        [67, 5],
      ] as const) {
        const c = new OpCase(rows);
        const [input, out, room] = [64, 192, rows + 6];
        const W = dtype === "f32" ? c.random("W", [input, out]) : c.blocks("W", dtype, [input, out], "matrix");
        const { group } = makeGroup(c, 0.5, { count: 3, r, input, width: 64, column: 0, step: 64 });
        const [x, dy] = [c.input("x", [rows, input], 1, room), c.input("dy", [rows, out], 1, room)];
        const add = c.random("add", [room, out]);
        const blank = (name: string, width: number) => c.blank(name, [room, width]);
        const [down, ddown] = [blank("down", 3 * r), blank("ddown", 3 * r)];
        const [plain, sum, both, h, act] = ["plain", "sum", "both", "h", "act"].map((name) => blank(name, out));
        const [dx, dh, again] = ["dx", "dh", "again"].map((name) => blank(name, input));
        const forward = {
          x,
          W,
          rows: "tokens",
          bias: c.random("bias", [out]),
          adapters: { group, down },
        } as const;
        const backward = { dy, W, rows: "tokens", adapters: { group, down: ddown } } as const;
        c.run(loraDown(down, x, group, "tokens"), loraUpBackward(ddown, dy, group, "tokens"));
        const products = [
          linearForward({ ...forward, out: plain!, residual: add }),
          linearForward({ ...forward, out: sum!, sum: { add, out: both! } }),
          linearForward({ ...forward, out: h!, activate: { by: "gelu_new", out: act! } }),
          linearBackward({ ...backward, dx: dx! }),
          linearBackward({ ...backward, dx: dh!, activated: { by: "gelu", inp: x, act: again! } }),
        ];
        c.run(...products);
        await assertTiles(c, products, [plain!, sum!, both!, h!, act!, dx!, dh!, again!], rows);
      }
    },
  );
