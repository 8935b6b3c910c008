/** What doctor measures, as far as a page can: on WebGPU and on the CPU of this browser. */
import { requestGPU } from "#platform";
import { version } from "../../../package.json";
import type { Backend } from "../../backend/backend.ts";
import { openDevice } from "../../backend/device.ts";
import { requestAdapter } from "../../backend/webgpu.ts";
import { measureAttention } from "../../bench/attention.ts";
import { type DeviceRates, productSize, TITLES } from "../../bench/blocks.ts";
import { type ExampleStep, measureMicroStep } from "../../bench/example-step.ts";
import { isSoftwareDriver, measureProduct, productsFor } from "../../bench/products.ts";
import { type CheckedShader, checkShaders, plansFor, planTitle } from "../../bench/shader-check.ts";
import { measureLatency, measureYardsticks } from "../../bench/yardsticks.ts";
import { DeviceError } from "../../errors.ts";

interface DeviceResult extends DeviceRates {
  step: ExampleStep | null;
  shaders: CheckedShader[];
}

/** What "Copy as JSON" copies. */
export interface Result {
  lowrank: string;
  date: string;
  userAgent: string;
  cores: number;
  /** Whether the CPU has all threads. */
  isolated: boolean;
  adapter: Record<string, string | number> | null;
  devices: DeviceResult[];
  errors: string[];
}

/** What is told during the measurements. */
interface Listener {
  onWork: (text: string) => void;
  onResult: (result: Result) => void;
  onError: (error: DeviceError) => void;
}

/** Measurements of each product. */
const ROUNDS = 5;

/** What the browser reports about the adapter. */
async function describeAdapter(): Promise<Result["adapter"]> {
  const adapter = await requestGPU()
    .then(requestAdapter)
    .catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
  return { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize };
}

export async function measure(listener: Listener): Promise<Result> {
  const result: Result = {
    lowrank: version,
    date: new Date().toISOString(),
    userAgent: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    adapter: await describeAdapter(),
    devices: [],
    errors: [],
  };
  for (const kind of ["webgpu", "wasm"] as const) {
    try {
      await measureDevice(kind, result, listener);
    } catch (error) {
      // A browser without WebGPU, or a driver that gives up: the CPU is measured all the same.
      if (!(error instanceof DeviceError)) throw error;
      result.errors.push(`${TITLES[kind]}: ${error.message}`);
      listener.onError(error);
    }
  }
  return result;
}

async function measureDevice(kind: "webgpu" | "wasm", result: Result, { onWork, onResult }: Listener): Promise<void> {
  const device = await openDevice(kind);
  try {
    const rates = { device: device.info, yardsticks: null, latency: null, products: [], attention: [] };
    const found: DeviceResult = { ...rates, step: null, shaders: [] };
    result.devices.push(found);
    onWork(`${TITLES[kind]}: a training step`);
    found.yardsticks = await measureYardsticks(device);
    found.latency = await measureLatency(device);
    // The CPU computes what WebGPU does, so that they can be compared.
    const first = result.devices[0]!.device;
    const isSlow = isSoftwareDriver(first);
    found.step = await measureMicroStep(device, isSlow ? 2 : 8, found.yardsticks);
    onResult(result);
    for (const product of productsFor(first)) {
      onWork(`${TITLES[kind]}: ${product.name}, ${productSize(product)}`);
      const [gflops] = await measureProduct([device], product, ROUNDS);
      found.products.push({ ...product, gflops: gflops! });
      onResult(result);
    }
    onWork(`${TITLES[kind]}: attention`);
    found.attention = await measureAttention(device, isSlow ? 128 : 1024, ROUNDS);
    onResult(result);
    if (kind === "webgpu") await checkAll(device, found, onWork, () => onResult(result));
  } finally {
    device.destroy();
  }
}

/** Compares the shaders of small plans with the CPU. A tab has no room for those of GPT-2 XL. */
async function checkAll(
  device: Backend,
  found: DeviceResult,
  onWork: Listener["onWork"],
  onFound: () => void,
): Promise<void> {
  const cpu = await openDevice("wasm");
  try {
    for (const plan of plansFor(device.info).filter(({ model }) => model !== "gpt2-xl")) {
      onWork(`Shaders of ${planTitle(plan)}`);
      found.shaders.push(...(await checkShaders(device, cpu, plan)));
      onFound();
    }
  } finally {
    cpu.destroy();
  }
}
