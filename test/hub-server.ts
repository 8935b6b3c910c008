/** Answers as huggingface.co does: metadata, small files directly, big ones behind a redirect. */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { sendBytes } from "./http.ts";

export const REVISION = "0123456789abcdef0123456789abcdef01234567";

export function digest(kind: "sha1" | "sha256", ...parts: (string | Uint8Array)[]): string {
  const hash = createHash(kind);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** The name by which Git knows a file. */
export const gitHash = (bytes: Uint8Array) => digest("sha1", `blob ${bytes.length}\0`, bytes);

const isBig = (file: string) => file.endsWith(".safetensors");

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
      found.map((path) => entryOf(path, files.get(path)!)),
    );
  });
}

function entryOf(path: string, bytes: Uint8Array) {
  const lfs = { oid: digest("sha256", bytes), size: bytes.length, pointerSize: 134 };
  return { type: "file", path, size: bytes.length, oid: gitHash(bytes), ...(isBig(path) ? { lfs } : {}) };
}
