/** What the benchmark says of products and kernels; `bench step --peer torch`, with a substitute for python3. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { panelTensors } from "../../src/backend/panels.ts";
import { chooseOperation } from "../../src/backend/wasm-list.ts";
import { profileStep, stepEngine } from "../../src/bench/step-profile.ts";
import { Tensor } from "../../src/core/tensor.ts";
import { activationForward } from "../../src/ops/activation.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { linearForward } from "../../src/ops/linear.ts";
import { loraBackward } from "../../src/ops/lora.ts";
import { matmul } from "../../src/ops/matmul.ts";
import type { Segment } from "../../src/plan/plan.ts";
import { dispatchWork } from "../../src/plan/work.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { fillRandom, randomBatch, smallSpec } from "../helpers/models.ts";
import { usePython } from "../helpers/python.ts";
import { onSlowDevice } from "../helpers/slow-device.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages } from "../helpers/tiny.ts";

const folder = temporaryFolder();
writeFileSync(join(folder, "data.csv"), messages(40));

const bench = (...args: string[]) => {
  const step = ["step", "--device", "wasm", "--threads", "1", "--data", "data.csv", "--steps", "2", "--peer", "torch"];
  return runCommand("bench", [...step, ...args], { cwd: folder });
};

test("PyTorch's steps alternate with ours; its BLAS is reported", async () => {
  usePython(`
    let asked = 0;
    lines.on("line", (line) => {
      const about = { version: "9.9", device: "CPU", blas: "somebody's", threads: JSON.parse(line).n_layer };
      const step = { time: 1e6 + asked, cpu: 2e6, peak: 3e9 };
      console.log(JSON.stringify(asked++ === 0 ? about : step));
    });`);
  const finished = await bench();
  assertCode(finished, 0);
  assert.match(finished.stdout, "alternating with PyTorch 9.9 (somebody's, 4 threads), padded to 120");
  assert.match(finished.stdout, "step:   1000001.5 ms (1000001.3 to 1000001.8), best 1000001.0 ms, 2000000.0 ms");
  assert.match(finished.stdout, "memory: 3.00 GB");
  assert.match(finished.stdout, "ratio:  0.00 x PyTorch's median time");
});

test("a Python without PyTorch is refused with Python's error", async () => {
  usePython(`console.error("ModuleNotFoundError: No module named 'torch'"); process.exit(1);`);
  const finished = await bench();
  assertCode(finished, 2);
  assert.match(finished.stderr, "PyTorch cannot be run");
  assert.match(finished.stderr, "No module named 'torch'");
});

test("the benchmark fails if PyTorch ends early", async () => {
  usePython(
    `lines.on("line", () => { console.log('{"version": "9.9", "blas": "b", "threads": 1}'); process.exit(3); });`,
  );
  const finished = await bench();
  assertCode(finished, 1);
  assert.match(finished.stderr, "LowrankError: python3 ended unexpectedly\n  found:    exit code 3");
  assert.not.match(finished.stderr, /\n {4}at /, "a stack trace is for bugs");
});

test("the work of a dispatch: 2mnk of a product, the bytes of the tensors of any other kernel", () => {
  const tensor = (shape: number[], dtype: "f32" | "f16" = "f32") => new Tensor("t", shape, "output", dtype);
  const values = { ...NO_VALUES, tokens: 10 };
  const m = "tokens" as const;
  const [x, w] = [tensor([20, 8]), tensor([8, 6], "f16")];
  const product = matmul({ out: tensor([20, 6]), a: x, b: w, m, n: 6, k: 8 });
  assert.equal(dispatchWork(product, values), { flops: 2 * 10 * 6 * 8, bytes: 4 * 10 * 8 + 2 * 8 * 6 + 4 * 10 * 6 });
  const added = matmul({ out: tensor([20, 6]), a: x, b: w, m, n: 6, k: 8, beta: 1 });
  assert.is(dispatchWork(added, values).bytes! - dispatchWork(product, values).bytes!, 4 * 10 * 6);
  const { flops, bytes } = dispatchWork(activationForward(tensor([20, 8]), x, 20, "gelu_new"), values);
  assert.is(flops, null);
  assert.is(bytes, 2 * 4 * 20 * 8);
  // Two adapters of rank 3, each for four of the eight columns, and a residual.
  const place = { count: 2, r: 3, scale: 1, input: 8, width: 4, column: 0, step: 4, skew: 0, stride: 64 };
  const group = { ...place, A: tensor([88]), B: tensor([88]) };
  const [down, ddown, dy] = [tensor([20, 6]), tensor([20, 6]), tensor([20, 8])];
  const layer = { out: tensor([20, 8]), x, W: tensor([8, 8]), bias: tensor([8]), rows: m };
  assert.equal(dispatchWork(linearForward({ ...layer, adapters: { group, down }, residual: dy }), values), {
    flops: 2 * 10 * 8 * (8 + 3),
    bytes: 4 * 10 * (8 + 6 + 2 * 8) + 4 * 8 * 8 + 4 * 2 * 3 * 4,
  });
  const sum = linearForward({ ...layer, sum: { add: dy, out: tensor([20, 8]) } });
  assert.is(dispatchWork(sum, values).bytes! - dispatchWork(linearForward(layer), values).bytes!, 2 * 4 * 10 * 8);
  const job = { group, rows: "tokens" as const, x, dy, down, ddown, grad: tensor([256]) };
  assert.equal(dispatchWork(loraBackward([job], []), values), {
    flops: 2 * 10 * 6 * (8 + 4),
    bytes: 4 * 10 * (8 + 8 + 12) + 8 * 6 * (8 + 4),
  });
});

test("a step's profile: shares add up to 1, rates follow from the work and the times of its kernels", async () => {
  const spec = smallSpec("lora");
  const batch = randomBatch(spec, [12, 8], 1);
  // A step takes 100 ms, and each of its kernels one of them.
  const times = { wait: 0, work: (segments: readonly unknown[]) => 25 * segments.length };
  await onSlowDevice(await testDevice("wasm 1 thread"), times, async (device) => {
    const engine = await stepEngine(device, spec, 20, 2);
    fillRandom(engine, 1);
    const panels = panelTensors(engine.plan);
    const isOfStep = ({ name }: Segment) => ["zero", "forward", "backward", "update"].includes(name);
    const done = engine.plan.segments.filter(isOfStep).flatMap(({ dispatches }) => dispatches);
    const names = new Set(done.map((dispatch) => chooseOperation(dispatch, panels)));
    const time = async (kernels: Map<string, number> | null) => {
      for (const name of names) kernels?.set(name, 5);
    };
    Object.assign(engine.session, { time });
    const profile = await profileStep(device, engine, batch, { copy: 4, multiplyAdd: 2 });
    engine.destroy();
    assert.equal([profile.steps, profile.ms.median], [5, 100]);
    assert.equal([profile.dispatches, profile.dispatchesPerSecond], [done.length, 10 * done.length]);
    const { kernels } = profile;
    const sum = (key: "dispatches" | "share") => kernels.reduce((total, kernel) => total + kernel[key], 0);
    assert.is(sum("dispatches"), done.length);
    assertAllClose("shares", [sum("share")], [1], { atol: 1e-9, rtol: 0 });
    for (const { name, ms, gflops, gbs, ofMultiplyAdd, ofCopy } of kernels) {
      const works = done
        .filter((one) => chooseOperation(one, panels) === name)
        .map((one) => dispatchWork(one, { ...NO_VALUES, tokens: 20, sequences: 2 }));
      const rate = (key: "flops" | "bytes") => works.reduce((total, work) => total + (work[key] ?? 0), 0) / 1e6;
      assertAllClose(name, [ms, gflops ?? 0, gbs ?? 0], [1, rate("flops"), rate("bytes")], { atol: 1e-9, rtol: 1e-9 });
      assert.equal([ofMultiplyAdd, ofCopy], [gflops && gflops / 2, gbs && gbs / 4]);
    }
    assert.ok(kernels.some(({ gflops, gbs }) => gflops! > 0 && gbs! > 0));
  });
});

testAll("a step on a software driver: positive rates, shares that add up to 1", async () => {
  const args = ["step", "--device", "webgpu", "--data", "data.csv", "--steps", "1", "--batch-size", "2", "--json"];
  const step = await runCommand("bench", args, { cwd: folder });
  assertCode(step, 0);
  const { kernels, dispatches, dispatchesPerSecond } = JSON.parse(step.stdout).ours.profile;
  assert.ok(dispatchesPerSecond > 0);
  const sum = (key: string) =>
    kernels.reduce((total: number, kernel: Record<string, number>) => total + kernel[key]!, 0);
  assert.is(sum("dispatches"), dispatches);
  assert.ok(Math.abs(sum("share") - 1) < 1e-9);
  const { gflops, gbs, ofMultiplyAdd, ofCopy } = kernels.find(({ name }: { name: string }) =>
    name.startsWith("matmul"),
  );
  for (const rate of [gflops, gbs, ofMultiplyAdd, ofCopy]) assert.ok(rate > 0);
});
