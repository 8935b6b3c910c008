import { type AdamWConfig, type AdamWPage, adamw, adamwStepValues } from "../../src/ops/adamw.ts";
import { alignView, Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertRefused, EXACT, OpCase, testOp } from "../helpers/op-case.ts";
import { members } from "../helpers/shares.ts";

/** Parameters near 1 are rounded once a step. */
const STEPS = { atol: 1e-6, rtol: 1e-6 };
/** v is a sum of squares down to 1e-13, rounded a few times a step. */
const SQUARES = { atol: 1e-30, rtol: 2e-6 };
/** m is a sum of gradients of either sign: measured by their size, the root of v. */
const SUMS = { atol: 2e-6, rtol: 1e-6 };
const COUNT = 600;
/** What a page takes of its buffer. */
const ROOM = alignView(COUNT);
const STEPS_TAKEN = 5;
const LR = 0.01;

/** torch.optim.AdamW with clip_grad_norm_ before it, in f64. */
class Reference {
  readonly m: Float64Array;
  readonly v: Float64Array;
  private t = 0;

  constructor(readonly param: Float64Array) {
    [this.m, this.v] = [param.map(() => 0), param.map(() => 0)];
  }

  /** `rates` are the factors of lr of 64 parameters each: a group of parameters has the learning rate lr * rate. */
  step(grad: Float64Array, base: number, config: AdamWConfig, rates?: readonly number[]): void {
    const { betas, eps, weight_decay, clip } = config;
    const [beta1, beta2] = betas;
    this.t++;
    const factor = clip > 0 ? Math.min(1, clip / (Math.hypot(...grad) + 1e-6)) : 1;
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

const BASE: AdamWConfig = { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, clip: 0 };
const DECAY = { ...BASE, weight_decay: 0.1 };

interface Member {
  config: AdamWConfig;
  rates?: readonly number[];
  lr?: number;
  /** Not updated: its gradients are NaN. */
  idle?: "stopped" | "left out";
}

/** Adds some steps of members, each with a page of the same buffers, to a case. */
function build(c: OpCase, list: readonly Member[]) {
  const size = list.length * ROOM;
  const zeros = (name: string) => c.of(name, [size], new Float32Array(size));
  const [param, m, v] = [c.random("param", [size]), zeros("m"), zeros("v")];
  const stopped = c.of(
    "stopped",
    [list.length],
    Uint32Array.from(list, ({ idle }) => Number(idle === "stopped")),
  );
  const groups = ROOM / 64;
  const rates = list[0]!.rates
    ? c.of("rates", [list.length * groups], Float32Array.from(list.flatMap(({ rates }) => rates!)))
    : null;
  const own = (all: Float64Array, i: number) => all.subarray(i * ROOM, i * ROOM + COUNT);
  const references = list.map((_, i) => new Reference(own(c.data(param), i).slice()));
  for (let t = 1; t <= STEPS_TAKEN; t++) {
    // From tiny to large gradients, and elements that never have one.
    const values = c.normals(size).map((x, i) => {
      if (list[Math.floor(i / ROOM)]!.idle) return Number.NaN;
      return i % 5 === 0 ? 0 : x * 10 ** ((i % 7) - 5);
    });
    const grad = c.of("grad", [size], values);
    const grads = list.map((_, i) => own(c.data(grad), i));
    const found = grads.flatMap((one) => [...new Array(8).fill(Number.NaN), 0, 0, Math.hypot(...one), 1]);
    const metrics = c.of("metrics", [list.length * 3, 4], Float32Array.from(found));
    const updates = list.map(({ config, lr = LR, idle }) => ({
      ...{ is_updated: Number(idle !== "left out"), ...adamwStepValues(config, lr, t) },
    }));
    const pages = list.map(({ config }, member): AdamWPage => {
      const part = (whole: Tensor) => whole.view(whole.name, [COUNT], member * ROOM);
      const parts = { param: part(param), m: part(m), v: part(v), grad: part(grad) };
      return { member, ...parts, rates: rates?.view("rates", [groups], member * groups) ?? null, clip: config.clip };
    });
    c.run(adamw(pages, metrics, stopped, list[0]!.config, members(c, updates)));
    for (const [i, { config, lr = LR, rates, idle }] of list.entries())
      if (!idle) references[i]!.step(grads[i]!, lr, config, rates);
  }
  const after = (tensor: Tensor) => {
    const all = c.data(tensor);
    for (const [i, reference] of references.entries()) all.set(reference[tensor.name as "param" | "m" | "v"], i * ROOM);
    return all;
  };
  const isIdle = list.every(({ idle }) => idle);
  c.after(param, after(param), isIdle ? EXACT : STEPS);
  c.after(m, after(m), isIdle ? EXACT : { ...SUMS, sizes: after(v).map((v) => Math.sqrt(v) || 1) });
  c.after(v, after(v), isIdle ? EXACT : SQUARES);
  return { values: { slot: 2 }, param };
}

/** Two groups in turns, as the adapters' A and B; the last of them is not whole. */
const TWO_RATES = Array.from({ length: Math.ceil(COUNT / 64) }, (_, i) => (i % 3 === 0 ? 1 : 64));

const CLIPPED = { config: { ...DECAY, clip: 1 }, rates: TWO_RATES };

for (const [name, ...list] of [
  [
    "several members: also one that is stopped and one that is left out",
    CLIPPED,
    { ...CLIPPED, idle: "stopped" },
    { ...CLIPPED, config: DECAY, lr: 1e-3 },
    { ...CLIPPED, idle: "left out" },
  ],
  ["plain", { config: BASE }],
  ["weight decay", { config: DECAY }],
  ["clipping", { config: { ...BASE, clip: 1 } }],
  ["a clip above the norm", { config: { ...BASE, clip: 1e4 } }],
  ["all of it, other betas and eps", { config: { betas: [0.8, 0.95], eps: 1e-3, weight_decay: 0.5, clip: 0.5 } }],
  ["two rates", { config: BASE, rates: TWO_RATES }],
  ["two rates, weight decay and clipping", CLIPPED],
  // In f32, 1 - lr * weight_decay is 1 - 2^-23: a third more is taken off. 64 times as much must not be off by 64 times
  // that.
  ["two rates and little weight decay", { config: { ...DECAY, eps: 1e3 }, rates: TWO_RATES, lr: 15 * 2 ** -24 }],
  ["bits that stay: stopped, left out", { config: DECAY, idle: "stopped" }, { config: DECAY, idle: "left out" }],
] as [string, ...Member[]][])
  testOp(`${STEPS_TAKEN} steps: ${name}`, (c) => build(c, list).values);

testOp("a rate of 1 gives the bits of no rate", async () => {
  const [without, by] = [{ config: CLIPPED.config }, CLIPPED].map((one) => {
    const c = new OpCase(9);
    return { c, ...build(c, [one]) };
  });
  const ofRateOne = (values: Float32Array) => values.filter((_, i) => TWO_RATES[Math.floor(i / 64)] === 1);
  for (const device of by!.c.devices()) {
    const [found, expected] = await Promise.all(
      [by!, without!].map(async ({ c, values, param }) => (await c.results(values, [param], device))[0]!),
    );
    assertSameBits(`param on ${device}`, ofRateOne(found!), ofRateOne(expected!));
  }
});

test("pages that lie elsewhere than their moments, or in other buffers than the first, are refused", () => {
  const tensor = (name: string, shape = [256]) => new Tensor(name, shape, "output");
  const [param, m, v, grad] = [tensor("param"), tensor("m"), tensor("v"), tensor("grad")];
  const [metrics, stopped, shares] = [tensor("metrics", [1, 4]), tensor("stopped", [1]), tensor("shares", [64, 12])];
  const at = (whole: Tensor, offset = 64) => whole.view(whole.name, [64], offset);
  const page = { member: 0, param: at(param), m: at(m), v: at(v), grad: at(grad), rates: null, clip: 0 };
  const run = (...pages: AdamWPage[]) => adamw(pages, metrics, stopped, BASE, { shares, members: 1 });
  run(page);
  assertRefused(() => run({ ...page, v: at(v, 0) }));
  for (const key of ["param", "m", "v", "grad"])
    assertRefused(() => run(page, { ...page, [key]: at(tensor("another")) }));
  const rates = tensor("rates", [4]);
  run({ ...page, rates: rates.view("rates", [1], 1) });
  assertRefused(() => run(page, { ...page, rates: rates.view("rates", [1], 1) }));
});
