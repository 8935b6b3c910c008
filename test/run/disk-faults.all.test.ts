/**
 * Every operation on the disk fails once, and is once the last of a process that is killed: of a run, one that is
 * resumed, `train --force` and `export --force`. After each nothing of the user's has changed, the old run or the new
 * one is whole or can be resumed, and the same command goes on to the same bytes.
 */
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { exists, restoreDirectory } from "#platform";
import { LowrankError } from "../../src/core/errors.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { EXPORT, refuseExport } from "../../src/export/index.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { marked, writeFolder } from "../../src/io/marker.ts";
import { advance, newRecord, type RunRecord } from "../../src/record/record.ts";
import { lastCheckpoint, removeCheckpoints } from "../../src/run/checkpoint.ts";
import { readRecord, refuseExisting, removeRun } from "../../src/run/directory.ts";
import { LiveRun } from "../../src/run/live-run.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { Checkpoint, TrainResult } from "../../src/train/records.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { assertSynced, onFaultyDisk } from "../helpers/disk.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

/** In memory, where the system has such a folder: there a sync takes no time. */
const root = temporaryFolder("/dev/shm");

interface Learned {
  record: RunRecord;
  result: TrainResult;
  checkpoints: Checkpoint[];
}

let [old, next]: Learned[] = [];

test("two runs are trained for all tests", async () => {
  const model = await openBaseModel(tinyModel(join(root, "model")));
  const data = await tinyData(messages(12));
  DATA = data;
  const device = await testDevice("wasm 1 thread");
  const learn = async (options: object): Promise<Learned> => {
    const settings = { epochs: 1, batchSize: 4, ...options };
    let record = await newRecord({ model, data }, settings, { ...DEFAULTS, ...settings });
    const checkpoints: Checkpoint[] = [];
    const result = await train({
      ...{ device, model, data, ...settings },
      onEvent: (event) => {
        record = advance(record, event);
      },
      checkpointEvery: 1,
      onCheckpoint: async (checkpoint) => void checkpoints.push(checkpoint),
    });
    // As of runs that were stopped: the tables of their results would only add operations of the same kind.
    return { record: { ...record, results: null }, result, checkpoints: checkpoints.slice(0, 2) };
  };
  old = await learn({ rank: 2, alpha: 4 });
  next = await learn({ mode: "last_layer" });
  await model.close();
});

let DATA: LoadedDataset;

/** Trains as train does, or resumes. */
async function trainInto(out: string, { record, result, checkpoints }: Learned, force = false): Promise<void> {
  await restoreDirectory(out);
  const kept = force ? `${out}.new` : out;
  const isNew = !(await exists(join(kept, "run.json")));
  const live = new LiveRun(kept, isNew ? { ...record, state: "training" } : await readRecord(kept));
  if (live.record.state === "finished") return removeCheckpoints(kept);
  if (force) await refuseExisting(out, true);
  if (isNew) await live.begin();
  else await lastCheckpoint(kept).catch((error: LowrankError) => assert.is(error.code, "no-checkpoint"));
  for (const checkpoint of checkpoints) await live.callbacks.onCheckpoint(checkpoint);
  live.record = record;
  if (!force) return live.end(result, DATA);
  await live.save(out, result, DATA, true);
  await removeRun(kept);
}

async function stop(out: string, { record, result, checkpoints }: Learned): Promise<void> {
  const live = new LiveRun(out, { ...record, state: "training" });
  await live.begin();
  await live.callbacks.onCheckpoint(checkpoints[0]!);
  live.record = { ...record, state: "stopped" };
  await live.end({ ...result, aborted: true }, DATA);
}

const exported = (...names: string[]) => new Map(names.map((name) => [name, `new ${name}`]));

async function exportTo(out: string, files: ReadonlyMap<string, string>): Promise<void> {
  await restoreDirectory(out);
  await refuseExport(out, true);
  await writeFolder(out, marked(files, EXPORT), EXPORT, true);
}

/** A file of the user's. */
function mine(...path: string[]): void {
  mkdirSync(dirname(join(...path)), { recursive: true });
  writeFileSync(join(...path), `${path.at(-1)}, which took years`);
}

interface Command {
  prepare(out: string): Promise<void>;
  act(out: string): Promise<void>;
  /** A run that is interrupted may have no adapter: it is made from its checkpoint. */
  isResumed?: true;
}

const COMMANDS: Record<string, Command> = {
  train: {
    prepare: async () => {},
    act: (out) => trainInto(out, next!),
    isResumed: true,
  },
  "train --resume": {
    async prepare(out) {
      await stop(out, { ...old!, record: next!.record, checkpoints: next!.checkpoints });
      for (const path of ["mine.txt", "adapter/mine.txt", "checkpoint/mine.txt"]) mine(out, path);
    },
    act: (out) => trainInto(out, next!),
    isResumed: true,
  },
  "train --force": {
    prepare: (out) => trainInto(out, old!),
    act: (out) => trainInto(out, next!, true),
  },
  "export --force": {
    prepare: (out) => exportTo(out, exported("adapter_config.json", "adapter_model.safetensors")),
    act: (out) => exportTo(out, exported("config.json", "model.safetensors")),
  },
};

/** Contents of all files below a folder, and its folders. */
function contents(folder: string): Map<string, string> {
  const paths = existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).sort() : [];
  return new Map(
    paths.map((path) => {
      const isFile = lstatSync(join(folder, path)).isFile();
      return [path, isFile ? readFileSync(join(folder, path)).toString("base64") : "a folder"];
    }),
  );
}

/** What is learned or exported: of it there is the old or the new. */
const learnedIn = (directory: string) =>
  [...contents(directory)].filter(([path]) => /^adapter\/(?!mine)|^[^/.]*\.safetensors$/.test(path));

for (const [name, { prepare, act, isResumed }] of Object.entries(COMMANDS))
  test(`every operation of "${name}" fails, and the process is killed at each`, async () => {
    const place = (title: string) => join(root, `${name}, ${title}`);
    mine(place("before"), "mine.txt");
    await prepare(join(place("before"), "out"));
    const before = (title: string) => {
      cpSync(place("before"), place(title), { recursive: true });
      return place(title);
    };
    const clean = before("clean");
    const was = learnedIn(join(clean, "out"));
    const { end, trace } = await onFaultyDisk(clean, () => act(join(clean, "out")));
    assert.is(end, "done");
    assertSynced(trace);
    const wanted = learnedIn(join(clean, "out"));
    const isMine = ([path]: [string, string]) => path.endsWith("mine.txt");
    const all = contents(clean);
    const states = new Set<string>();
    for (const code of [undefined, "DIE"] as const)
      for (let at = 1; at <= trace.length; at++) {
        const fault = { at, code: code ?? (at % 2 ? "ENOSPC" : "EIO") } as const;
        const where = `${fault.code} at operation ${at}: ${trace[at - 1]!.join(" ").replaceAll(clean, "")}`;
        const folder = before(`${fault.code} ${at}`);
        const out = join(folder, "out");
        const ended = await onFaultyDisk(folder, () => act(out), fault);
        if (ended.end instanceof Error) assert.instance(ended.end, LowrankError, `${where}\n${ended.end.stack}`);
        else assert.is(ended.end, code === "DIE" ? "dead" : "done", where);
        // A fault may be found where nothing depends on it.
        const again = code === "DIE" ? `${folder}, started again` : folder;
        if (again !== folder) renameSync(folder, again);
        const restored = join(again, "out");
        await restoreDirectory(restored);
        const now = learnedIn(restored);
        const is = (learned: typeof now) => JSON.stringify(now) === JSON.stringify(learned);
        const isResumable = isResumed && existsSync(restored) && (await readRecord(restored)).state !== "finished";
        assert.ok(is(wanted) || is(was) || isResumable, `neither the old nor the new is whole, ${where}`);
        states.add(is(wanted) ? "new" : is(was) ? "old" : "resumable");
        await act(restored).catch((error) => {
          throw new Error(`${where}\nthen ${error.stack}`);
        });
        const names = [...contents(again)];
        assert.equal(names.filter(isMine), [...all].filter(isMine), `the user's files, ${where}`);
        assert.equal(learnedIn(restored), wanted, `the new one at the end, ${where}`);
        assert.equal(
          names.map(([path]) => path),
          [...all.keys()],
          `what is there at the end, ${where}`,
        );
        rmSync(again, { recursive: true });
      }
    assert.ok(states.has("new") && states.has("old"), [...states].join());
  });
