import * as assert from "uvu/assert";
import { countPartials, gradnorm } from "../../src/ops/gradnorm.ts";
import { Tensor } from "../../src/tensor.ts";
import { testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase } from "../helpers/op-case.ts";
import { assertSameAlone, layOut } from "../helpers/shares.ts";

/** A sum of up to 4.2 million squares, all positive: 66 at a time, then up to 1024 of these, then a tree. */
const NORM = { atol: 1e-30, rtol: 3e-6 };

for (const sizes of [[1], [63, 64, 65], [4095, 4096, 4097], [64, 70000, 3], [1024 * 4096 + 33]])
  test(`pages of ${sizes}`, async () => {
    const c = new OpCase(sizes.length);
    const pages = sizes.map((size, i) => c.random(`page ${i}`, [size], 10 ** i));
    const metrics = c.random("metrics", [16, 4]);
    const stopped = c.of("stopped", [1], new Uint32Array(1));
    const partial = c.blank("partial", [pages.reduce((sum, page) => sum + countPartials(page), 0)]);
    c.run(...gradnorm(metrics, stopped, partial, [pages]));
    const all = c.data(metrics);
    all[5 * 4 + 2] = Math.sqrt(pages.reduce((sum, page) => sum + c.data(page).reduce((a, g) => a + g * g, 0), 0));
    all[5 * 4 + 3] = 1;
    c.expect("norm", metrics, all, NORM);
    c.expect("norm", stopped, [0], EXACT);
    await c.check({ slot: 5 });
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
  testOnDevices(`updates stop after ${name}`, async () => {
    const c = new OpCase(1);
    const page = c.of("page", [300], new Float32Array(300).fill(1));
    const last = c.of("last page", [2], Float32Array.from([gradient, 0]));
    const metricsTensor = c.of("metrics", [1, 4], Float32Array.from(metrics));
    const stoppedTensor = c.of("stopped", [1], Uint32Array.from([stopped]));
    const partial = c.blank("partial", [countPartials(page) + countPartials(last)]);
    c.run(...gradnorm(metricsTensor, stoppedTensor, partial, [[page, last]]));
    const [afterMetrics, afterStopped] = await c.results({}, [metricsTensor, stoppedTensor]);
    assert.is(new Uint32Array(afterStopped!.buffer)[0], 1);
    assert.is(afterMetrics![3], 0, "finite");
  });

/** Pages of members in two buffers, NaN outside of pages; metrics [members slots, 4] and stopped, before and after. */
function memberCase(
  gradients: readonly { first: readonly Float32Array[]; second: readonly Float32Array[] }[],
  { slots, losses, stops }: { slots: number; losses: readonly number[]; stops: readonly number[] },
) {
  const c = new OpCase(2);
  const views = (["first", "second"] as const).map((buffer) => {
    const values = gradients.flatMap((own) => own[buffer]);
    if (values.length === 0) return [];
    const { whole, offsets } = layOut(values, (count) => new Float32Array(count).fill(nan));
    const tensor = c.of(buffer, [whole.length], whole);
    return values.map(({ length }, i) => tensor.view(`${buffer} ${i}`, [length], offsets[i]!));
  });
  const pages = gradients.map(({ first, second }) => [
    ...views[0]!.splice(0, first.length),
    ...views[1]!.splice(0, second.length),
  ]);
  const members = gradients.length;
  const rows = c.normals(members * slots * 4);
  for (const [i, loss] of losses.entries()) rows[(i * slots + 1) * 4] = loss;
  const metrics = c.of("metrics", [members * slots, 4], rows);
  const stopped = c.of("stopped", [members], Uint32Array.from(stops));
  const partial = c.blank("partial", [pages.flat().reduce((sum, page) => sum + countPartials(page), 0)]);
  c.run(...gradnorm(metrics, stopped, partial, pages));
  return { c, pages, metrics, stopped };
}

test("members with pages in the same buffers, without pages, with NaN and stopped: each as in a program of its own", async () => {
  const draw = new OpCase(3);
  const members = [
    { first: [63, 4097], second: [65], loss: 1, stop: 0 },
    { first: [200], second: [], loss: 1, stop: 0, broken: true },
    { first: [70000, 1], second: [64, 5000], loss: 2, stop: 0 },
    { first: [], second: [], loss: 0, stop: 0 },
    { first: [], second: [130], loss: 3, stop: 1 },
    { first: [4096], second: [3], loss: nan, stop: 0 },
    { first: [1], second: [], loss: 4, stop: 0 },
  ].map(({ first, second, broken, ...rest }, i) => {
    const normals = (count: number) => draw.normals(count, 10 ** (i % 3));
    const gradients = { first: first.map(normals), second: second.map(normals) };
    if (broken) gradients.first[0]![7] = nan;
    return { gradients, ...rest };
  });
  const slots = 3;
  const build = (some: typeof members) =>
    memberCase(
      some.map(({ gradients }) => gradients),
      { slots, losses: some.map(({ loss }) => loss), stops: some.map(({ stop }) => stop) },
    );
  const { c, metrics, stopped, pages } = build(members);
  const all = c.data(metrics);
  const stops = members.map(({ stop, loss }, i) => {
    const squares = pages[i]!.map((page) => c.data(page).reduce((sum, g) => sum + g * g, 0));
    const norm = Math.sqrt(squares.reduce((sum, one) => sum + one, 0));
    const isStopped = stop || !Number.isFinite(norm) || !Number.isFinite(loss);
    all.set([norm, isStopped ? 0 : 1], (i * slots + 1) * 4 + 2);
    return Number(isStopped);
  });
  assert.equal(stops, [0, 1, 0, 0, 1, 1, 0]);
  c.expect("norms", metrics, all, NORM);
  // Whole numbers are read as the floats of their bits: 1 is the least of them.
  c.expect(
    "norms",
    stopped,
    stops.map((stop) => stop * 2 ** -149),
    EXACT,
  );
  await c.check({ slot: 1 });
  const values = { slot: 1 };
  await assertSameAlone(
    c,
    values,
    members
      .map((member, i) => {
        const alone = build([member]);
        return {
          c: alone.c,
          values,
          parts: [
            { own: alone.metrics.view("norm", [2], 4 + 2), whole: metrics, at: (i * slots + 1) * 4 + 2 },
            { own: alone.stopped, whole: stopped, at: i },
          ],
        };
      })
      .filter((_, i) => pages[i]!.length > 0),
  );
});

test("operands of other shapes are refused, but for the number of slots and the pages' sizes", () => {
  assertShapes(
    { metrics: [2, 4], stopped: [1], partial: [2 * 64], one: [7], two: [9] },
    ({ metrics, stopped, partial, one, two }) => gradnorm(metrics, stopped, partial, [[one, two]]),
    ["metrics.0", "one.0", "two.0"],
  );
});

test("a sum has at most some thousand gradients, however large the page", () => {
  for (const count of [1, 4096, 1e6, 124e6]) {
    const partials = countPartials(new Tensor("page", [count], "gradient"));
    assert.ok(count / partials < 2000 && partials <= 65536, `${count} in ${partials}`);
  }
});
