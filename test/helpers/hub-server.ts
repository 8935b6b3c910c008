/** Answers as huggingface.co does: metadata, small files directly, big ones behind a redirect. */
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

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** Answers for the one repository with `files`; big ones are at `storage`. */
export function answerAsHub(
  request: IncomingMessage,
  response: ServerResponse,
  files: ReadonlyMap<string, Uint8Array>,
  storage = "",
): void {
  const path = request.url!.split("?")[0]!;
  const file = /^\/[^/]+\/[^/]+\/resolve\/[0-9a-f]{40}\/(.+)$/.exec(path)?.[1] ?? "";
  const bytes = files.get(file);
  if (/^\/api\/models\/[^/]+\/[^/]+\/revision\/main$/.test(path))
    json(response, 200, { _id: "1", id: "someone/small-gpt2", sha: REVISION, lastModified: "2024-01-01T00:00:00Z" });
  else if (path.includes("/paths-info/")) describe(request, response, files);
  else if (path.startsWith("/cdn/")) sendBytes(request, response, files.get(path.slice(5))!);
  else if (bytes === undefined) json(response, 404, { error: "Entry not found" });
  else if (!isBig(file)) sendBytes(request, response, bytes, { headers: { etag: `"${gitHash(bytes)}"` } });
  else {
    const headers = { "x-linked-etag": `"${digest("sha256", bytes)}"`, "x-linked-size": `${bytes.length}` };
    response.writeHead(302, { ...headers, location: `${storage}/cdn/${file}` }).end();
  }
}

/** POST paths-info: size and hash of the files that are asked for and there. */
function describe(request: IncomingMessage, response: ServerResponse, files: ReadonlyMap<string, Uint8Array>): void {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const { paths } = JSON.parse(body) as { paths: string[] };
    const found = paths.filter((path) => files.has(path));
    json(
      response,
      200,
      found.map((path) => fileEntry(path, files.get(path)!)),
    );
  });
}

function fileEntry(path: string, bytes: Uint8Array) {
  const lfs = { oid: digest("sha256", bytes), size: bytes.length, pointerSize: 134 };
  return { type: "file", path, size: bytes.length, oid: gitHash(bytes), ...(isBig(path) ? { lfs } : {}) };
}

/** An empty cache in `folder`, this hub, and nobody logged in, but for `extra` variables; returns the hub's cache. */
export function useHub(folder: string, endpoint: string, extra: Record<string, string | undefined> = {}): string {
  const home = mkdtempSync(join(folder, "home-"));
  setEnvironment({
    HF_HOME: home,
    HF_HUB_CACHE: undefined,
    HUGGINGFACE_HUB_CACHE: undefined,
    HF_ENDPOINT: endpoint,
    HF_TOKEN: undefined,
    HF_TOKEN_PATH: undefined,
    HUGGING_FACE_HUB_TOKEN: undefined,
    HF_HUB_OFFLINE: undefined,
    ...extra,
  });
  return join(home, "hub");
}

/** A data set: the files of each branch. */
export interface DatasetOnHub {
  branches: Readonly<Record<string, ReadonlyMap<string, Uint8Array>>>;
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
      return [`${owner}/${name}`, { branches: { main: files } }];
    }),
  );
}

/** The commit of a branch. */
export const branchCommit = (name: string, branch = "main") => digest("sha1", `${name}@${branch}`);

/** Entries on a page of a list of files. The hub's have 1000. */
const PAGE = 2;

/** Answers for these data sets; big files are at `storage`, as another host, which also answers with this. */
export function answerDatasets(
  request: IncomingMessage,
  response: ServerResponse,
  datasets: ReadonlyMap<string, DatasetOnHub>,
  storage = "",
  protocol = "http",
): void {
  const { pathname: path } = new URL(request.url!, `http://${request.headers.host}`);
  const blob = /^\/cdn\/(\w+)$/.exec(path)?.[1];
  if (blob !== undefined) {
    const all = [...datasets.values()].flatMap(({ branches }) =>
      Object.values(branches).flatMap((files) => [...files.values()]),
    );
    sendBytes(request, response, all.find((bytes) => digest("sha256", bytes) === blob)!);
    return;
  }
  const [, name = "", what = "revision", rest = ""] =
    /^(?:\/api)?\/datasets\/([^/]+\/[^/]+)(?:\/(revision|tree|resolve|paths-info)(?:\/(.*))?)?$/.exec(path) ?? [];
  const dataset = datasets.get(name);
  const hasToken = request.headers.authorization !== undefined;
  const [reference, ...segments] = (rest || "main").split("/").map(decodeURIComponent);
  const branch = Object.keys(dataset?.branches ?? {}).find((one) =>
    [one, branchCommit(name, one)].includes(reference!),
  );
  const files = dataset?.branches[branch ?? ""];
  const file = segments.join("/");
  if (!dataset) fail(response, hasToken ? 404 : 401, "RepoNotFound", "Repository not found");
  else if (!files) fail(response, 404, "RevisionNotFound", "Invalid rev id");
  else {
    const sha = branchCommit(name, branch);
    response.setHeader("x-repo-commit", sha);
    const bytes = files.get(file);
    const url = new URL(request.url!, `${protocol}://${request.headers.host}`);
    if (what === "revision")
      json(response, 200, { _id: "1", id: name, sha, gated: dataset.gated ? "auto" : false, private: false });
    else if (what === "paths-info") describe(request, response, files);
    else if (what === "tree") list(response, files, url);
    else if (bytes === undefined) fail(response, 404, "EntryNotFound", "Entry not found");
    else if (dataset.gated)
      fail(response, hasToken ? 403 : 401, "GatedRepo", `Access to dataset ${name} is restricted.`);
    else if (!isBig(file)) sendBytes(request, response, bytes, { headers: { etag: `"${gitHash(bytes)}"` } });
    else redirect(response, bytes, storage);
  }
}

function redirect(response: ServerResponse, bytes: Uint8Array, storage: string): void {
  const sha256 = digest("sha256", bytes);
  const headers = { "x-linked-etag": `"${sha256}"`, "x-linked-size": `${bytes.length}` };
  response.writeHead(302, { ...headers, location: `${storage}/cdn/${sha256}` }).end();
}

function fail(response: ServerResponse, status: number, code: string, error: string): void {
  response.setHeader("x-error-code", code);
  response.setHeader("x-error-message", error);
  json(response, status, { error });
}

/** A page of the list of files, with folders as the hub has them, and a link to the next page. */
function list(response: ServerResponse, files: ReadonlyMap<string, Uint8Array>, url: URL): void {
  const folders = new Set([...files.keys()].flatMap((path) => (path.includes("/") ? [path.split("/")[0]!] : [])));
  const entries = [
    ...[...folders].map((path) => ({ type: "directory", path, size: 0, oid: digest("sha1", path) })),
    ...[...files].map(([path, bytes]) => fileEntry(path, bytes)),
  ];
  const start = Number(url.searchParams.get("cursor") ?? 0);
  if (start + PAGE < entries.length) {
    url.searchParams.set("cursor", `${start + PAGE}`);
    response.setHeader("link", `<${url}>; rel="next"`);
  }
  json(response, 200, entries.slice(start, start + PAGE));
}
