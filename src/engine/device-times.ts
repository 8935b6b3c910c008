/**
 * What is known of devices, kept for later runs: for which shaders they were found right, and their times compared with
 * the CPU's. The key of an entry names the adapter, with its driver where that is known, the version of WebGPU,
 * Lowrank's, and the shaders' digest: a shader that was changed is compared again.
 */
import { version } from "../../package.json";
import type { DeviceInfo } from "../backend/backend.ts";
import { SHADERS_DIGEST } from "../backend/generated/digest.ts";
import { keep, readKept } from "../io/hub/kept.ts";

/** Milliseconds of the same work. */
export type Times = Readonly<{ device: number; cpu: number }>;

const FILE = "devices.json";

/** The key of what is known of a device, and of `more`. */
export function deviceKey({ name, adapter = name }: DeviceInfo, ...more: unknown[]): string {
  return JSON.stringify([version, SHADERS_DIGEST, adapter, ...more]);
}

export const isKeptRight = async (key: string): Promise<boolean> => (await readKept(FILE, key)).isRight === true;

export const keepRight = (key: string): Promise<void> => keep(FILE, key, { isRight: true });

export async function keptTimes(key: string): Promise<Times | undefined> {
  const { device, cpu } = await readKept(FILE, key);
  return isTime(device) && isTime(cpu) ? { device, cpu } : undefined;
}

const isTime = (ms: unknown): ms is number => typeof ms === "number" && ms > 0;

export const keepTimes = (key: string, times: Times): Promise<void> => keep(FILE, key, times);
