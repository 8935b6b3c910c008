/**
 * Repositories of the Hugging Face hub, in the cache that Python's huggingface_hub shares: models--owner--name/ or
 * datasets--owner--name/ with refs/<branch>, blobs/<etag>, trees/<revision>.json and snapshots/<revision>/<file>, links
 * to blobs.
 */

import { environment, exists, joinPath, linkFile, platformName, readBytes, writeFileAtomic } from "#platform";
import { ConfigError, DownloadError, LowrankError } from "../errors.ts";
import { type Answer, ask, collect } from "../platform/http.ts";
import { hubCacheDirectory, hubHome } from "./cache.ts";
import { type Digest, download, inTurn, writing } from "./download.ts";
import type { DownloadOptions } from "./download-options.ts";
import { folderName, nearestRepository, type Repository } from "./hub-names.ts";
import { LIMITS } from "./limits.ts";

const WORDS = { model: "model", dataset: "data set" } as const;

const HUB = "https://huggingface.co";
export const MAIN = "main";
const COMMIT = /^[0-9a-f]{40}$/;

export function repositoryFolder(repository: Repository): string {
  return joinPath(hubCacheDirectory(), folderName(repository));
}

export function snapshotFolder(repository: Repository, revision: string): string {
  return joinPath(repositoryFolder(repository), "snapshots", revision);
}

/** The revision that a branch has in the cache; undefined if it is not there. A commit is its own revision. */
export async function cachedRevision(repository: Repository, reference: string): Promise<string | undefined> {
  if (COMMIT.test(reference)) return reference;
  const ref = joinPath(repositoryFolder(repository), "refs", reference);
  if (!(await exists(ref))) return undefined;
  const revision = new TextDecoder().decode(await readBytes(ref, 1024)).trim();
  return /^\w+$/.test(revision) ? revision : undefined;
}

/** Notes the revision of a branch. */
export async function keepRevision(repository: Repository, reference: string, revision: string): Promise<void> {
  if (!COMMIT.test(reference))
    await writeFileAtomic(joinPath(repositoryFolder(repository), "refs", reference), revision);
}

/** Whether HF_HUB_OFFLINE forbids requests to the hub. */
export function isOffline(): boolean {
  return /^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "");
}

/**
 * Runs `work`, which downloads files of a repository, one process at a time. Throws DownloadError, which names the
 * repository, if it fails.
 */
export async function downloading<T>(
  repository: Repository,
  work: () => Promise<T>,
  options: DownloadOptions,
): Promise<T> {
  const { type, name } = repository;
  const kind = type === "model" ? "" : `${type}s--`;
  const lock = joinPath(hubCacheDirectory(), ".locks", `lowrank--${kind}${name.replace("/", "--")}`);
  try {
    return await writing(repositoryFolder(repository), () => inTurn(lock, work, options), options.signal);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    const [summary] = error.message.split("\n");
    throw new DownloadError(error.code, `cannot download the ${WORDS[type]} "${name}": ${summary}`, {
      ...error.details,
      cause: error,
    });
  }
}

/** Parameters of every request to the hub. */
export interface HubAccess {
  hubUrl: string;
  accessToken?: string;
  fetch: typeof fetch;
}

export async function hubAccess(options: DownloadOptions): Promise<HubAccess> {
  const token = await accessToken();
  if (token !== undefined && !token.startsWith("hf_"))
    throw new ConfigError("invalid-access-token", "the access token of the hub is invalid", {
      where: "HF_TOKEN, or the file token in HF_HOME",
      expected: "a token that starts with hf_",
      found: `${token.length} other characters`,
    });
  return {
    hubUrl: (environment("HF_ENDPOINT") ?? HUB).replace(/\/+$/, ""),
    ...(token === undefined ? {} : { accessToken: token }),
    fetch: (place, init = {}) => {
      const url = place instanceof Request ? place.url : String(place);
      const read = async ({ response: { status, statusText, headers }, pieces }: Answer) => {
        const body = await collect(pieces, url, { limit: LIMITS.answer });
        return new Response(body.size > 0 ? body : null, { status, statusText, headers });
      };
      return ask(url, init, read, options);
    },
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

/** Runs requests of the hub's client; what they throw becomes an error for people. */
export async function asking<T>(
  repository: Repository,
  access: HubAccess,
  { signal }: DownloadOptions,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    signal?.throwIfAborted();
    throw hubError(repository, access, cause);
  }
}

/** The commit that the hub reports for a branch. */
export function checkedRevision({ name }: Repository, sha: unknown): string {
  if (typeof sha === "string" && COMMIT.test(sha)) return sha;
  throw new DownloadError("invalid-hub-answer", "the hub reports no valid revision", { where: name, found: show(sha) });
}

/** A value of a response, for a message. */
const show = (value: unknown) => (typeof value === "object" ? "an object" : String(value));

/** A file of a repository, as the hub describes it. */
export interface HubFile {
  path: string;
  size: number;
  /** The name of its blob in the cache: sha256 for files in LFS, Git's sha1 for others. */
  etag: string;
  digest: Digest;
}

/** Checks the hub's description of a file of at most `most` bytes. */
export function hubFile(
  name: string,
  info: { path: string; size: number; oid?: string; lfs?: { oid: string } },
  most: number,
): HubFile {
  const { path, size, oid, lfs } = info;
  const hex = lfs?.oid ?? oid;
  const where = `${name}/${path}`;
  const digits = lfs ? 64 : 40;
  if (typeof hex !== "string" || hex.length !== digits || !/^[0-9a-f]+$/.test(hex))
    throw new DownloadError("invalid-hub-answer", "the hub reports no valid hash for a file", {
      where,
      expected: `${digits} hexadecimal digits`,
      found: show(hex),
    });
  if (!(Number.isSafeInteger(size) && size >= 0 && size <= most))
    throw new DownloadError("invalid-hub-answer", "the hub reports an invalid file size", {
      where,
      expected: `at most ${most} bytes`,
      found: show(size),
    });
  return { path, size, etag: hex, digest: { kind: lfs ? "sha256" : "git-sha1", hex } };
}

/** Downloads a file into the cache, unless its blob is there. */
export async function fetchBlob(
  repository: Repository,
  revision: string,
  { path, size, etag, digest }: HubFile,
  access: HubAccess,
  options: DownloadOptions,
): Promise<void> {
  const { type, name } = repository;
  const blob = joinPath(repositoryFolder(repository), "blobs", etag);
  if (await exists(blob)) return;
  const { hubUrl, accessToken: token } = access;
  const folder = type === "model" ? name : `${type}s/${name}`;
  const url = `${hubUrl}/${folder}/resolve/${revision}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const refused = (status: number) =>
    status === 401 || status === 403 ? gated(repository, access, status) : undefined;
  await download(blob, { url, headers, name, file: path, size, digest, refused }, options);
}

/** Links the blob of a file into its snapshot, where readers find it. */
export async function linkBlob(repository: Repository, revision: string, { path, etag }: HubFile): Promise<void> {
  const blob = joinPath(repositoryFolder(repository), "blobs", etag);
  await linkFile(blob, joinPath(snapshotFolder(repository, revision), path));
}

/** The error for a failed request to the hub. */
function hubError(repository: Repository, access: HubAccess, cause: unknown): unknown {
  if (cause instanceof LowrankError) return cause;
  const { type, name } = repository;
  const { statusCode: status, message } = cause as { statusCode?: number; message: string };
  const where = repositoryPage(repository, access);
  if (status === undefined)
    return new DownloadError("not-a-hub", "the server is not a Hugging Face hub", {
      where,
      found: message,
      hint: "check HF_ENDPOINT",
      cause,
    });
  if (status === 403 || (status === 401 && /gated|restricted/i.test(message)))
    return gated(repository, access, status, cause);
  // Without a token the hub also answers 401 for a repository that does not exist.
  if (status === 401 || status === 404) {
    const near = nearestRepository({ type, name });
    const isPage = platformName === "browser";
    return new DownloadError("no-such-repository", `there is no such ${WORDS[type]} on the hub, or no access to it`, {
      where,
      found: `status ${status}`,
      hint:
        `${near === undefined ? "check" : `did you mean ${near}? Otherwise check`} the name${type === "dataset" || isPage ? "" : " (there is no directory of that name either)"}; ` +
        (access.accessToken === undefined
          ? `for a private ${WORDS[type]} ${login()}`
          : "check the account of HF_TOKEN"),
      cause,
    });
  }
  return new DownloadError("request-refused", "the request to the hub failed", {
    where,
    found: `status ${status}`,
    hint: "try again later",
    cause,
  });
}

/** The repository's page for people. */
function repositoryPage({ type, name }: Repository, { hubUrl }: HubAccess): string {
  return type === "model" ? `${hubUrl}/${name}` : `${hubUrl}/${type}s/${name}`;
}

function login(): string {
  const isPage = platformName === "browser";
  return isPage ? "download its files and choose them" : "set HF_TOKEN to a token with read access";
}

/** The error for gated files: only those who have accepted the owner's terms may read them. */
function gated(repository: Repository, access: HubAccess, status: number, cause?: unknown): DownloadError {
  return new DownloadError("gated-repository", `the ${WORDS[repository.type]} is gated`, {
    where: repositoryPage(repository, access),
    found: `status ${status}`,
    hint:
      `accept its terms on that page, then ${login()}` +
      (access.accessToken === undefined ? "" : ": the present one has no access"),
    cause,
  });
}
