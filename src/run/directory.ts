/** The run directory: its record, tables, the plan and the trained tensors. */

import { exists, joinPath, writeFileAtomic } from "#platform";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { pickSizes, type Reference } from "../io/adapter-meta.ts";
import { readJson } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import type { Adapter } from "../io/peft.ts";
import { type AdapterFiles, adapterFiles } from "../io/peft-write.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { printProgram } from "../plan/print.ts";
import type { Check, FileContent } from "../platform/reader.ts";
import { writeDirectoryAtomic } from "../platform/replacing.ts";
import type { Checkpoint, RunFailed, TrainResult } from "../train/records.ts";
import { checkpointFiles, keepCheckpoint } from "./checkpoint.ts";
import { isRunRecord, RUN_FILES, readOwnFiles, replaceable } from "./files.ts";
import { failed, RECORD, type RunRecord } from "./record.ts";

/** Reads the record of a run directory. Throws ConfigError if there is none. */
export async function readRecord(directory: string): Promise<RunRecord> {
  const path = joinPath(directory, RECORD);
  const refuse = (found: string): never => {
    throw new ConfigError("not-a-run-directory", "not a run directory", {
      where: directory,
      expected: `a ${RECORD} written by train`,
      found,
    });
  };
  if (!(await exists(path))) refuse((await exists(directory)) ? `no ${RECORD}` : "no such directory");
  const json = await readJson(path, LIMITS.ownJson);
  if (!isRunRecord(json)) refuse(`a ${RECORD} of another format`);
  const { parseRecord } = await import("./check-record.ts");
  return parseRecord(json as object, path);
}

/** Writes the record of a run in progress. */
export async function writeRecord(directory: string, record: RunRecord, check?: Check): Promise<void> {
  await writeFileAtomic(joinPath(directory, RECORD), showRecord(record), check);
}

/** Writes the record of a run and a checkpoint; the record first, as it marks the directory as a run's. */
export async function keepProgress(
  directory: string,
  record: RunRecord,
  checkpoint: Checkpoint,
  check?: Check,
): Promise<void> {
  await writeRecord(directory, record, check);
  await keepCheckpoint(directory, checkpoint, check);
}

/** A line for each entry: a test set has thousands of verdicts. */
function showRecord(record: RunRecord): string {
  const lines = Object.entries(record).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n}\n`;
}

/** The trained tensors with the metadata that is needed to use them. */
export function buildAdapter(
  record: Pick<RunRecord, "model" | "base" | "vocabulary" | "labels" | "maxLength" | "padTo" | "pairs" | "results">,
  spec: ModelSpec,
  tensors: TrainResult["tensors"],
  reference?: Reference,
): Adapter {
  const { temperature, threshold, positive } = record.results?.decision ?? {};
  const thresholds = record.results?.multiLabel?.labels.map((label) => label.threshold);
  return {
    meta: {
      base_model: record.model,
      base_fingerprint: record.base,
      model: spec.config,
      mode: spec.mode,
      lora: spec.lora,
      task: spec.task,
      ...pickSizes(spec),
      labels: [...record.labels],
      settings: {
        maxLength: record.maxLength,
        padTo: record.padTo,
        ...(record.pairs === undefined ? {} : { pairs: record.pairs }),
        ...(record.vocabulary === undefined ? {} : { vocabulary: record.vocabulary }),
        ...(spec.dtype === undefined || spec.dtype === "f32" ? {} : { dtype: spec.dtype }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(threshold === undefined ? {} : { threshold, positive }),
        ...(thresholds === undefined ? {} : { thresholds }),
      },
    },
    tensors,
    reference,
  };
}

/** The files of a run directory, and the record among them. */
export interface RunContents {
  files: Map<string, FileContent>;
  record: RunRecord;
}

/** Makes the files that show a run that has ended: tables and charts. */
export type RunViews = (
  record: RunRecord,
  result: TrainResult,
  data: TrainingData,
) => Iterable<[name: string, content: FileContent]>;

/** The files of a run that has ended. */
export function runContents(record: RunRecord, result: TrainResult, data: TrainingData, views: RunViews): RunContents {
  const { spec, tensors, finalNorm, reference } = result;
  const adapter = adapterFiles(buildAdapter(record, spec, tensors, reference), { finalNorm });
  const about = [...views(record, result, data), ["plan.txt", printProgram(result.plan)] as const];
  return listFiles(record, about, adapter);
}

/** How a run is saved. */
export interface Saving {
  /** Whether an existing run with results is replaced. */
  replace?: boolean;
  /** Whether the run's checkpoints stay: it has been interrupted. */
  keepCheckpoints?: boolean;
  /** Throws if another process has taken over the directory. */
  check?: Check | undefined;
}

/** Writes a failed run: its settings, the error, and the last good trained tensors. */
export async function saveFailedRun(
  directory: string,
  record: RunRecord,
  error: RunFailed,
  saving: Saving = {},
): Promise<RunRecord> {
  const { spec, tensors, finalNorm } = error.contents;
  const adapter = adapterFiles(buildAdapter(record, spec, tensors), { finalNorm });
  const contents = listFiles(failed(record, error), [], adapter);
  await writeRun(directory, contents.files, saving);
  return contents.record;
}

/** Copies the files of a finished run into another directory, under another record of it and with more tables. */
export async function copyRun(
  [from, to]: readonly [from: string, to: string],
  record: RunRecord,
  tables: readonly (readonly [name: string, content: FileContent])[],
  saving: Saving,
): Promise<RunRecord> {
  const files = new Map<string, FileContent>([...(await readOwnFiles(from)), ...tables]);
  const whole = { ...record, files: [...files.keys()].sort() };
  await writeRun(to, files.set(RECORD, showRecord(whole)), saving);
  return whole;
}

function listFiles(
  record: RunRecord,
  about: readonly (readonly [name: string, content: FileContent])[],
  adapter: AdapterFiles,
): RunContents {
  const files = new Map<string, FileContent>(about);
  for (const [name, content] of adapter.files) files.set(`adapter/${name}`, content);
  const names = [RECORD, ...files.keys()].sort();
  const unknown = names.filter((name) => !RUN_FILES.includes(name));
  if (unknown.length > 0) throw new Error(`not listed in RUN_FILES: ${unknown.join(", ")}`);
  const weights = [...files].filter(([name]) => name.endsWith(".safetensors"));
  const saved = weights.reduce((sum, [, content]) => sum + (content as Uint8Array).length, 0);
  const whole = { ...record, files: names, saved, peftObstacle: adapter.reason ?? null };
  return { files: files.set(RECORD, showRecord(whole)), record: whole };
}

/** Writes the files of a run, atomically. Files that do not belong to a run are not touched. */
export async function writeRun(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  { replace = true, keepCheckpoints = false, check }: Saving = {},
): Promise<void> {
  const kept = keepCheckpoints ? await checkpointFiles(directory) : [];
  const own = (await replaceable(directory, replace)).filter((name) => !kept.includes(name));
  await writeDirectoryAtomic(directory, files, { own, ...(check ? { check } : {}) });
}
