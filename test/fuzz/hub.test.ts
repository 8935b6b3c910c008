/** A hub whose answers are mutated: status, headers, redirects, bodies, lengths, ranges, encodings, the connection. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { bytesReader } from "../../src/data/corpus.ts";
import { LowrankError } from "../../src/errors.ts";
import { loadModel } from "../../src/io/hf.ts";
import type { DownloadOptions } from "../../src/io/hub/download-options.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { Rng } from "../../src/rng.ts";
import { answerAsHub, digest, gitHash } from "../helpers/hub-server.ts";
import { type Case, fuzz } from "./fuzz.ts";
import { BASES } from "./models.ts";
import { mutateBytes, mutateJson, pick, split } from "./mutate.ts";

/** What a request is for. */
const ASKED = ["revision", "config", "weights", "storage"] as const;
type Asked = (typeof ASKED)[number];

/** A change of the answers to one kind of request: of the first ones, or of all. */
interface Twist {
  asked: Asked;
  how: keyof typeof HOW;
  seed: number;
  times: number;
}

interface HubCase extends Case {
  twists: Twist[];
}

interface Answer {
  status: number;
  headers: Record<string, string | number>;
  body: Uint8Array;
  /** What the wire does: breaks after the body, or has nothing but it. */
  wire?: "cut" | "raw";
}

const NAME = "someone/small";
const [, MODEL] = BASES as [unknown, ReadonlyMap<string, string | Uint8Array>];
const FILES = new Map([...MODEL].map(([name, content]) => [name, new Uint8Array(Buffer.from(content as string))]));
/** Servers that are silent, slow or never end: io/hub/fetch. */
const IMPATIENT = { retryDelay: 1, patience: 100 };

const STATUS = [
  200, 201, 204, 206, 300, 301, 303, 304, 307, 308, 400, 401, 403, 404, 416, 418, 429, 451, 500, 503, 599, 999,
];
const PLACES = [
  ...split("/ // ? http://[::1 file:///etc/passwd ftp://127.0.0.1/ data:,hello ../../../x \\"),
  ...["", "x".repeat(5000)],
];
const HEADERS: Record<string, readonly string[]> = {
  "content-length": ["0", "1", "7", "x", "-1", "18446744073709551616"],
  "content-encoding": ["gzip", "br", "deflate", "identity", "x", "gzip, gzip"],
  "content-range": ["bytes 0-1/2", "bytes 5-4/3", "bytes */10", "bytes 0-", "x", "bytes 0-99999999999999999999/1"],
  "content-type": ["text/html", "application/json", "text/plain; charset=utf-16"],
  "retry-after": ["0", "-1", "x", "", "Thu, 01 Jan 1970 00:00:00 GMT", "0.5"],
  location: PLACES,
  etag: ['"x"', "W/", ""],
};
const RAW = [
  "HTTP/1.1 200 OK\r\n\r\n",
  "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\nhello",
  `HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}\r\n\r\n`,
  "HTTP/1.1 99999 ?\r\n\r\n",
  "HTTP/9.9 200\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
  "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
  "\0\0\0\0",
  "<html>",
];

const HOW = {
  status: (answer: Answer, rng: Rng) => ({ ...answer, status: pick(rng, STATUS) }),
  header(answer: Answer, rng: Rng) {
    const name = pick(rng, Object.keys(HEADERS));
    const value = pick(rng, HEADERS[name]!);
    return { ...answer, headers: { ...answer.headers, [name]: value } };
  },
  redirect: (answer: Answer, rng: Rng) => ({
    ...answer,
    status: pick(rng, [301, 302, 303, 307, 308]),
    headers: { location: pick(rng, PLACES) },
  }),
  length: ({ headers: { "content-length": _, ...headers }, ...answer }: Answer) => ({ ...answer, headers }),
  json: (answer: Answer, rng: Rng) => withBody(answer, mutateJson(rng, parseBody(answer), WORDS)),
  bytes: (answer: Answer, rng: Rng) => withBody(answer, mutateBytes(rng, answer.body)),
  other: (answer: Answer, rng: Rng) =>
    withBody(answer, new TextEncoder().encode(pick(rng, ["", "[]", "{}", "null", "<html>", "0"]))),
  zipped: (answer: Answer) => withBody(answer, gzipSync(answer.body), { "content-encoding": "gzip" }),
  cut: (answer: Answer, rng: Rng) => ({
    ...answer,
    body: answer.body.slice(0, rng.below(answer.body.length + 1)),
    wire: "cut" as const,
  }),
  raw: (answer: Answer, rng: Rng) => ({ ...answer, body: Buffer.from(pick(rng, RAW)), wire: "raw" as const }),
};
const WORDS = {
  keys: split("sha siblings rfilename size blobId lfs sha256 __proto__"),
  values: [
    ...split("config.json model.safetensors ../../../../escaped a/../../b"),
    ...["0".repeat(40), "f".repeat(64), 523, 1e12],
  ],
};

function withBody(answer: Answer, body: Uint8Array, headers: Answer["headers"] = {}): Answer {
  return { ...answer, body, headers: { ...answer.headers, "content-length": body.length, ...headers } };
}

function parseBody({ body }: Answer): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return {};
  }
}

function classifyUrl(url: string): Asked {
  if (url.includes("/revision/")) return "revision";
  if (url.startsWith("/cdn/")) return "storage";
  return url.endsWith("config.json") ? "config" : "weights";
}

/** The server, and what it is at. */
let server: Promise<Server> | undefined;
let twists: Twist[] = [];
let seen: Partial<Record<Asked, number>> = {};

function listen(): Promise<Server> {
  const made = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    const asked = classifyUrl(request.url!);
    const times = (seen[asked] ?? 0) + 1;
    seen[asked] = times;
    honest(request, (answer) => {
      let given = answer;
      for (const twist of twists)
        if (twist.asked === asked && times <= twist.times)
          given = HOW[twist.how](given, new Rng(twist.seed + times)) as Answer;
      send(given, response);
    });
  });
  made.on("clientError", (_, socket) => socket.destroy());
  return new Promise((ready) => made.listen(0, "127.0.0.1", () => ready(made.unref())));
}

/** What a good hub answers, as it would send it. */
function honest(request: IncomingMessage, done: (answer: Answer) => void): void {
  const answer: Answer = { status: 200, headers: {}, body: new Uint8Array(0) };
  const recorder = {
    writeHead(status: number, headers: Answer["headers"]) {
      Object.assign(answer, { status, headers });
      return recorder;
    },
    end: (body: string | Uint8Array = "") => done({ ...answer, body: new Uint8Array(Buffer.from(body as string)) }),
  };
  const asked = classifyUrl(request.url!);
  // After a redirect to nowhere.
  if (asked === "storage" && !FILES.has(request.url!.slice(5))) recorder.writeHead(404, {}).end();
  else answerAsHub(request, recorder as unknown as ServerResponse, FILES);
}

function send({ status, headers, body, wire }: Answer, response: ServerResponse): void {
  const { socket } = response;
  response.on("error", () => {});
  if (wire === "raw") {
    socket!.end(body);
    return;
  }
  // Node's fetch leaves the body of a redirect that it follows unread, and its socket open while there is more of it.
  const { location } = headers;
  const given = location !== undefined && status >= 300 && status < 400 ? { location } : headers;
  // Node refuses what a hostile server would send.
  try {
    response.writeHead(status, given);
  } catch {
    socket!.destroy();
    return;
  }
  if (given !== headers) response.end();
  else if (wire === undefined) response.end(body);
  else response.write(body, () => setTimeout(() => socket!.destroy(), 1));
}

/** Reads the model whole, as a run would. */
async function load(options: DownloadOptions): Promise<Map<string, Float32Array>> {
  const model = await loadModel(NAME, options);
  try {
    const tensors = new Map<string, Float32Array>();
    for (const name of model.names) tensors.set(name, await model.read(name));
    return tensors;
  } finally {
    await model.close();
  }
}

/** What lies in the cache is what its name says, or the beginning of it. */
function checkCache(hub: string, complete: boolean): void {
  for (const name of existsSync(hub) ? readdirSync(hub, { recursive: true }).map(String) : []) {
    const path = join(hub, name);
    if (statSync(path).isDirectory()) continue;
    if (name.endsWith(".incomplete")) continue;
    const bytes = readFileSync(path);
    const hashes = [digest("sha256", bytes), gitHash(bytes)];
    if (/\/blobs\//.test(name) && !hashes.includes(basename(name))) throw new Error(`${name} is another file`);
    if (/refs\/main$/.test(name) !== complete && /refs/.test(name)) throw new Error(`${name} of no whole model`);
    if (!/\/(blobs|refs|snapshots)\//.test(name)) throw new Error(`${name} is left`);
  }
}

let expected: Promise<Map<string, Float32Array>> | undefined;

/** What came must be what the hub has, whatever was in between. */
async function checkModel(tensors: Map<string, Float32Array>): Promise<void> {
  const whole = await expected!;
  for (const [name, data] of whole)
    if (!Buffer.from(data.buffer).equals(Buffer.from(tensors.get(name)!.buffer))) throw new Error(name);
  if (tensors.size !== whole.size) throw new Error(`${[...tensors.keys()]}`);
}

/** After the faults correct answers: the same command succeeds, at the latest once the cache has been deleted. */
async function loadInTheEnd(): Promise<Map<string, Float32Array>> {
  for (let tries = 1; ; tries++) {
    try {
      return await load({ retryDelay: 1 });
    } catch (error) {
      if (tries === 3 || !(error instanceof LowrankError)) throw new Error(`no model from a good hub: ${error}`);
    }
  }
}

function misbehave(some: Twist[]): void {
  twists = some;
  seen = {};
}

fuzz<HubCase>({
  name: "hub",
  count: 60,
  make(rng) {
    const kinds = Object.keys(HOW) as Twist["how"][];
    const some = Array.from({ length: 1 + rng.below(3) }, (): Twist => {
      const [asked, how] = [pick(rng, ASKED), pick(rng, kinds)];
      return { asked, how, seed: rng.below(2 ** 31), times: pick(rng, [1, 1, 2, 1000]) };
    });
    return { twists: some, files: new Map([["twists.json", JSON.stringify(some, null, 2)]]) };
  },
  async read({ twists: some }, folder) {
    const { HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, ...rest } = process.env;
    server ??= listen();
    const hub = await server;
    process.env = { ...rest, HF_HOME: folder, HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}` };
    expected ??= expectedTensors();
    misbehave(some);
    try {
      const tensors = await load(IMPATIENT);
      return async () => {
        await checkModel(tensors);
        checkCache(join(folder, "hub"), true);
      };
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      checkCache(join(folder, "hub"), false);
      hub.closeAllConnections();
      misbehave([]);
      await checkModel(await loadInTheEnd());
      checkCache(join(folder, "hub"), true);
      throw error;
    } finally {
      hub.closeAllConnections();
    }
  },
  leaves: /^hub/,
});

/** The model's tensors, read without a hub. */
async function expectedTensors(): Promise<Map<string, Float32Array>> {
  const file = await SafetensorsFile.open(bytesReader("model", FILES.get("model.safetensors")!));
  const tensors = new Map<string, Float32Array>();
  for (const name of file.names) tensors.set(name, await file.readF32(name));
  return tensors;
}
