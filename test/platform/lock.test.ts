/** Locks: one that was taken from a process that stood still is noticed before that process writes again. */

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath, withLock, writeFileAtomic } from "#platform";
import { LowrankError } from "../../src/errors.ts";
import { writeDirectoryAtomic } from "../../src/platform/replacing.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

/** The shortest time in which a lock can become stale. */
const STALE = 2000;

test("a process that was stopped (SIGSTOP) loses its lock, and writes nothing when it continues", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "run");
  const child = spawn(process.execPath, [packagePath("build/test/helpers/lock.child.js"), path, `${STALE}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  const ended = new Promise((done) => child.on("close", done));
  await new Promise<void>((locked) =>
    child.stdout.on("data", (chunk) => {
      output += chunk;
      locked();
    }),
  );
  child.kill("SIGSTOP");
  await withLock(
    path,
    async (check) => {
      child.kill("SIGCONT");
      child.stdin.end("write\n");
      await ended;
      assert.match(output, /^locked\nanother process has taken over this directory\n.*run\n.*was suspended/);
      await writeFileAtomic(`${path}.txt`, "mine", check);
      assert.equal(readdirSync(folder).sort(), ["run.lock", "run.owner", "run.txt"]);
    },
    undefined,
    STALE,
  );
  assert.equal(readdirSync(folder), ["run.txt"]);
  assert.is(readFileSync(`${path}.txt`, "utf8"), "mine");
});

test("a lost lock aborts a write before it is committed", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "run");
  const lost = async (write: (check: () => Promise<void>) => Promise<void>, lose: () => void) => {
    await assertFails(LowrankError, "lock-lost", [path], () =>
      withLock(path, (check) => {
        let asked = 0;
        // Once more right before it counts.
        return write(async () => {
          if (++asked === 2) lose();
          await check();
        });
      }),
    );
    // What the other one has taken is its own to release.
    assert.ok(existsSync(`${path}.lock`));
    for (const left of ["lock", "owner"]) rmSync(`${path}.${left}`, { recursive: true, force: true });
  };
  const taken = () => writeFileSync(`${path}.owner`, "somebody else's");
  const released = () => rmSync(`${path}.owner`);
  for (const lose of [taken, released]) {
    await lost((check) => writeFileAtomic(join(path, "file"), "new", check), lose);
    await lost((check) => writeDirectoryAtomic(path, new Map([["file", "new"]]), { check }), lose);
    await lost((check) => writeDirectoryAtomic(join(folder, "none"), new Map([["file", "new"]]), { check }), lose);
    assert.equal(readdirSync(path), []);
    assert.not.ok(existsSync(join(folder, "none")));
  }
  assert.equal(readdirSync(folder), ["run"]);
});

test("a waiting process gets the lock when it is free, and fails if the folder was deleted", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "inside", "run");
  const order: string[] = [];
  let waiting: Promise<unknown> = Promise.resolve();
  await withLock(path, async () => {
    waiting = withLock(path, async () => void order.push("second"));
    await new Promise((later) => setTimeout(later, 300));
    order.push("first");
  });
  await waiting;
  assert.equal(order, ["first", "second"]);
  await withLock(path, async () => {
    waiting = withLock(path, async () => void order.push("third")).catch((error) => error);
    await new Promise((later) => setTimeout(later, 300));
    rmSync(folder, { recursive: true });
  });
  assert.instance(await waiting, LowrankError);
  assert.equal(order, ["first", "second"]);
});
