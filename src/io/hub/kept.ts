/**
 * What was measured or computed once, kept for later runs in a file of Lowrank's cache directory; in a page that is a
 * folder of its private file system. A file that is missing, damaged or cannot be written only means that it is done
 * again.
 */
import { joinPath, writeFileAtomic } from "#platform";
import { readJson } from "../common.ts";
import { cacheDirectory } from "./cache.ts";

/** The value under a key. In a damaged file it is anything. */
type Kept = Readonly<Record<string, unknown>>;

/** How many of the newest entries are kept, and the most bytes read from a file. */
const MOST = 100;
const BYTES = 1 << 20;

export async function readKept(file: string, key: string): Promise<Kept> {
  return (await readAll(file)).get(key) ?? {};
}

export async function keep(file: string, key: string, value: Kept): Promise<void> {
  const all = await readAll(file);
  all.delete(key);
  all.set(key, value);
  await writeFileAtomic(joinPath(cacheDirectory(), file), JSON.stringify([...all].slice(-MOST))).catch(() => {});
}

async function readAll(file: string): Promise<Map<string, Kept>> {
  const json = await readJson(joinPath(cacheDirectory(), file), BYTES).catch(() => null);
  return new Map((Array.isArray(json) ? json : []).filter(isEntry));
}

const isEntry = (entry: unknown): entry is [key: string, kept: Kept] =>
  Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "object" && entry[1] !== null;
