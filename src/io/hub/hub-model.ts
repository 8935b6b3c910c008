/** Models of the Hugging Face hub: from the local cache, or downloaded into it. */

import { exists, joinPath, readBytes, writeFileAtomic } from "#platform";
import { lookUp } from "../../core/checks.ts";
import { ConfigError, nameList } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { didYouMean } from "../../core/suggest.ts";
import { checkSize } from "../../platform/reader.ts";
import { parseModelConfig, readJson, SHARDS_INDEX, WEIGHTS } from "../common.ts";
import { LIMITS } from "../limits.ts";
import { readShards } from "../safetensors/shards.ts";
import { readVocabulary, type TokenConfig } from "../tokenizer/tokenizer-files.ts";
import { SENTENCE_FILES, TOKENIZER_FILES } from "../tokenizer/tokenizer-names.ts";
import type { DownloadOptions } from "./download-options.ts";
import {
  downloading,
  fetchFiles,
  type HubFile,
  hubFile,
  type Listing,
  listFiles,
  refuseOffline,
  repositoryFolder,
  snapshotFolder,
} from "./hub.ts";
import { HUB_MODELS, isHubName, type Repository } from "./hub-names.ts";

/** They are fetched first: a tokenizer of another kind is refused before the weights are downloaded. */
const SMALL: readonly string[] = [...TOKENIZER_FILES, ...SENTENCE_FILES, "config.json"];

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
  const repository = { type: "model", name: hubName } as const;
  refuseOffline(repository, `a directory named ${nameOrDirectory}, or ${hubName} in the hub's cache`);
  return downloading(repository, () => downloadSnapshot(repository, options, weights), options);
}

function unknownModel(name: string, shipped: object): ConfigError {
  const known = [...Object.keys(shipped), ...Object.keys(HUB_MODELS)];
  return new ConfigError("no-such-model", `there is no model "${name}"`, {
    expected: `a directory with config.json and model.safetensors, owner/name on the hub, or one of: ${known.join(", ")}`,
    found: "no directory and no known model with that name",
    hint: didYouMean(name, known),
  });
}

/** The file that says which commit a model's main branch had. */
const mainPath = (repository: Repository) => joinPath(repositoryFolder(repository), "refs", "main");

/** The cached snapshot of a model's main branch; undefined if none is complete. */
async function cachedSnapshot(name: string, weights: boolean): Promise<string | undefined> {
  const repository = { type: "model", name } as const;
  if (!(await exists(mainPath(repository)))) return undefined;
  const revision = new TextDecoder().decode(await readBytes(mainPath(repository), 1024)).trim();
  const snapshot = snapshotFolder(repository, revision);
  return /^\w+$/.test(revision) && (await isComplete(snapshot, weights)) ? snapshot : undefined;
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
async function downloadSnapshot(
  repository: Repository,
  options: DownloadOptions,
  withWeights: boolean,
): Promise<string> {
  const { name } = repository;
  const { revision, files } = (await listFiles(repository, "main", options)) ?? NO_FILES;
  requireNeeded(name, files);
  const isSharded = !files.has(WEIGHTS);
  const small = [...SMALL, ...(isSharded ? [SHARDS_INDEX] : [])].filter((path) => files.has(path));
  const fetch = (wanted: readonly HubFile[]) => fetchFiles(repository, revision, wanted, options);
  await fetch(small.map((path) => hubFile(name, files, path, LIMITS.json)));
  const snapshot = snapshotFolder(repository, revision);
  await checkSmallFiles(snapshot);
  if (!withWeights) return snapshot;
  const index = joinPath(snapshot, SHARDS_INDEX);
  await fetch(isSharded ? await findShards(name, index, files) : [hubFile(name, files, WEIGHTS, LIMITS.weights)]);
  // Without it the hub is asked again; another process may write the same.
  await writeFileAtomic(mainPath(repository), revision).catch(() => {});
  return snapshot;
}

const NO_FILES: Listing = { revision: "", files: new Map() };

/** The files that the index of a sharded model names. Throws ConfigError if the hub lacks one. */
async function findShards(name: string, index: string, files: Listing["files"]): Promise<HubFile[]> {
  const shards = [...(await readShards(index)).keys()];
  const missing = shards.filter((shard) => !files.has(shard));
  if (missing.length > 0)
    throw new ConfigError("missing-shards", `the model ${name} lacks ${missing.length} of ${shards.length} shards`, {
      where: index,
      expected: nameList(shards),
      found: `no ${nameList(missing)}`,
    });
  const described = shards.map((shard) => hubFile(name, files, shard, LIMITS.weights));
  const bytes = described.reduce((sum, { size }) => sum + size, 0);
  checkSize({ name: `the shards of the model ${name}`, size: bytes }, LIMITS.weights);
  return described;
}

function requireNeeded(name: string, files: Listing["files"]): void {
  const hasWeights = files.has(WEIGHTS) || files.has(SHARDS_INDEX);
  const missing = [...(files.has("config.json") ? [] : ["config.json"]), ...(hasWeights ? [] : [WEIGHTS])];
  if (missing.length === 0) return;
  let hint =
    "check that this is a model in the layout of transformers; of one that has GGUF files, give the address of a file: " +
    `https://huggingface.co/${name}/resolve/main/FILE.gguf`;
  if (files.has("adapter_config.json")) hint = "this is an adapter: give its base model";
  else if (files.has("pytorch_model.bin") || files.has("pytorch_model.bin.index.json"))
    hint =
      "only safetensors are supported; this command converts it: " +
      `python -c "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; n='${name}'; ` +
      "M.from_pretrained(n).save_pretrained('gpt2-here'); T.from_pretrained(n).save_pretrained('gpt2-here')\"; " +
      `then ${setting("model", "gpt2-here")}`;
  throw new ConfigError("missing-model-files", `the model ${name} lacks ${missing.join(" and ")}`, {
    where: name,
    expected: `config.json, and ${WEIGHTS} or ${SHARDS_INDEX}`,
    found: nameList([...files.keys()]),
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
