/**
 * Each kind of write: every operation on the disk fails once, and is once the last of a process that is killed. After
 * each the old files or the new ones are whole. Whole commands: `disk-faults.all.test.ts`.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { restoreDirectory, writeDirectory, writeFileAtomic, writeFiles } from "#platform";
import { LowrankError } from "../../src/core/errors.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { assertSynced, onFaultyDisk } from "../helpers/disk.ts";
import { test } from "../helpers/harness.ts";
import { filesIn } from "../helpers/spawn.ts";

/** In memory, where the system has such a folder: there a sync takes no time. */
const root = temporaryFolder("/dev/shm");

const OLD = { a: "old a", "b/c": "old c", last: "old" };
const NEW = { a: "new a", "d/e": "new e", last: "new" };
const contents = (files: object) => new Map<string, string>(Object.entries(files));

interface Kind {
  /** What is there before. */
  old: Record<string, string>;
  write: (out: string) => Promise<void>;
  /** After it: what is there. */
  wanted: Record<string, string>;
  /** What a fault may leave; the old and the new one in any case. */
  between?: (files: Record<string, string>) => boolean;
}

const KINDS: Record<string, Kind> = {
  "a file": {
    old: { a: "old a" },
    write: (out) => writeFileAtomic(join(out, "a"), "new a"),
    wanted: { a: "new a" },
  },
  // The last one is the commit: until it has its name what else there is may be of both, but is whole.
  "files beside others": {
    old: { ...OLD, mine: "mine" },
    write: (out) => writeFiles(out, contents(NEW), ["b/c"]),
    wanted: { ...NEW, mine: "mine" },
    between: ({ last, mine, ...rest }) =>
      last === OLD.last &&
      mine === "mine" &&
      Object.entries(rest).every(([name, text]) => [OLD, NEW].some((files) => contents(files).get(name) === text)),
  },
  "a new directory": { old: {}, write: (out) => writeDirectory(out, contents(NEW)), wanted: NEW },
  "a directory in place of another": {
    old: OLD,
    write: (out) => writeDirectory(out, contents(NEW), async () => Object.keys(OLD)),
    wanted: NEW,
  },
};

/** The files of a directory by name, without those under temporary names. */
function read(directory: string): Record<string, string> {
  const names = readdirSync(dirname(directory)).includes("out") ? filesIn(directory) : [];
  const lasting = names.filter((name) => !/(^|\/)\.[^/]*\.lowrank\.tmp$/.test(name));
  return Object.fromEntries(lasting.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
}

for (const [name, { old, write, wanted, between = () => false }] of Object.entries(KINDS))
  test(`${name}: every operation fails, and the process is killed at each`, async () => {
    let count = 0;
    /** A new folder with what was there before. */
    const begin = () => {
      const out = join(root, `${name} ${count++}`, "out");
      mkdirSync(dirname(out));
      for (const [file, text] of Object.entries(old)) {
        mkdirSync(dirname(join(out, file)), { recursive: true });
        writeFileSync(join(out, file), text);
      }
      return out;
    };
    const is = (found: object, files: object) => JSON.stringify(found) === JSON.stringify(sorted(files));
    const clean = begin();
    const { end, trace } = await onFaultyDisk(dirname(clean), () => write(clean));
    assert.is(end, "done");
    assertSynced(trace);
    assert.equal(read(clean), wanted);
    const states = new Set<string>();
    for (const code of ["EIO", "ENOSPC", "DIE"] as const)
      for (let at = 1; at <= trace.length; at++) {
        const where = `${code} at operation ${at}: ${trace[at - 1]!.join(" ")}`;
        const out = begin();
        const ended = await onFaultyDisk(dirname(out), () => write(out), { at, code });
        if (ended.end instanceof Error) assert.instance(ended.end, LowrankError, where);
        // A fault may be found where nothing depends on it.
        else assert.is(ended.end, code === "DIE" ? "dead" : "done", where);
        // Where it was killed nothing is done any more.
        const again = `${dirname(out)}, ${code}`;
        renameSync(dirname(out), again);
        const restored = join(again, "out");
        await restoreDirectory(restored);
        const found = read(restored);
        const state = is(found, wanted) ? "new" : is(found, old) ? "old" : between(found) ? "between" : null;
        assert.ok(state, `${where}: ${JSON.stringify(found)}`);
        // Only what is killed leaves temporary files.
        if (code !== "DIE")
          assert.not.ok(readdirSync(again, { recursive: true }).some((path) => /\.tmp$/.test(String(path))));
        states.add(state);
      }
    assert.ok(states.has("old"), [...states].join());
    assert.ok(states.has("new"), [...states].join());
  });

function sorted(files: object): object {
  return Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
}
