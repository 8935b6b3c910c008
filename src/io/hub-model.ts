/** Models of the Hugging Face hub: from the local cache, or downloaded into it. */
import { exists, joinPath } from "#platform";
import { ConfigError, DownloadError, nameList } from "../errors.ts";
import { lookUp } from "../kinds.ts";
import { didYouMean } from "../suggest.ts";
import { hubCacheDirectory } from "./cache.ts";
import { parseModelConfig, readJson, SHARDS_INDEX, WEIGHTS } from "./common.ts";
import type { DownloadOptions } from "./download-options.ts";
import {
  asking,
  cachedRevision,
  checkedRevision,
  downloading,
  fetchBlob,
  type HubAccess,
  type HubFile,
  hubAccess,
  hubFile,
  isOffline,
  keepRevision,
  linkBlob,
  MAIN,
  snapshotFolder,
} from "./hub.ts";
import { HUB_MODELS, isHubName, type Repository } from "./hub-names.ts";
import { LIMITS } from "./limits.ts";
import { readShards } from "./shards-index.ts";
import { readVocabulary, type TokenConfig } from "./tokenizer-files.ts";
import { TOKENIZER_FILES } from "./vocabulary.ts";

/** They are fetched first: a tokenizer of another kind is refused before the weights are downloaded. */
const SMALL: readonly string[] = [...TOKENIZER_FILES, "config.json"];
/** Files that explain why there are no weights. */
const OTHERS = ["pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_config.json"] as const;

/** Pinned sha256 hashes, checked in addition to the hash that the server reports. */
const PINNED: Readonly<Record<string, string>> = {
  "openai-community/gpt2/model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
};

/** "owner/name" of a model on the hub; undefined if `name` cannot be one, like most paths. */
export function hubModelName(name: string): string | undefined {
  return lookUp(HUB_MODELS, name) ?? (isHubName(name) ? name : undefined);
}

/** A hub model's directory, with or without weights. Errors list the `shipped` names. Throws as `resolveModel` does. */
export async function resolveHubModel(
  nameOrDirectory: string,
  shipped: object,
  options: DownloadOptions,
  weights: boolean,
): Promise<string> {
  const hubName = hubModelName(nameOrDirectory);
  if (hubName === undefined) throw unknownModel(nameOrDirectory, shipped);
  const cached = await cachedSnapshot(hubName, weights);
  if (cached !== undefined) return cached;
  if (isOffline())
    throw new DownloadError(
      "not-in-cache",
      `the model "${nameOrDirectory}" is not in the cache, and HF_HUB_OFFLINE is set`,
      {
        where: hubCacheDirectory(),
        expected: `a directory of that name, or ${hubName} in the hub's cache`,
        found: "neither",
        hint: "unset HF_HUB_OFFLINE to download it, or copy the cache from another machine",
      },
    );
  return downloadSnapshot(hubName, options, weights);
}

function unknownModel(name: string, shipped: object): ConfigError {
  const known = [...Object.keys(shipped), ...Object.keys(HUB_MODELS)];
  return new ConfigError("no-such-model", `there is no model "${name}"`, {
    expected: `a directory with config.json and model.safetensors, owner/name on the hub, or one of: ${known.join(", ")}`,
    found: "no directory and no known model with that name",
    ...didYouMean(name, known),
  });
}

/** The cached snapshot of a model's main branch; undefined if none is complete. */
async function cachedSnapshot(name: string, weights: boolean): Promise<string | undefined> {
  // Old caches use the short name: models had no owner then.
  const short = Object.keys(HUB_MODELS).filter((key) => HUB_MODELS[key] === name);
  for (const one of [name, ...short]) {
    const repository = { type: "model", name: one } as const;
    const revision = await cachedRevision(repository, MAIN);
    if (revision === undefined) continue;
    const snapshot = snapshotFolder(repository, revision);
    if (await isComplete(snapshot, weights)) return snapshot;
  }
  return undefined;
}

async function isComplete(snapshot: string, weights: boolean): Promise<boolean> {
  const has = (file: string) => exists(joinPath(snapshot, file));
  if (!(await has("config.json"))) return false;
  if (!weights) return true;
  if (await has(WEIGHTS)) return true;
  if (!(await has(SHARDS_INDEX))) return false;
  const shards = [...(await readShards(joinPath(snapshot, SHARDS_INDEX))).keys()];
  return (await Promise.all(shards.map(has))).every(Boolean);
}

/**
 * Downloads a model into the cache, resuming an interrupted download, and returns its snapshot. Its config and
 * tokenizer are checked before the weights, if they are wanted, are downloaded. Throws DownloadError if the download
 * fails, ConfigError if the repository has no such model.
 */
async function downloadSnapshot(name: string, options: DownloadOptions, withWeights: boolean): Promise<string> {
  const repository: Repository = { type: "model", name };
  const fetchAll = async () => {
    // Another process may have downloaded it while this one waited for the lock.
    const cached = await cachedSnapshot(name, withWeights);
    if (cached !== undefined) return cached;
    const access = await hubAccess(options);
    const revision = await findModelRevision(repository, access, options);
    const fetchFiles = async (files: readonly HubFile[]) => {
      for (const file of files) {
        await fetchBlob(repository, revision, file, access, options);
        await linkBlob(repository, revision, file);
      }
    };
    const find = (paths: readonly string[]) => describe(repository, revision, paths, access, options);
    const found = await find([...SMALL, WEIGHTS, SHARDS_INDEX, ...OTHERS]);
    requireNeeded(name, [...found.keys()]);
    const hubModelFile = (path: string) =>
      hubFile(name, found.get(path)!, path === WEIGHTS ? LIMITS.weights : LIMITS.json);
    const isSharded = !found.has(WEIGHTS);
    const small = [...SMALL, ...(isSharded ? [SHARDS_INDEX] : [])].filter((path) => found.has(path));
    const weights = isSharded ? [] : [checkPinned(name, hubModelFile(WEIGHTS))];
    await fetchFiles(small.map(hubModelFile));
    const snapshot = snapshotFolder(repository, revision);
    await checkSmallFiles(snapshot);
    if (!withWeights) return snapshot;
    if (isSharded) weights.push(...(await findShards(name, joinPath(snapshot, SHARDS_INDEX), find)));
    await fetchFiles(weights);
    await keepRevision(repository, MAIN, revision);
    return snapshot;
  };
  return downloading(repository, fetchAll, options);
}

async function findModelRevision(repository: Repository, access: HubAccess, options: DownloadOptions): Promise<string> {
  const { modelInfo } = await import("@huggingface/hub");
  const ask = () => modelInfo({ ...access, name: repository.name, revision: MAIN, additionalFields: ["sha"] });
  return checkedRevision(repository, (await asking(repository, access, options, ask)).sha);
}

type Described = Parameters<typeof hubFile>[1];

/** The hub's descriptions of those of these files that it has, by path. */
async function describe(
  repository: Repository,
  revision: string,
  paths: readonly string[],
  access: HubAccess,
  options: DownloadOptions,
): Promise<Map<string, Described>> {
  const { pathsInfo } = await import("@huggingface/hub");
  return asking(repository, access, options, async () => {
    const infos = await pathsInfo({ ...access, repo: repository, revision, paths: [...paths] });
    return new Map(infos.filter(({ path }) => paths.includes(path)).map((info) => [info.path, info]));
  });
}

/** The files that the index of a sharded model names. Throws ConfigError if the hub lacks one. */
async function findShards(
  name: string,
  index: string,
  find: (paths: readonly string[]) => Promise<Map<string, Described>>,
): Promise<HubFile[]> {
  const shards = [...(await readShards(index)).keys()];
  const found = await find(shards);
  const missing = shards.filter((shard) => !found.has(shard));
  if (missing.length > 0)
    throw new ConfigError("missing-shards", `the model ${name} lacks ${missing.length} of ${shards.length} shards`, {
      where: index,
      expected: nameList(shards),
      found: `no ${nameList(missing)}`,
    });
  const files = shards.map((shard) => hubFile(name, found.get(shard)!, LIMITS.weights));
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (bytes > LIMITS.weights)
    throw new ConfigError("exceeds-limit", `the shards of the model ${name} are too large`, {
      expected: `at most ${LIMITS.weights} bytes`,
      found: `${bytes} bytes`,
    });
  return files;
}

function checkPinned(name: string, file: HubFile): HubFile {
  const where = `${name}/${file.path}`;
  const known = lookUp(PINNED, where);
  if (known !== undefined && known !== file.etag)
    throw new DownloadError("hash-mismatch", "the file on the hub differs from the known one", {
      where,
      expected: `sha256 ${known}`,
      found: `sha256 ${file.etag}`,
      hint: "check that HF_ENDPOINT is a mirror that you trust",
    });
  return file;
}

function requireNeeded(name: string, files: readonly string[]): void {
  const missing = ["config.json", WEIGHTS].filter(
    (file) => !files.includes(file) && !(file === WEIGHTS && files.includes(SHARDS_INDEX)),
  );
  if (missing.length === 0) return;
  let hint =
    "check that this is a model in the layout of transformers; of one that has GGUF files, give the address of a file: " +
    `https://huggingface.co/${name}/resolve/main/FILE.gguf`;
  if (files.includes("adapter_config.json")) hint = "this is an adapter: give its base model";
  else if (files.some((file) => file.startsWith("pytorch_model.bin")))
    hint =
      "only safetensors are supported; this command converts it: " +
      `python -c "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; n='${name}'; ` +
      "M.from_pretrained(n).save_pretrained('gpt2-here'); T.from_pretrained(n).save_pretrained('gpt2-here')\"; " +
      "then --model gpt2-here";
  throw new ConfigError("missing-model-files", `the model ${name} lacks ${missing.join(" and ")}`, {
    where: name,
    expected: `config.json, and ${WEIGHTS} or ${SHARDS_INDEX}`,
    found: nameList(files),
    hint,
  });
}

/** Checks a model's config and tokenizer. */
async function checkSmallFiles(directory: string): Promise<void> {
  const path = joinPath(directory, "config.json");
  const json = (await readJson(path)) as TokenConfig & Record<string, unknown>;
  await parseModelConfig(json, path);
  await readVocabulary(directory, json);
}
