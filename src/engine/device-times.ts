/**
 * What was measured of devices, kept for later runs in Lowrank's cache directory; in a page that is a folder of its
 * private file system: their times beside the CPU's, and the fastest variants of their kernels. The key of an entry
 * names the adapter, with its driver where that is known, and Lowrank's version. A file that is missing, damaged or
 * cannot be written only means that devices are measured again.
 */
import { joinPath, writeFileAtomic } from "#platform";
import { version } from "../../package.json";
import type { Choices, DeviceInfo } from "../backend/backend.ts";
import { cacheDirectory } from "../io/cache.ts";
import { readJson } from "../io/common.ts";

/** Milliseconds of the same work. */
export type Times = Readonly<{ device: number; cpu: number }>;

/** What is kept under a key: times, or the fastest variants. In a damaged file it is anything. */
type Kept = Readonly<Record<string, unknown>>;

/** How many of the newest entries are kept, and the most bytes read from the file. */
const MOST = 100;
const BYTES = 1 << 20;

const timesPath = () => joinPath(cacheDirectory(), "device-times.json");

/** The key of what is known of a device, and of `more`. */
export function deviceKey({ name, adapter = name }: DeviceInfo, ...more: unknown[]): string {
  return JSON.stringify([version, adapter, ...more]);
}

export async function keptTimes(key: string): Promise<Times | undefined> {
  const { device, cpu } = (await readAll()).get(key) ?? {};
  return isTime(device) && isTime(cpu) ? { device, cpu } : undefined;
}

const isTime = (ms: unknown): ms is number => typeof ms === "number" && ms > 0;

/** Where a device keeps the fastest variants of its kernels. */
export function keptChoices(device: DeviceInfo): Choices {
  const key = deviceKey(device, "kernels");
  return { read: async () => (await readAll()).get(key) ?? {}, write: (choices) => keepTimes(key, choices) };
}

export async function keepTimes(key: string, times: Kept): Promise<void> {
  const all = await readAll();
  all.delete(key);
  all.set(key, times);
  const text = JSON.stringify([...all].slice(-MOST), null, 1);
  await writeFileAtomic(timesPath(), `${text}\n`).catch(() => {});
}

async function readAll(): Promise<Map<string, Kept>> {
  const json = await readJson(timesPath(), BYTES).catch(() => null);
  return new Map((Array.isArray(json) ? json : []).filter(isEntry));
}

const isEntry = (entry: unknown): entry is [key: string, kept: Kept] =>
  Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "object" && entry[1] !== null;
