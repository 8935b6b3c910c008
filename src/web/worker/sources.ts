/** The page's messages, texts and base models: bundled, selected by the visitor, stored, from the hub. */
import { exists, joinPath, linkFile, listDirectory, remove } from "#platform";
import { ConfigError } from "../../core/errors.ts";
import type { DatasetOptions } from "../../data/dataset-options.ts";
import type { TableSample } from "../../data/table/column-facts.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { fingerprint } from "../../io/fingerprint.ts";
import { type BaseModel, loadModel, openBaseModel, SHIPPED_MODELS } from "../../io/hf.ts";
import { hubCacheDirectory } from "../../io/hub/cache.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { folderName, HUB_MODELS } from "../../io/hub/hub-names.ts";
import type { Adapter } from "../../io/peft/peft.ts";
import { PROMPTS, TOKENIZER_FILES } from "../../io/tokenizer/tokenizer-names.ts";
import { putFile, registerFile } from "../../platform/files.ts";
import { isGguf } from "../../platform/paths.ts";
import { blobReader, type FileReader } from "../../platform/reader.ts";
import { type DataSource, loadData, resolveSettings } from "../../run/load-data.ts";
import type { RunSettings, TrainOptions } from "../../train/settings.ts";
import type { ModelEntry } from "../protocol.ts";
import { emit } from "./emit.ts";

/** The folder of selected files that are not stored yet. */
const PICKED = "picked";
const MODELS = "models";
/** The files of a model that are read. */
const MODEL_FILES: readonly string[] = ["config.json", "model.safetensors", ...TOKENIZER_FILES, PROMPTS];

/** Number of files selected so far: part of the cache key, because a file of the same name may have other content. */
let picks = 0;

export function pick(files: readonly File[]): void {
  picks++;
  for (const file of files) putFile(joinPath(PICKED, file.name), watched(file));
}

/** What is read for the visitor, who can stop it. */
let reading: AbortController | undefined;
/** Milliseconds between two reports of what was read of a file. */
const EMIT_EVERY = 200;

/** A selected file, of which the page is told how much was read. */
function watched(file: File): FileReader {
  const reader = blobReader(file.name, file);
  let emitted = performance.now();
  const read: FileReader["read"] = async (offset, length) => {
    reading?.signal.throwIfAborted();
    const end = offset + length;
    if (reading && (performance.now() - emitted > EMIT_EVERY || (end === file.size && offset > 0))) {
      emitted = performance.now();
      emit({ type: "reading", share: end / file.size });
    }
    return reader.read(offset, length);
  };
  return { ...reader, read };
}

/** Reads data for the visitor. Rejects with an AbortError if that is stopped. */
export async function whileReading<T>(work: () => Promise<T>): Promise<T> {
  const mine = new AbortController();
  reading = mine;
  try {
    return await work();
  } finally {
    if (reading === mine) reading = undefined;
    emit({ type: "reading", share: null });
  }
}

export const stopReading = (): void => reading?.abort(new DOMException("reading was stopped", "AbortError"));

export const pickedPath = (name: string) => joinPath(PICKED, name);

/** The names of the selected files; none for a data set by name. */
const chosenFiles = ({ data = [] }: RunSettings): readonly string[] => [data].flat();

/** What the data of settings is called. */
export const nameData = (settings: RunSettings): string => settings.dataset ?? chosenFiles(settings).join(", ");

export function withPaths(settings: RunSettings): RunSettings {
  const files = chosenFiles(settings).map(pickedPath);
  const { corrections } = settings;
  const corrected = typeof corrections === "string" ? { corrections: pickedPath(corrections) } : {};
  if (files.length === 0) return settings;
  return { ...settings, ...corrected, data: files.length === 1 ? files[0]! : files };
}

/** The last data set and its table, cached for the check, the estimate and the training. */
let last: { key: string; data: Promise<TrainingData>; table?: TableSample } | undefined;

/** The data of a source, which is loaded unless it is the last one: `picks` are part of the key. */
export function loadOnce(
  source: DataSource,
  model: BaseModel,
  downloads: DownloadOptions,
  onTable?: DatasetOptions["onTable"],
): Promise<TrainingData> {
  const key = JSON.stringify([source, model.vocabulary.fingerprint, picks]);
  if (last?.key === key) {
    if (last.table) onTable?.(last.table);
    return last.data;
  }
  const noteTable = (table: TableSample) => {
    if (last?.key === key) last.table ??= table;
    onTable?.(table);
  };
  const data = loadData(source, model, downloads, noteTable);
  last = { key, data };
  // A failed load is not cached.
  data.catch(() => {
    if (last?.data === data) last = undefined;
  });
  return data;
}

/** The data and all options of a run. */
export const openData = (
  settings: RunSettings,
  model: BaseModel,
  downloads: DownloadOptions = {},
  adapter?: Adapter,
): Promise<{ data: TrainingData; options: TrainOptions }> =>
  resolveSettings(withPaths(settings), model, adapter, (source) => loadOnce(source, model, downloads));

let model: { name: string; baseModel: Promise<BaseModel> } | undefined;

/**
 * Opens a model by name. The last one stays open, and concurrent calls share it. A replaced model is not closed: a run
 * may still be reading it, and files of a page hold no resources that must be released.
 */
export function openModel(name: string, options: DownloadOptions = {}): Promise<BaseModel> {
  if (model?.name === name) return model.baseModel;
  const baseModel = openKept(name, options);
  model = { name, baseModel };
  // A failed open is not cached.
  baseModel.catch(() => {
    if (model?.baseModel === baseModel) model = undefined;
  });
  return baseModel;
}

async function openKept(name: string, options: DownloadOptions): Promise<BaseModel> {
  const stored = joinPath(MODELS, name);
  return name !== "" && (await exists(stored)) ? openBaseModel(stored) : loadModel(name, options);
}

export async function listModels(): Promise<ModelEntry[]> {
  const stored = (await exists(MODELS)) ? await listDirectory(MODELS) : [];
  const downloaded: string[] = [];
  for (const [short, name] of Object.entries(HUB_MODELS))
    if (await exists(joinPath(hubCacheDirectory(), folderName({ type: "model", name }), "refs", "main")))
      downloaded.push(short);
  return [
    ...[...Object.keys(SHIPPED_MODELS), ...downloaded].map((name) => ({ name, kept: false })),
    ...stored.map((name) => ({ name, kept: true })),
  ];
}

export async function forgetModel(name: string): Promise<void> {
  if (model?.name === name) model = undefined;
  await remove(joinPath(MODELS, name));
}

/** model.safetensors, or its shards and their index. */
const WEIGHT_FILES = /^model[\w.-]*\.safetensors(\.index\.json)?$/;

/**
 * Validates and stores a model folder's files, or a GGUF file; returns the model's name. Throws ConfigError if a file
 * is missing.
 */
export async function addModel(files: readonly File[], emit: (share: number) => void): Promise<string> {
  const weights = files.find(({ name }) => WEIGHT_FILES.test(name)) ?? files.find(({ name }) => isGguf(name));
  const isFile = weights !== undefined && isGguf(weights.name);
  if (!weights || !(isFile || files.some(({ name }) => name === "config.json")))
    throw new ConfigError("not-a-model", "These files are not a model", {
      expected: "config.json and model.safetensors (or its shards) in Hugging Face's format, or a GGUF file",
      found:
        files
          .map(({ name }) => name)
          .slice(0, 8)
          .join(", ") || "nothing",
    });
  const wanted = isFile ? [weights] : files.filter(({ name }) => MODEL_FILES.includes(name) || WEIGHT_FILES.test(name));
  const given = isFile ? weights.name : weights.webkitRelativePath.split("/").at(-2) || "my-model";
  const placeIn = (model: string, { name }: File) => (isFile ? model : joinPath(model, name));
  const picked = joinPath(PICKED, "model", given);
  for (const file of wanted) registerFile(placeIn(picked, file), file);
  try {
    const { name, isKept } = await nameFor(await openBaseModel(picked), given);
    const stored = joinPath(MODELS, name);
    if (!isKept)
      await copyFiles(wanted, (file) => [placeIn(picked, file), placeIn(stored, file)], emit).catch(async (error) => {
        await remove(stored);
        throw error;
      });
    return name;
  } finally {
    await remove(picked);
  }
}

/** The given name, with a number if another model has it: runs refer to models by name. */
async function nameFor(added: BaseModel, given: string): Promise<{ name: string; isKept: boolean }> {
  const print = await fingerprint(added);
  const taken = (await listModels()).map(({ name }) => name);
  let name = given;
  for (let i = 2; taken.includes(name); i++) {
    // Null: incomplete, because the page was closed while it was stored.
    const other = await openModel(name).then(fingerprint, () => null);
    if (other === null || other === print) return { name, isKept: other !== null };
    name = given.replace(/(\.gguf)?$/i, ` ${i}$1`);
  }
  return { name, isKept: false };
}

/** Copies files, each between the two paths that `places` gives for it. */
async function copyFiles(
  files: readonly File[],
  places: (file: File) => [from: string, to: string],
  emit: (share: number) => void,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  for (const file of files) {
    const before = done;
    await linkFile(...places(file), (bytes) => emit((before + bytes) / total));
    done += file.size;
  }
}
