/** The files that a run is made of, in its folder: it can be resumed after a reload, and elsewhere after a download. */

import { exists, joinPath, linkFile, remove, writeDirectory } from "#platform";
import { ConfigError } from "../../../core/errors.ts";
import { digestData } from "../../../data/digest.ts";
import type { TrainingData } from "../../../data/training-data.ts";
import { fingerprint } from "../../../io/fingerprint.ts";
import type { BaseModel } from "../../../io/hf.ts";
import type { DownloadOptions } from "../../../io/hub/download-options.ts";
import { loadAdapter } from "../../../io/peft/open-adapter.ts";
import type { Adapter } from "../../../io/peft/peft.ts";
import { dataFiles, dataName, fileName, moveFiles } from "../../../record/record.ts";
import { loadData } from "../../../run/load-data.ts";
import type { PageRun } from "../../protocol.ts";
import { isFull } from "../errors.ts";
import { pickedPath } from "../sources.ts";
import { readFiles } from "./archive.ts";
import { runFolder, startFolder } from "./store.ts";

const inData = (path: string) => joinPath("data", fileName(path));

/**
 * Stores a run's files in its folder, and those of the run `from` whose adapter it starts from: the originals may be
 * deleted. Where there is no room for its data, the run uses the visitor's file.
 */
export async function keepFiles(run: PageRun, from?: string): Promise<void> {
  const { id, record } = run;
  for (const path of dataFiles(record.data)) {
    const stored = joinPath(runFolder(id), inData(path));
    if (await exists(stored)) continue;
    await linkFile(pickedPath(fileName(path)), stored).catch(async (error) => {
      if (!isFull(error)) throw error;
      await remove(stored);
    });
  }
  run.record = { ...record, data: moveFiles(record.data, inData) };
  if (from === undefined) return;
  await writeDirectory(startFolder(id), await readFiles(joinPath(runFolder(from), "adapter")));
  run.record.adapter = "start";
}

/** The data of a stored run. A file that is not in its folder is one of the same name that the visitor has selected. */
export async function reopenData(
  { id, record }: PageRun,
  model: BaseModel,
  downloads: DownloadOptions,
): Promise<TrainingData> {
  const places = new Map<string, string>();
  for (const path of dataFiles(record.data)) places.set(path, await findData(id, path));
  const data = moveFiles(record.data, (path) => places.get(path)!);
  return loadData({ ...record, data }, model, downloads);
}

async function findData(id: string, path: string): Promise<string> {
  for (const place of [joinPath(runFolder(id), inData(path)), pickedPath(fileName(path))])
    if (await exists(place)) return place;
  throw new ConfigError("not-stored", "The data of this run is not stored here", {
    expected: fileName(path),
    hint: `choose ${fileName(path)} as your own file, and try again`,
  });
}

/** The adapter that a stored run started from; null: a new one. */
export async function openStart({ id, record }: PageRun, model: BaseModel): Promise<Adapter | null> {
  if (record.adapter === undefined) return null;
  if (!(await exists(startFolder(id))))
    throw new ConfigError("not-stored", "The adapter that this run started from is not stored here", {
      expected: record.adapter,
    });
  return loadAdapter(startFolder(id), model);
}

/** Throws ConfigError unless a run resumes with the model and the data with which it began. */
export async function checkUnchanged(
  { record, model: name }: PageRun,
  model: BaseModel,
  data: TrainingData,
): Promise<void> {
  if (record.base !== (await fingerprint(model)))
    throw new ConfigError("inputs-changed", "The model has changed since this run began", {
      where: name,
      hint: "choose the folder of the original model again",
    });
  if (record.counts.sha256 !== (await digestData(data)))
    throw new ConfigError("inputs-changed", "The data has changed since this run began", {
      where: dataName(record),
      hint: "choose the original file as your own file, and try again",
    });
}
