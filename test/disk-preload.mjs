/**
 * Loaded before a program (`node --import`): counts what it does to the disk, in order, and lets one operation fail, or kills
 * the process there. `disk.arm(at, code)` begins to count: `at` is the number of an operation, from 1, `code` ENOSPC, EIO or
 * KILL; `disk.trace` has an entry an operation. A write that is cut off leaves half of its bytes, a recursive delete one
 * entry less. DISK_FAULT=KILL@N arms it from the start.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { appendFileSync, readdirSync, rmSync, writeFileSync } = fs;
const [startCode, startAt] = (process.env.DISK_FAULT ?? "@0").split("@");
let [faultAt, code] = [Number(startAt), startCode];
const disk = {
  trace: [],
  arm(at, how) {
    [faultAt, code] = [at, how];
    disk.trace = [];
  },
};
globalThis.disk = disk;
/** Paths of open files. */
const paths = new WeakMap();

const half = (data) => data.slice(0, data.length >> 1);
const isData = (data) => typeof data === "string" || data instanceof Uint8Array;

/** What an operation leaves that does not come to its end. */
function tear(name, path, data) {
  if (name === "write" && isData(data)) appendFileSync(path, half(data));
  if (name === "writeFile" && isData(data)) writeFileSync(path, half(data));
  if (name !== "rm") return;
  try {
    rmSync(`${path}/${readdirSync(path)[0]}`, { recursive: true, force: true });
  } catch {} // a file
}

/** Counts an operation; returns the error with which it is to fail. */
function before(name, file, data) {
  const path = String(file);
  disk.trace.push([name, path, ...(name === "rename" ? [data] : [])]);
  if (disk.trace.length !== faultAt) return undefined;
  tear(name, path, data);
  if (code === "KILL") process.kill(process.pid, "SIGKILL");
  return Object.assign(new Error(`${code}: a disk fault, ${name} '${path}'`), { code });
}

const isForReading = (flags) =>
  flags === "r" || flags === undefined || (typeof flags === "number" && (flags & 3) === 0);
const promised = ["mkdir", "rename", "rm", "rmdir", "symlink", "copyFile", "writeFile", "unlink", "utimes", "open"];

for (const name of promised) {
  const original = fs.promises[name];
  fs.promises[name] = async (path, ...rest) => {
    // Of a file that is open.
    const file = paths.get(path);
    const isSilent = name === "open" && isForReading(rest[0]);
    const error = isSilent ? undefined : before(file ? "write" : name, file ?? path, rest[0]);
    if (error) throw error;
    const result = await original(path, ...rest);
    if (name === "open") paths.set(result, path);
    return result;
  };
}
for (const name of ["mkdir", "rmdir", "utimes"]) {
  const original = fs[name];
  fs[name] = (path, ...rest) => {
    const error = before(name, path);
    if (error) queueMicrotask(() => rest.at(-1)(error));
    else original(path, ...rest);
  };
}
const handle = await fs.promises.open(process.execPath);
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const { sync } = prototype;
prototype.sync = async function () {
  const error = before("fsync", paths.get(this));
  if (error) throw error;
  return sync.call(this);
};
syncBuiltinESMExports();
