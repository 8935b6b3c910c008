/** `load`: a saved model, in one call. */
import { exists, joinPath, modelAddress } from "#platform";
import type { Device } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { checkArguments, checkOptions, isText } from "../core/checks.ts";
import { readJson } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import { atAdapter, loadAdapter, openAdapter } from "../io/peft/open-adapter.ts";
import { forgetFile, registerFile } from "../platform/files.ts";
import { chooseDevice, downloads, type Progress } from "./devices.ts";
import { Learner } from "./learner.ts";
import { checkSets, ROWS_FILE, type RowSets } from "./rows.ts";

/** Where a model is loaded. */
export interface LoadModelOptions {
  /** The base model: a name, a directory, or one from `loadModel`, which stays open. Default: the one that it names. */
  model?: string | BaseModel;
  /** A device, or the name of one, which models share. Default: a graphics card if there is one, else the CPU. */
  device?: Device | DeviceName;
  /** Receives the progress of the base model's download, if there is one. */
  onProgress?: (progress: Progress) => void;
  /** Ends the download: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

const OPTIONS = { model: "any?", device: "any?", onProgress: "function?", signal: "signal?" } as const;

/** Zip files in memory, for their names. */
let blobs = 0;

/** See index.ts. */
export async function load(source: string | URL | Blob, options: LoadModelOptions): Promise<Learner> {
  const isSource = (value: unknown) => isText(value) || value instanceof URL || value instanceof Blob;
  checkArguments({ source }, { source: ["a path, a URL, or a Blob", isSource] });
  checkOptions("options", options, OPTIONS);
  if (!(source instanceof Blob)) return open(modelAddress(String(source)), options);
  const path = `model-${++blobs}.zip`;
  registerFile(path, source);
  try {
    const learner = await open(path, options);
    await learner.keepRows();
    return learner;
  } finally {
    forgetFile(path);
  }
}

async function open(path: string, options: LoadModelOptions): Promise<Learner> {
  const { model } = options;
  // At the same time: both load code, and this one may measure.
  const device = chooseDevice(options.device);
  device.catch(() => {});
  const isOwner = model === undefined || isText(model);
  const { adapter, baseModel: base } = isOwner
    ? await openAdapter(path, model, downloads(options))
    : { adapter: await loadAdapter(path, model), baseModel: model };
  const rows = () => atAdapter(path, readRows, [ROWS_FILE]);
  return Learner.of({ device, base, isOwner, adapter, rows, run: null, directory: path });
}

/** The rows that a model was saved with. */
async function readRows(place: string): Promise<RowSets | null> {
  const file = joinPath(place, ROWS_FILE);
  return (await exists(file)) ? checkSets(await readJson(file, LIMITS.ownJson), file) : null;
}
