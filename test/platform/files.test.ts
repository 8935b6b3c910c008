/** Models and adapters from everything that a file can be read from, and servers that lie. */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { exists, joinPath, listDirectory, openFile, readBytes } from "#platform";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { Classifier, LanguageModel, loadAdapter, loadModel } from "../../src/entries/engine.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { LIMITS } from "../../src/io/limits.ts";
import { atAdapter, openAdapter } from "../../src/io/peft/open-adapter.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { zip } from "../../src/io/zip.ts";
import { type FileSource, forgetFile, openSource, registerFile } from "../../src/platform/files.ts";
import { drawTensors, LM, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test, testAll } from "../helpers/harness.ts";
import { nowhere, type Server, sendBytes, serve, setEnvironment } from "../helpers/http.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));

/** What a server does with a request. */
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Servers of the folder: with ranges, and without. */
const file = (request: IncomingMessage) => readFileSync(join(folder, decodeURI(request.url!.replace(/\?.*/, ""))));
const found =
  (send: (request: IncomingMessage, response: ServerResponse, bytes: Uint8Array) => void): Answer =>
  (request, response) => {
    try {
      send(request, response, file(request));
    } catch {
      missing.push(request.url!);
      response.writeHead(404).end();
    }
  };
/** Files that a server was asked for in vain. */
const missing: string[] = [];
let ranges: Server;
let plain: Server;
let table: Float32Array;

test("the model on the disk opens, and is served", async () => {
  ranges = await serve(found((request, response, bytes) => sendBytes(request, response, bytes)));
  plain = await serve(found((_, response, bytes) => response.end(bytes)));
  const expected = await loadModel(model);
  table = await expected.read("h.0.mlp.c_fc.weight");
  await expected.close();
});

/** Ways to give a file. */
const KINDS: Record<string, (path: string) => FileSource | Promise<FileSource>> = {
  Blob: (path) => new Blob([readFileSync(join(folder, path))]),
  Response: (path) => new Response(readFileSync(join(folder, path))),
  "a response of fetch": (path) => fetch(`${ranges.url}/${path}`),
  "a URL, by ranges": (path) => new URL(`${ranges.url}/${path}`),
  "a URL without ranges": (path) => new URL(`${plain.url}/${path}`),
  "a FileHandle": async (path) => {
    const handle = await open(join(folder, path));
    afterAll(() => handle.close());
    return handle;
  },
  "a page's handle": (path) => ({ getFile: async () => new Blob([readFileSync(join(folder, path))]) }),
};

/** Registers the files of a directory of `folder` under the same names in `to`. */
async function give(directory: string, to: string, kind: string): Promise<string> {
  for (const name of readdirSync(join(folder, directory)))
    registerFile(`${to}/${name}`, await KINDS[kind]!(`${directory}/${name}`));
  return to;
}

for (const kind of Object.keys(KINDS))
  test(`a model opens from ${kind}, and again`, async () => {
    const place = await give("model", `given ${kind}`, kind);
    for (let i = 0; i < 2; i++) {
      const opened = await loadModel(place);
      assert.is(opened.directory, place);
      assertSameBits(kind, await opened.read("h.0.mlp.c_fc.weight"), table);
      await opened.close();
    }
    assert.equal(await listDirectory(place), readdirSync(model).sort());
    for (const name of readdirSync(model)) forgetFile(`${place}/${name}`);
    assert.not.ok(await exists(place));
  });

testAll("a small file on a server with ranges is one request, a larger one two, others are in chunks", async () => {
  const MB = 1 << 20;
  const sizes = { small: 1000, first: MB, larger: 3 * MB, largest: 33 * MB + 5 };
  const bytes = Uint8Array.from({ length: sizes.largest }, (_, i) => i % 251);
  const { url, requests } = await serve((request, response) =>
    sendBytes(request, response, bytes.subarray(0, sizes[request.url!.slice(1) as keyof typeof sizes])),
  );
  const read = async (name: keyof typeof sizes, ...places: [offset: number, length: number][]) => {
    requests.length = 0;
    const reader = await openFile(`${url}/${name}`);
    assert.is(reader.size, sizes[name]);
    for (const [offset, length] of places)
      assert.ok(Buffer.from(bytes.subarray(offset, offset + length)).equals(await reader.read(offset, length)));
    return requests.map((line) => line.replace(/.*=/, ""));
  };
  const first = `0-${MB - 1}`;
  assert.equal(await read("small", [0, 1000], [4, 5], [1000, 0]), [first]);
  assert.equal(await read("first", [0, MB]), [first]);
  const rest = `${MB}-${3 * MB - 1}`;
  assert.equal(await read("larger", [5, 7], [MB - 3, 10], [2 * MB, 3], [0, 3 * MB]), [first, rest]);
  const chunk = (i: number) => `${(8 * i + 1) * MB}-${Math.min((8 * i + 9) * MB, sizes.largest) - 1}`;
  const across = [MB - 3, 8 * MB] as [number, number];
  assert.equal(await read("largest", [3, 4], across, [33 * MB, 5], [9 * MB - 1, 2]), [
    first,
    chunk(0),
    chunk(4),
    chunk(1),
  ]);
  assert.equal(await read("largest", [5, 20 * MB]), [first, `5-${20 * MB + 4}`]);
  const reader = await openFile(`${url}/larger`);
  await reader.read(3 * MB, 5).then(
    () => assert.unreachable(),
    ({ message }) => assert.match(message, /5 bytes early/),
  );
});

test("a run on a server is loaded without a request for a file that it does not have", async () => {
  const device = await testDevice("wasm 1 thread");
  const trained = {
    classifier: testMeta({}, { model: TINY }),
    writer: testMeta({ target_modules: ["q"] }, { ...LM, model: TINY }),
  };
  for (const [run, meta] of Object.entries(trained))
    await writeAdapter(join(folder, run, "adapter"), { meta, tensors: drawTensors(meta) });
  missing.length = 0;
  for (const place of ["", "/adapter"]) {
    (await Classifier.load(`${ranges.url}/classifier${place}`, { device, model })).destroy();
    (await LanguageModel.load(`${ranges.url}/writer${place}`, { device, model })).destroy();
  }
  assert.equal(missing, []);
  // What else is looked for in its directory, which may not be there.
  writeFileSync(join(folder, "classifier/adapter/rows.json"), "{}");
  const names = (place: string) => atAdapter(place, listDirectory, ["rows.json", "other.json"]);
  assert.equal(await names(`${ranges.url}/classifier`), readdirSync(join(folder, "classifier/adapter")).sort());
  assert.equal(missing, ["/classifier/adapter/other.json"]);
});

test("a base model on a server is kept by its fingerprint, and downloaded no more, unless what is kept is damaged", async () => {
  const cache = join(folder, "cache");
  setEnvironment({ LOWRANK_CACHE: cache });
  const device = await testDevice("wasm 1 thread");
  const local = await loadModel(model);
  const print = await fingerprint(local);
  await local.close();
  const meta = testMeta({}, { model: TINY, base_model: `${ranges.url}/model`, base_fingerprint: print });
  await writeAdapter(join(folder, "kept"), { meta, tensors: drawTensors(meta) });
  const load = async () => {
    ranges.requests.length = 0;
    // A file says that: only where the adapter comes from the same server, or who loads it says so, it is asked.
    const options = { device, model: `${ranges.url}/model` };
    const loaded = await Promise.all([
      Classifier.load(join(folder, "kept"), options),
      Classifier.load(join(folder, "kept"), options),
    ]);
    loaded.push(await Classifier.load(`${ranges.url}/kept`, { device }));
    const logits = await Promise.all(loaded.map((classifier) => classifier.logits(["a prize"])));
    for (const classifier of loaded) classifier.destroy();
    for (const other of logits.slice(1)) assertSameBits("at the same time, and kept", other, logits[0]!);
    return { logits: logits[0]!, asked: ranges.requests.filter((line) => line.includes("/model/")) };
  };
  ranges.requests.length = 0;
  await assertFails("base-model-elsewhere", ["kept", meta.base_model], () =>
    Classifier.load(join(folder, "kept"), { device }),
  );
  assert.equal(ranges.requests, []);
  const first = await load();
  assert.is(new Set(first.asked).size, first.asked.length, first.asked.join("\n"));
  assert.equal(
    first.asked.map((line) => line.split(" ")[0]),
    first.asked.map(() => "GET"),
  );
  const kept = join(cache, "models", print);
  assert.equal(readdirSync(kept).sort(), readdirSync(model).sort());
  const second = await load();
  assert.equal(second.asked, []);
  assertSameBits("kept", second.logits, first.logits);
  writeFileSync(join(kept, "model.safetensors"), "short");
  assertSameBits("damaged", (await load()).logits, first.logits);
  assert.equal((await load()).asked, []);
  // What cannot be kept is downloaded every time.
  rmSync(cache, { recursive: true });
  writeFileSync(cache, "");
  for (let i = 0; i < 2; i++) assertSameBits("not kept", (await load()).logits, first.logits);
  rmSync(cache);
  // Nothing is kept that has another fingerprint than the adapter says.
  const other = testMeta({}, { ...meta, base_fingerprint: "0".repeat(64) });
  await writeAdapter(join(folder, "kept"), { meta: other, tensors: drawTensors(other) });
  await assertFails("wrong-base-model", load);
  assert.not.ok(existsSync(join(cache, "models")));
});

test("directories on a server are directories, in Node as in a page", async () => {
  assert.is(joinPath(`${ranges.url}/a/`, "../b", "c.json"), `${ranges.url}/b/c.json`);
  const opened = await loadModel(`${ranges.url}/model`);
  assertSameBits("by URL", await opened.read("h.0.mlp.c_fc.weight"), table);
  await opened.close();
  await assertFails("no-such-model", () => loadModel(`${ranges.url}/nothing`));
  await assertFails("server-unreachable", ["by its path"], () => openSource("a", new URL("file:///a.csv")));
  await assertFails("server-unreachable", ["ECONNREFUSED"], async () => readBytes(`${await nowhere()}/x`));
});

/** Of a file that is larger than what is asked for first. */
const FIRST = 1 << 20;
const LARGE = Uint8Array.from({ length: FIRST + 100 }, (_, i) => i % 253);
const AFTER = LARGE.subarray(FIRST);

/** Opens that file at a server that answers so, and reads what follows the first part. */
async function readFrom(answer: Answer, length = 100): Promise<Uint8Array> {
  const { url } = await serve(answer);
  registerFile("lies.safetensors", new URL(`${url}/x`));
  const reader = await openFile("lies.safetensors");
  return reader.read(length && FIRST, length);
}

const isFirst = (request: IncomingMessage) => request.headers.range!.startsWith("bytes=0-");
const honest: Answer = (request, response) => sendBytes(request, response, LARGE);
/** Honest at first, then so. */
const then =
  (answer: Answer): Answer =>
  (request, response) =>
    (isFirst(request) ? honest : answer)(request, response);
const part = (response: ServerResponse, range: string, body: Uint8Array, headers = {}) =>
  response.writeHead(206, { "content-range": `bytes ${range}`, ...headers }).end(body);

test("a server that lies is found out", async () => {
  const size = LARGE.length;
  const rest = `${FIRST}-${size - 1}`;
  assert.equal(await readFrom(honest), AFTER);
  assert.equal(await readFrom((_, response) => part(response, `0-${size - 1}/${size}`, LARGE)), AFTER);
  const says =
    (range: string, bytes: number, from = 0): Answer =>
    (_, response) =>
      part(response, range, LARGE.subarray(from, from + bytes));
  const lie = (range: string, body: Uint8Array, headers = {}) =>
    then((_, response) => part(response, range, body, headers));
  const status =
    (code: number): Answer =>
    (_, response) =>
      response.writeHead(code).end(LARGE.subarray(0, 1));
  const cases: [ErrorCode, words: string[], answer: Answer][] = [
    ["request-refused", ["404 Not Found"], status(404)],
    ["request-refused", ["403", "sign in"], status(403)],
    ["unknown-file-size", [], status(206)],
    ["unknown-file-size", [], says("0-0/*", 1)],
    ["unknown-file-size", ["bytes 0-99/50"], says("0-99/50", 100)],
    ["unknown-file-size", ["bytes 5-5/9"], says("5-5/9", 1, 5)],
    ["unknown-file-size", ["neither"], hiding(LARGE)],
    ["wrong-content-length", ["9 bytes", "1 bytes"], says(`0-8/${size}`, 1)],
    ["wrong-content-length", ["100 bytes", "more"], lie(`${rest}/${size}`, LARGE.subarray(0, 199))],
    ["wrong-content-length", ["100 bytes", "5 bytes"], lie(`${rest}/${size}`, LARGE.subarray(0, 5))],
    ["file-changed-on-server", [], lie(`8-15/${size}`, AFTER)],
    ["file-changed-on-server", [], lie(`${rest}/${size - 1}`, AFTER)],
    ["file-changed-on-server", [], lie(`${rest}/${size}`, AFTER, { etag: '"2"' })],
    ["file-changed-on-server", ["no Content-Range"], then(hiding(LARGE))],
    ["ranges-ignored", ["the whole file"], then((_, response) => response.end(LARGE))],
  ];
  for (const [code, words, answer] of cases)
    await assertFails(code, ["lies.safetensors", ...words], () => readFrom(answer));
  assert.is((await readFrom((request, response) => sendBytes(request, response, LARGE.subarray(0, 0)), 0)).length, 0);
});

/** A server that does not tell what it sends of the whole. */
const hiding =
  (bytes: Uint8Array): Answer =>
  (request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (request.method === "HEAD") response.writeHead(200, { "content-length": bytes.length }).end();
    else response.writeHead(206).end(bytes.subarray(Number(first), Number(last) + 1));
  };
test("a server of another origin, which may hide Content-Range, is asked for the length", async () => {
  for (const [bytes, asked] of [
    [LARGE, ["GET", "HEAD", "GET"]],
    [LARGE.subarray(0, 100), ["GET"]],
  ] as const) {
    const other = await serve(hiding(bytes));
    const location = other.url.replace("127.0.0.1", "localhost");
    const { url } = await serve((_, response) => response.writeHead(302, { location }).end());
    const reader = await openFile(url);
    assert.equal([reader.size, await reader.read(bytes.length - 100, 100)], [bytes.length, bytes.slice(-100)]);
    assert.equal(
      other.requests.map((line) => line.split(" ")[0]),
      asked,
    );
  }
});

test("what a server sends instead of a file is not read to its end, nor more than such a file may have", async () => {
  let body: { begin: string; piece: number } | undefined;
  let sent = 0;
  const { url } = await serve((_, response) => {
    response.write(body!.begin);
    const piece = Buffer.alloc(body!.piece, " ");
    const send = () => {
      do sent += piece.length;
      while (response.write(piece));
    };
    response.on("drain", send);
    send();
  });
  for (const [place, begin, code, most] of [
    ["a.zip", "<!doctype html>", "wrong-content", 8 << 20],
    ["a", "<!doctype html>", "wrong-content", 8 << 20],
    ["a", "{", "exceeds-limit", LIMITS.json + (8 << 20)],
  ] as const) {
    [body, sent] = [{ begin, piece: 1 << 20 }, 0];
    await assertFails(code, [url], () => openAdapter(`${url}/${place}`));
    assert.ok(sent < most, `${sent} bytes sent`);
  }
});

test("what cannot be read is refused by name", async () => {
  const [used, locked] = [new Response("text"), new Response("text")];
  await used.text();
  locked.body!.getReader();
  const [closed, directory] = [await open(join(model, "config.json")), await open(model)];
  await closed.close();
  const said = (length: string) => new Response("four", { headers: { "content-length": length } });
  const gone = { getFile: () => Promise.reject(new Error("A requested file could not be found")) };
  for (const [source, code, ...words] of [
    [used, "response-already-read", "clone()"],
    [locked, "response-already-read"],
    [new Response("gone", { status: 410 }), "request-refused", "410"],
    [said("3"), "wrong-content-length", "3 bytes", "more"],
    [said("5"), "wrong-content-length", "5 bytes", "4 bytes"],
    [closed, "cannot-read-file", "an open file"],
    [directory, "cannot-read-file", "a directory"],
    [gone, "cannot-read-file", "could not be found"],
  ] as [FileSource, ErrorCode, ...string[]][]) {
    registerFile("bad.safetensors", source);
    await assertFails(code, ["bad.safetensors", ...words], () => openFile("bad.safetensors"));
  }
  await directory.close();
  for (const wrong of [5, null, "text", {}, new Uint8Array(3)])
    await assertFails("invalid-argument", ["file: ", "a Blob, a Response, a URL or a file handle"], () =>
      registerFile("x", wrong as never),
    );
  registerFile("short.safetensors", new Blob(["short"]));
  const reader = await openFile("short.safetensors");
  await assertFails("truncated-file", () => SafetensorsFile.open(reader));
});

test("an adapter opens from a page's files, by URL and from a zip, also twice at a time", async () => {
  const device = await testDevice("wasm 1 thread");
  const adapter = join(folder, "adapter");
  const meta = testMeta({}, { model: TINY });
  await writeAdapter(adapter, { meta, tensors: drawTensors(meta) });
  const logitsFrom = async (place: string) => {
    await using classifier = await Classifier.load(place, { device, model });
    return await classifier.logits(["a prize"]);
  };
  const wanted = await logitsFrom(adapter);
  const files = readdirSync(adapter).map((name) => [name, new Uint8Array(readFileSync(join(adapter, name)))] as const);
  const packed = await zip(files);
  writeFileSync(join(folder, "packed.zip"), Buffer.from(await packed.arrayBuffer()));
  registerFile("mine/packed.zip", packed);
  const given = await give("adapter", "adapter Blob", "Blob");
  const zipped = `${ranges.url}/packed.zip?v=2`;
  ranges.requests.length = 0;
  for (const place of [given, join(folder, "packed.zip"), zipped, "mine/packed.zip"])
    for (const logits of await Promise.all([logitsFrom(place), logitsFrom(place)]))
      assertSameBits(place, logits, wanted);
  for (const line of ranges.requests) assert.match(line, "GET /packed.zip?v=2");
  assertSameBits("URL", await logitsFrom(`${ranges.url}/adapter`), wanted);
  const base = await loadModel(await give("model", "base", "a URL, by ranges"));
  assert.is((await loadAdapter(given, base)).meta.task.num_labels, 2);
  await base.close();
});
