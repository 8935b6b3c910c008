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

/** Parameters near 1 are rounded once a step. */
const STEPS = { atol: 1e-6, rtol: 1e-6 };
/** v is a sum of squares down to 1e-13, rounded a few times a step. */
const SQUARES = { atol: 1e-30, rtol: 2e-6 };
/** m is a sum of gradients of either sign: measured by their size, the root of v. */
const SUMS = { atol: 2e-6, rtol: 1e-6 };
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

const testAnywhere = (name: string, body: () => Promise<void>) => testOnDevices(name, body, DEVICE_NAMES, DEVICE_NAMES);

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
  testAnywhere(`${STEPS_TAKEN} steps with ${name}`, async () => {
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

testAnywhere("`stopped` leaves parameters and moments bit-identical", async () => {
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

testAnywhere("a rate of 1 gives the bits of no rate", async () => {
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
