/** A model as files: the directory of its adapter, or a zip of it. Loaded when it is saved. */
import { absolutePath, createHasher, exists, joinPath } from "#platform";
import { checkArguments, checkOptions } from "../core/checks.ts";
import { ConfigError, LowrankError } from "../core/errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { listedIn, marked, readMarker, refuseOutput, writeFolder } from "../io/marker.ts";
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
  /** Replaces another model in this directory, or a newer one. Default false. */
  force?: boolean;
  /** Learns the rows that a newer model in this directory has besides, and replaces it. Default false. */
  merge?: boolean;
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

/** What a model's directory has: another revision after each save there, whoever saved. Null: there is no model. */
export async function revisionOf(directory: string): Promise<string | null> {
  const marker = await readMarker(directory, MODEL);
  if (!marker) return null;
  const hasher = await createHasher("sha256");
  hasher.update(new TextEncoder().encode(JSON.stringify(marker.files)));
  return hasher.digest().slice(0, 8);
}

/** The directories that a model may replace itself in, each with the revision that it has seen there. */
export type Places = Map<string, string | null>;

/** See `Learner.save`. */
export async function saveModel(
  directory: string,
  saved: Saved,
  options: SaveModelOptions,
  places: Places,
  learnFrom: () => Promise<void>,
): Promise<void> {
  checkArguments({ directory }, { directory: "text" });
  checkOptions("options", options, { rows: "boolean?", force: "boolean?", merge: "boolean?" });
  const path = absolutePath(directory);
  if (options.merge) await learnFrom();
  const [isOwn, seen, found] = [places.has(path), places.get(path), await revisionOf(directory)];
  if (isOwn && !options.force && found !== null && found !== seen)
    throw new ConfigError("newer-model", "another program has saved a newer model here", {
      where: directory,
      expected: seen ? `revision ${seen}, which this one was loaded from or saved as` : "no model",
      found: `revision ${found}`,
      hint: "give { merge: true } to learn its rows, too, or { force: true } to replace it",
    });
  const hasRows = isOwn && (await exists(joinPath(directory, ROWS_FILE)));
  // It learns on with them, also if their file goes.
  if (hasRows) await saved.rows();
  const files = await filesOf(saved, { rows: options.rows ?? (hasRows || options.merge === true) });
  try {
    const replaces = await refuseOutput(directory, options.force === true || isOwn, MODEL, () => ({
      found: "another model",
      hint: "give { force: true } to replace it",
    }));
    await writeFolder(directory, files, MODEL, replaces);
    places.set(path, await revisionOf(directory));
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
