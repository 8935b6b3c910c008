/**
 * Every operation on the disk fails once, and the process is killed once at each: of saving, replacing, checkpoints,
 * resuming, sweeps and exports. After each nothing of the user's has changed, the old run or the new one is
 * whole, and the same command goes on or says what to do. With DISK_FAULTS_LIST=1 each operation is listed with its
 * outcome.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { serialize } from "node:v8";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ConfigError } from "../../src/errors.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { recover } from "../../src/io/recover.ts";
import { lastCheckpoint } from "../../src/run/checkpoint.ts";
import { advance, newRecord } from "../../src/run/record.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { Checkpoint } from "../../src/train/records.ts";
import { train } from "../../src/train/trainer.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { COMMANDS, type Ended, type Fault, type Learned, PREPARED } from "../helpers/disk-commands.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

/** Of so many operations one kills a process; at the others it dies for the disk alone, many times in one process. */
const KILL_EVERY = 12;
/** In memory, where the system has such a folder: there a sync takes no time. */
const root = temporaryFolder("/dev/shm");

test("one run is trained for all tests", async () => {
  const model = await openBaseModel(tinyModel(join(root, "model")));
  const data = await tinyData(messages(12));
  const device = await testDevice("wasm 1 thread");
  const checkpoints: Checkpoint[] = [];
  const learn = async (options: object): Promise<Learned> => {
    const settings = { epochs: 1, batchSize: 4, ...options };
    let record = await newRecord({ model, data }, settings, { ...DEFAULTS, ...settings });
    const result = await train({
      ...{ device, model, data, ...settings },
      onEvent: (event) => {
        record = advance(record, event);
      },
      checkpointEvery: 1,
      onCheckpoint: async (checkpoint) => void checkpoints.push(checkpoint),
    });
    const { memory } = result.plan;
    // Kernels have functions; without dispatches the plan is data.
    const plan = { segments: [], memory: { ...memory, place: new Map() } } as unknown as typeof result.plan;
    return { record, result: { ...result, plan, features: null } };
  };
  const old = await learn({ rank: 2, alpha: 4 });
  checkpoints.length = 0;
  const next = await learn({ mode: "last_layer" });
  // As of runs that were stopped: the tables of their results would only add operations of the same kind.
  for (const { record } of [old, next]) record.results = null;
  assert.ok(checkpoints.length >= 3);
  writeFileSync(join(root, PREPARED), serialize({ old, next, checkpoints: checkpoints.slice(0, 3) }));
  await model.close();
});

/** Contents of all files below a folder; links as what they point to in words. */
function contents(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of readdirSync(folder, { recursive: true }).map(String).sort()) {
    const stats = lstatSync(join(folder, path));
    if (stats.isSymbolicLink()) found.set(path, "a link");
    else if (stats.isFile()) found.set(path, readFileSync(join(folder, path)).toString("base64"));
    else found.set(path, "a folder");
  }
  return found;
}

const isMine = ([path, content]: [string, string]) =>
  path.includes("mine") || content === Buffer.from("mine").toString("base64");
/** What is learned or exported: of these there are the old files or the new ones. */
const isLearned = ([path]: [string, string]) => /^(adapter\/(?!mine)|[^/]*\.safetensors$)/.test(path);

/** Runs a command in folders; null where the process was killed. */
function child(name: string, ...faults: Fault[]): Promise<Ended[] | null> {
  const preload = packagePath("test/helpers/disk-preload.mjs");
  const script = packagePath("build/test/helpers/disk-faults.child.js");
  const running = spawn(process.execPath, ["--import", preload, script, name, JSON.stringify(faults)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  running.stdout.on("data", (chunk) => (output += chunk));
  return new Promise((done) => running.on("close", () => done(output ? (JSON.parse(output) as Ended[]) : null)));
}

async function prepare(name: string, folder: string): Promise<void> {
  mkdirSync(join(folder, "tmp"), { recursive: true });
  await COMMANDS[name]!.prepare(folder);
}

/** A lock whose note was not written yet is a killed process's when it is ten seconds old: as if they had passed. */
function letTimePass(folder: string): void {
  for (const path of readdirSync(folder, { recursive: true }).map(String))
    if (path.endsWith(".lock")) utimesSync(join(folder, path), 1, 1);
}

/** The files of what is learned in a directory, once a replacement that was cut off is completed. */
async function learnedIn(directory: string): Promise<Map<string, string>> {
  await recover(directory);
  const found = existsSync(directory) ? [...contents(directory)].filter(([, content]) => content !== "a folder") : [];
  // A link to the folder of adapters is entered.
  const linked = ["adapter"].filter((name) => existsSync(join(directory, name)));
  for (const name of linked)
    for (const file of readdirSync(join(directory, name)))
      found.push([`${name}/${file}`, readFileSync(join(directory, name, file)).toString("base64")]);
  return new Map(found.filter(isLearned).sort(([a], [b]) => (a < b ? -1 : 1)));
}

for (const [name, command] of Object.entries(COMMANDS))
  test(`every operation of "${name}" fails, and the process is killed at each`, async () => {
    const place = (title: string) => join(root, `${name}, ${title}`);
    await prepare(name, place("before"));
    const old = await learnedIn(join(place("before"), command.target));
    await prepare(name, place("clean"));
    const [clean] = (await child(name, { folder: place("clean"), at: 0, code: "" }))!;
    assert.is(clean!.code, 0, clean!.message);
    assertSynced(clean!.trace);
    const mine = [...contents(place("clean"))].filter(isMine);
    const wanted = await learnedIn(join(place("clean"), command.target));
    const end = [...contents(place("clean"))].map(([path]) => path);
    const operations = clean!.trace.map((words) => words.join(" ").replaceAll(place("clean"), ""));

    /** Judges what a fault has left in a folder, and what the next start makes of it. */
    const judge = async (folder: string, where: string): Promise<string> => {
      assert.equal([...contents(folder)].filter(isMine), mine, `the user's files, ${where}`);
      letTimePass(folder);
      const target = join(folder, command.target);
      const isReplacing = existsSync(join(target, ".lowrank-new", "journal.json"));
      const now = await learnedIn(target);
      const is = (one: Map<string, string>) => JSON.stringify([...now]) === JSON.stringify([...one]);
      assert.ok(is(wanted) || is(old), `neither the old run nor the new one is whole, ${where}`);
      const places = [join(folder, `${command.target}.rescued`), join(folder, "tmp", "lowrank.rescued")];
      const rescued = places.filter((path) => existsSync(path));
      for (const path of rescued) {
        assert.equal(await learnedIn(path), wanted, `the rescued run, ${where}`);
        rmSync(path, { recursive: true });
      }
      const again = await goOn(name, folder, where);
      assert.equal([...contents(folder)].filter(isMine), mine, `the user's files at the end, ${where}`);
      assert.equal(await learnedIn(target), wanted, `the new run at the end, ${where}`);
      assert.equal(
        [...contents(folder)].map(([path]) => path),
        end,
        `what is there at the end, ${where}`,
      );
      rmSync(folder, { recursive: true });
      const state = is(wanted) ? "new" : old.size > 0 ? "old" : "none";
      const remarks = [
        isReplacing ? ", completed by the next start" : "",
        rescued.length > 0 ? ", saved beside it" : "",
      ];
      return `${state}${remarks.join("")}; then: ${again}`;
    };

    // A process tries the clock of the disk with its first lock, once. In a process that has had one all others are
    // counted.
    const once = operations.findIndex((words) => words.startsWith("utimes "));
    const all = operations.map((_, i) => i);
    /** Runs the command with a fault at each operation. */
    const faultAtEach = async (codes: readonly string[]) => {
      const faults = all.map((i) => {
        const code = codes[i % codes.length]!;
        return { folder: place(`${code} at ${i + 1}`), at: i < once ? i + 1 : i, code };
      });
      const warm = { folder: place(`no ${codes}`), at: 0, code: "" };
      for (const { folder } of [warm, ...faults]) await prepare(name, folder);
      const [unharmed, ...others] = (await child(name, warm, ...faults.filter((_, i) => i !== once)))!;
      const [first] = (await child(name, { ...faults[once]!, at: once + 1 }))!;
      assert.is(unharmed!.code, 0, unharmed!.message);
      return others.toSpliced(once, 0, first!).map((ended, i) => {
        const { folder, at } = faults[i]!;
        assert.is(
          ended.trace[i === once ? i : at - 1]?.[0],
          clean!.trace[i]![0],
          `another operation than ${operations[i]}`,
        );
        return { ...ended, folder };
      });
    };
    const outcomes: string[] = [];
    for (const [i, { folder, code, message }] of (await faultAtEach(["ENOSPC", "EIO"])).entries()) {
      const where = `operation ${i + 1} fails: ${operations[i]}\n${message}`;
      assert.ok(code === 0 || code === 1, `exit code ${code}, ${where}`);
      outcomes.push(`${name}: ${operations[i]}: fails: exit code ${code}, ${await judge(folder, where)}`);
    }
    for (const [i, { folder }] of (await faultAtEach(["DIE"])).entries()) {
      const where = `killed at operation ${i + 1}: ${operations[i]}`;
      const outcome = await judge(folder, where);
      outcomes.push(`${name}: ${operations[i]}: killed: ${outcome}`);
      if (i % KILL_EVERY > 0) continue;
      const fault = { folder: place(`KILL at ${i + 1}`), at: i + 1, code: "KILL" };
      await prepare(name, fault.folder);
      assert.is(await child(name, fault), null, where);
      assert.is(await judge(fault.folder, `really ${where}`), outcome, where);
    }
    if (process.env.DISK_FAULTS_LIST) console.log(outcomes.join("\n"));
  });

/** Runs the command again, as it says. */
async function goOn(name: string, folder: string, where: string): Promise<string> {
  const { act } = COMMANDS[name]!;
  try {
    await act(folder);
    return "done";
  } catch (error) {
    if (!(error instanceof ConfigError)) throw new Error(`${where}\nthen ${(error as Error).stack}`);
    const { hint = "" } = error.details;
    // Its checkpoints are there to resume from, or it was done when the fault came.
    if (hint.includes("--resume")) {
      const { step } = await lastCheckpoint(join(folder, "run"));
      assert.ok(step >= 1 && step <= 3, where);
      await COMMANDS.resume!.act(folder);
      return `resumes with --resume, from step ${step}`;
    }
    assert.match(hint, "--force", where);
    return "says that it is there";
  }
}

/** The path of a folder without links; one that is there no more as it was called. */
function realFolder(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** What gets its name by a rename has been synced before, files and folders, and its folder is synced after. */
function assertSynced(trace: readonly string[][]): void {
  const lasting = trace.filter(([, path]) => !/\.(owner|lock)/.test(path!));
  assert.ok(
    lasting.some(([name]) => name === "rename"),
    "nothing was renamed",
  );
  lasting.forEach(([name, from, to], i) => {
    if (name !== "rename") return;
    const before = lasting.slice(0, i).filter(([, path]) => path === from || path!.startsWith(`${from}/`));
    const last = (what: string, path: string) => before.findLastIndex(([did, of]) => did === what && of === path);
    for (const path of new Set(before.filter(([did]) => did === "write" || did === "mkdir").map(([, path]) => path!)))
      assert.ok(
        last("fsync", path) > Math.max(last("write", path), last("mkdir", path)),
        `${path} has its name before it is on the disk`,
      );
    const folder = realFolder(dirname(to!));
    assert.ok(
      lasting.slice(i).some(([did, path]) => did === "fsync" && realFolder(path!) === folder),
      `the folder of ${basename(to!)} is not synced`,
    );
  });
}
