/**
 * What this browser keeps of runs: of each a folder in the page's own file system, with its data, checkpoints and in result/
 * what it left, and a record in a database. Records are rewritten while other tabs, or this one after a reload, read them:
 * a file that is being replaced cannot be opened for a moment, a record of a database always can.
 */
import { createStore, del, get, set, values } from "idb-keyval";
import { joinPath, remove } from "#platform";
import { ConfigError } from "../../errors.ts";
import { isUnderWay, type RunRecord } from "../protocol.ts";

const FOLDER = "runs";
const records = createStore("lowrank", "runs");

/** Held by the tab that trains: two at a time would take each other's processor and could write into the same run. */
const TRAINING_LOCK = "lowrank-training";

/** Tells other tabs that runs have changed. */
const channel = new BroadcastChannel("lowrank-runs");

export function onRunsChanged(listener: () => void): void {
  channel.onmessage = listener;
}

export function folderOf(id: string): string {
  return joinPath(FOLDER, id);
}

/** Where a run's finished files are: a run directory as Node's. */
export function resultOf(id: string): string {
  return joinPath(FOLDER, id, "result");
}

/** Where the adapter is kept that a run begins with: it is needed again after a reload. */
export function startOf(id: string): string {
  return joinPath(FOLDER, id, "start");
}

/** A name for a run that sorts by time. */
export function newId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
  return `${time}-${crypto.randomUUID().slice(0, 4)}`;
}

export async function keepRun(run: RunRecord): Promise<void> {
  await set(run.id, run, records);
  channel.postMessage(run.id);
}

export async function readRun(id: string): Promise<RunRecord> {
  const run = await get<RunRecord>(id, records);
  if (run === undefined) throw new ConfigError("This run is not there any more", { hint: "reload the page" });
  return run;
}

/** All runs, the newest first. What was training when no tab is, was interrupted. */
export async function listRuns(): Promise<RunRecord[]> {
  const runs = await values<RunRecord>(records);
  const { held = [] } = await navigator.locks.query();
  const isHeld = held.some(({ name, mode }) => name === TRAINING_LOCK && mode === "exclusive");
  for (const run of runs) if (isUnderWay(run)) run.state = isHeld ? "elsewhere" : "interrupted";
  return runs.sort((a, b) => b.created - a.created);
}

export async function forgetRun(id: string): Promise<void> {
  await del(id, records);
  await remove(folderOf(id));
  channel.postMessage(id);
}

/** Does `work` as the only tab that trains; undefined, with nothing done, where another one does. */
export function whileOnlyTrainer<T>(work: () => Promise<T>): Promise<T | undefined> {
  return navigator.locks.request(TRAINING_LOCK, { ifAvailable: true }, async (lock) => (lock ? work() : undefined));
}

/** Resolves when no other tab trains. */
export async function untilNobodyTrains(): Promise<void> {
  await navigator.locks.request(TRAINING_LOCK, { mode: "shared" }, async () => {});
}
