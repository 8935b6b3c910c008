/** `bench matmul`: the matrix products of a training step in GFLOP/s, by shape. */
import { type Backend, type DeviceInfo, describeDevice } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import { hasRelaxedSimd, openWasm } from "../backend/wasm.ts";
import type { DeviceName } from "../config.ts";
import { NO_VALUES } from "../ops/kernel.ts";
import { matmul } from "../ops/matmul.ts";
import { planMemory } from "../plan/memory.ts";
import { renderTable } from "../report/tables.ts";
import { Rng } from "../rng.ts";
import { Tensor } from "../tensor.ts";
import { describeMachine, machine } from "./machine.ts";

export interface MatmulBenchOptions {
  device: DeviceName;
  threads?: number;
  rounds: number;
  json?: boolean;
}

interface Product {
  name: string;
  m: number;
  n: number;
  k: number;
  transB?: boolean;
  transA?: boolean;
  /** Whether b is a frozen weight, which a device may store in a layout of its own. */
  frozen?: boolean;
  beta?: number;
}

/** 960 tokens: 8 messages padded to 120, as in the paper; 240: without padding; 8: one row per message, for classification. */
const PRODUCTS: readonly Product[] = [
  { name: "x W", m: 960, n: 768, k: 768 },
  { name: "x W, frozen", m: 960, n: 768, k: 768, frozen: true },
  { name: "dy W^T, frozen", m: 960, n: 768, k: 768, transB: true, frozen: true },
  { name: "dW = x^T dy", m: 768, n: 768, k: 960, transA: true, beta: 1 },
  { name: "c_fc, packed batch", m: 240, n: 3072, k: 768, frozen: true },
  { name: "c_fc, one row per message", m: 8, n: 3072, k: 768, frozen: true },
  { name: "LoRA x A^T", m: 240, n: 8, k: 768, transB: true },
  { name: "LoRA down B^T", m: 240, n: 768, k: 8, transB: true, beta: 1 },
];

/** Floating-point operations of one measurement: short enough that some rounds are undisturbed. */
const WORK = 1e9;
/** Maximum number of products in a measurement. */
const MOST = 100;

interface Result extends Product {
  /** The best of all rounds, per device. */
  gflops: number[];
}

/** Measures and prints. On the CPU, measures both builds of the backend if the runtime has relaxed SIMD. */
export async function benchMatmul(options: MatmulBenchOptions): Promise<number> {
  const { threads = 0 } = options;
  const devices = [await openDevice(options.device, { threads })];
  if (devices[0]!.info.kind === "wasm" && hasRelaxedSimd()) devices.push(await openWasm({ threads, relaxed: false }));
  try {
    const results = PRODUCTS.map((product): Result => ({ ...product, gflops: devices.map(() => 0) }));
    const runs = await Promise.all(results.map((product) => Promise.all(devices.map((one) => prepare(one, product)))));
    // Shapes alternate, so that other load on the machine affects all of them equally.
    for (let round = 0; round < options.rounds; round++)
      for (const [i, { gflops }] of results.entries())
        for (const [d, run] of runs[i]!.entries()) gflops[d] = Math.max(gflops[d]!, await run());
    const infos = devices.map(({ info }) => info);
    if (options.json) console.log(JSON.stringify({ machine: machine(), devices: infos, results }));
    else console.log([describeMachine(machine()), ...infos.map(describeDevice), table(results, infos)].join("\n"));
  } finally {
    for (const device of devices) device.destroy();
  }
  return 0;
}

/** Prepares a product on the device. The returned function runs it repeatedly and returns its GFLOP/s. */
async function prepare(device: Backend, product: Product): Promise<() => Promise<number>> {
  const { m, n, k, transA = false, transB = false, frozen = false, beta = 0 } = product;
  const out = new Tensor("out", [m, n], "output");
  const a = new Tensor("a", transA ? [k, m] : [m, k], "output");
  const b = new Tensor("b", transB ? [n, k] : [k, n], frozen ? "weight" : "output");
  const flops = 2 * m * n * k;
  const count = Math.min(MOST, Math.max(1, Math.round(WORK / flops)));
  const dispatches = Array.from({ length: count }, () => matmul({ out, a, b, m, n, k, transA, transB, beta }));
  const segments = [{ name: "forward" as const, clears: [out], dispatches }];
  const session = await device.prepare({ segments, memory: planMemory(segments) });
  const rng = new Rng(1);
  for (const tensor of [a, b])
    session.write(
      tensor,
      Float32Array.from({ length: tensor.size }, () => rng.normal()),
    );
  await session.flush();
  return async () => {
    const started = performance.now();
    session.run(["forward"], NO_VALUES);
    await session.read(out, 0, 1);
    return (flops * count) / (performance.now() - started) / 1e6;
  };
}

function table(results: Result[], devices: readonly DeviceInfo[]): string {
  return renderTable(
    [
      { header: "product", value: ({ name }) => name },
      { header: "m", value: ({ m }) => m },
      { header: "n", value: ({ n }) => n },
      { header: "k", value: ({ k }) => k },
      ...devices.map(({ name }, d) => ({
        header: `GFLOP/s, ${name}`,
        value: ({ gflops }: Result) => gflops[d]!,
        digits: 1,
      })),
    ],
    results,
  );
}
