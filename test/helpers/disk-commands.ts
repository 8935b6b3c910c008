/**
 * What the commands do to the disk, without what they compute: for run/disk-faults.test.ts, in its process or in one
 * that is killed.
 */

import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deserialize } from "node:v8";
import { withLock } from "#platform";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { ConfigError } from "../../src/errors.ts";
import { replaceableExport } from "../../src/export/replaceable.ts";
import { recover } from "../../src/io/recover.ts";
import { writeDirectoryAtomic } from "../../src/platform/replacing.ts";
import { keepProgress, readRecord } from "../../src/run/directory.ts";
import { refuseExisting, removeRun, saveSomewhere } from "../../src/run/files.ts";
import { LiveRun } from "../../src/run/live-run.ts";
import type { RunRecord } from "../../src/run/record.ts";
import { collect, forgetError, keepError, locked } from "../../src/sweep/store.ts";
import type { Checkpoint, TrainResult } from "../../src/train/records.ts";
import { runTables } from "../../src/views/run-tables.ts";

export interface Learned {
  record: RunRecord;
  result: TrainResult;
}

/** What a training has left to be saved; the test writes it beside the folders of the commands. */
export interface Prepared {
  old: Learned;
  next: Learned;
  checkpoints: Checkpoint[];
}

/** How a command ended, and its disk operations: the name and the path of each, and a rename's new path. */
export interface Ended {
  code: number | null;
  message: string;
  trace: string[][];
}

/** A command's fault in a folder: see disk-preload.mjs. */
export interface Fault {
  folder: string;
  at: number;
  code: string;
}

export const PREPARED = "prepared.bin";

export interface DiskCommand {
  /** What is there before. Every file of the user's has "mine" in its name. */
  prepare(folder: string): Promise<void>;
  act(folder: string): Promise<void>;
  /** Where the new run or export is when it is done. */
  target: string;
}

const SET = { label: () => 0, text: (row: number) => `message ${row}`, place: (row: number) => row };
/** In place of the rows of the training, which cannot be stored. */
const DATA = { objective: "classification", labels: ["ham", "spam"], val: SET, test: SET } as unknown as LoadedDataset;

/** Of a run's tables one: others would only add operations of the same kind. */
const oneTable = (...run: Parameters<typeof runTables>) => runTables(...run).slice(0, 1);

function prepared(folder: string): Prepared {
  return deserialize(readFileSync(join(dirname(folder), PREPARED)));
}

/** A file of the user's. */
function mine(folder: string, ...path: string[]): void {
  const file = join(folder, ...path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${path.join()}, which took years`);
}

interface Run {
  out: string;
  kept?: string;
  force?: boolean;
  resume?: boolean;
  checkpoints?: readonly Checkpoint[];
}

/** Keeps and saves as train does. */
async function train({ record, result }: Learned, run: Run): Promise<void> {
  const { out, kept = out, force = false, resume = false, checkpoints = [] } = run;
  await recover(out);
  const replaces = await refuseExisting(out, force || resume);
  const work = async (check: () => Promise<void>) => {
    const live = new LiveRun(kept, resume ? await readRecord(kept).catch(() => record) : record, {
      check,
      onUnsaved: () => {},
    });
    for (const checkpoint of checkpoints) await live.callbacks.onCheckpoint(checkpoint);
    const { failure: fault } = await saveSomewhere(out, (directory) =>
      live.save(directory, result, DATA, oneTable, {
        replace: replaces || resume || live.isResumable,
        check: directory === out ? check : undefined,
      }),
    );
    if (kept !== out && !fault) await removeRun(kept);
    if (fault) throw fault;
  };
  await withLock(out, work, () => {
    throw new ConfigError("used-by-another-process", "another run is using this directory");
  });
}

/** A finished run. */
async function save(directory: string, { record, result }: Learned): Promise<void> {
  await new LiveRun(directory, record).save(directory, result, DATA, oneTable);
}

/** A run that was stopped after two checkpoints. */
async function begin(directory: string, { record }: Learned, checkpoints: readonly Checkpoint[]) {
  for (const checkpoint of checkpoints.slice(0, 2)) await keepProgress(directory, record, checkpoint);
}

const TRIAL = { name: "trial", key: "k", model: "m" };

/** Saves a trial as a sweep does, then takes it into another folder. */
async function sweep(folder: string): Promise<void> {
  const { next } = prepared(folder);
  const [part, all] = [join(folder, "part"), join(folder, "all")];
  const trial = { ...TRIAL, options: next.result.options };
  const directory = join(part, "trials", TRIAL.name);
  await locked(part, "", async (check) => {
    await recover(directory);
    const live = new LiveRun(directory, { ...next.record, trial: TRIAL });
    await withLock(directory, () => live.save(directory, next.result, DATA, oneTable, { check }));
    await forgetError(part, trial);
  });
  await locked(all, "", (check) => collect(all, [part], check));
}

const exported = (...names: string[]) =>
  new Map([
    ...names.map((name) => [name, `new ${name}`] as const),
    ["README.md", `Trained with Lowrank on x\nWritten with this file: ${names.map((name) => `\`${name}\``).join()}.`],
  ]);

async function exportTo(out: string, files: Map<string, string>): Promise<void> {
  await recover(out);
  await withLock(out, async (check) =>
    writeDirectoryAtomic(out, files, { own: await replaceableExport(out, true), check }),
  );
}

export const COMMANDS: Readonly<Record<string, DiskCommand>> = {
  save: {
    prepare: async (folder) => mine(folder, "mine.txt"),
    act: async (folder) => train(prepared(folder).next, { out: join(folder, "runs", "run") }),
    target: "runs/run",
  },
  "save --force": {
    async prepare(folder) {
      const { old } = prepared(folder);
      const out = join(folder, "run");
      await save(out, old);
      // The adapter is on a larger disk, the table in a folder that is shared.
      mkdirSync(join(folder, "elsewhere"));
      for (const name of ["adapter", "metrics.csv"]) {
        renameSync(join(out, name), join(folder, "elsewhere", name));
        symlinkSync(join("..", "elsewhere", name), join(out, name));
      }
      for (const path of ["mine.txt", "adapter/mine.txt", "checkpoint/mine.txt"]) mine(out, path);
    },
    act: async (folder) => train(prepared(folder).next, { out: join(folder, "run"), force: true }),
    target: "run",
  },
  checkpoints: {
    prepare: async (folder) => mine(folder, "mine.txt"),
    act: async (folder) => {
      const { next, checkpoints } = prepared(folder);
      await train(next, { out: join(folder, "run"), checkpoints });
    },
    target: "run",
  },
  resume: {
    async prepare(folder) {
      const { next, checkpoints } = prepared(folder);
      await begin(join(folder, "run"), next, checkpoints);
      mine(folder, "run", "checkpoint", "mine.txt");
    },
    act: async (folder) => {
      const { next, checkpoints } = prepared(folder);
      await train(next, { out: join(folder, "run"), resume: true, checkpoints: checkpoints.slice(2) });
    },
    target: "run",
  },
  "resume DIR.new": {
    async prepare(folder) {
      const { old, next, checkpoints } = prepared(folder);
      await save(join(folder, "run"), old);
      await begin(join(folder, "run.new"), { ...next, record: { ...next.record, replaces: true } }, checkpoints);
      for (const directory of ["run", "run.new"]) mine(folder, directory, "mine.txt");
    },
    act: async (folder) =>
      train(prepared(folder).next, { out: join(folder, "run"), kept: join(folder, "run.new"), resume: true }),
    target: "run",
  },
  sweep: {
    async prepare(folder) {
      const { next, checkpoints } = prepared(folder);
      await begin(join(folder, "part", "trials", TRIAL.name), next, checkpoints);
      await keepError(join(folder, "part"), { ...TRIAL, options: next.result.options }, "it failed before");
      for (const part of ["part", "all"]) mine(folder, part, "trials", "mine.txt");
    },
    act: sweep,
    target: "all/trials/trial",
  },
  "export --force": {
    async prepare(folder) {
      await exportTo(join(folder, "model"), exported("adapter_config.json", "adapter_model.safetensors"));
      mine(folder, "model", "mine.txt");
      // Of a merged model's names, but the user's: the earlier export was an adapter.
      writeFileSync(join(folder, "model", "vocab.json"), "mine");
    },
    act: (folder) => exportTo(join(folder, "model"), exported("config.json", "model.safetensors")),
    target: "model",
  },
};
