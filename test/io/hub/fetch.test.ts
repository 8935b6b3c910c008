/** Servers that send too much, too little or nothing: size and time are bounded, and a signal ends every wait. */
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { LowrankError } from "../../../src/core/errors.ts";
import { bytesReader } from "../../../src/data/corpus.ts";
import { resolveModel } from "../../../src/io/hf.ts";
import { download, hash } from "../../../src/io/hub/download.ts";
import { LIMITS } from "../../../src/io/limits.ts";
import * as browser from "../../../src/platform/browser.ts";
import { registerFile } from "../../../src/platform/files.ts";
import { ask, collect, type FetchOptions, parseRetryAfter } from "../../../src/platform/http.ts";
import { openUrl, readResponse } from "../../../src/platform/url-files.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { type Server, sendBytes, serve } from "../../helpers/http.ts";
import { answerAsHub, digest, gitHash, REVISION, useHub } from "../../helpers/hub-server.ts";

const folder = temporaryFolder();
const NAME = "someone/small-gpt2";
const micro = (file: string) => readFileSync(packagePath(`data/models/gpt2-micro/${file}`));
const FILES = new Map(["config.json", "vocab.json", "merges.txt"].map((file) => [file, micro(file)] as const));
FILES.set("model.safetensors", Buffer.alloc(100_000, 7));
const BYTES = FILES.get("model.safetensors")!;
const options = { retryDelay: 1 };
/** 64 MB of spaces. */
const BOMB = gzipSync(Buffer.alloc(64 << 20, " "));

let answer: (request: IncomingMessage, response: ServerResponse) => unknown;
let server: Server;
/** Bytes that the server got rid of. */
let sent = 0;

test("starts", async () => {
  server = await serve((request, response) => answer(request, response));
});

/** An empty cache; returns where the model's blobs will lie. */
function start(): string {
  server.requests.length = 0;
  sent = 0;
  return join(useHub(folder, server.url), "models--someone--small-gpt2/blobs");
}

/** Sends a piece repeatedly, as fast as it is taken, until the other side stops. */
function endless(response: ServerResponse, piece: string | Uint8Array): void {
  const more = () => {
    if (response.destroyed) return;
    sent += piece.length;
    const taken = response.write(piece);
    if (taken) setImmediate(more);
    else response.once("drain", more);
  };
  more();
}

const wanted = (extra = {}) => ({
  url: `${server.url}/file`,
  name: "a model",
  file: "file",
  size: BYTES.length,
  digest: { kind: "sha256", hex: digest("sha256", BYTES) } as const,
  ...extra,
});

/** Sends a request and reads the answer. */
const askServer = (some: FetchOptions = options) =>
  ask(server.url, {}, ({ pieces }) => collect(pieces, server.url), some);

let files = 0;
const newPath = () => join(folder, `file-${files++}`);

const sendBomb = (response: ServerResponse) => void response.writeHead(200, { "content-encoding": "gzip" }).end(BOMB);
const flood = (response: ServerResponse) => endless(response, Buffer.alloc(1 << 16));
test("an endless answer, plain or of gzip, for a small file is left at its size, and nothing of it is kept", async () => {
  const size = FILES.get("config.json")!.length;
  for (const send of [flood, sendBomb]) {
    const blobs = start();
    answer = (request, response) =>
      request.url!.endsWith("/config.json") ? send(response) : answerAsHub(request, response, FILES);
    const words = [`cannot download the model "${NAME}"`, `expected: ${size} bytes`, "found:    more", "deleted"];
    await assertFails("hash-mismatch", words, () => resolveModel(NAME, options));
    assert.not.ok(readdirSync(blobs).some((file) => file.startsWith(gitHash(FILES.get("config.json")!))));
    assert.ok(sent < 32 << 20, `${sent} bytes sent`);
  }
});

test("a wrong content length is refused before anything is stored", async () => {
  const path = newPath();
  answer = (_, response) => {
    response.writeHead(200, { "content-length": 2 ** 40 });
    endless(response, Buffer.alloc(1 << 16));
  };
  await assertFails("hash-mismatch", [`expected: ${BYTES.length} bytes`, `${2 ** 40} bytes`], () =>
    download(path, wanted(), options),
  );
  assert.not.ok(existsSync(`${path}.incomplete`));
});

test("two downloads of a file at the same time, one of which resumes what the other has begun, both have it", async () => {
  const path = newPath();
  let ended = () => {};
  const half = new Promise<void>((end) => {
    ended = end;
  });
  // The first answer stops in the middle until the second one is complete.
  let count = 0;
  answer = async (request, response) => {
    if (count++ > 0) return sendBytes(request, response, BYTES);
    response.writeHead(200, { "content-length": BYTES.length });
    response.write(BYTES.subarray(0, 50_000));
    await half;
    response.end(BYTES.subarray(50_000));
  };
  const first = download(path, wanted(), options);
  while (!existsSync(`${path}.incomplete`) || statSync(`${path}.incomplete`).size < 50_000)
    await new Promise((later) => setTimeout(later, 5));
  await download(path, wanted(), options);
  assert.match(server.requests.at(-1)!, "GET /file");
  ended();
  await first;
  assert.equal(readFileSync(path), BYTES);
  assert.not.ok(existsSync(`${path}.incomplete`));
});

test("an incomplete file is resumed by a later call; one that is larger than the whole is downloaded again", async () => {
  const path = newPath();
  const honest: typeof answer = (request, response) => sendBytes(request, response, BYTES);
  answer = (request, response) => {
    if (request.headers.range) response.destroy();
    else sendBytes(request, response, BYTES, { cutAt: 70_000 });
  };
  await assertFails("server-unreachable", ["resumes the download after"], () => download(path, wanted(), options));
  answer = honest;
  const { size: kept } = statSync(`${path}.incomplete`);
  for (const [size, request] of [
    [kept, `GET /file bytes=${kept}-`],
    [BYTES.length + 1, "GET /file"],
    [2 ** 40, "GET /file"],
  ] as const) {
    if (size !== kept) {
      writeFileSync(`${path}.incomplete`, "");
      truncateSync(`${path}.incomplete`, size);
    }
    server.requests.length = 0;
    await download(path, wanted(), options);
    assert.equal(server.requests, [request]);
    assert.equal(readFileSync(path), BYTES);
  }
  // As large, but another one: said, deleted, and right the next time.
  writeFileSync(`${path}.incomplete`, Buffer.alloc(BYTES.length));
  await assertFails("hash-mismatch", () => download(path, wanted(), options));
  await download(path, wanted(), options);
});

test("an endless response of the hub's API takes bounded memory and time", async () => {
  start();
  const tooLarge = ["too large", `at most ${LIMITS.answer} bytes`];
  for (const [send, code, words] of [
    [(response) => endless(response, `{"sha": "${"a".repeat(1 << 16)}`), "exceeds-limit", tooLarge],
    [sendBomb, "exceeds-limit", tooLarge],
    // An answer that says to come later is not read at all.
    [(response) => flood(response.writeHead(503)), "server-unavailable", []],
  ] as [(response: ServerResponse) => void, ErrorCode, string[]][]) {
    sent = 0;
    answer = (_, response) => send(response);
    await assertFails(code, [`cannot download the model "${NAME}"`, ...words], () => resolveModel(NAME, options));
    assert.ok(sent < 64 << 20, `${sent} bytes sent`);
  }
});

test("invalid responses of the hub's API are refused", async () => {
  const info = (config: object, sha: unknown = REVISION) => ({
    sha,
    siblings: ["config.json", "model.safetensors"].map((rfilename) => ({
      ...{ rfilename, size: 10, blobId: "0".repeat(40) },
      ...(rfilename === "config.json" ? config : {}),
    })),
  });
  const deep = `{"sha": ${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
  for (const [body, words, code = "invalid-hub-answer"] of [
    [info({}, 5), ["reports no valid revision"]],
    [info({}, `${REVISION}\n`), ["reports no valid revision"]],
    [null, ["reports no valid revision"]],
    [deep, ["too many levels", "not a Hugging Face hub", "HF_ENDPOINT"], "not-a-hub"],
    [info({ rfilename: 5 }), ["a file without a name"]],
    [{ sha: REVISION, siblings: [null] }, ["a file without a name"]],
    [info({ blobId: "../../../x" }), ["reports no valid hash"]],
    [info({ blobId: ["a"] }), ["reports no valid hash"]],
    [info({ lfs: { sha256: "0".repeat(40) } }), ["reports no valid hash"]],
    [info({ size: LIMITS.json + 1 }), [`at most ${LIMITS.json} bytes`]],
    [info({ size: -1 }), ["invalid file size"]],
    [info({ size: "523" }), ["invalid file size"]],
  ] as [unknown, string[], ErrorCode?][]) {
    start();
    answer = (_, response) => response.end(body === deep ? deep : JSON.stringify(body));
    await assertFails(code, words, () => resolveModel(NAME, options));
    assert.not.ok(server.requests.some((request) => request.includes("/resolve/")));
  }
});

/** Answers that no server should give: of another status, with another header, of other bytes, and none of HTTP. */
const ODD = [
  ...[201, 204, 206, 300, 304, 400, 416, 418, 451, 599, 999].map((status) => ({ status })),
  ...["/", "?", "http://[::1", "../../../x", "", "x".repeat(5000)].map((location) => ({
    status: 307,
    headers: { location },
  })),
  ...[
    { "content-length": "1" },
    { "content-length": "18446744073709551616" },
    ...["gzip", "br", "x"].map((encoding) => ({ "content-encoding": encoding })),
    ...["bytes 5-4/3", "bytes */10", "bytes 0-", "x"].map((range) => ({ "content-range": range })),
    ...["-1", "x", "Thu, 01 Jan 1970 00:00:00 GMT"].map((time) => ({ "retry-after": time })),
  ].map((headers) => ({ headers })),
  ...["", "[]", "null", "<html>", '{"sha":1e400,"siblings":{"__proto__":[]}}'].map((body) => ({ body })),
  ...[
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello",
    `HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}\r\n\r\n`,
    ...["HTTP/1.1 99999 ?\r\n\r\n", "HTTP/9.9 200\r\n\r\n", "\0\0\0\0"],
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
  ].map((raw) => ({ raw })),
] as { status?: number; headers?: Record<string, string>; body?: string; raw?: string }[];

test("whatever a server answers, a file is whole or the error is ours, and the next call has it", async () => {
  start();
  for (const { status = 200, headers = {}, body, raw } of ODD) {
    const what = JSON.stringify({ status, headers, body, raw }).slice(0, 200);
    const odd: typeof answer = (_, response) => {
      if (raw !== undefined) return response.socket!.end(raw);
      try {
        response.writeHead(status, headers).end(body ?? BYTES);
      } catch {
        response.destroy();
      }
    };
    const path = newPath();
    const load = () => download(path, wanted(), { ...options, patience: 50 });
    for (const work of [() => resolveModel(NAME, { ...options, patience: 50 }), load]) {
      answer = odd;
      const error = await work().catch((thrown) => thrown);
      if (work !== load || error !== undefined) assert.instance(error, LowrankError, `${what}: ${error}`);
    }
    answer = (request, response) => sendBytes(request, response, BYTES);
    // What was damaged is deleted by the first that finds it so.
    if (!existsSync(path)) await load().catch(load);
    assert.ok(BYTES.equals(readFileSync(path)) && !existsSync(`${path}.incomplete`), what);
  }
});

test("a redirect loop ends; one to what is no address of the web is tried once, and its connection closed", async () => {
  answer = (_, response) => response.writeHead(302, { location: "/again" }).end();
  server.requests.length = 0;
  await assertFails("server-unreachable", ["redirect"], () => download(newPath(), wanted(), options));
  assert.ok(server.requests.length <= 25, `${server.requests.length} requests`);
  for (const location of ["file:///etc/hostname", "ftp://127.0.0.1/", "data:text/plain,x"]) {
    const closed = new Promise((close) => {
      answer = (request, response) => {
        request.socket.once("close", close);
        // The body is not read.
        response.writeHead(302, { location }).end(Buffer.alloc(8 << 20));
      };
    });
    server.requests.length = 0;
    await assertFails("server-unreachable", ["scheme"], () => askServer());
    assert.is(server.requests.length, 1, location);
    await closed;
  }
});

test("a file on a server without ranges is read up to a limit, and not at all if it says that it is larger", async () => {
  const open = (limit?: number) => () => openUrl(`${server.url}/a.gguf`, "a.gguf", limit);
  sent = 0;
  answer = (_, response) => flood(response);
  await assertFails("exceeds-limit", ["a.gguf", "at most 1000 bytes"], open(1000));
  assert.ok(sent < 32 << 20, `${sent} bytes sent`);
  answer = (_, response) => response.writeHead(200, { "content-length": 2 ** 40 }).write("x");
  await assertFails("exceeds-limit", [`found:    ${2 ** 40} bytes`], open());
});

/** Runs `work` with another `fetch`, and a clock that only `tick` moves; returns the ranges that were asked for. */
async function withFetch(
  answer: (from: number, tick: (ms: number) => void) => Response | Promise<Response>,
  work: () => Promise<unknown>,
): Promise<number[]> {
  const { now } = performance;
  const { fetch } = globalThis;
  const asked: number[] = [];
  let clock = 0;
  performance.now = () => clock;
  globalThis.fetch = async (_, init) => {
    const from = Number(/\d+/.exec(new Headers(init?.headers).get("range") ?? "0")![0]);
    asked.push(from);
    return answer(from, (ms) => (clock += ms));
  };
  try {
    await work();
  } finally {
    performance.now = now;
    globalThis.fetch = fetch;
  }
  return asked;
}

/** A body whose reader gets what `next` gives, piece by piece; it ends with undefined. */
const body = (next: () => Uint8Array<ArrayBuffer> | undefined) =>
  new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      pull(controller) {
        const piece = next();
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );

/** So many pieces, before each of which time passes. */
const trickle = (bytes: number, count: number, pass: () => unknown) => {
  const next = () => {
    pass();
    return count-- > 0 ? new Uint8Array(bytes) : undefined;
  };
  return new Response(body(next));
};

test("a stalled or very slow server fails after five attempts; a download with progress resumes", async () => {
  const short = { ...options, patience: 20 };
  for (const [what, send] of [
    ["no head", () => new Promise<never>(() => {})],
    ["a head alone", () => new Response(new ReadableStream())],
    ["a trickle", (_, tick) => trickle(1, Infinity, () => tick(10))],
  ] as [string, Parameters<typeof withFetch>[0]][])
    for (const work of [() => download(newPath(), wanted(), short), () => askServer(short)]) {
      const fails = () => assertFails("server-too-slow", ["too slow", "bytes in 0.02 s"], work);
      assert.is((await withFetch(send, fails)).length, 5, what);
    }
  // Five answers break off, each of which brings enough.
  const path = newPath();
  const starts = await withFetch(
    (from) => {
      const pieces = [BYTES.subarray(from, from + 17_000)];
      const next = () => {
        if (pieces.length === 0 && from + 17_000 < BYTES.length) throw new Error("broken");
        return pieces.pop() && new Uint8Array(BYTES.subarray(from, from + 17_000));
      };
      const range = { "content-range": `bytes ${from}-${BYTES.length - 1}/${BYTES.length}` };
      return new Response(body(next), { status: from > 0 ? 206 : 200, headers: range });
    },
    () => download(path, wanted(), options),
  );
  assert.equal(readFileSync(path), BYTES);
  assert.is(String(starts), "0,17000,34000,51000,68000,85000");
});

test("a body that trickles in is given up; one that keeps its pace is read, however long its reader takes", async () => {
  const read = (bytes: number, count: number) =>
    withFetch(
      (_, tick) => trickle(bytes, count, () => tick(1000)),
      async () => readResponse(await fetch(server.url), "a file").then(({ size }) => assert.is(size, bytes * count)),
    );
  const words = ["too slow", "where:    a file", "expected: 8192 bytes in 15 s", "found:    15 bytes"];
  await assertFails("server-too-slow", words, () => read(1, 16));
  await read(600, 100);
  let tick = (_: number) => {};
  let length = 0;
  const readSlowly = async ({ pieces }: { pieces: AsyncIterable<Uint8Array> }) => {
    for await (const piece of pieces) {
      length += piece.length;
      tick(60_000);
    }
  };
  await withFetch(
    (_, given) => {
      tick = given;
      return trickle(1, 14, () => tick(1000));
    },
    () => ask(server.url, {}, readSlowly),
  );
  assert.is(length, 14);
});

test("Retry-After: seconds or a date, at most a minute; invalid values are ignored", () => {
  const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
  const expected = {
    0: 0,
    1: 1,
    " 7 ": 7,
    60: 60,
    61: 60,
    "99999999999999999999": 60,
    "-1": 0,
    NaN: 0,
    "": 0,
    soon: 0,
  };
  const dates = { "2015 07:28:05": 5, "2015 07:27:00": 0, "2099 07:28:00": 60 };
  for (const [text, seconds] of Object.entries(expected)) assert.is(parseRetryAfter(text, now), seconds, text);
  for (const [text, seconds] of Object.entries(dates))
    assert.is(parseRetryAfter(`Wed, 21 Oct ${text} GMT`, now), seconds, text);
  assert.is(parseRetryAfter(null, now), 0);
});

test("a signal ends a download, in any state", async () => {
  start();
  for (const [what, send] of [
    ["Retry-After", (_, response) => response.writeHead(503, { "retry-after": "60" }).end()],
    ["no head", () => {}],
    ["a silent body", (_, response) => response.writeHead(200).flushHeaders()],
    ["a broken connection", (_, response) => response.destroy()],
  ] as [string, typeof answer][])
    for (const work of [
      (signal: AbortSignal) => download(newPath(), wanted(), { signal }),
      (signal: AbortSignal) => resolveModel(NAME, { signal }),
    ]) {
      const reason = new Error("enough");
      const stop = new AbortController();
      answer = (request, response) => {
        send(request, response);
        setTimeout(() => stop.abort(reason), 20);
      };
      // Without the signal it would be another error, at last.
      assert.is(await work(stop.signal).catch((error) => error), reason, what);
      // And before anything is begun.
      server.requests.length = 0;
      assert.is(await work(stop.signal).catch((error) => error), reason, what);
      assert.equal(server.requests, []);
    }
});

test("file readers return the requested bytes, and report missing ones", async () => {
  const path = newPath();
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i & 255);
  writeFileSync(path, bytes);
  registerFile("picked", new Blob([bytes]));
  const readers = [await openFile(path), await browser.openFile("picked"), bytesReader("memory", bytes)];
  for (const reader of readers) {
    assert.is(reader.size, 1000);
    for (const offset of [0, 1, 999, 1000])
      for (const length of [0, 1, 999, 1000, 1001]) {
        const missing = Math.max(0, offset + length - 1000);
        const read = reader.read(offset, length);
        if (missing > 0) assert.match(String(await read.catch(String)), `file ended ${missing} bytes early`);
        else assert.equal(await read, bytes.slice(offset, offset + length));
      }
  }
  // Cut while it is open.
  truncateSync(path, 600);
  assert.match(String(await readers[0]!.read(0, 1000).catch(String)), "file ended 400 bytes early");
  for (const reader of readers) await reader.close();
});

test("a hash covers the whole file, for any size of the last chunk", async () => {
  for (const size of [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (8 << 20) + 5]) {
    const path = newPath();
    const bytes = Buffer.alloc(size, "lowrank");
    writeFileSync(path, bytes);
    assert.is(await hash(path, "sha256"), digest("sha256", bytes));
    assert.is(await hash(path, "git-sha1"), gitHash(bytes));
  }
});

test("a page stops reading a URL at the limit", async () => {
  // By which it knows that it is a page.
  Object.assign(globalThis, { location: new URL(server.url) });
  const url = `${server.url}/big.json`;
  answer = (request, response) => sendBytes(request, response, BYTES);
  assert.equal(await browser.readBytes(url, BYTES.length), new Uint8Array(BYTES));
  await assertFails("exceeds-limit", ["too large", url, `at most ${BYTES.length - 1} bytes`], () =>
    browser.readBytes(url, BYTES.length - 1),
  );
  sent = 0;
  answer = (_, response) => flood(response);
  await assertFails("exceeds-limit", ["too large", url, "at most 1000 bytes"], () => browser.readBytes(url, 1000));
  assert.ok(sent < 32 << 20, `${sent} bytes sent`);
  answer = (_, response) => response.writeHead(200).end();
  assert.ok(await browser.exists(url));
  answer = (_, response) => response.writeHead(404).end();
  assert.not.ok(await browser.exists(url));
});
