/** Runs in the page's own file system, one folder each: run.json, the data, checkpoints, and in result/ what it left. */
import { exists, joinPath, listDirectory, remove, writeFileAtomic } from "#platform";
import { readJson } from "../io/common.ts";
import { isUnderWay, type RunRecord } from "./protocol.ts";

const FOLDER = "runs";
const RECORD = "run.json";

/** Held by the tab that trains: two at a time would take each other's processor and could write into the same run. */
const TRAINING_LOCK = "lowrank-training";

/** Tells other tabs that runs have changed. */
const channel = new BroadcastChannel("lowrank-runs");

export function onRunsChanged(hear: () => void): void {
  channel.onmessage = hear;
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
  await writeFileAtomic(joinPath(folderOf(run.id), RECORD), JSON.stringify(run));
  channel.postMessage(run.id);
}

export async function readRun(id: string): Promise<RunRecord> {
  return (await readJson(joinPath(folderOf(id), RECORD))) as RunRecord;
}

/** All runs, the newest first. What was training when no tab is, was interrupted. */
export async function listRuns(): Promise<RunRecord[]> {
  const ids = (await exists(FOLDER)) ? (await listDirectory(FOLDER)).toSorted().toReversed() : [];
  const { held = [] } = await navigator.locks.query();
  const isHeld = held.some(({ name, mode }) => name === TRAINING_LOCK && mode === "exclusive");
  const runs: RunRecord[] = [];
  for (const id of ids) {
    // A tab that went away between making the folder and writing into it leaves nothing that is worth keeping.
    const run = await readRun(id).catch(() => null);
    if (run === null) continue;
    if (isUnderWay(run)) run.state = isHeld ? "elsewhere" : "interrupted";
    runs.push(run);
  }
  return runs;
}

export async function forgetRun(id: string): Promise<void> {
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
