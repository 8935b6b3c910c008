/** The devices of a test file, opened once and released after its last test; and small programs on them. */

import { requestGPU } from "#platform";
import type { Backend, TensorData } from "../../src/backend/backend.ts";
import { openRemote } from "../../src/backend/remote.ts";
import { openWasm } from "../../src/backend/wasm.ts";
import { hasRelaxedSimd } from "../../src/backend/wasm-module.ts";
import { openWebGPU } from "../../src/backend/webgpu.ts";
import { type Dispatch, NO_VALUES, type StepValues } from "../../src/ops/kernel.ts";
import { planMemory } from "../../src/plan/memory.ts";
import type { Tensor } from "../../src/tensor.ts";
import { afterAll, test } from "./harness.ts";

/** Every device that a test's body runs on. Threads are given: a machine with one core tests two as well. */
const OPEN: Record<string, () => Promise<Backend>> = {
  webgpu: async () => openWebGPU(await requestGPU()),
  "wasm 1 thread": () => openWasm({ threads: 1, relaxed: false }),
  "wasm 2 threads": () => openWasm({ threads: 2, relaxed: false }),
  ...(hasRelaxedSimd()
    ? {
        "wasm relaxed 2 threads": () => openWasm({ threads: 2, relaxed: true }),
      }
    : {}),
};
export const DEVICE_NAMES = Object.keys(OPEN);

/** The same kernels in a worker: what sends programs there is tested, not each kernel. */
OPEN.remote = () => openRemote({ threads: 1 });

/** Devices that compute every product by one variant, if it is one of those that give its bits. */
for (const variant of ["wide", "middle", "direct"]) OPEN[`webgpu ${variant}`] = () => openVariant(variant);

async function openVariant(variant: string): Promise<Backend> {
  const device = await openWebGPU(await requestGPU(), { measures: true });
  const all = new Proxy<Record<string, string>>({}, { get: () => variant });
  device.choices = { read: async () => all, write: async () => {} };
  return device;
}

/** One of each kind: for what the kernels' own tests check on all. */
export const ONE_OF_EACH = ["webgpu", "wasm 2 threads", "remote"];

const opened = new Map<string, Promise<Backend>>();

/** The device of the test that is running. */
let current = "webgpu";

/** Declares a test for every device, or for some; within it `testDevice()` is that device. */
export function testOnDevices(name: string, body: () => void | Promise<void>, devices = DEVICE_NAMES): void {
  for (const device of devices)
    test(`${name} on ${device}`, async () => {
      current = device;
      try {
        await body();
      } finally {
        current = "webgpu";
      }
    });
}

export function testDevice(name = current): Promise<Backend> {
  const device = opened.get(name) ?? OPEN[name]!();
  opened.set(name, device);
  return device;
}

/** The device, with so many bytes for a program. */
export const within = (device: Backend, total: number): Backend => ({
  info: device.info,
  limits: { ...device.limits, total },
  prepare: (...args) => device.prepare(...args),
  destroy() {},
});

afterAll(async () => {
  for (const device of opened.values()) (await device).destroy();
});

/** Runs dispatches over given contents and returns the contents of `results` afterwards. */
export async function runDispatches(
  dispatches: Dispatch[],
  contents: Map<Tensor, TensorData>,
  results: Tensor[],
  values: Partial<StepValues> = {},
  deviceName = current,
): Promise<Float32Array[]> {
  const device = await testDevice(deviceName);
  const segments = [{ name: "forward" as const, clears: [], dispatches }];
  const session = await device.prepare({ segments, memory: planMemory(segments) });
  try {
    for (const [tensor, data] of contents) session.write(tensor, data);
    session.run(["forward"], { ...NO_VALUES, ...values });
    return await Promise.all(results.map((tensor) => session.read(tensor)));
  } finally {
    session.destroy();
  }
}
