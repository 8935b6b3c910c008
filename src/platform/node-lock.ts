/**
 * Locks between processes: a folder next to the locked path, refreshed by its owner, and a note that identifies the
 * owner.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { access, mkdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { lock } from "proper-lockfile";
import signalExit from "signal-exit";
import { LowrankError } from "../errors.ts";
import { onDisk, temporaryName } from "./node-disk.ts";
import type { Check, Refuse } from "./reader.ts";

/**
 * proper-lockfile installs signal handlers to remove its locks. With a handler, a signal does not end the process while
 * it is busy computing. Handlers are therefore installed only while there are locks.
 */
signalExit.unload();
let locks = 0;

/** Milliseconds without a refresh after which a lock is stale. */
const STALE_LOCK = 10_000;

/**
 * Runs `work` under the lock of `path`. Waits if another process holds it; with `refuse`, which throws, only until a
 * stale lock would have expired. The lock of a process that was killed on this machine is removed at once. A process
 * that is suspended for longer than `stale` (stopped, sleeping machine, clock change) can lose its lock: `check`, which
 * `work` calls before it writes, then throws LowrankError.
 */
export async function withLock<T>(
  path: string,
  work: (check: Check) => Promise<T>,
  refuse?: Refuse,
  stale = STALE_LOCK,
): Promise<T> {
  const note = ownerNote(path);
  const mine = `${await processNumbering()}\n${process.pid}\n${randomBytes(8).toString("hex")}\n`;
  const release = await onDisk(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await dropDeadLock(path);
    const release = await acquire(path, stale, refuse);
    try {
      await writeFile(note, mine);
      await rm(temporaryName(note), { force: true });
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  });
  // A read error does not mean that the lock is lost; the next write reports a failing disk.
  const isLost = async () =>
    (await readFile(note, "utf8").catch(({ code }) => (code === "ENOENT" ? "" : mine))) !== mine;
  const check = async () => {
    if (await isLost())
      throw new LowrankError("lock-lost", "another process has taken over this directory", {
        where: path,
        found: `this process was suspended for more than ${stale / 1000} seconds and lost its lock`,
      });
  };
  locks++;
  const forget = signalExit(() => dropNote(note, mine));
  try {
    return await work(check);
  } finally {
    // If the lock is lost, its new owner releases it.
    if (!(await isLost())) {
      await rm(note, { force: true }).catch(() => {});
      await release().catch(() => {});
    }
    forget();
    if (--locks === 0) signalExit.unload();
  }
}

/** Removes the note when the process ends, unless another process has taken the lock. */
function dropNote(note: string, mine: string): void {
  try {
    if (readFileSync(note, "utf8") === mine) rmSync(note);
  } catch {} // there is none
}

/** The path of the note that identifies the owner of a lock. */
function ownerNote(path: string): string {
  return `${path}.owner`;
}

/** Milliseconds between two attempts: FIRST_WAIT, doubled each time up to LONGEST_WAIT. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 1000;

/** Waits for the lock. Errors other than a taken lock are thrown at once. */
async function acquire(path: string, stale: number, refuse: Refuse | undefined): Promise<() => Promise<void>> {
  // A lost lock is detected by its note, before the next write.
  const options = { realpath: false, stale, onCompromised: () => {} };
  const started = performance.now();
  for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      return await lock(path, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ELOCKED") throw error;
    }
    if (performance.now() - started > stale + 2 * LONGEST_WAIT) refuse?.(await readOwner(path));
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** "process 1234 on node-3", as the note of a lock says; undefined if there is none. */
async function readOwner(path: string): Promise<string | undefined> {
  const text = await readFile(ownerNote(path), "utf8").catch(() => undefined);
  const [, host, pid] = /^(\S+).*\n(\d+)\n/.exec(text ?? "") ?? [];
  return pid && `process ${pid} on ${host}`;
}

/**
 * The scope in which a process id is unique: this machine, and on Linux also this boot and this PID namespace
 * (container).
 */
async function processNumbering(): Promise<string> {
  const linux = ["/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"] as const;
  const words = process.platform === "linux" ? [await readFile(linux[0], "utf8"), await readlink(linux[1])] : [];
  return [hostname(), ...words].map((word) => word.trim()).join(" ");
}

/** Removes the lock of a killed process, if its owner is provably dead. */
export async function dropDeadLock(path: string): Promise<void> {
  const text = await readFile(ownerNote(path), "utf8").catch(() => undefined);
  if (text !== undefined) return removeDeadLock(path, text);
  // There is no note, only a lock: if it is stale, it can be acquired, and is then released.
  const isThere = await access(`${path}.lock`).then(
    () => true,
    () => false,
  );
  if (isThere)
    await lock(path, { realpath: false, stale: STALE_LOCK }).then(
      (release) => release(),
      () => {},
    );
}

/** Removes a lock whose owner, according to its note, is dead. */
async function removeDeadLock(path: string, text: string): Promise<void> {
  const [where, pid] = text.split("\n");
  if (where !== (await processNumbering()) || isAlive(Number(pid))) return;
  // Of several processes that get here, the one that renames the note removes the lock.
  const note = ownerNote(path);
  const taken = temporaryName(note);
  const isMine = await rename(note, taken).then(
    () => true,
    () => false,
  );
  if (!isMine) return;
  // Another process has acquired the lock meanwhile, and this is its note.
  if ((await readFile(taken, "utf8")) !== text) return rename(taken, note);
  for (const left of [`${path}.lock`, taken]) await rm(left, { recursive: true, force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // The process belongs to another user, but it is running.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
