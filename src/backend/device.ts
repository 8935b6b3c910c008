/** Selects and opens a device. */
import { canHaveGPU, requestGPU } from "#platform";
import { checkArguments, checkOptions, parseChoice } from "../core/checks.ts";
import { asyncDispose } from "../core/dispose.ts";
import { DeviceError } from "../core/errors.ts";
import { type Backend, type Device, describeFailure, noHardware } from "./backend.ts";
import { openWasm } from "./wasm.ts";

/** Compute devices. */
export const DEVICES = ["auto", "webgpu", "wasm"] as const;
/** The name of a compute device, or of one of several GPUs by its index or a part of its name: see `openDevice`. */
export type DeviceName = (typeof DEVICES)[number] | `webgpu:${string}`;

/** Which of several GPUs a device's name names; undefined: none of them. */
export const namedAdapter = (device: DeviceName): string | undefined => /^webgpu:(.+)/s.exec(device)?.[1];

/** Returns the name of a device. Throws ConfigError, which suggests the nearest one, for any other text. */
export function parseDevice(name: string): DeviceName {
  if (namedAdapter(name as DeviceName) !== undefined) return name as DeviceName;
  return parseChoice("device (wasm: the CPU, webgpu: a GPU)", name, [...DEVICES, "webgpu:NAME"]);
}

/** Options of `openDevice`. */
export interface DeviceOptions {
  /** Threads of the device `wasm`, and of the CPU where it replaces another device. Default 0: one per core. */
  threads?: number | undefined;
}

/**
 * Opens a device. `webgpu` is the system's WebGPU adapter, including software drivers; `webgpu:1` or `webgpu:nvidia`,
 * in Node, one of several, by its index or a part of its name (the command `train --device list` prints them). `wasm`
 * computes on the CPU and is always available; `auto` selects a hardware GPU if there is one, otherwise `wasm`. Before
 * a model runs on a GPU, its results are compared with the CPU's, which replaces it if they differ, or if `auto` finds
 * that it is faster, or, later, that it has failed. Throws DeviceError, with installation hints, if there is no device.
 * Release it with `destroy()`, or open it with `await using`.
 *
 * @example
 * ```ts
 * import { openDevice } from "lowrank/engine";
 *
 * const device = await openDevice("auto");
 * console.log(device.info.name); // "CPU, 2 threads, SIMD"
 * device.destroy();
 * ```
 */
export async function openDevice(
  name: DeviceName = "auto",
  options: DeviceOptions = {},
): Promise<Device & AsyncDisposable> {
  return openBackend(name, options);
}

/** Opens a device with what runs plans, as `openDevice` does. */
export async function openBackend(
  name: DeviceName = "auto",
  options: DeviceOptions = {},
): Promise<Backend & AsyncDisposable> {
  checkArguments({ name }, { name: "text" });
  checkOptions("options", options, { threads: "number?" });
  const { threads = 0 } = options;
  const device = await open(parseDevice(name), threads);
  return Object.assign(device, { [asyncDispose]: async () => device.destroy() });
}

async function open(name: DeviceName, threads: number): Promise<Backend> {
  if (name === "wasm") return openWasm({ threads });
  if (name !== "auto") {
    const gpu = await requestGPU(namedAdapter(name));
    return (await import("./webgpu.ts")).openWebGPU(gpu, { threads });
  }
  try {
    if (!canHaveGPU()) throw noHardware();
    const gpu = await requestGPU();
    // A page without WebGPU does not load it.
    const { openWebGPU } = await import("./webgpu.ts");
    const device = await openWebGPU(gpu, { hardware: true, threads });
    device.info.why = "a hardware GPU";
    return device;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const device = await openWasm({ threads });
    const noWorker = device.info.why ? `; ${device.info.why}` : "";
    device.info.why = describeFailure(error) + noWorker;
    return device;
  }
}
