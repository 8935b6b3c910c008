/** A sweep on disk: a run directory of each trial; collecting shards. */

import { exists, joinPath, listDirectory, remove, writeFileAtomic } from "#platform";
import type { DeviceInfo } from "../backend/backend.ts";
import { ConfigError } from "../core/errors.ts";
import { readFolder, readMarker, writeFolder } from "../io/marker.ts";
import { TRIALS } from "../io/peft/open-adapter.ts";
import { RECORD, type RunRecord, type TrialName } from "../record/record.ts";
import { RUN, readRecord } from "../run/directory.ts";
import type { Columns } from "../tasks/compare.ts";
import type { Evaluation, Splits } from "../tasks/evaluation.ts";
import type { Results } from "../tasks/task.ts";
import { lowestLoss } from "../train/best.ts";
import { type Cell, matchesTrial, type Trial } from "./grid.ts";

/** The part of a finished trial's record that is compared. */
export interface TrialRecord
  extends Pick<
    RunRecord,
    "objective" | "unequal" | "options" | "trainable" | "memory" | "flops" | "saved" | "seconds" | "examples" | "folds"
  > {
  trial: TrialName;
  device: DeviceInfo;
  /** At least the last one. */
  evaluations: RunRecord["evaluations"];
  results: {
    before: Splits<Evaluation>;
    after: Splits<Evaluation>;
    val?: Columns | undefined;
    test: Pick<Results["test"], "compared" | "rows" | "details">;
  };
}

/** Trials have a validation and a test set. */
export const isFinished = (record: RunRecord): record is RunRecord & TrialRecord => record.state === "finished";

export function trialDirectory(out: string, { name }: Pick<Trial, "name">): string {
  return joinPath(out, TRIALS, name);
}

/** Names that start with a dot are incomplete directories of a killed process. */
const isIncomplete = (name: string) => name.startsWith(".");

/**
 * The record of a trial that has begun, or null. The key and the options are checked: a default may have changed since.
 */
export async function readBegun(out: string, trial: Trial): Promise<RunRecord | null> {
  const directory = trialDirectory(out, trial);
  const record = (await exists(joinPath(directory, RECORD))) ? await readRecord(directory) : null;
  return record?.trial?.key === trial.key && matchesTrial(record.options, trial) ? record : null;
}

/** The record of a finished trial, or null. */
export async function readFinished(out: string, trial: Trial): Promise<(RunRecord & TrialRecord) | null> {
  const record = await readBegun(out, trial);
  return record && isFinished(record) ? record : null;
}

/**
 * A record without the curve, texts and long lists, and with the answers in few bytes: thousands of whole ones would
 * take gigabytes.
 */
function keepCompared(record: TrialRecord): TrialRecord {
  const { objective, unequal, options, trainable, memory, flops, saved, seconds, examples, trial, device } = record;
  const { before, after, val, test } = record.results;
  const { compared, details } = test;
  // In 8 bytes each only while they are compared.
  const [ofVal, ofTest] = [val && packColumns(val), packColumns(test.rows)];
  return {
    objective,
    unequal,
    options,
    trainable,
    memory,
    flops,
    saved,
    seconds,
    examples,
    trial,
    device,
    evaluations: record.evaluations.slice(-1),
    results: {
      before,
      after,
      get val() {
        return ofVal?.();
      },
      test: {
        compared,
        details: Object.fromEntries(Object.entries(details).filter(([, value]) => typeof value !== "object")),
        get rows() {
          return ofTest();
        },
      },
    },
  };
}

type Packed = Uint8Array | Uint16Array | Float64Array;

/** Gives columns that take a byte or two an entry, if that is enough for them. */
function packColumns(columns: Columns): () => Columns {
  const packed = Object.entries(columns).map(([name, values]) => [name, pack(values)] as const);
  return () => Object.fromEntries(packed.map(([name, values]) => [name, unpack(values)]));
}

/** Classes and counts take a byte or two. */
function pack(values: readonly number[]): Packed {
  const fit = [Uint8Array, Uint16Array].map((Kind) => Kind.from(values));
  return fit.find((packed) => packed.every((value, i) => value === values[i])) ?? Float64Array.from(values);
}

/** `Array.from` takes ten times as long. */
function unpack(packed: Packed): number[] {
  const values = new Array<number>(packed.length);
  for (let i = 0; i < packed.length; i++) values[i] = packed[i]!;
  return values;
}

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

/** What is compared of finished trials that were read before, by directory: they do not change any more. */
export type ReadTrials = Map<string, TrialRecord>;

export function readFinishedCells(
  out: string,
  cells: readonly Cell[],
  known: ReadTrials = new Map(),
): Promise<FinishedCell[]> {
  return mapSome(cells, (cell) => readCell(out, cell, known));
}

/** Reads a cell's trials and chooses its learning rate: the best on the validation set with the first seed. */
async function readCell(out: string, cell: Cell, known: ReadTrials): Promise<FinishedCell> {
  const { rates } = cell;
  const read = (trials: readonly Trial[]) => mapSome(trials, (trial) => readCompared(out, trial, known));
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

async function readCompared(out: string, trial: Trial, known: ReadTrials): Promise<TrialRecord | null> {
  const directory = trialDirectory(out, trial);
  const before = known.get(directory);
  if (before?.trial.key === trial.key) return before;
  const record = await readFinished(out, trial);
  const compared = record && keepCompared(record);
  if (compared) known.set(directory, compared);
  return compared;
}

/** Trials that are read or copied at the same time: of thousands at once a process could not open all files. */
const AT_ONCE = 4;

async function mapSome<T, R>(list: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(list.length);
  // The loops share a generator: an error in one of them ends it for all.
  const next = (function* () {
    yield* list.entries();
  })();
  const loops = Array.from({ length: AT_ONCE }, async () => {
    for (const [i, item] of next) results[i] = await work(item);
  });
  await Promise.all(loops);
  return results;
}

function errorPath(out: string, { name }: Pick<Trial, "name">): string {
  return joinPath(out, TRIALS, `${name}.error.txt`);
}

/** Writes why a trial has failed; null: removes that. */
export async function keepError(out: string, trial: Trial, error: Error | null): Promise<void> {
  const path = errorPath(out, trial);
  await (error ? writeFileAtomic(path, `${error.message}\n`) : remove(path));
}

/** Copies finished trials of other sweep directories into `out`; returns their number. */
export async function collect(out: string, folders: readonly string[]): Promise<number> {
  const to = joinPath(out, TRIALS);
  let copied = 0;
  for (const folder of folders) {
    const from = joinPath(folder, TRIALS);
    if (!(await exists(from)))
      throw new ConfigError("not-a-sweep-directory", "not a sweep directory", {
        where: folder,
        expected: `a directory with a ${TRIALS} folder`,
      });
    const names = (await listDirectory(from)).filter((entry) => !isIncomplete(entry));
    const present = new Set((await exists(to)) ? await listDirectory(to) : []);
    // Read once: a folder of thousands for each of them would take longer than copying.
    const left = [...present].filter(isIncomplete);
    const areCopied = await mapSome(names, async (name) => {
      const [source, target] = [joinPath(from, name), joinPath(to, name)];
      if ((await readMarker(source, RUN))?.state !== "finished") return false;
      const there = present.has(name) ? await readMarker(target, RUN) : undefined;
      if (there?.state === "finished") return false;
      await writeFolder(target, await readFolder(source, RUN), RUN, there !== undefined, left);
      return true;
    });
    copied += areCopied.filter(Boolean).length;
  }
  return copied;
}
