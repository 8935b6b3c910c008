/** Opens the adapter of a run, or one written by PEFT, together with its base model. */

import { exists, isServed, joinPath } from "#platform";
import { checkArguments, isObject, isText } from "../../core/checks.ts";
import { ConfigError } from "../../core/errors.ts";
import { isGguf, isZip } from "../../platform/paths.ts";
import { readJson } from "../common.ts";
import { type BaseModel, openBaseModel, resolveModel } from "../hf.ts";
import type { DownloadOptions } from "../hub/download-options.ts";
import { LIMITS } from "../limits.ts";
import { checkFingerprint } from "../tokenizer/vocabulary.ts";
import { type Adapter, META, PEFT_CONFIG, readAdapter } from "./peft.ts";
import { readBaseModel } from "./peft-form.ts";

export interface OpenedAdapter {
  adapter: Adapter;
  /** The base model; the caller closes it. */
  baseModel: BaseModel;
}

/** Marks the directory of several runs, and names the one that answers; the folder with the runs. */
export const STUDY = "study.json";
export const TRIALS = "trials";

/**
 * Of a directory of several runs the one that answers: that of a study which is recommended, of folds the one on all
 * rows. Any other directory is itself. Throws ConfigError if there is none yet.
 */
export async function runOf(directory: string): Promise<string> {
  const where = joinPath(directory, STUDY);
  if (isGguf(directory) || isZip(directory) || isServed(directory) || !(await exists(where))) return directory;
  const { best } = ((await readJson(where, LIMITS.ownJson)) ?? {}) as { best?: unknown };
  if (isText(best)) return joinPath(directory, TRIALS, best);
  throw new ConfigError("not-an-adapter", "these runs have no result yet", {
    where: directory,
    expected: "a study, or folds with a run on all rows, that has ended",
    hint: `let the command that began it end, or give one run of its folder ${TRIALS}`,
  });
}

/**
 * Opens a run directory, its adapter/ directory, an adapter written by PEFT, or a zip file of one of these, and the
 * base model that it names (`model` overrides it), which is downloaded if needed: from the hub, or from where the
 * adapter is. Throws ConfigError if the adapter or the model does not exist, or they do not belong together,
 * FormatError if a file is damaged.
 */
export function openAdapter(directory: string, model?: string, options: DownloadOptions = {}): Promise<OpenedAdapter> {
  return atAdapter(directory, async (place) => {
    const baseModel = await openBase(place, directory, options, model);
    try {
      const adapter = await readFrom(place, baseModel);
      await baseModel.keep?.();
      return { adapter, baseModel };
    } catch (error) {
      await baseModel.close();
      throw error;
    }
  });
}

/** Runs `work` on the directory of an adapter's files; `others`: files beside them that it looks for. */
export async function atAdapter<T>(
  path: string,
  work: (place: string) => Promise<T>,
  others: readonly string[] = [],
): Promise<T> {
  if (!isZip(path) && !isServed(path)) {
    return work((await findAdapter(path)) ?? path);
  }
  const { atServedAdapter } = await import("../hub/served.ts");
  return atServedAdapter(path, adapterPlaces(path), work, others);
}

/**
 * Reads a run's adapter, or one written by PEFT, also from a zip file, for a base model that is open already. Throws as
 * `openAdapter` does.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank/data";
 * import { fineTune, loadAdapter, loadModel, openDevice } from "lowrank/engine";
 *
 * const model = await loadModel("gpt2-micro");
 * const adapter = await loadAdapter("runs/first", model);
 * const data = await loadDataset({ file: "more.csv" }, { model });
 * const run = await fineTune({ device: await openDevice(), model, data, adapter });
 * ```
 */
export async function loadAdapter(directory: string, baseModel: BaseModel): Promise<Adapter> {
  checkArguments({ directory, baseModel }, { directory: "text", baseModel: "model" });
  return atAdapter(directory, (place) => readFrom(place, baseModel));
}

async function readFrom(place: string, baseModel: BaseModel): Promise<Adapter> {
  const { vocabulary } = baseModel;
  const adapter = await readAdapter(place, { base: baseModel });
  // Adapters written by PEFT often come with the tokenizer that they were trained with.
  if (!(await exists(joinPath(place, META)))) {
    const { checkSameVocabulary } = await import("../tokenizer/tokenizer-files.ts");
    await checkSameVocabulary(place, baseModel, adapter.meta.base_model);
  }
  const { vocabulary: trained = vocabulary.fingerprint } = adapter.meta.settings as { vocabulary?: string };
  checkFingerprint(place, vocabulary.fingerprint, trained);
  // Imported on demand: PEFT's adapters and pages of one file have none.
  if (adapter.meta.base_fingerprint !== undefined)
    await (await import("../fingerprint.ts")).checkBase(adapter.meta, baseModel, place);
  return adapter;
}

/** Matches a path that ends in the adapter/ of a run. */
export const IS_ADAPTER = /(^|[\\/])adapter[\\/]*$/;

/**
 * Where the adapter is: in adapter/ of a run, or in the directory itself; undefined if there is none. A zip file is
 * taken for one, and of several runs the one that answers. A server with a run is not asked for files that a run does
 * not have.
 */
export async function findAdapter(path: string): Promise<string | undefined> {
  if (isGguf(path)) return undefined;
  if (isZip(path)) return path;
  const directory = await runOf(path);
  for (const place of adapterPlaces(directory)) if (await exists(joinPath(place, META))) return place;
  for (const place of [directory, joinPath(directory, "adapter")])
    if (await exists(joinPath(place, PEFT_CONFIG))) return place;
  return undefined;
}

/** Where an adapter can be, the likeliest place first: of a run in adapter/. */
function adapterPlaces(directory: string): string[] {
  const inside = joinPath(directory, "adapter");
  return IS_ADAPTER.test(directory) ? [directory, inside] : [inside, directory];
}

/** An address, also of a share in Windows, but not the drive of a path. */
const IS_ADDRESS = /^([a-z][a-z\d+.-]+:|[\\/]{2})/i;

/** Opens the base model of the adapter whose files are in a directory, and which was asked for by this path. */
async function openBase(place: string, path: string, options: DownloadOptions, model?: string): Promise<BaseModel> {
  const described = await describeBase(place);
  const open = (name: string) =>
    resolveModel(name, options).then((place) => openBaseModel(place, described?.fingerprint));
  if (model !== undefined) return open(model);
  // Throws the error for a directory without an adapter.
  if (described === undefined) await readAdapter(place);
  const { name = "" } = described ?? {};
  if (IS_ADDRESS.test(name)) await (await import("../hub/served.ts")).refuseElsewhere(name, path);
  try {
    return await open(name);
  } catch (cause) {
    // A package without the file says so itself.
    if (!(cause instanceof ConfigError) || cause.code === "missing-package-file") throw cause;
    throw new ConfigError("base-model-not-found", "the base model of the adapter was not found", {
      where: place,
      expected: name || "a model that its configuration names",
      found: cause.message.split("\n")[0]!,
      hint: "give the base model",
      cause,
    });
  }
}

/** The base model that an adapter's directory names; undefined for any other directory. */
export async function namedBase(directory: string): Promise<string | undefined> {
  return (await describeBase(directory))?.name;
}

async function describeBase(directory: string): Promise<{ name: string; fingerprint: string | undefined } | undefined> {
  for (const [file, key] of [
    [META, "base_model"],
    [PEFT_CONFIG, "base_model_name_or_path"],
  ] as const) {
    const path = joinPath(directory, file);
    if (!(await exists(path))) continue;
    const json = await readJson(path);
    // Only that of an adapter of ours is compared with the model's.
    const fingerprint = file === META && isObject(json) ? json.base_fingerprint : undefined;
    return { name: readBaseModel(json, key, path), fingerprint: isText(fingerprint) ? fingerprint : undefined };
  }
  return undefined;
}
