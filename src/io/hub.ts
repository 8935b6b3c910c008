/**
 * Models of the Hugging Face hub, in the cache that Python's huggingface_hub shares: models--owner--name/ with refs/main,
 * blobs/<etag> and snapshots/<revision>/<file>, links to blobs.
 */

import { environment, exists, joinPath, linkFile, platformName, readBytes, writeFileAtomic } from "#platform";
import { ConfigError, DownloadError, LowrankError, nameList } from "../errors.ts";
import { hubCacheDirectory, hubHome } from "./cache.ts";

import { type Digest, download, inTurn, writing } from "./download.ts";
import type { DownloadOptions } from "./download-options.ts";
import { fetchAnswer } from "./fetch.ts";
import { LIMITS } from "./limits.ts";

/** The short names that transformers accepts, and the repositories they stand for. */
export const HUB_MODELS: Readonly<Record<string, string>> = {
  gpt2: "openai-community/gpt2",
  "gpt2-medium": "openai-community/gpt2-medium",
  "gpt2-large": "openai-community/gpt2-large",
  "gpt2-xl": "openai-community/gpt2-xl",
  distilgpt2: "distilbert/distilgpt2",
};

const HUB = "https://huggingface.co";
const BRANCH = "main";
const NEEDED = ["config.json", "model.safetensors"] as const;
/** Optional files. They are fetched first: a model with another tokenizer is refused before its weights are downloaded. */
const TOKENIZER = ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"] as const;
const WANTED: readonly string[] = [...TOKENIZER, ...NEEDED];
/** Files that explain why model.safetensors is missing. */
const OTHERS = ["model.safetensors.index.json", "pytorch_model.bin", "adapter_config.json"] as const;

/** Pinned sha256 hashes, checked in addition to the hash that the server reports. */
const KNOWN: Readonly<Record<string, string>> = {
  "openai-community/gpt2/model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
};

/** "owner/name" of a model on the hub; undefined if `name` cannot be one, like most paths. */
export function hubNameOf(name: string): string | undefined {
  if (Object.hasOwn(HUB_MODELS, name)) return HUB_MODELS[name];
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name) && !/\.\.|--/.test(name) ? name : undefined;
}

/** The repository and revision of a snapshot directory; undefined for any other directory. */
export function snapshotOf(directory: string): { name: string; revision: string } | undefined {
  const match = /[\\/]models--([^\\/]+)[\\/]snapshots[\\/]([^\\/]+)[\\/]?$/.exec(directory);
  return match ? { name: match[1]!.replace("--", "/"), revision: match[2]! } : undefined;
}

/** The cached snapshot of a model's main branch; undefined if none is complete. */
export async function cachedSnapshot(name: string): Promise<string | undefined> {
  // Old caches use the short name: models had no owner then.
  const short = Object.keys(HUB_MODELS).filter((key) => HUB_MODELS[key] === name);
  for (const repository of [name, ...short]) {
    const ref = joinPath(repositoryFolder(repository), "refs", BRANCH);
    if (!(await exists(ref))) continue;
    const revision = new TextDecoder().decode(await readBytes(ref)).trim();
    const snapshot = joinPath(repositoryFolder(repository), "snapshots", revision);
    const found = await Promise.all(NEEDED.map((file) => exists(joinPath(snapshot, file))));
    if (found.every(Boolean)) return snapshot;
  }
  return undefined;
}

/** Whether HF_HUB_OFFLINE forbids requests to the hub. */
export function isOffline(): boolean {
  return /^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "");
}

/**
 * Downloads a model into the cache, resuming an interrupted download, and returns its snapshot. `checkSmallFiles` is called
 * before the weights are downloaded. Throws DownloadError if the download fails, ConfigError if the repository has no such
 * model.
 */
export async function downloadSnapshot(
  name: string,
  checkSmallFiles: (snapshot: string) => Promise<void>,
  options: DownloadOptions = {},
): Promise<string> {
  const folder = repositoryFolder(name);
  const lock = joinPath(hubCacheDirectory(), ".locks", `lowrank--${name.replace("/", "--")}`);
  const fetchAll = async () => {
    // Another process may have downloaded it while this one waited for the lock.
    const cached = await cachedSnapshot(name);
    if (cached !== undefined) return cached;
    const access = await hubAccess(options);
    const { revision, files } = await describe(name, access, options);
    const snapshot = joinPath(folder, "snapshots", revision);
    const wanted = WANTED.filter((file) => files.has(file));
    const small = wanted.filter((file) => file !== "model.safetensors");
    for (const file of small) await fetchFile(name, revision, files.get(file)!, access, options);
    await checkSmallFiles(snapshot);
    await fetchFile(name, revision, files.get("model.safetensors")!, access, options);
    await writeFileAtomic(joinPath(folder, "refs", BRANCH), revision);
    return snapshot;
  };
  try {
    return await writing(folder, () => inTurn(lock, fetchAll, options), options.signal);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    const [summary] = error.message.split("\n");
    throw new DownloadError(`cannot download the model "${name}": ${summary}`, { ...error.details, cause: error });
  }
}

function repositoryFolder(name: string): string {
  return joinPath(hubCacheDirectory(), `models--${name.replace("/", "--")}`);
}

/** Parameters of every request to the hub. */
interface HubAccess {
  hubUrl: string;
  accessToken?: string;
  fetch: typeof fetch;
}

async function hubAccess(options: DownloadOptions): Promise<HubAccess> {
  const token = await accessToken();
  if (token !== undefined && !token.startsWith("hf_"))
    throw new ConfigError("the access token of the hub is invalid", {
      where: "HF_TOKEN, or the file token in HF_HOME",
      expected: "a token that starts with hf_",
      found: `${token.length} other characters`,
    });
  return {
    hubUrl: (environment("HF_ENDPOINT") ?? HUB).replace(/\/+$/, ""),
    ...(token === undefined ? {} : { accessToken: token }),
    fetch: (url, init = {}) => fetchAnswer(url instanceof Request ? url.url : url, init, options),
  };
}

/** HF_TOKEN, or the token that `hf auth login` stored. */
async function accessToken(): Promise<string | undefined> {
  const token = environment("HF_TOKEN") ?? environment("HUGGING_FACE_HUB_TOKEN");
  if (token !== undefined) return token.trim();
  const path = environment("HF_TOKEN_PATH") ?? joinPath(hubHome(), "token");
  if (!(await exists(path))) return undefined;
  return new TextDecoder().decode(await readBytes(path)).trim() || undefined;
}

/** A file of a repository, as the hub describes it. */
interface HubFile {
  path: string;
  size: number;
  /** The name of its blob in the cache: sha256 for files in LFS, Git's sha1 for others. */
  etag: string;
  digest: Digest;
}

/** The revision of the main branch and its files that are needed. */
async function describe(name: string, access: HubAccess, options: DownloadOptions) {
  const { modelInfo, pathsInfo } = await import("@huggingface/hub");
  try {
    const { sha: revision } = await modelInfo({ ...access, name, revision: BRANCH, additionalFields: ["sha"] });
    if (typeof revision !== "string" || !/^[0-9a-f]{40}$/.test(revision))
      throw new DownloadError("the hub reports no valid revision", { where: name, found: show(revision) });
    const paths = [...WANTED, ...OTHERS];
    const infos = await pathsInfo({ ...access, repo: { type: "model", name }, revision, paths });
    requireNeeded(
      name,
      infos.map(({ path }) => path),
    );
    const wanted = infos.filter(({ path }) => WANTED.includes(path));
    return { revision, files: new Map(wanted.map((info) => [info.path, hubFile(name, info)])) };
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw hubError(name, access, cause);
  }
}

/** A value of a response, for a message. */
const show = (value: unknown) => (typeof value === "object" ? "an object" : String(value));

function hubFile(name: string, info: { path: string; size: number; oid?: string; lfs?: { oid: string } }): HubFile {
  const { path, size, oid, lfs } = info;
  const hex = lfs?.oid ?? oid;
  const where = `${name}/${path}`;
  const digits = lfs ? 64 : 40;
  if (typeof hex !== "string" || hex.length !== digits || !/^[0-9a-f]+$/.test(hex))
    throw new DownloadError("the hub reports no valid hash for a file", {
      where,
      expected: `${digits} hexadecimal digits`,
      found: show(hex),
    });
  const most = path.endsWith(".safetensors") ? LIMITS.weights : LIMITS.json;
  if (!(Number.isSafeInteger(size) && size >= 0 && size <= most))
    throw new DownloadError("the hub reports an invalid file size", {
      where,
      expected: `at most ${most} bytes`,
      found: show(size),
    });
  const known = KNOWN[`${name}/${path}`];
  if (known !== undefined && known !== hex)
    throw new DownloadError("the file on the hub differs from the known one", {
      where,
      expected: `sha256 ${known}`,
      found: `sha256 ${hex}`,
      hint: "check that HF_ENDPOINT is a mirror that you trust",
    });
  return { path, size, etag: hex, digest: { kind: lfs ? "sha256" : "git-sha1", hex } };
}

function requireNeeded(name: string, files: readonly string[]): void {
  const missing = NEEDED.filter((file) => !files.includes(file));
  if (missing.length === 0) return;
  let hint = "check that this is a GPT-2 model in the layout of transformers";
  if (files.includes("adapter_config.json")) hint = "this is an adapter: give its base model";
  else if (files.includes("model.safetensors.index.json")) hint = "sharded models are not supported";
  else if (files.includes("pytorch_model.bin"))
    hint = "only safetensors are supported: save the model with safe_serialization=True";
  throw new ConfigError(`the model ${name} lacks ${missing.join(" and ")}`, {
    where: name,
    expected: NEEDED.join(" and "),
    found: nameList(files),
    hint,
  });
}

/** Downloads a file into the cache, unless its blob is there, and links it into the snapshot. */
async function fetchFile(
  name: string,
  revision: string,
  { path, size, etag, digest }: HubFile,
  { hubUrl, accessToken: token }: HubAccess,
  options: DownloadOptions,
): Promise<void> {
  const blob = joinPath(repositoryFolder(name), "blobs", etag);
  if (!(await exists(blob))) {
    const url = `${hubUrl}/${name}/resolve/${revision}/${path}`;
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    await download(blob, { url, headers, name, file: path, size, digest }, options);
  }
  await linkFile(blob, joinPath(repositoryFolder(name), "snapshots", revision, path));
}

/** The error for a failed request to the hub. */
function hubError(name: string, { hubUrl, accessToken: token }: HubAccess, cause: unknown): unknown {
  if (cause instanceof LowrankError) return cause;
  const status = (cause as { statusCode?: number }).statusCode;
  const where = `${hubUrl}/${name}`;
  if (status === undefined)
    return new DownloadError("the server is not a Hugging Face hub", {
      where,
      found: (cause as Error).message,
      hint: "check HF_ENDPOINT",
      cause,
    });
  const isPage = platformName === "browser";
  const login = isPage ? "download its files and choose their folder" : "set HF_TOKEN to a token with read access";
  // Without a token the hub also answers 401 for a model that does not exist.
  if (status === 401 || status === 404)
    return new DownloadError("there is no such model on the hub, or no access to it", {
      where,
      found: `status ${status}`,
      hint:
        `check the name${isPage ? "" : " (there is no directory of that name either)"}; ` +
        (token === undefined ? `for a private model ${login}` : "check the account of HF_TOKEN"),
      cause,
    });
  if (status === 403)
    return new DownloadError("the model is gated", { where, found: "status 403", hint: login, cause });
  return new DownloadError("the request to the hub failed", {
    where,
    found: `status ${status}${status === 429 ? ": too many requests" : ""}`,
    hint: "try again later",
    cause,
  });
}
