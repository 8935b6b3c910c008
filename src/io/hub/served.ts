/**
 * Models and adapters on servers, and adapters in a zip file. What is needed of a folder on a server is asked for at
 * the same time: nothing is asked for twice, nor only to learn whether it exists. A base model that an adapter names by
 * its fingerprint is kept in the cache directory, for the next adapter and the next visit.
 */
import { exists, isServed, joinPath, remove, writeDirectory } from "#platform";
import { asyncDispose } from "../../core/dispose.ts";
import { ConfigError, DownloadError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { METHODS } from "../../methods/index.ts";
import { isGguf, isRemote, isZip } from "../../platform/paths.ts";
import { type FileReader, filePieces } from "../../platform/reader.ts";
import { WEIGHTS as MODEL_WEIGHTS, readJson, SHARDS_INDEX } from "../common.ts";
import { asDirectory, type Files, folderWith, inZip, openSent } from "../folder.ts";
import { parseMeta } from "../peft/adapter-meta.ts";
import { COUNTS, EXACT, META, ownTensors, PEFT_CONFIG, PEFT_TENSORS, WEIGHTS } from "../peft/peft.ts";
import { readShards } from "../safetensors/shards.ts";
import { OTHER_TOKENIZERS, SENTENCE_FILES, TOKENIZER_FILES } from "../tokenizer/tokenizer-names.ts";
import { cacheDirectory } from "./cache.ts";
import { hubUrl } from "./hub.ts";

/** The files of a folder on a server that there are. */
async function openAll(directory: string, names: readonly string[]): Promise<Map<string, FileReader>> {
  const opened = await Promise.all(names.map((name) => openIfThere(joinPath(directory, name))));
  return new Map(names.flatMap((name, i) => (opened[i] ? [[name, opened[i]] as const] : [])));
}

function openIfThere(path: string): Promise<FileReader | undefined> {
  return openSent(path).catch((error) => {
    if (error instanceof DownloadError && error.code === "request-refused") return undefined;
    throw error;
  });
}

/** The files of tokenizers, which an adapter of ours has none of. */
const TOKENIZERS = [...TOKENIZER_FILES, ...Object.keys(OTHER_TOKENIZERS)];

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
  if (isZip(path)) return inZip(path, (files) => asDirectory(path, folderWith(files, [META, PEFT_CONFIG]), work));
  for (const place of places) {
    const described = await openAll(place, [META]);
    if (described.size > 0) return asDirectory(place, await openOurs(place, described, others), work);
  }
  for (const place of [path, ...places.filter((sibling) => sibling !== path)]) {
    const config = await openAll(place, [PEFT_CONFIG]);
    if (config.size === 0) continue;
    const rest = await openAll(place, [PEFT_TENSORS, ...TOKENIZERS, ...others]);
    return asDirectory(place, new Map([...config, ...rest]), work);
  }
  return asDirectory(path, new Map(), work);
}

/** The files of an adapter of ours, whose description is open. */
async function openOurs(place: string, described: Files, others: readonly string[]): Promise<Files> {
  const meta = await asDirectory(place, described, async (directory) => {
    const path = joinPath(directory, META);
    return parseMeta(await readJson(path), path);
  });
  const { peft, isFitted } = METHODS[meta.mode];
  const inPeft = meta.lora !== null || peft;
  const names = inPeft
    ? [PEFT_CONFIG, PEFT_TENSORS, ...(ownTensors(meta).length > 0 ? [EXACT] : [])]
    : [WEIGHTS, ...(isFitted ? [COUNTS] : [])];
  const rest = await openAll(place, [...names, ...others]);
  // Our own file alone has tensors that PEFT cannot express.
  const exact = inPeft && !rest.has(PEFT_TENSORS) && !rest.has(EXACT) ? await openAll(place, [EXACT]) : [];
  return new Map([...described, ...rest, ...exact]);
}

/**
 * Throws ConfigError for a base model that an adapter has by its address, unless that is on the hub or where the
 * adapter is: what a stranger's file names is not asked for, least of all inside the network of who opens it.
 */
export async function refuseElsewhere(address: string, adapter: string): Promise<void> {
  const places = [hubUrl(), ...(isServed(adapter) ? [new URL(adapter).origin] : [])];
  if (isRemote(address) && places.some((place) => address.startsWith(`${place}/`))) return;
  throw new ConfigError("base-model-elsewhere", "the adapter names a base model that is not downloaded unasked", {
    where: adapter,
    expected: "a model of the hub, or one from the adapter's own server",
    found: address,
    hint: `if you trust this address, give it: ${setting("model", address)}`,
  });
}

/** The files that are read of a model beside its weights. */
const DESCRIBING = ["config.json", ...SENTENCE_FILES, ...TOKENIZERS];

/** Runs `work` on the config and the tokenizer of a model on a server. */
export async function describeServed<T>(directory: string, work: (place: string) => Promise<T>): Promise<T> {
  return asDirectory(directory, await openAll(directory, DESCRIBING), work);
}

/** The name of a model's only file. */
const GGUF = "model.gguf";

/** The files of models that are open, by the address: those that are opened meanwhile share them. */
const shared = new Map<string, WeakRef<Promise<Files>>>();

/** A model on a server, as its small files describe it. */
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
  const cacheKey = /^[0-9a-f]{64}$/.test(fingerprint ?? "")
    ? joinPath(cacheDirectory(), "models", fingerprint!)
    : undefined;
  const cached = cacheKey && (await findModel(cacheKey));
  const model = cached && (await open(cached).catch(() => undefined));
  if (model) return { ...model, fingerprint };
  const files = shared.get(directory)?.deref() ?? openModel(directory, isGpt2);
  shared.set(directory, new WeakRef(files));
  files.catch(() => shared.delete(directory));
  const place = (folder: string) => open(isGguf(directory) ? joinPath(folder, GGUF) : folder);
  const opened = await asDirectory(directory, await files, place);
  const close = () => {
    shared.delete(directory);
    return opened.close();
  };
  const keep = cacheKey === undefined ? undefined : async () => keepModel(cacheKey, await files);
  return { ...opened, keep, close, [asyncDispose]: close };
}

async function openModel(directory: string, isGpt2: boolean): Promise<Files> {
  if (isGguf(directory)) return new Map([[GGUF, await openSent(directory)]]);
  const files = await openAll(directory, [MODEL_WEIGHTS, ...(isGpt2 ? ["config.json"] : DESCRIBING)]);
  if (files.has(MODEL_WEIGHTS)) return files;
  const index = await openAll(directory, [SHARDS_INDEX]);
  if (index.size === 0) return files;
  const shards = await readShards(joinPath(directory, SHARDS_INDEX));
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
