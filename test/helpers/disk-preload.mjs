/**
 * Loaded before a program (`node --import`): counts what it does to the disk, in order, and lets one operation fail, or
 * be the last. `disk.arm({ folder, at, code })` begins to count: `at` is the number of an operation, from 1, or 0 for
 * none; `code` ENOSPC, EIO, KILL, which kills the process, or DIE: nothing that is done in the folder comes back from
 * then on, as if the process had been killed, and `disk.death` is resolved. `disk.trace` has an entry an operation. A
 * write that is cut off leaves half of its bytes, a recursive delete one entry less.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { appendFileSync, readdirSync, rmSync, writeFileSync } = fs;
let fault = { folder: "", at: 0, code: "" };
let die = () => {};
const NEVER = new Promise(() => {});
/** The folders of commands that died. */
const dead = [];
const disk = {
  trace: [],
  death: NEVER,
  arm(next) {
    fault = next;
    disk.trace = [];
    disk.death = new Promise((resolve) => {
      die = resolve;
    });
  },
};
globalThis.disk = disk;
/** Paths of opened files. Files of killed runs stay open: a garbage-collected one is closed, with a warning. */
const paths = new Map();

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

/** Counts an operation; returns the error with which it is to fail, or NEVER. */
function before(name, file, data) {
  const path = String(file);
  if (dead.some((place) => path.startsWith(place))) return NEVER;
  // The refresh of a lock comes at any time.
  const [did, to] = disk.trace.at(-1) ?? [];
  if (name === "utimes" && !(did === "mkdir" && to === path)) return undefined;
  disk.trace.push([name, path, ...(name === "rename" ? [data] : [])]);
  const { folder, at, code } = fault;
  if (disk.trace.length !== at) return undefined;
  tear(name, path, data);
  if (code === "KILL") process.kill(process.pid, "SIGKILL");
  if (code === "DIE") {
    dead.push(`${folder}/`);
    die();
    return NEVER;
  }
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
    const error = await (isSilent ? undefined : before(file ? "write" : name, file ?? path, rest[0]));
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
    if (error) error === NEVER || queueMicrotask(() => rest.at(-1)(error));
    else original(path, ...rest);
  };
}
const handle = await fs.promises.open(process.execPath);
const prototype = Object.getPrototypeOf(handle);
await handle.close();
for (const [name, operation] of Object.entries({ sync: "fsync", write: "write", truncate: "truncate" })) {
  const original = prototype[name];
  prototype[name] = async function (...args) {
    const error = await before(operation, paths.get(this), args[0]);
    if (error) throw error;
    return original.apply(this, args);
  };
}
syncBuiltinESMExports();
