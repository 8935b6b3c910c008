/** `train`: a model of rows, in one call. */
import type { Device } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { checkArguments, checkOptions, isText } from "../core/checks.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { type BaseModel, DEFAULT_BASE, loadModel } from "../io/hf.ts";
import { BUNDLED_GPT2 } from "../record/base-name.ts";
import { hasHead } from "../tasks/index.ts";
import { OPTIONS } from "../train/job.ts";
import { usualMode } from "../train/options.ts";
import { OTHER_NAMES } from "../train/settings.ts";
import { chooseDevice, downloads } from "./devices.ts";
import { Learner } from "./learner.ts";
import { objectiveOf, READ_OPTIONS, type ReadRows, ROW_SOURCE, type RowSource, readRows, rowsOf } from "./rows.ts";
import { fit, type LearnOptions, REPORTS } from "./training.ts";

/** The arguments of `train`. */
export interface TrainModelOptions extends LearnOptions, ReadRows {
  /**
   * The base model: a name, a directory, owner/name of the Hugging Face hub, or one from `loadModel`, which stays open.
   * Default: "e5-small-cut", of language models "gpt2-micro".
   */
  model?: string | BaseModel;
  /** A device, or the name of one, which models share. Default: a graphics card if there is one, else the CPU. */
  device?: Device | DeviceName;
}

const WHERE = { model: "any?", device: "any?", ...REPORTS } as const;

export async function train(source: RowSource, options: TrainModelOptions): Promise<Learner> {
  checkArguments({ rows: source }, { rows: ROW_SOURCE });
  checkOptions("options", options, { ...OPTIONS, ...READ_OPTIONS, ...WHERE }, OTHER_NAMES);
  const { model: given, device: wanted, onProgress, onEvent, signal, ...settings } = options;
  const objective = settings.objective ?? objectiveOf(source);
  const reports = { ...(onProgress && { onProgress }), ...(onEvent && { onEvent }), ...(signal && { signal }) };
  const device = await chooseDevice(wanted);
  const isOwner = given === undefined || isText(given);
  const name = given ?? (hasHead({ objective }) ? DEFAULT_BASE : BUNDLED_GPT2);
  const base = isText(name) ? await loadModel(name, downloads(reports)) : name;
  const place = { device, base };
  const { reading, training } = divide(settings);
  const learn = async () => {
    const data = await readRows(source, base, { ...reading, objective, ...(signal && { signal }) });
    const mode = usualMode(training, data as LoadedDataset, base.config);
    return { run: await fit(place, data, { ...training, mode, ...reports }), rows: async () => rowsOf(data, source) };
  };
  const { run, rows } = await learn().catch(async (error) => {
    if (isOwner) await base.close();
    throw error;
  });
  return Learner.of({ ...place, isOwner, adapter: run.adapter, rows, run, directory: null });
}

/** Those that say how rows are read, and those of training; both have the seed. */
function divide(settings: Record<string, unknown>): { reading: ReadRows; training: LearnOptions } {
  const of = (isWanted: (name: string) => boolean) =>
    Object.fromEntries(Object.entries(settings).filter(([name]) => isWanted(name)));
  const isRead = (name: string) => Object.hasOwn(READ_OPTIONS, name);
  return { reading: of(isRead), training: of((name) => name === "seed" || !isRead(name)) };
}
