/** Choosing a device. */
import type { Backend } from "./backend/backend.ts";
import { openWebGPU } from "./backend/webgpu.ts";
import { oneOf } from "./config.ts";

export const DEVICES = ["auto", "webgpu"] as const;
export type DeviceName = (typeof DEVICES)[number];

/**
 * Opens a device: `webgpu` is the system's WebGPU adapter, `auto` the best there is. Throws DeviceError, with what to
 * install, where there is none. Release it with `destroy()`.
 */
export async function openDevice(name: DeviceName = "auto"): Promise<Backend> {
  oneOf("device", name, DEVICES);
  return openWebGPU();
}
