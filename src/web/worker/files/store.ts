/**
 * The runs stored in this browser. A run is a run directory in the page's private file system, as Node writes it, with
 * the visitor's files in data/ and the adapter that it started from in start/. What the page alone knows of it is in
 * IndexedDB.
 */

import { createStore, del, get, set, values } from "idb-keyval";
import { joinPath, remove } from "#platform";
import { ConfigError } from "../../../core/errors.ts";
import { registeredPaths } from "../../../platform/files.ts";
import type { RunRecord } from "../../../record/record.ts";
import { generations, lastCheckpoint } from "../../../run/checkpoint.ts";
import { readRecord, writeRecord } from "../../../run/directory.ts";
import type { Checkpoint } from "../../../train/records.ts";
import { isUnderWay, type PageRun } from "../../protocol.ts";

const FOLDER = "runs";
const store = createStore("lowrank", "runs");

/** What the page alone knows of a run. */
type OwnRun = Omit<PageRun, "record">;

/** Held by the tab that trains: two would compete for the processor and could write into the same run. */
const TRAINING_LOCK = "lowrank-training";

/** Notifies other tabs of changed runs. */
const channel = new BroadcastChannel("lowrank-runs");

export function onRunsChanged(listener: () => void): void {
  channel.onmessage = listener;
}

export function runFolder(id: string): string {
  return joinPath(FOLDER, id);
}

/** The folder of the adapter that a run starts from: needed after a reload, and to measure what was learned. */
export function startFolder(id: string): string {
  return joinPath(FOLDER, id, "start");
}

/** A new run id; ids sort by time. */
export function newId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
  return `${time}-${crypto.randomUUID().slice(0, 4)}`;
}

/** What could not be stored since the storage is full, by the run's id: for as long as this worker lives. */
const unstored = new Map<string, { run: PageRun; checkpoint?: Checkpoint }>();

/** Whether the files of a run that cannot be stored are registered, to be read as stored ones. */
const isInMemory = (id: string) => registeredPaths(runFolder(id)).length > 0;

/** Stores a run: its record first, without which it is not listed. One whose files are in memory stays there. */
export async function keepRun(run: PageRun): Promise<void> {
  if (isInMemory(run.id)) return void unstored.set(run.id, { ...unstored.get(run.id), run });
  try {
    await writeRecord(runFolder(run.id), run.record);
    await keepOwn(run);
    // There may be room for a record, and none for a checkpoint.
    if (run.state === "finished" || !unstored.get(run.id)?.checkpoint) unstored.delete(run.id);
  } catch (error) {
    unstored.set(run.id, { ...unstored.get(run.id), run });
    throw error;
  }
}

/** Keeps a checkpoint in memory that `store` cannot store. Throws its error. */
export async function keepCheckpointOf(
  run: PageRun,
  checkpoint: Checkpoint,
  store: () => Promise<void>,
): Promise<void> {
  try {
    await store();
    await keepOwn(run);
    unstored.delete(run.id);
  } catch (error) {
    unstored.set(run.id, { run, checkpoint });
    throw error;
  }
}

/** The newest checkpoint of a run; undefined: it has none. Throws the error of one that cannot be read. */
export async function newestCheckpoint(id: string): Promise<Checkpoint | undefined> {
  const { checkpoint } = unstored.get(id) ?? {};
  if (checkpoint) return checkpoint;
  return (await generations(runFolder(id))).length === 0 ? undefined : lastCheckpoint(runFolder(id));
}

/** Stores what the page alone knows of a run. */
export async function keepOwn({ record: _, ...own }: OwnRun & { record?: RunRecord }): Promise<void> {
  if (isInMemory(own.id)) return;
  await set(own.id, own, store);
  channel.postMessage(own.id);
}

const TRIES = 5;
const PAUSE_MS = 40;

/** The record of a stored run. For a moment it cannot be read while another tab replaces it. */
async function storedRecord(id: string): Promise<RunRecord> {
  for (let tries = 1; ; tries++) {
    try {
      return await readRecord(runFolder(id));
    } catch (error) {
      if (tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** What came with the page: it is not listed. */
const examples = new Map<string, PageRun>();

/** Makes a run known that is not stored. */
export function addExample(run: PageRun): PageRun {
  examples.set(run.id, run);
  return run;
}

export async function readRun(id: string): Promise<PageRun> {
  const known = examples.get(id) ?? unstored.get(id)?.run;
  if (known) return known;
  const own = await get<OwnRun>(id, store);
  if (own === undefined) throw new ConfigError("no-such-run", "This run no longer exists", { hint: "reload the page" });
  return { ...own, record: await storedRecord(id) };
}

/** Whether this worker is the one that trains. */
let isTrainer = false;

/** All stored runs, newest first: an active one is `elsewhere` if another tab is training, else `interrupted`. */
export async function listRuns(): Promise<PageRun[]> {
  const { held = [] } = await navigator.locks.query();
  const isElsewhere = !isTrainer && held.some(({ name, mode }) => name === TRAINING_LOCK && mode === "exclusive");
  // A run without a record is being deleted, or was not stored.
  const runs = await Promise.all((await values<OwnRun>(store)).map((own) => listed(own, isElsewhere).catch(() => [])));
  const others = [...unstored.values()].map(({ run }) => run);
  const stored = runs.flat().filter(({ id }) => !unstored.has(id));
  return [...stored, ...others].sort((a, b) => b.record.created - a.record.created);
}

async function listed(own: OwnRun, isElsewhere: boolean): Promise<PageRun[]> {
  if (!isUnderWay(own)) return [{ ...own, record: await storedRecord(own.id) }];
  if (isElsewhere) return [{ ...own, state: "elsewhere", record: await storedRecord(own.id) }];
  const record = await storedRecord(own.id);
  // The page may have been closed right after it had stored what the run left.
  const isDone = record.state === "finished";
  return [{ ...own, record, state: isDone ? "finished" : "interrupted", usable: own.usable || isDone }];
}

/** Changes what the page alone knows of a run. */
export async function changeRun(id: string, change: Partial<OwnRun>): Promise<void> {
  await keepOwn(Object.assign(await readRun(id), change));
}

export async function forgetRun(id: string): Promise<void> {
  unstored.delete(id);
  await del(id, store);
  await remove(runFolder(id));
  channel.postMessage(id);
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
