/** The devices of a test file, opened once and released after its last test; and small programs on them. */

import { requestGPU } from "#platform";
import type { Backend, TensorData } from "../../src/backend/backend.ts";
import { OPERATIONS, RECORD_WORDS } from "../../src/backend/generated/operations.ts";
import { hasRelaxedSimd, openInWorker, openWasm, type WasmBackend } from "../../src/backend/wasm.ts";
import { openWebGPU } from "../../src/backend/webgpu.ts";
import { chooseShader, listShaders, pipelineName } from "../../src/backend/webgpu-shaders.ts";
import type { Tensor } from "../../src/core/tensor.ts";
import { KERNELS } from "../../src/ops/generated/kernels.ts";
import { type Dispatch, type Kernel, NO_VALUES, type StepValues } from "../../src/ops/kernel.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { dispatchesOf } from "../../src/plan/plan.ts";
import { afterAll, TESTS, test, testAll } from "./harness.ts";

/** Every device of the kernels' own tests. Threads are given: a machine with one core tests two as well. */
const OPEN: Record<string, () => Promise<Backend>> = {
  webgpu: () => openNoting(),
  "wasm 1 thread": () => openWasm({ threads: 1, relaxed: false }),
  "wasm 2 threads": () => openWasm({ threads: 2, relaxed: false }),
  ...(hasRelaxedSimd()
    ? {
        "wasm relaxed 2 threads": () => openWasm({ threads: 2, relaxed: true }),
      }
    : {}),
};
export const DEVICE_NAMES = Object.keys(OPEN);

/** The shaders that were compiled for WebGPU: each by its name, and with its constants. */
export const compiled = new Set<string>();

/** WebGPU, which notes what it compiles. */
async function openNoting(): Promise<Backend> {
  const device = await openWebGPU(await requestGPU());
  const prepare = device.prepare.bind(device);
  device.prepare = (program, ...rest) => {
    for (const one of dispatchesOf([program])) compiled.add(chooseShader(one).name).add(pipelineName(one));
    return prepare(program, ...rest);
  };
  return device;
}

/** The file of ops/ that runs a kernel's shaders: that of the kernel's name, or of its kind. */
export const fileOf = ({ name }: Kernel): string => name.split("_")[0]!;

const FILE = /[\\/]ops[\\/](\w+)\.test/.exec(process.argv[1]!)?.[1];

afterAll(() => {
  if (TESTS === "rest") return;
  const left = KERNELS.flatMap((kernel) =>
    listShaders(kernel).flatMap((one) => (fileOf(kernel) === FILE && !compiled.has(one.name) ? [one.name] : [])),
  );
  if (left.length > 0) throw new Error(`not run on WebGPU: ${left.join(", ")}`);
});

/** The same kernels in a worker: what sends lists there is tested, not each kernel. */
OPEN.remote = () => openInWorker();

/** The device of tests that name none. */
export const CPU = "wasm 2 threads";
export const BOTH = [CPU, "webgpu"];

/** One of each kind. */
export const ONE_OF_EACH = ["webgpu", CPU, "remote"];

const opened = new Map<string, Promise<Backend>>();

/** The device of the test that is running. */
let current = CPU;

/**
 * Declares a test for some devices; within it `testDevice()` is that device. What kernels compute is compared in ops/:
 * where plans of them run, `npm test` has the CPU, unless `quick` has others, too.
 */
export function testOnDevices(
  name: string,
  body: () => void | Promise<void>,
  devices: readonly string[] = BOTH,
  quick: readonly string[] = [CPU],
): void {
  for (const device of devices) {
    const declare = quick.includes(device) ? test : testAll;
    declare(`${name} on ${device}`, async () => {
      current = device;
      try {
        await body();
      } finally {
        current = CPU;
      }
    });
  }
}

export function testDevice(name = current): Promise<Backend> {
  const device = opened.get(name) ?? OPEN[name]!();
  opened.set(name, device);
  return device;
}

/** What runs a list of a kernel that does not exist. */
export async function failingRun({ memory, pool, heap, team: whole }: WasmBackend) {
  const [at] = await heap.alloc([4 * RECORD_WORDS]);
  memory.write([[at!, 4]], Uint8Array.of(OPERATIONS.length, 0, 0, 0));
  return (team = whole) => pool.run(team, at!, 1, false);
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
