/** A sweep on disk: a run directory of each trial; collecting shards. */

import { exists, joinPath, listDirectory, remove, writeFileAtomic } from "#platform";
import type { DeviceInfo } from "../backend/backend.ts";
import { ConfigError } from "../errors.ts";
import { readRecord, writeRun } from "../run/directory.ts";
import { readOwnFiles } from "../run/files.ts";
import { RECORD, type RunRecord, type TrialName } from "../run/record.ts";
import type { Results } from "../tasks/task.ts";
import { lowestLoss } from "../train/best.ts";
import { type Cell, matchesTrial, type Trial } from "./grid.ts";

/** The record of a finished trial. */
export interface TrialRecord extends RunRecord {
  trial: TrialName;
  device: DeviceInfo;
  results: Results;
}

/** The folder of a study's trials. */
export const TRIALS = "trials";

export function trialDirectory(out: string, { name }: Pick<Trial, "name">): string {
  return joinPath(out, TRIALS, name);
}

/** Names that start with a dot are incomplete directories of a killed process. */
const isIncomplete = (name: string) => name.startsWith(".");

/**
 * The record of a trial that has begun, or null. The key and the options are checked: a default may have changed since.
 */
export async function readBegun(out: string, trial: Trial): Promise<RunRecord | null> {
  const record = await readIfRun(trialDirectory(out, trial));
  return record?.trial?.key === trial.key && matchesTrial(record.options, trial) ? record : null;
}

/** The record of a finished trial, or null. */
export async function readFinished(out: string, trial: Trial): Promise<TrialRecord | null> {
  const record = await readBegun(out, trial);
  return record && isFinished(record) ? record : null;
}

async function readIfRun(directory: string): Promise<RunRecord | null> {
  return (await exists(joinPath(directory, RECORD))) ? readRecord(directory) : null;
}

export const isFinished = (record: RunRecord): record is TrialRecord => record.state === "finished";

/** A cell, and its finished trials. */
export interface FinishedCell extends Cell {
  /** The index of its learning rate; undefined while trials of the choice are missing, and if all of them failed. */
  chosen: number | undefined;
  /** The trials without which the learning rate cannot be chosen: neither finished nor failed. */
  missing: Trial[];
  /** The first seed's trial at each rate; null where it is not finished. */
  tried: (TrialRecord | null)[];
  /** The finished trials at the chosen rate, by seed. */
  trials: TrialRecord[];
}

/** Reads a cell's trials and chooses its learning rate: the best on the validation set with the first seed. */
export async function readCell(out: string, cell: Cell): Promise<FinishedCell> {
  const { rates } = cell;
  const read = (trials: readonly Trial[]) => Promise.all(trials.map((trial) => readFinished(out, trial)));
  const tried = await read(rates.map(([first]) => first!));
  const missing: Trial[] = [];
  for (const [i, [first]] of rates.entries())
    if (rates.length > 1 && !tried[i] && !(await exists(errorPath(out, first!)))) missing.push(first!);
  const finished = tried.filter((trial) => trial !== null);
  const best = lowestLoss(finished, ({ results }) => results.after.val.loss);
  const only = rates.length === 1 ? 0 : undefined;
  const chosen = only ?? (best && missing.length === 0 ? tried.indexOf(best) : undefined);
  const trials = chosen === undefined ? [] : (await read(rates[chosen]!)).filter((trial) => trial !== null);
  return { ...cell, chosen, missing, tried, trials };
}

function errorPath(out: string, { name }: Pick<Trial, "name">): string {
  return joinPath(out, TRIALS, `${name}.error.txt`);
}

export async function keepError(out: string, trial: Trial, message: string): Promise<void> {
  await writeFileAtomic(errorPath(out, trial), `${message}\n`);
}

export async function forgetError(out: string, trial: Pick<Trial, "name">): Promise<void> {
  await remove(errorPath(out, trial));
}

const PARTS = "parts";

const fileOfPart = (part: string) => part.replace("/", "-of-");

/** Notes that the directory has trials of this part "i/n". */
export async function keepPart(out: string, part: string): Promise<void> {
  await writeFileAtomic(joinPath(out, PARTS, fileOfPart(part)), "");
}

/** The number of parts of the division that the directories are of; undefined if they are of none, or of several. */
export async function partCount(folders: readonly string[]): Promise<number | undefined> {
  const counts = new Set<number>();
  for (const folder of folders.map((one) => joinPath(one, PARTS))) {
    if (!(await exists(folder))) continue;
    for (const name of await listDirectory(folder)) {
      const [, count] = /^\d+-of-(\d+)$/.exec(name) ?? [];
      if (count) counts.add(Number(count));
    }
  }
  return counts.size === 1 ? [...counts][0] : undefined;
}

/** Copies finished trials of other sweep directories into `out`; returns their number. */
export async function collect(out: string, folders: readonly string[]): Promise<number> {
  let copied = 0;
  for (const folder of folders) {
    const from = joinPath(folder, TRIALS);
    if (!(await exists(from)))
      throw new ConfigError("not-a-sweep-directory", "not a sweep directory", {
        where: folder,
        expected: `a directory with a ${TRIALS} folder`,
      });
    for (const name of (await listDirectory(from)).filter((entry) => !isIncomplete(entry))) {
      const source = joinPath(from, name);
      const target = joinPath(out, TRIALS, name);
      const [found, present] = [await readIfRun(source), await readIfRun(target)];
      if (!found || !isFinished(found) || (present && isFinished(present))) continue;
      await writeRun(target, await readOwnFiles(source), present !== null);
      copied++;
    }
  }
  return copied;
}
