/** A model as files: the directory of its adapter, or a zip of it. Loaded when it is saved. */
import { absolutePath, exists, joinPath, listDirectory, writeDirectory } from "#platform";
import { checkArguments, checkOptions } from "../checks.ts";
import { ConfigError, LowrankError, nameList } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { type Adapter, COUNTS, EXACT, META, PEFT_CONFIG, PEFT_TENSORS, WEIGHTS } from "../io/peft/peft.ts";
import { adapterFiles, readFinalNorm } from "../io/peft/peft-write.ts";
import { zip } from "../io/zip.ts";
import { refuseLink, refuseOthers, refuseUncreatable } from "../run/files.ts";
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

/** Those that a saved model can have. */
const OWN_FILES = [META, COUNTS, EXACT, WEIGHTS, PEFT_CONFIG, PEFT_TENSORS, ROWS_FILE];

async function filesOf({ adapter, base, rows }: Saved, { rows: wanted = false }: SaveModelOptions) {
  const { files } = await adapterFiles(adapter, { finalNorm: await readFinalNorm(adapter, base) });
  const known = wanted ? await rows() : null;
  if (known) files.set(ROWS_FILE, `${JSON.stringify(known)}\n`);
  return files;
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
    await refuse(directory, options.force === true || isOwn);
    await writeDirectory(directory, files, async () => OWN_FILES);
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

/** Throws ConfigError if there is anything that is not a saved model, or one that may not be replaced. */
async function refuse(directory: string, mayReplace: boolean): Promise<void> {
  await refuseUncreatable(directory);
  await refuseLink(directory);
  const entries = (await exists(directory)) ? await listDirectory(directory).catch(() => ["a file"]) : [];
  if (entries.length === 0) return;
  const isModel = await exists(joinPath(directory, META));
  if (!isModel || !mayReplace)
    throw new ConfigError("output-exists", "the output directory already exists", {
      where: directory,
      expected: "a new path, or an empty directory",
      found: isModel ? "another model" : nameList(entries),
      hint: isModel ? "give { force: true } to replace it" : "choose another directory",
    });
  await refuseOthers(directory, OWN_FILES);
}
