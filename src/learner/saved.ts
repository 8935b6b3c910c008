/** A model as files: the directory of its adapter, or a zip of it. Loaded when it is saved. */
import { absolutePath, exists, joinPath } from "#platform";
import { checkArguments, checkOptions } from "../core/checks.ts";
import { LowrankError } from "../core/errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { listedIn, marked, refuseOutput, writeFolder } from "../io/marker.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { adapterFiles, readFinalNorm } from "../io/peft/peft-write.ts";
import { zip } from "../io/zip.ts";
import { ROWS_FILE, type RowSets } from "./rows.ts";

/** How a model is saved. */
export interface SaveModelOptions {
  /**
   * Keeps the rows that it has learned with it, so that it learns on with them. Default: true where it was saved with
   * them before, else false: no text leaves memory.
   */
  rows?: boolean;
  /** Replaces another model in this directory. Default false. */
  force?: boolean;
}

interface Saved {
  adapter: Adapter;
  base: BaseModel;
  rows: () => Promise<RowSets | null>;
}

const MODEL = listedIn("lowrank-model");

async function filesOf({ adapter, base, rows }: Saved, { rows: wanted = false }: SaveModelOptions) {
  const { files } = await adapterFiles(adapter, { finalNorm: await readFinalNorm(adapter, base) });
  const known = wanted ? await rows() : null;
  if (known) files.set(ROWS_FILE, `${JSON.stringify(known)}\n`);
  return marked(files, MODEL);
}

/** See `Learner.save`; it may replace what is in one of `places`. */
export async function saveModel(
  directory: string,
  saved: Saved,
  options: SaveModelOptions,
  places: ReadonlySet<string>,
): Promise<void> {
  checkArguments({ directory }, { directory: "text" });
  checkOptions("options", options, { rows: "boolean?", force: "boolean?" });
  const isOwn = places.has(absolutePath(directory));
  const hasRows = isOwn && (await exists(joinPath(directory, ROWS_FILE)));
  // It learns on with them, also if their file goes.
  if (hasRows) await saved.rows();
  const files = await filesOf(saved, { rows: options.rows ?? hasRows });
  try {
    const replaces = await refuseOutput(directory, options.force === true || isOwn, MODEL, () => ({
      found: "another model",
      hint: "give { force: true } to replace it",
    }));
    await writeFolder(directory, files, MODEL, replaces);
  } catch (cause) {
    if (cause instanceof LowrankError) throw cause;
    // Of a page: a private window, no permission, or no space left.
    throw new LowrankError("write-failed", "the model cannot be stored", {
      where: directory,
      found: (cause as Error).message,
      hint: "use toBlob(), which stores nothing",
      cause,
    });
  }
}

export async function modelBlob(saved: Saved, options: SaveModelOptions): Promise<Blob> {
  checkOptions("options", options, { rows: "boolean?" });
  return zip(await filesOf(saved, options));
}
