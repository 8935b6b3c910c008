/**
 * Models and adapters on servers, and adapters in a zip file. What is needed of a folder on a server is asked for at the
 * same time, and is a folder in memory while it is opened: nothing is asked for twice, nor only to learn whether it
 * exists. A base model that an adapter names by its fingerprint is kept in the cache directory, for the next adapter and
 * the next visit.
 */
import { exists, joinPath, openFile, readBytes, remove, writeDirectory } from "#platform";
import { asyncDispose } from "../../dispose.ts";
import { DownloadError } from "../../errors.ts";
import { METHODS } from "../../methods/index.ts";
import { forgetFile, putFile, registeredNames } from "../../platform/files.ts";
import { isGguf, isZip } from "../../platform/paths.ts";
import { type FileReader, filePieces } from "../../platform/reader.ts";
import { WEIGHTS as MODEL_WEIGHTS, readJson, SHARDS_INDEX } from "../common.ts";
import { LIMITS } from "../limits.ts";
import { parseMeta } from "../peft/adapter-meta.ts";
import { EXACT, META, ownTensors, PEFT_CONFIG, PEFT_TENSORS, WEIGHTS } from "../peft/peft.ts";
import { cacheDirectory } from "./cache.ts";

type Files = ReadonlyMap<string, FileReader>;

/** Runs `work` on a folder of these files, whose name in errors is that of the path or the address. */
async function inMemory<T>(path: string, files: Files, work: (directory: string) => Promise<T>): Promise<T> {
  // Without the scheme it is no address: what the folder lacks is not asked of the server.
  const name = joinPath(path.replace(/^\w+:\/*/, "/").replace(/\?.*/, ""));
  let directory = name;
  // The same folder may be opened twice at the same time, and a zip file can be a registered file itself.
  for (let i = 2; registeredNames(directory)?.some(Boolean); i++) directory = `${name}~${i}`;
  const paths = [...files.keys()].map((file) => joinPath(directory, file));
  for (const [i, file] of [...files.values()].entries()) putFile(paths[i]!, file);
  try {
    return await work(directory);
  } finally {
    for (const one of paths) forgetFile(one);
  }
}

/** The files of a folder on a server that there are. */
async function openAll(directory: string, names: readonly string[]): Promise<Map<string, FileReader>> {
  const opened = await Promise.all(names.map((name) => openIfThere(joinPath(directory, name))));
  return new Map(names.flatMap((name, i) => (opened[i] ? [[name, opened[i]] as const] : [])));
}

function openIfThere(path: string): Promise<FileReader | undefined> {
  return openFile(path).catch((error) => {
    if (error instanceof DownloadError && error.code === "request-refused") return undefined;
    throw error;
  });
}

/** The files of tokenizers, which an adapter of ours has none of. */
async function tokenizerNames(): Promise<string[]> {
  const { OTHER_TOKENIZERS, TOKENIZER_FILES } = await import("../tokenizer/tokenizer-names.ts");
  return [...TOKENIZER_FILES, ...Object.keys(OTHER_TOKENIZERS)];
}

/**
 * Runs `work` on the adapter in a zip file, or in a folder on a server, with those of the `others` that there are;
 * `places`: the folder and its adapter/, the likeliest first.
 */
export async function atServedAdapter<T>(
  path: string,
  places: readonly string[],
  work: (directory: string) => Promise<T>,
  others: readonly string[],
): Promise<T> {
  if (isZip(path)) {
    const code = [import("../peft/packed.ts"), import("../zip.ts")] as const;
    const [bytes, { unpackAdapter }] = await Promise.all([readBytes(path, LIMITS.archive), ...code]);
    return inMemory(path, await unpackAdapter(bytes, path), work);
  }
  for (const place of places) {
    const described = await openAll(place, [META]);
    if (described.size > 0) return inMemory(place, await openOurs(place, described, others), work);
  }
  for (const place of [path, ...places.filter((one) => one !== path)]) {
    const config = await openAll(place, [PEFT_CONFIG]);
    if (config.size === 0) continue;
    const rest = await openAll(place, [PEFT_TENSORS, ...(await tokenizerNames()), ...others]);
    return inMemory(place, new Map([...config, ...rest]), work);
  }
  return inMemory(path, new Map(), work);
}

/** The files of an adapter of ours, whose description is open. */
async function openOurs(place: string, described: Files, others: readonly string[]): Promise<Files> {
  const meta = await inMemory(place, described, async (directory) => {
    const path = joinPath(directory, META);
    return parseMeta(await readJson(path), path);
  });
  const inPeft = meta.lora !== null || METHODS[meta.mode].peft;
  const names = inPeft ? [PEFT_CONFIG, PEFT_TENSORS, ...(ownTensors(meta).length > 0 ? [EXACT] : [])] : [WEIGHTS];
  const rest = await openAll(place, [...names, ...others]);
  // What PEFT cannot express is in our own file alone.
  const own = inPeft && !rest.has(PEFT_TENSORS) && !rest.has(EXACT) ? await openAll(place, [EXACT]) : [];
  return new Map([...described, ...rest, ...own]);
}

/** Runs `work` on the config and the tokenizer of a model on a server. */
export async function describeServed<T>(directory: string, work: (place: string) => Promise<T>): Promise<T> {
  return inMemory(directory, await openAll(directory, ["config.json", ...(await tokenizerNames())]), work);
}

/** The name of a model's only file. */
const GGUF = "model.gguf";

/** The files of models that are open, by the address: those that are opened meanwhile share them. */
const shared = new Map<string, WeakRef<Promise<Files>>>();

/** What is known of a model on a server. */
interface Served {
  /** Whether it has GPT-2's vocabulary, which is built in. */
  isGpt2: boolean;
  /** Its fingerprint, as an adapter's file says. */
  fingerprint?: string | undefined;
}

/**
 * Opens a model on a server by `open`, or from the cache directory if the one with this fingerprint is there; `keep`
 * puts it there, once that is known to be its own.
 */
export async function openServed<T extends { close(): Promise<void> }>(
  directory: string,
  { isGpt2, fingerprint }: Served,
  open: (place: string) => Promise<T>,
): Promise<T> {
  // It is part of a path.
  const kept = /^[0-9a-f]{64}$/.test(fingerprint ?? "")
    ? joinPath(cacheDirectory(), "models", fingerprint!)
    : undefined;
  const found = kept && (await findModel(kept));
  const model = found && (await open(found).catch(() => undefined));
  if (model) return { ...model, fingerprint };
  const files = shared.get(directory)?.deref() ?? openModel(directory, isGpt2);
  shared.set(directory, new WeakRef(files));
  files.catch(() => shared.delete(directory));
  const place = (folder: string) => open(isGguf(directory) ? joinPath(folder, GGUF) : folder);
  const opened = await inMemory(directory, await files, place);
  const close = () => {
    shared.delete(directory);
    return opened.close();
  };
  const keep = kept === undefined ? undefined : async () => keepModel(kept, await files);
  return { ...opened, keep, close, [asyncDispose]: close };
}

async function openModel(directory: string, isGpt2: boolean): Promise<Files> {
  if (isGguf(directory)) return new Map([[GGUF, await openFile(directory)]]);
  const files = await openAll(directory, ["config.json", MODEL_WEIGHTS, ...(isGpt2 ? [] : await tokenizerNames())]);
  if (files.has(MODEL_WEIGHTS)) return files;
  const index = await openAll(directory, [SHARDS_INDEX]);
  if (index.size === 0) return files;
  const shards = await (await import("../safetensors/shards-index.ts")).readShards(joinPath(directory, SHARDS_INDEX));
  return new Map([...files, ...index, ...(await openAll(directory, [...shards.keys()]))]);
}

/** The model that is kept in a folder; undefined if there is none, or if the page has no storage. */
async function findModel(folder: string): Promise<string | undefined> {
  const has = (name: string) => exists(joinPath(folder, name)).catch(() => false);
  if (await has("config.json")) return folder;
  return (await has(GGUF)) ? joinPath(folder, GGUF) : undefined;
}

/** Keeps a model's files. Without storage they are downloaded again the next time. */
async function keepModel(folder: string, files: Files): Promise<void> {
  // The config is written last: with it the others are complete.
  const sorted = [...files].sort(([a], [b]) => Number(a === "config.json") - Number(b === "config.json"));
  try {
    await remove(folder);
    await writeDirectory(folder, new Map(sorted.map(([name, file]) => [name, filePieces(file)])));
  } catch {}
}
