/**
 * The runs stored in this browser. A run has a folder in the page's private file system, with its data, its checkpoints and its
 * files in result/, and a record in IndexedDB. Records are rewritten while other tabs, or this tab after a reload, read them:
 * unlike a file that is being replaced, a database record can always be read.
 */
import { createStore, del, get, set, values } from "idb-keyval";
import { joinPath, remove } from "#platform";
import { ConfigError } from "../../errors.ts";
import { isUnderWay, type RunRecord } from "../protocol.ts";

const FOLDER = "runs";
const records = createStore("lowrank", "runs");

/** Held by the tab that trains: two would compete for the processor and could write into the same run. */
const TRAINING_LOCK = "lowrank-training";

/** Notifies other tabs of changed runs. */
const channel = new BroadcastChannel("lowrank-runs");

export function onRunsChanged(listener: () => void): void {
  channel.onmessage = listener;
}

export function folderOf(id: string): string {
  return joinPath(FOLDER, id);
}

/** The run directory with a run's results, as Node writes it. */
export function resultOf(id: string): string {
  return joinPath(FOLDER, id, "result");
}

/** The folder of the adapter that a run starts from: it is needed again after a reload, and to compare with what was learned. */
export function startOf(id: string): string {
  return joinPath(FOLDER, id, "start");
}

/** A new run id; ids sort by time. */
export function newId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
  return `${time}-${crypto.randomUUID().slice(0, 4)}`;
}

/** The records that the browser could not store, until the page is closed. */
const inMemory = new Map<string, RunRecord>();

export async function keepRun(run: RunRecord): Promise<void> {
  await set(run.id, run, records);
  inMemory.delete(run.id);
  channel.postMessage(run.id);
}

/** Keeps a record that cannot be stored, or whose files cannot. */
export function keepInMemory(run: RunRecord): void {
  inMemory.set(run.id, run);
}

export async function readRun(id: string): Promise<RunRecord> {
  const run = inMemory.get(id) ?? (await get<RunRecord>(id, records));
  if (run === undefined) throw new ConfigError("This run no longer exists", { hint: "reload the page" });
  return run;
}

/** Whether this worker is the one that trains. */
let isTrainer = false;

/** All runs, newest first, as they are stored: an active run is `elsewhere` if another tab is training, and `interrupted` if none is. */
export async function listRuns(): Promise<RunRecord[]> {
  const runs = (await values<RunRecord>(records)).filter(({ id, deleted }) => !deleted && !inMemory.has(id));
  const { held = [] } = await navigator.locks.query();
  const isHeld = held.some(({ name, mode }) => name === TRAINING_LOCK && mode === "exclusive");
  for (const run of runs) if (isUnderWay(run)) run.state = isHeld && !isTrainer ? "elsewhere" : "interrupted";
  const others = [...inMemory.values()].filter(({ deleted }) => !deleted);
  return [...runs, ...others].sort((a, b) => b.created - a.created);
}

/** Changes a stored record. */
export async function changeRun(id: string, change: Partial<RunRecord>): Promise<void> {
  const run = Object.assign(await readRun(id), change);
  if (!inMemory.has(id)) await keepRun(run);
}

export async function forgetRun(id: string): Promise<void> {
  inMemory.delete(id);
  await del(id, records);
  await remove(folderOf(id));
  channel.postMessage(id);
}

/** Deletes the files of the runs that are marked as deleted. */
export async function purge(): Promise<void> {
  const all = [...(await values<RunRecord>(records)), ...inMemory.values()];
  for (const { id, deleted } of all) if (deleted) await forgetRun(id);
}

/** Runs `work` as the only tab that trains; returns undefined without running it if another tab trains. */
export function whileOnlyTrainer<T>(work: () => Promise<T>): Promise<T | undefined> {
  return navigator.locks.request(TRAINING_LOCK, { ifAvailable: true }, async (lock) => {
    if (!lock) return undefined;
    isTrainer = true;
    try {
      return await work();
    } finally {
      isTrainer = false;
    }
  });
}

/** Resolves when no other tab trains. */
export async function untilNobodyTrains(): Promise<void> {
  await navigator.locks.request(TRAINING_LOCK, { mode: "shared" }, async () => {});
}
