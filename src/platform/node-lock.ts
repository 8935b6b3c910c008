/** Locks between processes: a folder beside what is locked, renewed as long as its owner lives, and a note that says who that is. */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { access, mkdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { lock } from "proper-lockfile";
import signalExit from "signal-exit";
import { LowrankError } from "../errors.ts";
import { onDisk, temporaryName } from "./node-disk.ts";
import type { Check } from "./replacing.ts";

/**
 * proper-lockfile hears signals, to remove its locks. Then the system does not end the process by itself: not while it computes
 * and hears nothing. So it hears them only while there are locks.
 */
signalExit.unload();
let locks = 0;

/** Milliseconds after which a lock that is not renewed is that of a process that was killed. */
const STALE_LOCK = 10_000;

/**
 * Runs `work` while no other process runs any under the same path. Waits for one that does; with `refuse`, which throws, no
 * longer than the lock of a killed process is kept. One that was killed on this machine holds no one up. A process that
 * stands still for longer (it was stopped, the machine slept, the clock jumped) loses its lock to the next one: `check`,
 * which `work` calls before it writes, throws LowrankError then.
 */
export async function withLock<T>(
  path: string,
  work: (check: Check) => Promise<T>,
  refuse?: () => never,
  stale = STALE_LOCK,
): Promise<T> {
  const note = noteOf(path);
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
  // A disk that cannot be read says so when it is written to.
  const isLost = async () =>
    (await readFile(note, "utf8").catch(({ code }) => (code === "ENOENT" ? "" : mine))) !== mine;
  const check = async () => {
    if (await isLost())
      throw new LowrankError("another process has taken over this directory", {
        where: path,
        found: `this process stood still for more than ${stale / 1000} seconds, and lost its lock`,
      });
  };
  locks++;
  const forget = signalExit(() => dropNote(note, mine));
  try {
    return await work(check);
  } finally {
    // What another process has taken is its own to release.
    if (!(await isLost())) {
      await rm(note, { force: true }).catch(() => {});
      await release().catch(() => {});
    }
    forget();
    if (--locks === 0) signalExit.unload();
  }
}

/** Removes the note of a process that ends, unless another one has the lock by now. */
function dropNote(note: string, mine: string): void {
  try {
    if (readFileSync(note, "utf8") === mine) rmSync(note);
  } catch {} // there is none
}

/** The note that says who has the lock. */
function noteOf(path: string): string {
  return `${path}.owner`;
}

/** Milliseconds between two tries for a lock: twice as long each time, at most the second. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 1000;

/** Waits for the lock, and for nothing else: a folder that has gone does not come back. */
async function acquire(path: string, stale: number, refuse: (() => never) | undefined): Promise<() => Promise<void>> {
  // The note tells of a lock that was lost when it matters: before the next write.
  const options = { realpath: false, stale, onCompromised: () => {} };
  const started = performance.now();
  for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      return await lock(path, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ELOCKED") throw error;
    }
    if (performance.now() - started > stale + 2 * LONGEST_WAIT) refuse?.();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Where a process number is one process: on this machine, and on Linux since this boot and in this namespace (a container's). */
async function processNumbering(): Promise<string> {
  const linux = ["/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"] as const;
  const words = process.platform === "linux" ? [await readFile(linux[0], "utf8"), await readlink(linux[1])] : [];
  return [hostname(), ...words].map((word) => word.trim()).join(" ");
}

/** Removes what a killed process left of a lock, where it can be seen to be that. */
export async function dropDeadLock(path: string): Promise<void> {
  const text = await readFile(noteOf(path), "utf8").catch(() => undefined);
  if (text !== undefined) return dropLockOf(path, text);
  // Whoever wrote no note, or had removed it, is dead when the lock is stale: then it is taken, and released.
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

/** Removes a lock whose owner, by its note, can be seen to be dead. */
async function dropLockOf(path: string, text: string): Promise<void> {
  const [where, pid] = text.split("\n");
  if (where !== (await processNumbering()) || isAlive(Number(pid))) return;
  // Of several processes that see it, the one that takes the note away removes the lock.
  const note = noteOf(path);
  const taken = temporaryName(note);
  const isMine = await rename(note, taken).then(
    () => true,
    () => false,
  );
  if (!isMine) return;
  // Another process was faster, and this is its note.
  if ((await readFile(taken, "utf8")) !== text) return rename(taken, note);
  for (const left of [`${path}.lock`, taken]) await rm(left, { recursive: true, force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's process is there, too.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
