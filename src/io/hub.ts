/**
 * Models of the Hugging Face hub, in the cache that Python's huggingface_hub shares: models--owner--name/ with refs/main,
 * blobs/<etag> and snapshots/<revision>/<file>, links to blobs.
 */

import { environment, exists, joinPath, linkFile, readBytes, writeFileAtomic } from "#platform";
import { ConfigError, DownloadError, LowrankError, nameList } from "../errors.ts";
import { hubCacheDirectory, hubHome } from "./cache.ts";

import { type Digest, type DownloadOptions, download, inTurn, writing } from "./download.ts";
import { fetchAnswer } from "./fetch.ts";
import { LIMITS } from "./limits.ts";

/** Models by the short names that transformers knows. */
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
/** Fetched where the repository has them: whether a model has GPT-2's tokenizer is seen before its weights are fetched. */
const TOKENIZER = ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"] as const;
const WANTED: readonly string[] = [...TOKENIZER, ...NEEDED];
/** What tells why there is no model.safetensors. */
const OTHERS = ["model.safetensors.index.json", "pytorch_model.bin", "adapter_config.json"] as const;

/** sha256 of files that are known whatever a server says. */
const KNOWN: Readonly<Record<string, string>> = {
  "openai-community/gpt2/model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
};

/** "owner/name" of a model on the hub; undefined for what can be none, like most paths. */
export function hubNameOf(name: string): string | undefined {
  if (Object.hasOwn(HUB_MODELS, name)) return HUB_MODELS[name];
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name) && !/\.\.|--/.test(name) ? name : undefined;
}

/** The repository and revision that a directory is a snapshot of; undefined where it is none. */
export function snapshotOf(directory: string): { name: string; revision: string } | undefined {
  const match = /[\\/]models--([^\\/]+)[\\/]snapshots[\\/]([^\\/]+)[\\/]?$/.exec(directory);
  return match ? { name: match[1]!.replace("--", "/"), revision: match[2]! } : undefined;
}

/** The snapshot of a model's main branch in the cache, with all that is needed; undefined where there is none. */
export async function cachedSnapshot(name: string): Promise<string | undefined> {
  // Caches of before the hub gave every model an owner know it by its short name.
  const short = Object.keys(HUB_MODELS).filter((key) => HUB_MODELS[key] === name);
  for (const known of [name, ...short]) {
    const ref = joinPath(repositoryFolder(known), "refs", BRANCH);
    if (!(await exists(ref))) continue;
    const revision = new TextDecoder().decode(await readBytes(ref)).trim();
    const snapshot = joinPath(repositoryFolder(known), "snapshots", revision);
    const there = await Promise.all(NEEDED.map((file) => exists(joinPath(snapshot, file))));
    if (there.every(Boolean)) return snapshot;
  }
  return undefined;
}

/** Whether the hub must not be asked: HF_HUB_OFFLINE. */
export function isOffline(): boolean {
  return /^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "");
}

/**
 * Fetches a model into the cache, a broken download from where it broke off; returns its snapshot. `checkSmallFiles`
 * looks at the snapshot before the weights are fetched. Throws DownloadError with what the hub says, ConfigError where the
 * repository has no such model.
 */
export async function downloadSnapshot(
  name: string,
  checkSmallFiles: (snapshot: string) => Promise<void>,
  options: DownloadOptions = {},
): Promise<string> {
  const folder = repositoryFolder(name);
  const lock = joinPath(hubCacheDirectory(), ".locks", `lowrank--${name.replace("/", "--")}`);
  const fetchAll = async () => {
    // Another process may have fetched it while this one waited.
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
    throw new DownloadError(`the model "${name}" is not here yet: ${summary}`, { ...error.details, cause: error });
  }
}

function repositoryFolder(name: string): string {
  return joinPath(hubCacheDirectory(), `models--${name.replace("/", "--")}`);
}

/** How to ask the hub. */
interface HubAccess {
  hubUrl: string;
  accessToken?: string;
  fetch: typeof fetch;
}

async function hubAccess(options: DownloadOptions): Promise<HubAccess> {
  const token = await accessToken();
  if (token !== undefined && !token.startsWith("hf_"))
    throw new ConfigError("the hub's access token is none", {
      where: "HF_TOKEN, or the file token in HF_HOME",
      expected: "a token that begins with hf_",
      found: `${token.length} other characters`,
    });
  return {
    hubUrl: (environment("HF_ENDPOINT") ?? HUB).replace(/\/+$/, ""),
    ...(token === undefined ? {} : { accessToken: token }),
    fetch: (url, init = {}) => fetchAnswer(url instanceof Request ? url.url : url, init, options),
  };
}

/** HF_TOKEN, or what `hf auth login` left. */
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
  /** The name of its blob in the cache: the sha256 of big files, else Git's sha1. */
  etag: string;
  digest: Digest;
}

/** The revision of the main branch and the files there that matter. */
async function describe(name: string, access: HubAccess, options: DownloadOptions) {
  const { modelInfo, pathsInfo } = await import("@huggingface/hub");
  try {
    const { sha: revision } = await modelInfo({ ...access, name, revision: BRANCH, additionalFields: ["sha"] });
    if (typeof revision !== "string" || !/^[0-9a-f]{40}$/.test(revision))
      throw new DownloadError("the hub does not tell a revision", { where: name, found: show(revision) });
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

/** A value of an answer, for a message. */
const show = (value: unknown) => (typeof value === "object" ? "an object" : String(value));

function hubFile(name: string, info: { path: string; size: number; oid?: string; lfs?: { oid: string } }): HubFile {
  const { path, size, oid, lfs } = info;
  const hex = lfs?.oid ?? oid;
  const where = `${name}/${path}`;
  const digits = lfs ? 64 : 40;
  if (typeof hex !== "string" || hex.length !== digits || !/^[0-9a-f]+$/.test(hex))
    throw new DownloadError("the hub does not tell a file's hash", {
      where,
      expected: `${digits} hexadecimal digits`,
      found: show(hex),
    });
  const most = path.endsWith(".safetensors") ? LIMITS.weights : LIMITS.json;
  if (!(Number.isSafeInteger(size) && size >= 0 && size <= most))
    throw new DownloadError("the hub's file cannot be of this size", {
      where,
      expected: `at most ${most} bytes`,
      found: show(size),
    });
  const known = KNOWN[`${name}/${path}`];
  if (known !== undefined && known !== hex)
    throw new DownloadError("the hub offers another file than the known one", {
      where,
      expected: `sha256 ${known}`,
      found: `sha256 ${hex}`,
      hint: "is HF_ENDPOINT a mirror to be trusted?",
    });
  return { path, size, etag: hex, digest: { kind: lfs ? "sha256" : "git-sha1", hex } };
}

function requireNeeded(name: string, files: readonly string[]): void {
  const missing = NEEDED.filter((file) => !files.includes(file));
  if (missing.length === 0) return;
  let hint = "is it a GPT-2 in the layout of transformers?";
  if (files.includes("adapter_config.json")) hint = "this is an adapter: give its base model";
  else if (files.includes("model.safetensors.index.json")) hint = "it is stored in several files, which are not read";
  else if (files.includes("pytorch_model.bin")) hint = "only safetensors are read: convert it, with safe_serialization";
  throw new ConfigError(`the model ${name} lacks ${missing.join(" and ")}`, {
    where: name,
    expected: NEEDED.join(" and "),
    found: nameList(files),
    hint,
  });
}

/** Fetches a file into the cache, unless its blob is there, and links it into the snapshot. */
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

/** What an answer of the hub means. */
function hubError(name: string, { hubUrl, accessToken: token }: HubAccess, cause: unknown): unknown {
  if (cause instanceof LowrankError) return cause;
  const status = (cause as { statusCode?: number }).statusCode;
  const where = `${hubUrl}/${name}`;
  if (status === undefined)
    return new DownloadError("the answer is none of a Hugging Face hub", {
      where,
      found: (cause as Error).message,
      hint: "is HF_ENDPOINT the address of one?",
      cause,
    });
  const login = "set HF_TOKEN to a token that may read it";
  // Without a token the hub answers 401 for what does not exist, too.
  if (status === 401 || status === 404)
    return new DownloadError("the hub has none of that name, or does not show it", {
      where,
      found: `answer ${status}`,
      hint: `check the name (there is no directory of that name either)${token === undefined ? `; for a private model ${login}` : "; is HF_TOKEN of the right account?"}`,
      cause,
    });
  if (status === 403) return new DownloadError("it is gated", { where, found: "answer 403", hint: login, cause });
  return new DownloadError("the hub does not answer as it should", {
    where,
    found: `answer ${status}${status === 429 ? ": too many requests" : ""}`,
    hint: "try again later",
    cause,
  });
}
