import { type AdamWConfig, adamw, adamwStepValues } from "../../src/ops/adamw.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertShapes, EXACT, OpCase, testOp } from "../helpers/op-case.ts";

/** Parameters near 1 are rounded once a step. */
const STEPS = { atol: 1e-6, rtol: 1e-6 };
/** v is a sum of squares down to 1e-13, rounded a few times a step. */
const SQUARES = { atol: 1e-30, rtol: 2e-6 };
/** m is a sum of gradients of either sign: measured by their size, the root of v. */
const SUMS = { atol: 2e-6, rtol: 1e-6 };
const COUNT = 600;
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

interface Page {
  config: AdamWConfig;
  rates?: readonly number[];
  lr?: number;
  /** Not updated: its gradients are NaN. */
  isStopped?: boolean;
}

/** Adds a step to a case, the `t`-th from m and v of t - 1 others. */
function build(c: OpCase, { config, rates, lr = LR, isStopped = false }: Page, t: number) {
  const gradient = () => c.normals(COUNT).map((x, i) => (i % 5 === 0 ? 0 : x * 10 ** ((i % 7) - 5)));
  const values = c.normals(COUNT);
  const reference = new Reference(Float64Array.from(values));
  for (let before = 1; before < t; before++) reference.step(Float64Array.from(gradient()), lr, config, rates);
  const kept = (name: "param" | "m" | "v") => c.of(name, [COUNT], Float32Array.from(reference[name]));
  const [param, m, v] = [kept("param"), kept("m"), kept("v")];
  for (const tensor of [param, m, v]) reference[tensor.name as "m"].set(c.data(tensor));
  // From tiny to large gradients, and elements that never have one.
  const grad = c.of("grad", [COUNT], isStopped ? gradient().fill(Number.NaN) : gradient());
  const norm = Math.hypot(...c.data(grad));
  const metrics = c.of("metrics", [3, 4], Float32Array.from([...new Array(8).fill(Number.NaN), 0, 0, norm, 1]));
  const stopped = c.of("stopped", [1], Uint32Array.of(Number(isStopped)));
  const factors = rates ? c.of("rates", [rates.length], Float32Array.from(rates)) : null;
  c.run(adamw({ param, m, v, grad, rates: factors }, metrics, stopped, config));
  if (!isStopped) reference.step(c.data(grad), lr, config, rates);
  c.after(param, reference.param, isStopped ? EXACT : STEPS);
  c.after(m, reference.m, isStopped ? EXACT : { ...SUMS, sizes: reference.v.map((v) => Math.sqrt(v) || 1) });
  c.after(v, reference.v, isStopped ? EXACT : SQUARES);
  return { values: { slot: 2, ...adamwStepValues(config, lr, t) }, param };
}

/** Two groups in turns, as the adapters' A and B; the last of them is not whole. */
const TWO_RATES = Array.from({ length: Math.ceil(COUNT / 64) }, (_, i) => (i % 3 === 0 ? 1 : 64));

const CLIPPED = { config: { ...DECAY, clip: 1 }, rates: TWO_RATES };

for (const [name, page] of [
  ["two rates, weight decay and clipping", CLIPPED],
  ["plain", { config: BASE }],
  ["weight decay", { config: DECAY }],
  ["clipping", { config: { ...BASE, clip: 1 } }],
  ["a clip above the norm", { config: { ...BASE, clip: 1e4 } }],
  ["all of it, other betas and eps", { config: { betas: [0.8, 0.95], eps: 1e-3, weight_decay: 0.5, clip: 0.5 } }],
  ["two rates", { config: BASE, rates: TWO_RATES }],
  // In f32, 1 - lr * weight_decay is 1 - 2^-23: a third more is taken off. 64 times as much must not be off by 64 times
  // that.
  ["two rates and little weight decay", { config: { ...DECAY, eps: 1e3 }, rates: TWO_RATES, lr: 15 * 2 ** -24 }],
  ["bits that stay where it is stopped", { config: DECAY, isStopped: true }],
] as [string, Page][])
  for (const t of [1, 5]) testOp(`step ${t}: ${name}`, (c) => build(c, page, t).values);

testOp("a rate of 1 gives the bits of no rate", async () => {
  const [without, by] = [{ config: CLIPPED.config }, CLIPPED].map((one) => {
    const c = new OpCase(9);
    return { c, ...build(c, one, 5) };
  });
  const ofRateOne = (values: Float32Array) => values.filter((_, i) => TWO_RATES[Math.floor(i / 64)] === 1);
  for (const device of by!.c.devices()) {
    const [found, expected] = await Promise.all(
      [by!, without!].map(async ({ c, values, param }) => (await c.results(values, [param], device))[0]!),
    );
    assertSameBits(`param on ${device}`, ofRateOne(found!), ofRateOne(expected!));
  }
});

test("moments and gradients of other sizes are refused, and rates for other parameters", () => {
  const page = { param: [256], m: [256], v: [256], grad: [256], rates: [4], metrics: [1, 4], stopped: [1] };
  assertShapes(page, ({ metrics, stopped, ...tensors }) => adamw(tensors, metrics, stopped, BASE), ["metrics.0"]);
});
