/** Matrix products and a training step, on WebGPU and on the CPU of this browser. */
import { requestGPU } from "#platform";
import { version } from "../../../package.json";
import { openDevice } from "../../backend/device.ts";
import { requestAdapter } from "../../backend/webgpu.ts";
import { type DeviceProducts, productSize, TITLES } from "../../bench/blocks.ts";
import { type ExampleStep, measureMicroStep } from "../../bench/example-step.ts";
import { isSoftwareDriver, measureProduct, productsFor } from "../../bench/products.ts";
import { measureYardsticks } from "../../bench/yardsticks.ts";
import { DeviceError } from "../../errors.ts";

interface DeviceResult extends DeviceProducts {
  step: ExampleStep | null;
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
    const found: DeviceResult = { device: device.info, yardsticks: null, products: [], step: null };
    result.devices.push(found);
    onWork(`${TITLES[kind]}: a training step`);
    found.yardsticks = await measureYardsticks(device);
    // The CPU computes what WebGPU does, so that they can be compared.
    const first = result.devices[0]!.device;
    found.step = await measureMicroStep(device, isSoftwareDriver(first) ? 2 : 8, found.yardsticks);
    onResult(result);
    for (const product of productsFor(first)) {
      onWork(`${TITLES[kind]}: ${product.name}, ${productSize(product)}`);
      const [gflops] = await measureProduct([device], product, ROUNDS);
      found.products.push({ ...product, gflops: gflops! });
      onResult(result);
    }
  } finally {
    device.destroy();
  }
}
