/** `load`: a saved model, in one call. */
import { isServed, modelAddress } from "#platform";
import type { Device } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { leaseDevice } from "../backend/lease.ts";
import { checkArguments, checkOptions, isText } from "../core/checks.ts";
import type { WeightDtype } from "../core/tensor.ts";
import type { BaseModel } from "../io/hf.ts";
import { atAdapter, loadAdapter, openAdapter } from "../io/peft/open-adapter.ts";
import { forgetFile, registerFile } from "../platform/files.ts";
import type { Objective } from "../tasks/index.ts";
import { downloads, type Progress } from "./devices.ts";
import { Learner } from "./learner.ts";
import { ROWS_FILE, savedRows } from "./rows.ts";

/** Where a model is loaded. */
export interface LoadModelOptions {
  /** The base model: a name, a directory, or one from `loadModel`, which stays open. Default: the one that it names. */
  model?: string | BaseModel;
  /** A device, or the name of one, which models share. Default: a graphics card if there is one, else the CPU. */
  device?: Device | DeviceName;
  /** Type of the frozen matrices. Default: as in training. */
  dtype?: WeightDtype;
  /** Receives the progress of the base model's download, if there is one. */
  onProgress?: (progress: Progress) => void;
  /** Ends the download: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

const OPTIONS = { model: "any?", device: "any?", dtype: "text?", onProgress: "function?", signal: "signal?" } as const;

/** Zip files in memory, for their names. */
let blobs = 0;

/** See index.ts. */
export async function load(source: string | URL | Blob, options: LoadModelOptions): Promise<Learner<Objective>> {
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

async function open(path: string, options: LoadModelOptions): Promise<Learner<Objective>> {
  const { model, dtype } = options;
  const isOwner = model === undefined || isText(model);
  // Before it is read: another program may save meanwhile. Only what is here can be saved again.
  const revision = isServed(path) ? null : await (await import("./saved.ts")).revisionOf(path);
  // At the same time: both load code, and this one may measure.
  const leasing = leaseDevice(options.device);
  const [leased, opened] = await Promise.allSettled([
    leasing,
    isOwner
      ? openAdapter(path, model, downloads(options))
      : loadAdapter(path, model).then((adapter) => ({ adapter, baseModel: model })),
  ]);
  try {
    if (opened.status === "rejected") throw opened.reason;
    if (leased.status === "rejected") throw leased.reason;
    const { adapter, baseModel: base } = opened.value;
    const rows = () => atAdapter(path, savedRows, [ROWS_FILE]);
    const saved = { directory: path, revision };
    return await Learner.of({ lease: leased.value, base, isOwner, adapter, rows, run: null, saved, dtype });
  } catch (error) {
    if (leased.status === "fulfilled") leased.value.giveBack();
    if (isOwner && opened.status === "fulfilled") await opened.value.baseModel.close();
    throw error;
  }
}
