/** Counts what is done to the disk, in order, and lets one operation fail, or be the last. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname } from "node:path";
import * as assert from "uvu/assert";

const { appendFileSync, readdirSync, rmSync } = fs;

/** The operations of `work`, and how it ended: "dead" if the process was as if it had been killed. */
export interface Ended {
  trace: string[][];
  end: "done" | "dead" | Error;
}

/** At an operation, from 1: ENOSPC, EIO, or DIE: nothing that is done in the folder comes back from then on. */
export interface Fault {
  at: number;
  code: "ENOSPC" | "EIO" | "DIE";
}

type Operation = (...args: unknown[]) => Promise<unknown>;

let folder = "";
let trace: string[][] = [];
let fault: Fault | undefined;
let die = () => {};
const NEVER = new Promise<never>(() => {});
/** Folders in which nothing is done any more. */
const dead: string[] = [];
/** Paths of opened files. Those of killed work stay open: a garbage-collected one is closed, with a warning. */
const paths = new Map<unknown, string>();

export async function onFaultyDisk(place: string, work: () => Promise<void>, planned?: Fault): Promise<Ended> {
  [folder, trace, fault] = [place, [], planned];
  const death = new Promise<"dead">((resolve) => {
    die = () => resolve("dead");
  });
  const done = work().then(
    () => "done" as const,
    (error: Error) => error,
  );
  return { end: await Promise.race([done, death]), trace };
}

/** What an operation leaves that does not come to its end: half of the bytes, a folder with an entry less. */
function tear(name: string, path: string, data: unknown): void {
  if (name === "write" && (typeof data === "string" || data instanceof Uint8Array))
    appendFileSync(path, data.slice(0, data.length >> 1));
  if (name === "rm" && fs.statSync(path, { throwIfNoEntry: false })?.isDirectory())
    for (const entry of readdirSync(path).slice(0, 1)) rmSync(`${path}/${entry}`, { recursive: true });
}

/** Counts an operation in the folder; never comes back where the process is dead, throws where it is to fail. */
async function before(name: string, path: string, data: unknown): Promise<void> {
  const isIn = (place: string) => path === place || path.startsWith(`${place}/`);
  if (dead.some(isIn)) await NEVER;
  if (!isIn(folder)) return;
  trace.push([name, path, ...(name === "rename" ? [String(data)] : [])]);
  if (trace.length !== fault?.at) return;
  tear(name, path, data);
  if (fault.code !== "DIE") throw Object.assign(new Error(`${fault.code}: ${name}`), { code: fault.code });
  dead.push(folder);
  die();
  await NEVER;
}

function watchSync(handle: { sync: Operation }, path: string): void {
  const sync = handle.sync.bind(handle);
  paths.set(handle, path);
  handle.sync = async () => {
    await before("fsync", path, undefined);
    return sync();
  };
}

const promises = fs.promises as unknown as Record<string, Operation>;
for (const name of ["mkdir", "rename", "rm", "rmdir", "symlink", "copyFile", "writeFile", "open"]) {
  const original = promises[name]!;
  promises[name] = async (path, ...rest) => {
    const file = paths.get(path);
    const isSilent = name === "open" && (rest[0] === "r" || rest[0] === undefined || typeof rest[0] === "number");
    if (!isSilent) await before(file ? "write" : name, file ?? String(path), rest[0]);
    const result = await original(path, ...rest);
    if (name === "open") watchSync(result as { sync: Operation }, String(path));
    return result;
  };
}
syncBuiltinESMExports();

/** What gets its name by a rename has been synced before, files and folders, and its folder is synced after. */
export function assertSynced(trace: readonly string[][]): void {
  assert.ok(
    trace.some(([did]) => did === "rename"),
    "nothing was renamed",
  );
  trace.forEach(([did, from, to], i) => {
    if (did !== "rename") return;
    const before = trace.slice(0, i).filter(([, path]) => path === from || path!.startsWith(`${from}/`));
    const last = (what: string, path: string) => before.findLastIndex(([did, of]) => did === what && of === path);
    for (const [did, path] of before)
      if (did === "write" || did === "mkdir")
        assert.ok(last("fsync", path!) > last(did, path!), `${path} has its name before it is on the disk`);
    assert.ok(
      trace.slice(i).some(([did, path]) => did === "fsync" && path === dirname(to!)),
      `the folder of ${basename(to!)} is not synced`,
    );
  });
}
