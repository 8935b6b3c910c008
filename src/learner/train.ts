/** `train`: a model of rows, in one call. */
import type { Device } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { type Lease, leaseDevice } from "../backend/lease.ts";
import { checkArguments, checkOptions, type FieldKind, isText } from "../core/checks.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { type BaseModel, DEFAULT_BASE, loadModel } from "../io/hf.ts";
import { BUNDLED_GPT2 } from "../record/base-name.ts";
import { hasHead, type Objective } from "../tasks/index.ts";
import { OPTIONS } from "../train/job.ts";
import { usualMode } from "../train/options.ts";
import { OTHER_NAMES } from "../train/settings.ts";
import { downloads } from "./devices.ts";
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

/** Its kinds. */
export const TRAIN_OPTIONS: Record<string, FieldKind> = {
  ...OPTIONS,
  ...READ_OPTIONS,
  ...REPORTS,
  ...{ model: "any?", device: "any?" },
};

/** The task of rows, which `train` takes from the first of them: of a file or a data set, classes. */
export type ObjectiveOf<R extends RowSource> = R extends readonly (infer T)[]
  ? T extends
      | string
      | { messages: unknown }
      | { conversations: unknown }
      | { prompt: unknown }
      | { instruction: unknown }
    ? "lm"
    : T extends { tags: unknown }
      ? "tokens"
      : T extends { label: readonly string[] }
        ? "multi-label"
        : "classification"
  : "classification";

/** Where a model of rows is to be, and how they are read and learned. */
interface Opened {
  lease: Lease;
  base: BaseModel;
  /** Whether its base model is closed with the model. */
  isOwner: boolean;
  reading: ReadRows;
  training: LearnOptions;
}

/** Opens a base model and a device for rows, which are given back if `work` fails. */
export async function opening<T>(
  source: RowSource,
  { model: given, device: wanted, onProgress, signal, ...settings }: TrainModelOptions,
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const objective = settings.objective ?? objectiveOf(source);
  const reports = { ...(onProgress && { onProgress }), ...(signal && { signal }) };
  const lease = await leaseDevice(wanted);
  const isOwner = given === undefined || isText(given);
  let base: BaseModel | undefined;
  try {
    const name = given ?? (hasHead({ objective }) ? DEFAULT_BASE : BUNDLED_GPT2);
    base = isText(name) ? await loadModel(name, downloads(reports)) : name;
    const { reading, training } = divide(settings);
    const how = {
      reading: { ...reading, objective, ...(signal && { signal }) },
      training: { ...training, ...reports },
    };
    return await work({ lease, base, isOwner, ...how });
  } catch (error) {
    lease.giveBack();
    if (isOwner) await base?.close();
    throw error;
  }
}

export async function train(source: RowSource, options: TrainModelOptions): Promise<Learner<Objective>> {
  checkArguments({ rows: source }, { rows: ROW_SOURCE });
  checkOptions("options", options, TRAIN_OPTIONS, OTHER_NAMES);
  return opening(source, options, async ({ lease, base, isOwner, reading, training }) => {
    const data = await readRows(source, base, reading);
    const mode = usualMode(training, data as LoadedDataset, base.config);
    const run = await fit({ device: lease.device, base }, data, { ...training, mode });
    const rows = async () => rowsOf(data, source);
    return Learner.of({ lease, base, isOwner, adapter: run.adapter, rows, run, saved: null });
  });
}

/** Those that say how rows are read, and those of training; both have the seed. */
function divide(settings: Record<string, unknown>): { reading: ReadRows; training: LearnOptions } {
  const of = (isWanted: (name: string) => boolean) =>
    Object.fromEntries(Object.entries(settings).filter(([name]) => isWanted(name)));
  const isRead = (name: string) => Object.hasOwn(READ_OPTIONS, name);
  return { reading: of(isRead), training: of((name) => name === "seed" || !isRead(name)) };
}
