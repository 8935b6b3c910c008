import * as assert from "uvu/assert";
import { Tensor } from "../../src/core/tensor.ts";
import { countPartials, gradnorm } from "../../src/ops/gradnorm.ts";
import { test } from "../helpers/harness.ts";
import { EXACT, testOp } from "../helpers/op-case.ts";

/** A sum of up to 4.2 million squares, all positive: 66 at a time, then up to 1024 of these, then a tree. */
const NORM = { atol: 1e-30, rtol: 3e-6 };

for (const sizes of [[1], [63, 64, 65], [4095, 4096, 4097], [64, 70000, 3], [1024 * 4096 + 33]])
  testOp(`pages of ${sizes}`, (c) => {
    const pages = sizes.map((size, i) => c.random(`page ${i}`, [size], 10 ** i));
    const metrics = c.random("metrics", [16, 4]);
    const stopped = c.of("stopped", [1], new Uint32Array(1));
    const partial = c.blank("partial", [pages.reduce((sum, page) => sum + countPartials(page), 0)]);
    c.run(...gradnorm(metrics, stopped, partial, pages));
    const all = c.data(metrics);
    all[5 * 4 + 2] = Math.sqrt(pages.reduce((sum, page) => sum + c.data(page).reduce((a, g) => a + g * g, 0), 0));
    all[5 * 4 + 3] = 1;
    c.after(metrics, all, NORM);
    c.after(stopped, [0], EXACT);
    return { slot: 5 };
  });

const FINITE = [0.5, 1, 0, 0];
const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;

for (const { name, gradient, metrics = FINITE, stopped = 0 } of [
  { name: "NaN in the gradient", gradient: nan },
  { name: "Inf in the gradient", gradient: infinity },
  { name: "-Inf in the gradient", gradient: -infinity },
  { name: "a gradient whose square overflows", gradient: 1e30 },
  { name: "a loss of NaN", gradient: 1, metrics: [nan, 1, 0, 0] },
  { name: "a loss of Inf", gradient: 1, metrics: [infinity, 1, 0, 0] },
  { name: "a stop in an earlier step", gradient: 1, stopped: 1 },
])
  testOp(`updates stop after ${name}`, async (c) => {
    const page = c.of("page", [300], new Float32Array(300).fill(1));
    const last = c.of("last page", [2], Float32Array.from([gradient, 0]));
    const metricsTensor = c.of("metrics", [1, 4], Float32Array.from(metrics));
    const stoppedTensor = c.of("stopped", [1], Uint32Array.from([stopped]));
    const partial = c.blank("partial", [countPartials(page) + countPartials(last)]);
    c.run(...gradnorm(metricsTensor, stoppedTensor, partial, [page, last]));
    for (const device of c.devices()) {
      const [afterMetrics, afterStopped] = await c.results({}, [metricsTensor, stoppedTensor], device);
      assert.is(new Uint32Array(afterStopped!.buffer)[0], 1, device);
      assert.is(afterMetrics![3], 0, `finite on ${device}`);
    }
  });

test("a sum has at most some thousand gradients, however large the page", () => {
  for (const count of [1, 4096, 1e6, 124e6]) {
    const partials = countPartials(new Tensor("page", [count], "gradient"));
    assert.ok(count / partials < 2000 && partials <= 65536, `${count} in ${partials}`);
  }
});
