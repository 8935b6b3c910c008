import * as assert from "uvu/assert";
import { type AdamWConfig, adamw, adamwStepValues } from "../../src/ops/adamw.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { Rng } from "../../src/rng.ts";
import { Tensor } from "../../src/tensor.ts";
import { assertAllClose } from "../allclose.ts";
import { testDevice, testOnDevices } from "../device.ts";
import { test } from "../harness.ts";
import { assertShapes } from "./case.ts";

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
  readonly m: Float64Array;
  readonly v: Float64Array;
  private t = 0;

  constructor(readonly param: Float64Array) {
    this.m = new Float64Array(param.length);
    this.v = new Float64Array(param.length);
  }

  step(grad: Float64Array, lr: number, { betas: [beta1, beta2], eps, weight_decay, clip }: AdamWConfig): void {
    this.t++;
    const norm = Math.sqrt(grad.reduce((sum, g) => sum + g * g, 0));
    const factor = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
    for (let i = 0; i < grad.length; i++) {
      const g = grad[i]! * factor;
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
async function open(config: AdamWConfig) {
  const tensor = (name: string, shape = [COUNT]) => new Tensor(name, shape, "output");
  const page = { param: tensor("param"), m: tensor("m"), v: tensor("v"), grad: tensor("grad") };
  const metrics = tensor("metrics", [16, 4]);
  const stopped = new Tensor("stopped", [1], "output", "u32");
  const segments = [{ name: "update" as const, clears: [], dispatches: [adamw(page, metrics, stopped, config)] }];
  const session = await (await testDevice()).prepare({ segments, memory: planMemory(segments) });
  const step = (grad: Float32Array, t: number) => {
    session.write(page.grad, grad);
    session.write(metrics, Float32Array.from([0, 0, Math.hypot(...grad), 1]), 2 * 4);
    session.run(["update"], { ...NO_VALUES, ...adamwStepValues(config, LR, t), slot: 2 });
  };
  return { page, stopped, session, step };
}

const BASE: AdamWConfig = { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, clip: 0 };

for (const [name, config] of [
  ["plain", BASE],
  ["weight decay", { ...BASE, weight_decay: 0.1 }],
  ["clipping", { ...BASE, clip: 1 }],
  ["a clip above the norm", { ...BASE, clip: 1e4 }],
  ["all of it, other betas and eps", { betas: [0.8, 0.95], eps: 1e-3, weight_decay: 0.5, clip: 0.5 }],
] as const)
  testOnDevices(`${STEPS_TAKEN} steps with ${name}`, async () => {
    const { page, session, step } = await open(config);
    const rng = new Rng(7);
    const param = Float32Array.from({ length: COUNT }, () => rng.normal());
    const reference = new Reference(Float64Array.from(param));
    session.write(page.param, param);
    for (let t = 1; t <= STEPS_TAKEN; t++) {
      // From tiny to large gradients, and elements that never have one.
      const grad = Float32Array.from({ length: COUNT }, (_, i) =>
        i % 5 === 0 ? 0 : rng.normal() * 10 ** ((i % 7) - 5),
      );
      step(grad, t);
      reference.step(Float64Array.from(grad), LR, config);
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

test("pages of other sizes are refused", () => {
  assertShapes(
    { param: [5], m: [5], v: [5], grad: [5], metrics: [16, 4], stopped: [1] },
    ({ metrics, stopped, ...page }) => adamw(page, metrics, stopped, BASE),
    ["metrics.0"],
  );
});
