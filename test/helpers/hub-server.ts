/**
 * Answers as huggingface.co does: a repository's files with sizes and hashes, small files directly, big ones elsewhere.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { packagePath } from "#platform";
import { sendBytes, setEnvironment } from "./http.ts";

export const REVISION = "0123456789abcdef0123456789abcdef01234567";

export function digest(kind: "sha1" | "sha256", ...parts: (string | Uint8Array)[]): string {
  const hash = createHash(kind);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** The name by which Git knows a file. */
export const gitHash = (bytes: Uint8Array) => digest("sha1", `blob ${bytes.length}\0`, bytes);

const isBig = (file: string) => /\.(safetensors|parquet)$/.test(file);

export function json(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** An empty cache in `folder`, this hub, and nobody logged in, but for `extra` variables; returns the hub's cache. */
export function useHub(folder: string, endpoint: string, extra: Record<string, string | undefined> = {}): string {
  const home = mkdtempSync(join(folder, "home-"));
  setEnvironment({
    HF_HOME: home,
    LOWRANK_CACHE: join(home, "lowrank"),
    HF_HUB_CACHE: undefined,
    HUGGINGFACE_HUB_CACHE: undefined,
    HF_ENDPOINT: endpoint,
    HF_TOKEN: undefined,
    HF_HUB_OFFLINE: undefined,
    ...extra,
  });
  return join(home, "hub");
}

type Files = ReadonlyMap<string, Uint8Array>;

/** A data set: the files on its Parquet branch, if the hub has made it. */
export interface DatasetOnHub {
  parquet?: Files;
  /** Files are only for those who accepted its terms. */
  gated?: boolean;
}

/** The data sets in test/hub-datasets, under the names of those on the hub whose shape they have. */
export function documentedDatasets(): Map<string, DatasetOnHub> {
  const owners = { sms_spam: "ucirvine", ag_news: "fancyzhx", imdb: "stanfordnlp" };
  return new Map(
    Object.entries(owners).map(([name, owner]) => {
      const folder = packagePath(`test/hub-datasets/${name}`);
      const names = readdirSync(folder, { recursive: true })
        .map(String)
        .filter((file) => /\.\w+$/.test(file));
      const files = new Map(names.sort().map((file) => [file, new Uint8Array(readFileSync(join(folder, file)))]));
      return [`${owner}/${name}`, { parquet: files }];
    }),
  );
}

/** The commit of a data set's Parquet branch. */
export const parquetCommit = (name: string) => digest("sha1", name);

interface Repository {
  commit: string;
  branch: string;
  files: Files | undefined;
  gated?: boolean | undefined;
}

/** Answers for a model of any name with `files`; big ones are at `storage`/cdn/FILE, which this answers too. */
export function answerAsHub(request: IncomingMessage, response: ServerResponse, files: Files, storage = ""): void {
  const cdn = /^\/cdn\/(.+)$/.exec(request.url!)?.[1];
  if (cdn !== undefined) sendBytes(request, response, files.get(cdn)!);
  else answerFor(request, response, () => ({ commit: REVISION, branch: "main", files }), `${storage}/cdn/`);
}

/** Answers for these data sets; big files are at `storage`/cdn/OWNER/NAME/FILE, which this answers too. */
export function answerDatasets(
  request: IncomingMessage,
  response: ServerResponse,
  datasets: ReadonlyMap<string, DatasetOnHub>,
  storage = "",
): void {
  const [, name, file] = /^\/cdn\/([^/]+\/[^/]+)\/(.+)$/.exec(request.url!) ?? [];
  if (file !== undefined) {
    sendBytes(request, response, datasets.get(name!)!.parquet!.get(file)!);
    return;
  }
  const find = (one: string): Repository | undefined => {
    const { parquet: files, gated } = datasets.get(one) ?? {};
    return datasets.has(one) ? { commit: parquetCommit(one), branch: "refs/convert/parquet", files, gated } : undefined;
  };
  answerFor(request, response, find, `${storage}/cdn/`, (one) => `${one}/`);
}

function answerFor(
  request: IncomingMessage,
  response: ServerResponse,
  find: (name: string) => Repository | undefined,
  place: string,
  folder = (_: string) => "",
): void {
  const { pathname, searchParams } = new URL(request.url!, "http://hub");
  const [, name = "", what, reference = "", path = ""] =
    /^(?:\/api\/models|\/api\/datasets|\/datasets)?\/([^/]+\/[^/]+)\/(revision|resolve)\/([^/]+)(?:\/(.+))?$/.exec(
      pathname,
    ) ?? [];
  const repository = find(name);
  const hasToken = request.headers.authorization !== undefined;
  const fail = (status: number, code: string) => json(response, status, { error: code }, { "x-error-code": code });
  const { commit, branch, files, gated } = repository ?? {};
  const bytes = files?.get(decodeURIComponent(path));
  if (!repository) fail(hasToken ? 404 : 401, "RepoNotFound");
  else if (!files || ![commit, branch].includes(decodeURIComponent(reference))) fail(404, "RevisionNotFound");
  else if (what === "revision") {
    const withBlobs = searchParams.get("blobs") === "true";
    const siblings = [...files].map(([file, some]) => (withBlobs ? describe(file, some) : { rfilename: file }));
    json(response, 200, { _id: "1", id: name, sha: commit, private: false, siblings });
  } else if (bytes === undefined) fail(404, "EntryNotFound");
  else if (gated) fail(hasToken ? 403 : 401, "GatedRepo");
  else if (!isBig(path)) sendBytes(request, response, bytes, { headers: { etag: `"${gitHash(bytes)}"` } });
  else {
    const headers = { "x-linked-etag": `"${digest("sha256", bytes)}"`, "x-linked-size": `${bytes.length}` };
    response.writeHead(302, { ...headers, location: `${place}${folder(name)}${decodeURIComponent(path)}` }).end();
  }
}

function describe(rfilename: string, bytes: Uint8Array) {
  const lfs = { sha256: digest("sha256", bytes), size: bytes.length, pointerSize: 134 };
  return { rfilename, size: bytes.length, blobId: gitHash(bytes), ...(isBig(rfilename) ? { lfs } : {}) };
}
