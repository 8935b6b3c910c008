/** The device of a test file, opened once and released after its last test; and small programs on it. */
import type { Backend } from "../src/backend/backend.ts";
import { openWebGPU } from "../src/backend/webgpu.ts";
import type { Dispatch, StepValues } from "../src/ops/kernel.ts";
import { planMemory } from "../src/plan/memory.ts";
import type { Tensor } from "../src/tensor.ts";
import { afterAll } from "./harness.ts";

let opened: Promise<Backend> | undefined;

export function testDevice(): Promise<Backend> {
  opened ??= openWebGPU();
  return opened;
}

afterAll(async () => (await opened)?.destroy());

export const NO_VALUES: StepValues = {
  tokens: 0,
  sequences: 0,
  unique: 0,
  longest: 0,
  loss_scale: 0,
  slot: 0,
  decay: 1,
  step_size: 0,
  correction2: 1,
};

type Data = Float32Array | Uint32Array | Int32Array;

/** Runs dispatches over given contents and returns the contents of `results` afterwards. */
export async function runDispatches(
  dispatches: Dispatch[],
  contents: Map<Tensor, Data>,
  results: Tensor[],
  values: Partial<StepValues> = {},
): Promise<Float32Array[]> {
  const device = await testDevice();
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
