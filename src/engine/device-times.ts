/**
 * The times of devices that were compared with the CPU, kept for later runs in Lowrank's cache directory; in a page
 * that is a folder of its private file system. A file that is missing, damaged or cannot be written only means that
 * devices are measured again.
 */
import { joinPath, writeFileAtomic } from "#platform";
import { cacheDirectory } from "../io/cache.ts";
import { readJson } from "../io/common.ts";

/** Milliseconds of the same work. */
export interface Times {
  device: number;
  cpu: number;
}

/** How many of the newest comparisons are kept, and the most bytes read from the file. */
const MOST = 100;
const BYTES = 1 << 20;

const timesPath = () => joinPath(cacheDirectory(), "device-times.json");

export async function keptTimes(key: string): Promise<Times | undefined> {
  return (await readAll()).get(key);
}

export async function keepTimes(key: string, times: Times): Promise<void> {
  const all = await readAll();
  all.delete(key);
  all.set(key, times);
  const text = JSON.stringify([...all].slice(-MOST), null, 1);
  await writeFileAtomic(timesPath(), `${text}\n`).catch(() => {});
}

async function readAll(): Promise<Map<string, Times>> {
  const json = await readJson(timesPath(), BYTES).catch(() => null);
  return new Map((Array.isArray(json) ? json : []).filter(isEntry));
}

function isEntry(entry: unknown): entry is [key: string, times: Times] {
  if (!Array.isArray(entry) || typeof entry[0] !== "string") return false;
  const { device, cpu } = (entry[1] ?? {}) as Partial<Times>;
  return [device, cpu].every((ms) => typeof ms === "number" && ms > 0);
}
