/** The run directory: its record, what shows it, and the trained tensors. */

import { exists, joinPath, writeFileAtomic, writeFiles } from "#platform";
import { printClassic } from "../classic/file.ts";
import { CLASSIC } from "../classic/parts.ts";
import { checkVersion } from "../core/checks.ts";
import { ConfigError, DataError, LowrankError, nameList } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { TrainingData } from "../data/training-data.ts";
import { readJson } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import { isMarked, ownFiles, readMarker, refuseOutput, removeFolder, sumFiles, writeFolder } from "../io/marker.ts";
import { pickSizes } from "../io/peft/adapter-meta.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { type AdapterFiles, adapterFiles } from "../io/peft/peft-write.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { FileContent } from "../platform/reader.ts";
import { FORMAT, failed, RECORD, type RunRecord, VERSION } from "../record/record.ts";
import type { ClassicResult } from "../train/linear.ts";
import { knownBase, ofMode, resolveOptions } from "../train/options.ts";
import type { RunFailed, TrainResult } from "../train/records.ts";
import { settingsToKeep } from "../train/settings.ts";
import { parseRecord } from "./check-record.ts";
import { checkpointFiles, removeCheckpoints } from "./checkpoint.ts";

/** A run's directory is known by its record, and has checkpoints beside what that lists. */
export const RUN = { name: RECORD, format: FORMAT, version: VERSION, unlisted: checkpointFiles };

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
  if (!isMarked(json, RUN)) {
    const { format, version } = (json ?? {}) as Partial<RunRecord>;
    if (format === FORMAT) checkVersion("the run", version, VERSION, path);
    refuse(`a ${RECORD} of another format`);
  }
  return parseRecord(json as object, path);
}

/**
 * Makes the directory of a new run, with its record. It is its own lock: throws ConfigError if another process has
 * begun a run there.
 */
export async function beginRun(directory: string, record: RunRecord): Promise<void> {
  // When the run ends, a page that was published anew, or another build, has none of that name.
  await views();
  await writeFolder(directory, new Map([[RECORD, printRecord(record)]]), RUN, false).catch((cause) => {
    if ((cause as Partial<LowrankError>).code !== "files-in-the-way") throw cause;
    throw new ConfigError("used-by-another-process", "another run has begun in this directory", {
      where: directory,
      hint: `choose another output directory; if the other run was killed, resume it: ${setting("resume", directory)}`,
      cause,
    });
  });
}

export async function writeRecord(directory: string, record: RunRecord): Promise<void> {
  await writeFileAtomic(joinPath(directory, RECORD), printRecord(record));
}

/** A line for each entry: a test set has thousands of verdicts. */
function printRecord(record: RunRecord): string {
  const lines = Object.entries(record).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n}\n`;
}

/** The trained tensors with the metadata that is needed to use them. */
export function buildAdapter(
  record: Pick<
    RunRecord,
    | "model"
    | "base"
    | "vocabulary"
    | "labels"
    | "maxLength"
    | "padTo"
    | "pairs"
    | "chat"
    | "results"
    | "settings"
    | "objective"
  >,
  spec: ModelSpec,
  { tensors, counts }: Pick<TrainResult, "tensors" | "counts">,
): Adapter {
  const { temperature, threshold, positive, thresholds } = record.results?.decision ?? {};
  const { objective, settings } = record;
  const defaults = resolveOptions({ mode: spec.mode }, objective, knownBase(spec));
  const training = ofMode(settingsToKeep({ ...defaults, ...settings }, defaults), spec.mode);
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
        ...(record.chat === undefined ? {} : { chat: record.chat }),
        ...(record.vocabulary === undefined ? {} : { vocabulary: record.vocabulary }),
        ...(spec.dtype === undefined || spec.dtype === "f32" ? {} : { dtype: spec.dtype }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(threshold === undefined ? {} : { threshold, positive }),
        ...(thresholds === undefined ? {} : { thresholds }),
        ...(Object.keys(training).length > 0 ? { training } : {}),
      },
    },
    tensors,
    ...(counts && { counts }),
  };
}

/** The folder of what was trained where a probe answers in its place, being in adapter/. */
export const TUNED = "tuned";

/** The probe that answers in place of a run; what was chosen for the run, such as a threshold, is not its own. */
export const buildProbe = (record: RunRecord, { spec, ...learned }: NonNullable<TrainResult["probe"]>): Adapter =>
  buildAdapter({ ...record, results: null }, spec, learned);

/** What answers for a run: what was trained, or the probe. */
export const buildServed = (record: RunRecord, result: TrainResult): Adapter =>
  result.probe ? buildProbe(record, result.probe) : buildAdapter(record, result.spec, result);

/** The files of a run directory, and the record among them. */
export interface RunContents {
  files: Map<string, FileContent>;
  record: RunRecord;
}

/** The files that show a run. Loaded when there is one: a page that only classifies has none. */
const views = async () => (await import("../views/run-report.ts")).runFiles;

/** The file of a fold's run that has what it says of its rows. */
export const PREDICTED = "predicted.json";

function foldFiles({ data }: RunRecord, { predicted }: TrainResult): [name: string, content: string][] {
  if (data.fold === undefined || !predicted) return [];
  const { values, probabilities } = predicted;
  const plain = { values: Array.from(values), ...(probabilities && { probabilities: Array.from(probabilities) }) };
  return [[PREDICTED, JSON.stringify(plain)]];
}

/** The files of a run that has ended. `data`: what shows the run has some of it; null: nothing shows it. */
export async function runContents(
  record: RunRecord,
  result: TrainResult,
  data: TrainingData | null,
): Promise<RunContents> {
  const { spec, finalNorm } = result;
  const trained = await adapterFiles(buildAdapter(record, spec, result), { finalNorm });
  const adapter = result.probe ? await adapterFiles(buildProbe(record, result.probe)) : trained;
  const known = { ...record, peftObstacle: adapter.reason ?? null };
  const classic = result.classic && printClassic(result.classic.parts);
  const about = [
    ...(data ? [...(await views())(known, result, data), ...foldFiles(record, result)] : []),
    ...(classic ? [[CLASSIC, classic] as const] : []),
    ...[...(result.probe ? trained.files : [])].map(([name, content]) => [`${TUNED}/${name}`, content] as const),
  ];
  return listFiles(known, about, adapter);
}

/** The files of a run that has trained a classic model alone. Throws DataError if it is too large to be read again. */
export async function classicContents(
  record: RunRecord,
  result: ClassicResult,
  data: TrainingData,
): Promise<RunContents> {
  const printed = printClassic(result.classic.parts);
  if (printed === null)
    throw new DataError("exceeds-limit", "the model is too large to be saved", {
      expected: `at most ${LIMITS.classic} bytes`,
      hint: `train on fewer rows: ${setting("trainRows")}`,
    });
  const known = { ...record, peftObstacle: "it has no adapter" };
  return listFiles(known, [...(await views())(known, result, data), [CLASSIC, printed]]);
}

/** The files of a failed run: its settings, the error, and the last good trained tensors. */
export async function failedContents(record: RunRecord, error: RunFailed): Promise<RunContents> {
  const { spec, finalNorm } = error.contents;
  const adapter = await adapterFiles(buildAdapter(record, spec, error.contents), { finalNorm });
  return listFiles(failed(record, error), [], adapter);
}

async function listFiles(
  { pending: _, ...record }: RunRecord,
  about: readonly (readonly [name: string, content: FileContent])[],
  adapter?: AdapterFiles,
): Promise<RunContents> {
  const files = new Map<string, FileContent>(about);
  for (const [name, content] of adapter?.files ?? []) files.set(`adapter/${name}`, content);
  const weights = [...files].filter(([name]) => name.endsWith(".safetensors"));
  const saved = weights.reduce((sum, [, content]) => sum + (content as Uint8Array).length, 0);
  const sums = await sumFiles(new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1))));
  const whole = { ...record, files: sums, saved, ...(adapter && { peftObstacle: adapter.reason ?? null }) };
  return { files: files.set(RECORD, printRecord(whole)), record: whole };
}

/**
 * Writes what a run leaves into its own directory, run.json last: until then the run can be resumed. Its checkpoints go
 * then, unless it was interrupted. Throws LowrankError if somebody has put a file there that has the name of a new one.
 */
export async function endRun(
  directory: string,
  { files, record }: RunContents,
  keepCheckpoints: boolean,
): Promise<void> {
  const begun = await readRecord(directory).catch((cause: Error) => {
    throw new LowrankError("write-failed", "the run's directory is not there any more", {
      where: directory,
      found: cause.message.split("\n")[0]!,
      cause,
    });
  });
  // By another process that has resumed it, with the same bits.
  if (begun.state === "finished") return;
  const before = await ownFiles(directory, RUN);
  const inTheWay: string[] = [];
  for (const name of files.keys())
    if (!before.has(name) && (await exists(joinPath(directory, name)))) inTheWay.push(name);
  if (inTheWay.length > 0)
    throw new LowrankError("files-in-the-way", "other files are in the way", {
      where: directory,
      expected: "no other files with the names of the run's",
      found: nameList(inTheWay),
      hint: `move them, and resume the run: ${setting("resume", directory)}`,
    });
  for (const name of [RECORD, ...(await checkpointFiles(directory))]) before.delete(name);
  // It names what is about to be written: after a kill both the old files and the new ones are known as the run's.
  const there = Object.fromEntries(before) as RunRecord["files"];
  await writeRecord(directory, { ...begun, files: there, pending: record.files });
  await writeFiles(directory, files, [...before.keys()]);
  if (!keepCheckpoints) await removeCheckpoints(directory);
}

/** How a run in an output directory is described. */
const FOUND: Record<RunRecord["state"], string> = {
  finished: "a finished run",
  failed: "a run that has failed",
  stopped: "an interrupted run",
  training: "a run that is being trained, or was killed",
};

/** `refuseOutput` for a run. */
export const refuseExisting = (
  directory: string,
  force: boolean,
  howToForce = `give ${setting("force")} to replace it when the new run is finished`,
): Promise<boolean> =>
  refuseOutput(directory, force, RUN, (marked) => {
    const { state } = marked as RunRecord;
    const isOver = state === "finished" || state === "failed";
    const resume = isOver ? "" : `resume it with ${setting("resume", directory)}, `;
    return { found: FOUND[state], hint: `${resume}choose another output directory, or ${howToForce}` };
  });

/** Deletes a run's files, and then its directory if it is empty. */
export async function removeRun(directory: string): Promise<void> {
  if (await readMarker(directory, RUN)) await removeCheckpoints(directory);
  await removeFolder(directory, RUN);
}
