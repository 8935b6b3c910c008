/** The names of compute devices. */
import { parseChoice } from "../checks.ts";

/** Compute devices. */
export const DEVICES = ["auto", "webgpu", "wasm"] as const;
/** The name of a compute device, or of one of several GPUs by its index or a part of its name: see `openDevice`. */
export type DeviceName = (typeof DEVICES)[number] | `webgpu:${string}`;

/** Which of several GPUs a device's name names; undefined: none of them. */
export const namedAdapter = (device: DeviceName): string | undefined => /^webgpu:(.+)/s.exec(device)?.[1];

/** Returns the name of a device. Throws ConfigError, which suggests the nearest one, for any other text. */
export function parseDevice(name: string): DeviceName {
  if (namedAdapter(name as DeviceName) !== undefined) return name as DeviceName;
  return parseChoice("device", name, [...DEVICES, "webgpu:NAME"]);
}
