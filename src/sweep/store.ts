/** A sweep on disk: one run directory per trial, written atomically; a lock; collecting shards. */
import { exists, joinPath, listDirectory, openFile, readBytes, remove, withLock, writeFileAtomic } from "#platform";
import type { Evaluation, TextLosses } from "../engine/evaluate.ts";
import { ConfigError } from "../errors.ts";
import { readJson } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import { recover } from "../io/recover.ts";
import type { Check } from "../platform/reader.ts";
import { writeDirectoryAtomic } from "../platform/replacing.ts";
import { LISTED_CLASSES } from "../report/statistics.ts";
import { lastCheckpoint } from "../run/checkpoint.ts";
import { readRunConfig } from "../run/directory.ts";
import { ownFiles, replaceable } from "../run/files.ts";
import type { TrainOptions } from "../train/options.ts";
import {
  type Checkpoint,
  type EvaluationRecord,
  lowestLoss,
  memoryOf,
  type Splits,
  type TrainResult,
} from "../train/records.ts";
import { type Cell, isTrialOf, type Trial } from "./grid.ts";

/** The results of a finished trial, for the report: result.json in its run directory. */
export interface TrialResult {
  name: string;
  key: string;
  model: string;
  options: TrainOptions;
  device: string;
  trainable: number;
  /** See `TrainResult`. */
  flops: number;
  /** See `memoryOf`. */
  memory: number;
  /** Bytes of the files of trained tensors in the run's adapter/ directory; undefined before they are there. */
  saved?: number | undefined;
  seconds: number;
  examples: number;
  before: Splits<Evaluation>;
  after: Splits<Evaluation>;
  evaluations: EvaluationRecord[];
  /** Of a language model: its losses on the texts of the test set. */
  texts?: TextLosses;
  /** The predicted class and its probability, for each row of the test set; empty for a language model. */
  predicted: number[];
  probability: number[];
  /** The probability of each class, for each row of the test set; null with more than `LISTED_CLASSES` classes. */
  probabilities: number[][] | null;
}

const TRIALS = "trials";
const RESULT = "result.json";

export function trialDirectory(out: string, { name }: Pick<Trial, "name">): string {
  return joinPath(out, TRIALS, name);
}

/** The result of a finished trial, or null. The key and the options are checked: a default may have changed since. */
export async function readResult(out: string, trial: Trial): Promise<TrialResult | null> {
  const path = joinPath(trialDirectory(out, trial), RESULT);
  if (!(await exists(path))) return null;
  const result = (await readJson(path, LIMITS.ownJson)) as TrialResult;
  // Older versions stored only the probabilities of all classes.
  result.probability ??= result.predicted.map((label, row) => result.probabilities![row]![label]!);
  if (result.key !== trial.key || !isTrialOf(result.options, trial)) return null;
  return { ...result, saved: await savedBytes(joinPath(trialDirectory(out, trial), "adapter")) };
}

async function savedBytes(directory: string): Promise<number | undefined> {
  if (!(await exists(directory))) return undefined;
  let bytes = 0;
  for (const name of (await listDirectory(directory)).filter((one) => one.endsWith(".safetensors"))) {
    const file = await openFile(joinPath(directory, name));
    bytes += file.size;
    await file.close();
  }
  return bytes;
}

/** A cell, and its results so far. */
export interface FinishedCell extends Cell {
  /** The index of its learning rate; undefined while trials of the choice are missing, and if all of them failed. */
  chosen: number | undefined;
  /** The trials without which the learning rate cannot be chosen: neither finished nor failed. */
  missing: Trial[];
  /** The first seed's result at each rate; null where there is none. */
  tried: (TrialResult | null)[];
  /** The results at the chosen rate, by seed. */
  results: TrialResult[];
}

/** Reads a cell's results and chooses its learning rate: the best on the validation set with the first seed. */
export async function readCell(out: string, cell: Cell): Promise<FinishedCell> {
  const { rates } = cell;
  const read = (trials: readonly Trial[]) => Promise.all(trials.map((trial) => readResult(out, trial)));
  const tried = await read(rates.map(([first]) => first!));
  const missing: Trial[] = [];
  for (const [i, [first]] of rates.entries())
    if (rates.length > 1 && !tried[i] && !(await exists(errorPath(out, first!)))) missing.push(first!);
  const finished = tried.filter((result) => result !== null);
  const best = lowestLoss(finished, ({ after }) => after.val.loss);
  const only = rates.length === 1 ? 0 : undefined;
  const chosen = only ?? (best && missing.length === 0 ? tried.indexOf(best) : undefined);
  const results = chosen === undefined ? [] : (await read(rates[chosen]!)).filter((result) => result !== null);
  return { ...cell, chosen, missing, tried, results };
}

/** The last checkpoint of a trial that was started with these settings; undefined if none can be read. */
export async function readBegun(out: string, trial: Trial): Promise<Checkpoint | undefined> {
  const directory = trialDirectory(out, trial);
  const config = await readRunConfig(directory).catch(() => null);
  return config && isTrialOf(config.options, trial) ? lastCheckpoint(directory).catch(() => undefined) : undefined;
}

/** The results of a finished run, for the report; null if it was stopped before the final evaluation. */
export function resultOf(
  { name, key, model }: Pick<Trial, "name" | "key" | "model">,
  result: TrainResult,
): TrialResult | null {
  const { before, after } = result;
  if (!before || !after) return null;
  return {
    name,
    key,
    model,
    options: result.options,
    device: result.device.name,
    trainable: result.trainable,
    flops: result.flops,
    memory: memoryOf(result),
    seconds: result.seconds,
    examples: result.steps.at(-1)?.examples ?? 0,
    before,
    after,
    evaluations: result.evaluations,
    ...(result.texts ? { texts: result.texts } : {}),
    predicted: result.predictions.map(({ label }) => label),
    probability: result.predictions.map(({ probability }) => probability),
    probabilities:
      result.spec.task.num_labels > LISTED_CLASSES
        ? null
        : result.predictions.map(({ probabilities }) => [...probabilities]),
  };
}

/** The additional file in a trial's run directory. */
export function resultFile(result: TrialResult): [string, string] {
  return [RESULT, `${JSON.stringify(result)}\n`];
}

function errorPath(out: string, { name }: Trial): string {
  return joinPath(out, TRIALS, `${name}.error.txt`);
}

export async function keepError(out: string, trial: Trial, message: string): Promise<void> {
  await writeFileAtomic(errorPath(out, trial), `${message}\n`);
}

export async function forgetError(out: string, trial: Trial): Promise<void> {
  await remove(errorPath(out, trial));
}

/** Runs `work` with exclusive access to the directory, or to its part "i/n". Throws ConfigError if another process holds the lock. */
export async function locked<T>(out: string, part: string, work: (check: Check) => Promise<T>): Promise<T> {
  return withLock(joinPath(out, part ? fileOfPart(part) : "sweep"), work, (owner) => {
    const found = owner === undefined ? {} : { found: owner };
    if (part)
      throw new ConfigError(`another process is running part ${part} of this sweep`, {
        where: out,
        expected: "one process per part",
        ...found,
        hint: "give each process its own part; of a job array, /n takes it from the environment",
      });
    throw new ConfigError("another sweep is using this directory", {
      where: out,
      expected: "one sweep, or one process per shard",
      ...found,
      hint: "wait for it to finish, or choose another --out",
    });
  });
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

/** Copies the finished trials of other sweep directories into `out`. Returns their number. Throws the errors of `check`. */
export async function collect(out: string, folders: readonly string[], check: Check): Promise<number> {
  let copied = 0;
  for (const folder of folders) {
    const from = joinPath(folder, TRIALS);
    if (!(await exists(from)))
      throw new ConfigError("not a sweep directory", {
        where: folder,
        expected: `a directory with a ${TRIALS} folder`,
      });
    // Names that start with a dot are incomplete directories of a killed process.
    for (const name of (await listDirectory(from)).filter((entry) => !entry.startsWith("."))) {
      const source = joinPath(from, name);
      const target = joinPath(out, TRIALS, name);
      await recover(source);
      if (!(await exists(joinPath(source, RESULT))) || (await exists(joinPath(target, RESULT)))) continue;
      const files = new Map<string, Uint8Array>();
      for (const file of await ownFiles(source))
        if (await exists(joinPath(source, file))) files.set(file, await readBytes(joinPath(source, file)));
      await withLock(target, async () =>
        writeDirectoryAtomic(target, files, { own: await replaceable(target, true), check }),
      );
      copied++;
    }
  }
  return copied;
}
