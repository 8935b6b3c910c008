/**
 * Repositories of the Hugging Face hub, in the cache that Python's huggingface_hub shares: models--owner--name/ or
 * datasets--owner--name/ with refs/<branch>, blobs/<etag> and snapshots/<revision>/<file>, links to blobs. One request
 * of the hub's API is used: a repository's files at a branch or a commit, with their sizes and hashes.
 */

import { environment, exists, joinPath, linkFile, platformName, readBytes } from "#platform";
import { isText } from "../../core/checks.ts";
import { ConfigError, DownloadError } from "../../core/errors.ts";
import { type Answer, ask, collect } from "../../platform/http.ts";
import { LIMITS, parseJson } from "../limits.ts";
import { hubCacheDirectory, hubHome } from "./cache.ts";
import { type Digest, download, writing } from "./download.ts";
import type { DownloadOptions } from "./download-options.ts";
import { folderName, nearestRepository, type Repository } from "./hub-names.ts";

const WORDS = { model: "model", dataset: "data set" } as const;

const HUB = "https://huggingface.co";
const COMMIT = /^[0-9a-f]{40}$/;

export function repositoryFolder(repository: Repository): string {
  return joinPath(hubCacheDirectory(), folderName(repository));
}

export function snapshotFolder(repository: Repository, revision: string): string {
  return joinPath(repositoryFolder(repository), "snapshots", revision);
}

/** Throws DownloadError if HF_HUB_OFFLINE forbids to ask the hub for `what`, which the cache lacks. */
export function refuseOffline({ type, name }: Repository, what: string): void {
  if (!/^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "")) return;
  throw new DownloadError(
    "not-in-cache",
    `the ${WORDS[type]} "${name}" is not in the cache, and HF_HUB_OFFLINE is set`,
    {
      where: hubCacheDirectory(),
      expected: what,
      hint: "unset HF_HUB_OFFLINE to download it, or copy the cache from another machine",
    },
  );
}

/** Runs `work`, which downloads files of a repository. Its DownloadError names the repository. */
export async function downloading<T>(
  repository: Repository,
  work: () => Promise<T>,
  options: DownloadOptions,
): Promise<T> {
  try {
    return await writing(repositoryFolder(repository), work, options.signal);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    const [summary] = error.message.split("\n");
    throw new DownloadError(
      error.code,
      `cannot download the ${WORDS[repository.type]} "${repository.name}": ${summary}`,
      {
        ...error.details,
        cause: error,
      },
    );
  }
}

export const hubUrl = () => (environment("HF_ENDPOINT") ?? HUB).replace(/\/+$/, "");

async function hubHeaders(): Promise<Record<string, string>> {
  const token = await accessToken();
  // fetch would quote it in its error.
  if (token !== undefined && !/^[!-~]+$/.test(token))
    throw new ConfigError("invalid-access-token", "the access token of the hub is invalid", {
      where: "HF_TOKEN, or the file token in HF_HOME",
      expected: "a token such as hf_..., of letters, digits and signs",
      found: `${token.length} characters`,
    });
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** HF_TOKEN, or the token that `hf auth login` stored. */
async function accessToken(): Promise<string | undefined> {
  const token = environment("HF_TOKEN");
  if (token !== undefined) return token.trim();
  const path = joinPath(hubHome(), "token");
  if (!(await exists(path))) return undefined;
  return new TextDecoder().decode(await readBytes(path)).trim() || undefined;
}

/** The files of a repository at a commit, as the hub describes them. */
export interface Listing {
  revision: string;
  /** By path. */
  files: ReadonlyMap<string, FileInfo>;
}

interface FileInfo {
  size?: unknown;
  /** Git's name of the file. */
  blobId?: unknown;
  /** A big file, which Git has only a pointer to. */
  lfs?: { sha256?: unknown } | null;
}

/** Asks the hub for a branch or a commit; undefined if the repository has none of that name. Throws DownloadError. */
export async function listFiles(
  repository: Repository,
  reference: string,
  options: DownloadOptions,
): Promise<Listing | undefined> {
  const { type, name } = repository;
  const headers = await hubHeaders();
  const url = `${hubUrl()}/api/${type}s/${name}/revision/${encodeURIComponent(reference)}?blobs=true`;
  const read = async ({ response, pieces }: Answer) => {
    const code = response.headers.get("x-error-code");
    if (code === "RevisionNotFound") return undefined;
    if (!response.ok) throw refusal(repository, response.status, code === "GatedRepo", headers);
    return new Uint8Array(await (await collect(pieces, url, { limit: LIMITS.answer })).arrayBuffer());
  };
  const bytes = await ask(url, { headers }, read, options);
  return bytes && parseListing(bytes, pageOf(repository));
}

function parseListing(bytes: Uint8Array, where: string): Listing {
  const { sha, siblings } = parseAnswer(bytes, where);
  if (!isText(sha) || !COMMIT.test(sha))
    throw new DownloadError("invalid-hub-answer", "the hub reports no valid revision", { where, found: show(sha) });
  const entries = (Array.isArray(siblings) ? siblings : []) as (FileInfo & { rfilename: string })[];
  if (!entries.every((entry) => isText(entry?.rfilename)))
    throw new DownloadError("invalid-hub-answer", "the hub reports a file without a name", { where });
  return { revision: sha, files: new Map(entries.map((entry) => [entry.rfilename, entry])) };
}

function parseAnswer(bytes: Uint8Array, where: string): { sha?: unknown; siblings?: unknown } {
  try {
    return parseJson(bytes, where) ?? {};
  } catch (cause) {
    const reason = (cause as Error).message.split("\n")[0]!;
    const hint = "check HF_ENDPOINT";
    throw new DownloadError("not-a-hub", "the server is not a Hugging Face hub", { where, found: reason, hint, cause });
  }
}

/** A value of a response, for a message. */
const show = (value: unknown) => (typeof value === "object" ? "an object" : String(value));

/** A file of a repository, whose description was checked. */
export interface HubFile {
  path: string;
  size: number;
  /** The name of its blob in the cache: sha256 for files in LFS, Git's sha1 for others. */
  etag: string;
  digest: Digest;
}

/** Checks the hub's description of a file of at most `most` bytes. */
export function hubFile(name: string, files: Listing["files"], path: string, most: number): HubFile {
  const { size, blobId, lfs } = files.get(path) ?? {};
  const hex = lfs ? lfs.sha256 : blobId;
  const where = `${name}/${path}`;
  const digits = lfs ? 64 : 40;
  if (typeof hex !== "string" || hex.length !== digits || !/^[0-9a-f]+$/.test(hex))
    throw new DownloadError("invalid-hub-answer", "the hub reports no valid hash for a file", {
      where,
      expected: `${digits} hexadecimal digits`,
      found: show(hex),
    });
  if (typeof size !== "number" || !(Number.isSafeInteger(size) && size >= 0 && size <= most))
    throw new DownloadError("invalid-hub-answer", "the hub reports an invalid file size", {
      where,
      expected: `at most ${most} bytes`,
      found: show(size),
    });
  return { path, size, etag: hex, digest: { kind: lfs ? "sha256" : "git-sha1", hex } };
}

/**
 * Downloads files into the cache, except those whose blobs are there, and links them into the snapshot when all are
 * complete: a snapshot never has only some of them.
 */
export async function fetchFiles(
  repository: Repository,
  revision: string,
  files: readonly HubFile[],
  options: DownloadOptions,
): Promise<void> {
  const headers = await hubHeaders();
  const blob = (etag: string) => joinPath(repositoryFolder(repository), "blobs", etag);
  const refused = (status: number) =>
    status === 401 || status === 403 ? refusal(repository, status, true, headers) : undefined;
  for (const { path, size, etag, digest } of files) {
    if (await exists(blob(etag))) continue;
    const url = `${pageOf(repository)}/resolve/${revision}/${path.split("/").map(encodeURIComponent).join("/")}`;
    const wanted = { url, headers, name: repository.name, file: path, size, digest, refused };
    await download(blob(etag), wanted, options);
  }
  for (const { path, etag } of files) {
    const link = joinPath(snapshotFolder(repository, revision), path);
    // Another process may do the same.
    await linkFile(blob(etag), link).catch(async (error) => {
      if (!(await exists(link))) throw error;
    });
  }
}

/** The error for a status of the hub that is none of success. */
function refusal(repository: Repository, status: number, isGated: boolean, headers: object): DownloadError {
  const { type } = repository;
  const isPage = platformName === "browser";
  const hasToken = "authorization" in headers;
  const login = isPage ? "download its files and choose them" : "set HF_TOKEN to a token with read access";
  const where = pageOf(repository);
  const answered = `status ${status}`;
  if (isGated || status === 403)
    return new DownloadError("gated-repository", `the ${WORDS[type]} is gated`, {
      where,
      found: answered,
      hint: `accept its terms on that page, then ${login}${hasToken ? ": the present one has no access" : ""}`,
    });
  if (status !== 401 && status !== 404)
    return new DownloadError("request-refused", "the request to the hub failed", {
      where,
      found: answered,
      hint: "try again later",
    });
  // Without a token the hub also answers 401 for a repository that does not exist.
  const near = nearestRepository(repository);
  const isFolder = type === "dataset" || isPage ? "" : " (there is no directory of that name either)";
  return new DownloadError("no-such-repository", `there is no such ${WORDS[type]} on the hub, or no access to it`, {
    where,
    found: answered,
    hint:
      `${near === undefined ? "check" : `did you mean ${near}? Otherwise check`} the name${isFolder}; ` +
      (hasToken ? "check the account of HF_TOKEN" : `for a private one ${login}`),
  });
}

/** The repository's page for people. */
const pageOf = ({ type, name }: Repository) => `${hubUrl()}/${type === "model" ? name : `datasets/${name}`}`;
