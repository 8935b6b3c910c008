/** Data sets of the Hugging Face hub: what is in a repository, and its files in the cache. */
import { exists, joinPath, listDirectory, makeDirectory, writeFileAtomic } from "#platform";
import { DownloadError, FormatError } from "../errors.ts";
import { hubCacheDirectory } from "./cache.ts";
import { readJson } from "./common.ts";
import { fileSize } from "./download.ts";
import type { DownloadOptions } from "./download-options.ts";
import {
  asking,
  cachedRevision,
  checkedRevision,
  downloading,
  fetchBlob,
  type HubAccess,
  hubAccess,
  hubFile,
  isOffline,
  keepRevision,
  linkBlob,
  MAIN,
  repositoryFolder,
  snapshotFolder,
} from "./hub.ts";
import type { Repository } from "./hub-names.ts";
import { LIMITS } from "./limits.ts";

/** The branch on which the hub keeps every data set as Parquet: CONFIG/SPLIT/0000.parquet. */
export const PARQUET_BRANCH = "refs/convert/parquet";

/** A file in a repository. The hash is missing where only the cache is known. */
interface TreeFile {
  path: string;
  size: number;
  oid?: string;
  lfs?: { oid: string };
  xetHash?: string;
}

export interface DatasetRepository {
  name: string;
  revision: string;
  files: readonly { path: string; size: number }[];
  /** The paths of these files in the cache, into which they are downloaded if needed. */
  fetch(paths: readonly string[]): Promise<string[]>;
}

/**
 * Opens a data set at a branch, a tag or a commit; undefined if the hub has no such branch. What is in the cache is
 * used without asking the hub. Throws DownloadError.
 */
export async function openDatasetRepository(
  name: string,
  reference: string,
  options: DownloadOptions,
): Promise<DatasetRepository | undefined> {
  const repository: Repository = { type: "dataset", name };
  const cached = await cachedTree(repository, reference);
  const tree = cached ?? (await downloading(repository, () => askTree(repository, reference, options), options));
  if (tree === undefined) return undefined;
  const { revision, files } = tree;
  const fetch = async (paths: readonly string[]) => {
    const snapshot = snapshotFolder(repository, revision);
    const wanted = files.filter(({ path }) => paths.includes(path));
    for (const { path } of wanted) checkPath(name, path);
    const missing: TreeFile[] = [];
    for (const file of wanted) if (!(await exists(joinPath(snapshot, file.path)))) missing.push(file);
    if (missing.length > 0) {
      if (isOffline()) throw notCached(name, missing[0]!.path);
      await downloading(repository, () => fetchAll(repository, revision, missing, options), options);
    }
    return paths.map((path) => joinPath(snapshot, path));
  };
  return { name, revision, files, fetch };
}

interface Tree {
  revision: string;
  files: readonly TreeFile[];
}

/** What the cache knows of a repository; offline also the files of a snapshot that Python made. */
async function cachedTree(repository: Repository, reference: string): Promise<Tree | undefined> {
  const revision = await cachedRevision(repository, reference);
  const files = revision === undefined ? undefined : await readTree(treePath(repository, revision));
  if (files !== undefined) return { revision: revision!, files };
  if (!isOffline()) return undefined;
  const snapshot = snapshotFolder(repository, revision ?? "");
  if (revision === undefined || !(await exists(snapshot))) throw notCached(repository.name, reference);
  return { revision, files: await filesBelow(snapshot) };
}

function notCached(name: string, what: string): DownloadError {
  return new DownloadError("not-in-cache", `the data set "${name}" is not in the cache, and HF_HUB_OFFLINE is set`, {
    where: hubCacheDirectory(),
    expected: `${what} of ${name} in the hub's cache`,
    hint: "unset HF_HUB_OFFLINE to download it, or copy the cache from another machine",
  });
}

async function filesBelow(folder: string, prefix = ""): Promise<TreeFile[]> {
  const files: TreeFile[] = [];
  for (const name of await listDirectory(joinPath(folder, prefix))) {
    const path = prefix === "" ? name : `${prefix}/${name}`;
    const inside = await listDirectory(joinPath(folder, path)).catch(() => undefined);
    if (inside) files.push(...(await filesBelow(folder, path)));
    else files.push({ path, size: await fileSize(joinPath(folder, path)) });
  }
  return files;
}

/** Asks the hub for the files of a branch, unless the cache knows its commit, and keeps the list. */
async function askTree(repository: Repository, reference: string, options: DownloadOptions): Promise<Tree | undefined> {
  const access = await hubAccess(options);
  const known = await cachedRevision(repository, reference);
  const revision = known ?? (await findDatasetRevision(repository, reference, access, options));
  if (revision === undefined) return undefined;
  const files = await listFiles(repository, revision, access, options);
  await writeTree(treePath(repository, revision), files);
  // Python calls a cache corrupt in which a branch has no snapshot.
  await makeDirectory(snapshotFolder(repository, revision));
  await keepRevision(repository, reference, revision);
  return { revision, files };
}

async function findDatasetRevision(
  repository: Repository,
  reference: string,
  access: HubAccess,
  options: DownloadOptions,
): Promise<string | undefined> {
  const { datasetInfo } = await import("@huggingface/hub");
  const { name } = repository;
  const info = await asking(repository, access, options, async () => {
    try {
      return await datasetInfo({ ...access, name, revision: reference, additionalFields: ["sha"] });
    } catch (error) {
      if (reference !== MAIN && (error as { statusCode?: number }).statusCode === 404) return undefined;
      throw error;
    }
  });
  return info && checkedRevision(repository, info.sha);
}

async function listFiles(
  repository: Repository,
  revision: string,
  access: HubAccess,
  options: DownloadOptions,
): Promise<TreeFile[]> {
  const { listFiles: list } = await import("@huggingface/hub");
  let pages = 0;
  const { hubUrl } = access;
  // Pages follow each other by the server's links: the token is for the hub alone.
  const page: typeof fetch = (url, init) => {
    if (++pages > LIMITS.hubPages)
      throw new DownloadError("exceeds-limit", "the data set has too many files", {
        where: repository.name,
        expected: `a list of at most ${LIMITS.hubPages} pages`,
        hint: "download the files that you need, and give them with --data, or --train, --val and --test",
      });
    return access.fetch(url, String(url).startsWith(`${hubUrl}/`) ? init : {});
  };
  return asking(repository, access, options, async () => {
    const files: TreeFile[] = [];
    for await (const file of list({ ...access, fetch: page, repo: repository, revision, recursive: true })) {
      const { type, path, size, oid, lfs, xetHash } = file;
      if (type === "directory") continue;
      if (typeof path !== "string" || !Number.isSafeInteger(size) || typeof oid !== "string")
        throw new DownloadError("invalid-hub-answer", "the hub reports an invalid list of files", {
          where: repository.name,
        });
      files.push({
        path,
        size: lfs?.size ?? size,
        oid,
        ...(typeof lfs?.oid === "string" ? { lfs: { oid: lfs.oid } } : {}),
        ...(typeof xetHash === "string" ? { xetHash } : {}),
      });
    }
    return files;
  });
}

/** Python's list of the files of a commit. */
function treePath(repository: Repository, revision: string): string {
  return joinPath(repositoryFolder(repository), "trees", `${revision}.json`);
}

interface Entry {
  size: number;
  blob_id: string;
  lfs_sha256?: string;
  lfs_size?: number;
  xet_hash?: string;
}

async function writeTree(path: string, files: readonly TreeFile[]): Promise<void> {
  const entries = files.map(({ path: file, size, oid, lfs, xetHash }): [string, Entry] => [
    file,
    {
      size,
      blob_id: oid!,
      ...(lfs ? { lfs_sha256: lfs.oid, lfs_size: size } : {}),
      ...(xetHash === undefined ? {} : { xet_hash: xetHash }),
    },
  ]);
  await writeFileAtomic(path, JSON.stringify({ format_version: 1, files: Object.fromEntries(entries.sort()) }));
}

/** The files of a commit; undefined if the list is missing, or of another form. */
async function readTree(path: string): Promise<TreeFile[] | undefined> {
  if (!(await exists(path))) return undefined;
  try {
    const json = (await readJson(path)) as { format_version?: unknown; files: Record<string, Entry> };
    if (json.format_version !== 1) return undefined;
    return Object.entries(json.files).map(([file, { size, blob_id, lfs_sha256 }]) => {
      if (!Number.isSafeInteger(size)) throw new FormatError("invalid-field", "no size", { where: path });
      return { path: file, size, oid: blob_id, ...(lfs_sha256 === undefined ? {} : { lfs: { oid: lfs_sha256 } }) };
    });
  } catch {
    return undefined;
  }
}

/** Throws DownloadError for a path that would leave the snapshot's folder, on any system. */
function checkPath(name: string, path: string): void {
  const isPlain = path
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== ".." && !/[\\\p{Cc}]/u.test(part));
  if (!isPlain || /^[a-z]:/i.test(path))
    throw new DownloadError("invalid-hub-answer", "the hub reports an invalid path", { where: name, found: path });
}

/** Downloads files and links them when all are complete: a snapshot never has only some of a set. */
async function fetchAll(
  repository: Repository,
  revision: string,
  files: readonly TreeFile[],
  options: DownloadOptions,
): Promise<void> {
  const access = await hubAccess(options);
  const described = files.map((file) => hubFile(repository.name, file, LIMITS.dataset));
  for (const file of described) await fetchBlob(repository, revision, file, access, options);
  for (const file of described) await linkBlob(repository, revision, file);
}
