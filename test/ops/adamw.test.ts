import * as assert from "uvu/assert";
import { ShapeError } from "../../src/errors.ts";
import { type AdamWConfig, type AdamWPage, adamw, adamwStepValues } from "../../src/ops/adamw.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { encodeTable, NO_SHARE, SHARE, tableShape } from "../../src/ops/shares.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { Rng } from "../../src/rng.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { DEVICE_NAMES, testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase } from "../helpers/op-case.ts";
import { assertSameAlone, layOut, members } from "../helpers/shares.ts";

/** Parameters near 1 are rounded once a step. */
const STEPS = { atol: 1e-6, rtol: 1e-6 };
/** v is a sum of squares down to 1e-13, rounded a few times a step. */
const SQUARES = { atol: 1e-30, rtol: 2e-6 };
/** m is a sum of gradients of either sign: measured by their size, the root of v. */
const SUMS = { atol: 2e-6, rtol: 1e-6 };
/** Steps of up to 64 times the learning rate. */
const LARGE_STEPS = { atol: 1e-5, rtol: 2e-6 };
const COUNT = 600;
const STEPS_TAKEN = 5;
const LR = 0.01;

/** torch.optim.AdamW with clip_grad_norm_ before it, in f64. */
class Reference {
  /** After `t` steps. */
  constructor(
    readonly param: Float64Array,
    readonly m = new Float64Array(param.length),
    readonly v = new Float64Array(param.length),
    private t = 0,
  ) {}

  /** `rates` are the factors of lr of 64 parameters each: a group of parameters has the learning rate lr * rate. */
  step(
    grad: Float64Array,
    base: number,
    config: AdamWConfig,
    rates?: readonly number[],
    norm = Math.sqrt(grad.reduce((sum, g) => sum + g * g, 0)),
  ): void {
    const { betas, eps, weight_decay, clip } = config;
    const [beta1, beta2] = betas;
    this.t++;
    const factor = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
    for (let i = 0; i < grad.length; i++) {
      const g = grad[i]! * factor;
      const lr = base * (rates?.[Math.floor(i / 64)] ?? 1);
      this.param[i]! *= 1 - lr * weight_decay;
      this.m[i] = beta1 * this.m[i]! + (1 - beta1) * g;
      this.v[i] = beta2 * this.v[i]! + (1 - beta2) * g * g;
      const m = this.m[i]! / (1 - beta1 ** this.t);
      const v = this.v[i]! / (1 - beta2 ** this.t);
      this.param[i]! -= (lr * m) / (Math.sqrt(v) + eps);
    }
  }
}

test("the reference's first step is lr in the direction of the gradient's sign", () => {
  const reference = new Reference(Float64Array.from([1, 2, 3]));
  reference.step(Float64Array.from([5, -0.01, 0]), LR, { betas: [0.9, 0.999], eps: 0, weight_decay: 0, clip: 0 });
  assertAllClose("first step", reference.param.subarray(0, 2), [1 - LR, 2 + LR], { atol: 1e-12, rtol: 0 });
});

/** One page on the device. */
async function open(config: AdamWConfig, given?: readonly number[]) {
  const tensor = (name: string, shape = [COUNT]) => new Tensor(name, shape, "output");
  const rates = given ? tensor("rates", [given.length]) : null;
  const parts = { param: tensor("param"), m: tensor("m"), v: tensor("v"), grad: tensor("grad") };
  const page: AdamWPage = { member: 0, ...parts, rates, clip: config.clip };
  const metrics = tensor("metrics", [16, 4]);
  const stopped = new Tensor("stopped", [1], "output", "u32");
  const shares = new Tensor("shares", tableShape(SHARE), "output", "u32");
  const dispatches = [adamw([page], metrics, stopped, config, { shares, members: 1 })];
  const segments = [{ name: "update" as const, clears: [], dispatches }];
  const session = await (await testDevice()).prepare({ segments, memory: planMemory(segments) });
  if (rates) session.write(rates, Float32Array.from(given!));
  const step = (grad: Float32Array, t: number, lr = LR) => {
    session.write(page.grad, grad);
    session.write(metrics, Float32Array.from([0, 0, Math.hypot(...grad), 1]), 2 * 4);
    session.write(shares, encodeTable(SHARE, [{ ...NO_SHARE, is_updated: 1, ...adamwStepValues(config, lr, t) }]));
    session.run(["update"], { ...NO_VALUES, slot: 2 });
  };
  return { page, stopped, session, step };
}

const BASE: AdamWConfig = { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, clip: 0 };
const DECAY = { ...BASE, weight_decay: 0.1 };
/** Two groups in turns, as the adapters' A and B; the last of them is not whole. */
const TWO_RATES = Array.from({ length: Math.ceil(COUNT / 64) }, (_, i) => (i % 3 === 0 ? 1 : 64));

for (const [name, config, rates, lr = LR] of [
  ["plain", BASE],
  ["weight decay", DECAY],
  ["clipping", { ...BASE, clip: 1 }],
  ["a clip above the norm", { ...BASE, clip: 1e4 }],
  ["all of it, other betas and eps", { betas: [0.8, 0.95], eps: 1e-3, weight_decay: 0.5, clip: 0.5 }],
  ["two rates", BASE, TWO_RATES],
  ["two rates, weight decay and clipping", { ...DECAY, clip: 1 }, TWO_RATES],
  // In f32, 1 - lr * weight_decay is 1 - 2^-23: a third more is taken off. 64 times as much must not be off by 64 times
  // that.
  ["two rates and little weight decay", { ...DECAY, eps: 1e3 }, TWO_RATES, 15 * 2 ** -24],
] as [string, AdamWConfig, number[]?, number?][])
  testOnDevices(`${STEPS_TAKEN} steps with ${name}`, async () => {
    const { page, session, step } = await open(config, rates);
    const rng = new Rng(7);
    const param = Float32Array.from({ length: COUNT }, () => rng.normal());
    const reference = new Reference(Float64Array.from(param));
    session.write(page.param, param);
    for (let t = 1; t <= STEPS_TAKEN; t++) {
      // From tiny to large gradients, and elements that never have one.
      const grad = Float32Array.from({ length: COUNT }, (_, i) =>
        i % 5 === 0 ? 0 : rng.normal() * 10 ** ((i % 7) - 5),
      );
      step(grad, t, lr);
      reference.step(Float64Array.from(grad), lr, config, rates);
    }
    assertAllClose("param", await session.read(page.param), reference.param, STEPS);
    const bySize = (m: ArrayLike<number>) => reference.v.map((v, i) => (v > 0 ? m[i]! / Math.sqrt(v) : m[i]!));
    assertAllClose("m", bySize(await session.read(page.m)), bySize(reference.m), SUMS);
    assertAllClose("v", await session.read(page.v), reference.v, SQUARES);
    session.destroy();
  });

testOnDevices("`stopped` leaves parameters and moments bit-identical", async () => {
  const { page, stopped, session, step } = await open({ ...BASE, weight_decay: 0.1, clip: 1 });
  const rng = new Rng(8);
  const draw = () => Float32Array.from({ length: COUNT }, () => rng.normal());
  session.write(page.param, draw());
  step(draw(), 1);
  const read = async () => {
    const parts = await Promise.all([page.param, page.m, page.v].map((tensor) => session.read(tensor)));
    return parts.map((part) => Buffer.from(part.buffer).toString("base64"));
  };
  const before = await read();
  session.write(stopped, Uint32Array.from([1]));
  step(draw().fill(Number.NaN, 0, 3), 2);
  assert.equal(await read(), before);
  session.write(stopped, Uint32Array.from([0]));
  step(draw(), 2);
  assert.ok((await read()).every((part, i) => part !== before[i]));
  session.destroy();
});

testOnDevices("a rate of 1 gives the bits of no rate", async () => {
  const configs = [undefined, TWO_RATES].map((rates) => open({ ...DECAY, clip: 1 }, rates));
  const found = await Promise.all(
    configs.map(async (opened) => {
      const { page, session, step } = await opened;
      const rng = new Rng(9);
      const draw = () => Float32Array.from({ length: COUNT }, () => rng.normal());
      session.write(page.param, draw());
      for (let t = 1; t <= STEPS_TAKEN; t++) step(draw(), t);
      const param = await session.read(page.param);
      session.destroy();
      return param;
    }),
  );
  const ofRateOne = (values: Float32Array) => values.filter((_, i) => TWO_RATES[Math.floor(i / 64)] === 1);
  assertSameBits("param", ofRateOne(found[1]!), ofRateOne(found[0]!));
});

const SLOTS = 3;
/** The rates of a page's groups, wherever it lies. */
const groupRates = (size: number) => Array.from({ length: Math.ceil(size / 64) }, (_, i) => (i % 3 === 0 ? 1 : 64));

interface Member {
  sizes: readonly number[];
  lr: number;
  /** The number of its step. */
  t: number;
  clip: number;
  norm: number;
  kind?: "stopped" | "not updated" | "broken";
}

/** Members of one plan, at steps of their own; the gradients of some have NaN. */
const MEMBERS: readonly Member[] = [
  { sizes: [600], lr: 0.01, t: 1, clip: 1, norm: 24 },
  { sizes: [64, 70], lr: 0.02, t: 2, clip: 1, norm: Number.NaN, kind: "stopped" },
  { sizes: [130], lr: 0.01, t: 3, clip: 0, norm: 7, kind: "not updated" },
  { sizes: [65], lr: 0.01, t: 7, clip: 0, norm: Number.NaN, kind: "broken" },
  { sizes: [1, 300, 2], lr: 0.03, t: 9, clip: 0.5, norm: 18 },
  { sizes: [1300], lr: 0.05, t: 4, clip: 0, norm: 30 },
];

/** What page `i` of a member holds before the step. */
function drawPage({ kind, t }: Member, i: number, size: number) {
  const c = new OpCase(10 * t + i);
  const grad = c.normals(size);
  if (kind) grad.fill(Number.NaN, 3, 40);
  return { param: c.normals(size), m: c.normals(size), v: c.normals(size).map((x) => x * x), grad };
}

/** One step of these members, whose pages lie in the same buffers with other numbers between them. */
function memberCase(some: readonly Member[], hasRates: boolean) {
  const c = new OpCase(1);
  const pages = some.flatMap((one, member) =>
    one.sizes.map((size, i) => ({ member, size, held: drawPage(one, i, size) })),
  );
  const laid = (name: "param" | "m" | "v" | "grad") =>
    layOut(
      pages.map(({ held }) => held[name]),
      (count) => c.normals(count),
    );
  const { offsets } = laid("param");
  const buffer = (name: "param" | "m" | "v" | "grad") => {
    const { whole } = laid(name);
    return c.of(name, [whole.length], whole);
  };
  const buffers = { param: buffer("param"), m: buffer("m"), v: buffer("v"), grad: buffer("grad") };
  const makeRates = () => {
    const factors = new Float32Array(buffers.param.size / 64).fill(Number.NaN);
    for (const [i, { size }] of pages.entries()) factors.set(groupRates(size), offsets[i]! / 64);
    return c.of("rates", [factors.length], factors);
  };
  const rates = hasRates ? makeRates() : null;
  const results = new Float32Array(some.length * SLOTS * 4).fill(Number.NaN);
  for (const [i, { norm }] of some.entries()) results[(i * SLOTS + 1) * 4 + 2] = norm;
  const metrics = c.of("metrics", [some.length * SLOTS, 4], results);
  const stopped = c.of(
    "stopped",
    [some.length],
    Uint32Array.from(some, ({ kind }) => Number(kind === "stopped")),
  );
  const batch = members(
    c,
    some.map(({ lr, t, kind }) => ({ ...adamwStepValues(DECAY, lr, t), is_updated: Number(kind !== "not updated") })),
  );
  const views = pages.map(({ member, size }, i): AdamWPage => {
    const view = (tensor: Tensor) => tensor.view(tensor.name, [size], offsets[i]!);
    const { param, m, v, grad } = buffers;
    const own = rates?.view("rates", [groupRates(size).length], offsets[i]! / 64) ?? null;
    const { clip } = some[member]!;
    return { member, param: view(param), m: view(m), v: view(v), grad: view(grad), rates: own, clip };
  });
  c.run(adamw(views, metrics, stopped, DECAY, batch));
  return { c, pages, offsets, buffers };
}

for (const hasRates of [false, true])
  test(`members ${hasRates ? "with" : "without"} rates, one stopped, one not updated, one with NaN: each as in a program of its own`, async () => {
    const { c, pages, offsets, buffers } = memberCase(MEMBERS, hasRates);
    const { param, m, v, grad } = buffers;
    const expected = { param: c.data(param), m: c.data(m), v: c.data(v) };
    pages.forEach(({ member, size, held }, i) => {
      const { lr, t, clip, norm, kind } = MEMBERS[member]!;
      if (kind === "stopped" || kind === "not updated") return;
      const f64 = (values: Float32Array) => Float64Array.from(values);
      const reference = new Reference(f64(held.param), f64(held.m), f64(held.v), t - 1);
      reference.step(f64(held.grad), lr, { ...DECAY, clip }, hasRates ? groupRates(size) : undefined, norm);
      for (const key of ["param", "m", "v"] as const) expected[key].set(reference[key], offsets[i]!);
    });
    c.expect("step", param, expected.param, LARGE_STEPS);
    c.expect("step", m, expected.m, STEPS);
    c.expect("step", v, expected.v, SQUARES);
    c.expect("step", grad, c.data(grad), EXACT);
    await c.check({ slot: 1 });

    const updated = [param, m, v];
    // What is not updated, and what lies between the pages, has the bits of before.
    for (const device of DEVICE_NAMES)
      for (const [i, result] of (await c.results({ slot: 1 }, updated, device)).entries()) {
        const before = Float32Array.from(c.data(updated[i]!));
        pages.forEach(({ member, size }, j) => {
          const { kind } = MEMBERS[member]!;
          if (kind !== "stopped" && kind !== "not updated")
            before.set(result.subarray(offsets[j]!, offsets[j]! + size), offsets[j]!);
        });
        assertSameBits(`${updated[i]!.name} on ${device}`, result, before);
      }

    await assertSameAlone(
      c,
      { slot: 1 },
      MEMBERS.map((one, member) => {
        const alone = memberCase([one], hasRates);
        const places = offsets.filter((_, i) => pages[i]!.member === member);
        const parts = (["param", "m", "v"] as const).flatMap((key) =>
          alone.pages.map(({ size }, i) => ({
            own: alone.buffers[key].view(key, [size], alone.offsets[i]!),
            whole: buffers[key],
            at: places[i]!,
          })),
        );
        return { c: alone.c, values: { slot: 1 }, parts };
      }),
    );
  });

test("pages of other sizes are refused", () => {
  const page = { param: [65], m: [65], v: [65], grad: [65] };
  const rest = { metrics: [16, 4], stopped: [1], shares: tableShape(SHARE) };
  const free = ["metrics.0", "shares.1"];
  const own = { member: 0, clip: 0 };
  assertShapes(
    { ...page, ...rest },
    ({ metrics, stopped, shares, ...given }) =>
      adamw([{ ...own, ...given, rates: null }], metrics, stopped, BASE, { shares, members: 1 }),
    free,
  );
  assertShapes(
    { ...page, rates: [2], ...rest },
    ({ metrics, stopped, shares, ...given }) =>
      adamw([{ ...own, ...given }], metrics, stopped, BASE, { shares, members: 1 }),
    free,
  );
});

test("pages that lie elsewhere than their moments, or in other buffers than the first, are refused", () => {
  const tensor = (name: string, shape = [256]) => new Tensor(name, shape, "output");
  const [param, m, v, grad] = [tensor("param"), tensor("m"), tensor("v"), tensor("grad")];
  const [metrics, stopped, shares] = [tensor("metrics", [1, 4]), tensor("stopped", [1]), tensor("shares", [64, 12])];
  const at = (whole: Tensor, offset: number) => whole.view(whole.name, [64], offset);
  const page = {
    member: 0,
    param: at(param, 64),
    m: at(m, 64),
    v: at(v, 64),
    grad: at(grad, 64),
    rates: null,
    clip: 0,
  };
  const run = (...pages: AdamWPage[]) => adamw(pages, metrics, stopped, BASE, { shares, members: 1 });
  run(page);
  const refused = (error: unknown) => error instanceof ShapeError;
  assert.throws(() => run({ ...page, v: at(v, 0) }), refused);
  for (const key of ["param", "m", "v", "grad"])
    assert.throws(() => run(page, { ...page, [key]: at(tensor("another"), 64) }), refused);
  const rates = tensor("rates", [4]);
  run({ ...page, rates: rates.view("rates", [1], 1) });
  assert.throws(() => run(page, { ...page, rates: rates.view("rates", [1], 1) }), refused);
});
