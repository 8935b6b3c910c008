/** A run that has been trained, and how it is saved: what the API gives of it. */
import { absolutePath } from "#platform";
import { checkArguments, checkOptions, type FieldKind } from "../core/checks.ts";
import type { BaseModel } from "../io/hf.ts";
import { readFolder, writeFolder } from "../io/marker.ts";
import type { Adapter } from "../io/peft/peft.ts";
import type { RunRecord } from "../record/record.ts";
import { RUN, refuseExisting } from "./directory.ts";

/** Options of `TrainedRun.save`. */
export interface SaveOptions {
  /** Replaces another run in this directory. Default: false. */
  force?: boolean;
}

/** A run's record, and how to save it. */
export interface TrainedRun {
  /** The run as plain JSON, as `save` writes it into run.json. */
  record: RunRecord;
  /** What answers, as `loadAdapter` gives it for the base model: what was trained, or a probe that is as good. */
  learned(model: BaseModel): Promise<Adapter>;
  /**
   * Writes a run directory atomically, for `Classifier.load` and `LanguageModel.load`. The directory must not exist,
   * must be empty, or must hold this run from an earlier `save`. With `force`, another run is replaced. Throws
   * ConfigError if the directory holds anything else. Returns whether PEFT can load its adapter/ directory, or the
   * reason why it cannot.
   */
  save(directory: string, options?: SaveOptions): Promise<{ peft: boolean; reason?: string }>;
}

/** A run that is in `directory`, if any. `write` writes it into another, or replaces what is there. */
export function trainedRun(
  record: RunRecord,
  learned: TrainedRun["learned"],
  directory: string | undefined,
  write: (directory: string, replace: boolean) => Promise<void>,
): TrainedRun {
  const savedIn = new Set(directory === undefined ? [] : [absolutePath(directory)]);
  const save = async (directory: string, options: SaveOptions = {}) => {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, { force: "boolean?" } satisfies Record<keyof SaveOptions, FieldKind>);
    const path = absolutePath(directory);
    const replace = (options.force ?? false) || savedIn.has(path);
    await refuseExisting(directory, replace, "give { force: true } to replace it");
    await write(directory, replace);
    savedIn.add(path);
    const { peftObstacle } = record;
    return peftObstacle === null ? { peft: true } : { peft: false, reason: peftObstacle };
  };
  return { record, learned, save };
}

/** A run that has ended in a directory, from which `save` copies it. */
export function storedRun(record: RunRecord, directory: string): TrainedRun {
  const learned = async (model: BaseModel) =>
    (await import("../io/peft/open-adapter.ts")).loadAdapter(directory, model);
  return trainedRun(record, learned, directory, async (to, replace) =>
    writeFolder(to, await readFolder(directory, RUN), RUN, replace),
  );
}
