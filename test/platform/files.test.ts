/** Models and adapters from everything that a file can be read from, and servers that lie. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { exists, joinPath, listDirectory, openFile, readBytes } from "#platform";
import type { ErrorCode } from "../../src/error-codes.ts";
import { Classifier, LanguageModel, loadAdapter, loadModel } from "../../src/index.ts";
import { packAdapter } from "../../src/io/packed.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors-write.ts";
import { type FileSource, forgetFile, registerFile } from "../../src/platform/files.ts";
import { drawTensors, LM, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { nowhere, type Server, sendBytes, serve } from "../helpers/http.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const weights = readFileSync(join(model, "model.safetensors"));

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

test("a server with ranges is asked for what is read", async () => {
  const { requests } = ranges;
  requests.length = 0;
  const reader = await openFile(`${ranges.url}/model/model.safetensors`);
  const stored = await SafetensorsFile.open(reader);
  await stored.readF32("wte.weight", 2, 3);
  assert.equal(reader.size, weights.length);
  assert.is(requests.length, 4);
  assert.ok(
    requests.every((line) => / bytes=\d+-\d+$/.test(line)),
    requests.join("\n"),
  );
  assert.equal((await reader.read(weights.length, 0)).length, 0);
  await reader.read(weights.length, 5).then(
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
});

test("directories on a server are directories, in Node as in a page", async () => {
  assert.is(joinPath(`${ranges.url}/a/`, "../b", "c.json"), `${ranges.url}/b/c.json`);
  const opened = await loadModel(`${ranges.url}/model`);
  assertSameBits("by URL", await opened.read("h.0.mlp.c_fc.weight"), table);
  await opened.close();
  await assertFails("no-such-model", () => loadModel(`${ranges.url}/nothing`));
  await assertFails("server-unreachable", ["ECONNREFUSED"], async () => readBytes(`${await nowhere()}/x`));
});

/** Opens the weights at a server that answers so, and reads the first 8 bytes. */
async function readFrom(answer: Answer): Promise<Uint8Array> {
  const { url } = await serve(answer);
  registerFile("lies.safetensors", new URL(`${url}/x`));
  const reader = await openFile("lies.safetensors");
  return reader.read(0, 8);
}

const isFirst = (request: IncomingMessage) => request.headers.range === "bytes=0-0";
const honest: Answer = (request, response) => sendBytes(request, response, weights);
/** Honest at first, then so. */
const then =
  (answer: Answer): Answer =>
  (request, response) =>
    (isFirst(request) ? honest : answer)(request, response);
const part = (response: ServerResponse, range: string, body: Uint8Array, headers = {}) =>
  response.writeHead(206, { "content-range": `bytes ${range}`, ...headers }).end(body);

test("a server that lies is found out", async () => {
  const size = weights.length;
  assert.equal(await readFrom(honest), Uint8Array.from(weights.subarray(0, 8)));
  const generous: Answer = (request, response) =>
    isFirst(request) ? part(response, `0-${size - 1}/${size}`, weights) : honest(request, response);
  assert.equal(await readFrom(generous), Uint8Array.from(weights.subarray(0, 8)));
  const lie = (range: string, body: Uint8Array, headers = {}) =>
    then((_, response) => part(response, range, body, headers));
  const cases: [ErrorCode, words: string[], answer: Answer][] = [
    ["request-refused", ["404 Not Found"], (_, response) => response.writeHead(404).end()],
    ["request-refused", ["403", "sign in"], (_, response) => response.writeHead(403).end()],
    ["unknown-file-size", [], (_, response) => part(response, "0-0/*", weights.subarray(0, 1))],
    ["unknown-file-size", [], (request, response) => response.writeHead(isFirst(request) ? 206 : 404).end()],
    ["wrong-content-length", ["8 bytes", "more"], lie(`0-7/${size}`, weights.subarray(0, 99))],
    ["wrong-content-length", ["8 bytes", "5 bytes"], lie(`0-7/${size}`, weights.subarray(0, 5))],
    ["file-changed-on-server", [], lie(`8-15/${size}`, weights.subarray(8, 16))],
    ["file-changed-on-server", [], lie(`0-7/${size - 1}`, weights.subarray(0, 8))],
    ["file-changed-on-server", [], lie(`0-7/${size}`, weights.subarray(0, 8), { etag: '"2"' })],
    ["ranges-ignored", ["the whole file"], then((_, response) => response.end(weights))],
  ];
  for (const [code, words, answer] of cases)
    await assertFails(code, ["lies.safetensors", ...words], () => readFrom(answer));
});

test("a server of another origin, which may hide Content-Range, is asked for the length; no other may leave it out", async () => {
  const hiding: Answer = (request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (request.method === "HEAD") response.writeHead(200, { "content-length": weights.length }).end();
    else response.writeHead(206).end(weights.subarray(Number(first), Number(last) + 1));
  };
  await assertFails("unknown-file-size", () => readFrom(hiding));
  await assertFails("file-changed-on-server", ["no Content-Range"], () => readFrom(then(hiding)));
  await assertFails("unknown-file-size", ["bytes 5-5/9"], () =>
    readFrom((_, response) => part(response, "5-5/9", weights.subarray(5, 6))),
  );
  const other = (await serve(hiding)).url.replace("127.0.0.1", "localhost");
  assert.equal(
    await readFrom((_, response) => response.writeHead(302, { location: other }).end()),
    Uint8Array.from(weights.subarray(0, 8)),
  );
  assert.is((await openFile("lies.safetensors")).size, weights.length);
});

test("an empty file on a server is an empty file", async () => {
  const { url } = await serve((request, response) => sendBytes(request, response, new Uint8Array(0)));
  registerFile("empty", new URL(url));
  assert.is((await openFile("empty")).size, 0);
});

test("what cannot be read is refused by name", async () => {
  const refused = (source: FileSource, code: ErrorCode, ...words: string[]) => {
    registerFile("bad.safetensors", source);
    return assertFails(code, ["bad.safetensors", ...words], () => openFile("bad.safetensors"));
  };
  const used = new Response("text");
  await used.text();
  await refused(used, "response-already-read", "clone()");
  const locked = new Response("text");
  locked.body!.getReader();
  await refused(locked, "response-already-read");
  await refused(new Response("gone", { status: 410 }), "request-refused", "410");
  await refused(
    new Response("four", { headers: { "content-length": "3" } }),
    "wrong-content-length",
    "3 bytes",
    "more",
  );
  await refused(
    new Response("four", { headers: { "content-length": "5" } }),
    "wrong-content-length",
    "5 bytes",
    "4 bytes",
  );
  const closed = await open(join(model, "config.json"));
  await closed.close();
  await refused(closed, "cannot-read-file", "an open file");
  const directory = await open(model);
  await refused(directory, "cannot-read-file", "a directory");
  await directory.close();
  const gone = { getFile: () => Promise.reject(new Error("A requested file could not be found")) };
  await refused(gone, "cannot-read-file", "could not be found");
  for (const wrong of [5, null, "text", {}, new Uint8Array(3)])
    await assertFails("invalid-argument", ["file: ", "a Blob, a Response, a URL or a file handle"], () =>
      registerFile("x", wrong as never),
    );
  registerFile("short.safetensors", new Blob(["short"]));
  const reader = await openFile("short.safetensors");
  await assertFails("truncated-file", () => SafetensorsFile.open(reader));
});

test("a classifier's adapter opens from any source and by URL", async () => {
  const device = await testDevice("wasm 1 thread");
  const adapter = join(folder, "adapter");
  mkdirSync(adapter);
  const C = 16;
  const tensor = (name: string, ...shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return { name: `base_model.model.${name}`, shape, dtype: "F32" as const, data: new Float32Array(size).fill(0.25) };
  };
  const lora = (module: string, A: number, B: number) => [
    tensor(`${module}.lora_A.weight`, 2, A),
    tensor(`${module}.lora_B.weight`, B, 2),
  ];
  const layers = (await loadModel(model)).config.n_layer;
  const tensors = Array.from({ length: layers }, (_, l) => lora(`transformer.h.${l}.attn.c_attn`, C, 3 * C)).flat();
  writeFileSync(
    join(adapter, "adapter_model.safetensors"),
    encodeSafetensors([...tensors, tensor("score.weight", 2, C)]),
  );
  const settings = { peft_type: "LORA", task_type: "SEQ_CLS", r: 2, lora_alpha: 4, target_modules: ["c_attn"] };
  writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(settings));
  const logitsFrom = async (place: string) => {
    const classifier = await Classifier.load(place, { device, model });
    try {
      return await classifier.logits(["a prize"]);
    } finally {
      classifier.destroy();
    }
  };
  const wanted = await logitsFrom(adapter);
  for (const kind of Object.keys(KINDS))
    assertSameBits(kind, await logitsFrom(await give("adapter", `adapter ${kind}`, kind)), wanted);
  assertSameBits("URL", await logitsFrom(`${ranges.url}/adapter`), wanted);
  const files = readdirSync(adapter).map((name) => [name, new Uint8Array(readFileSync(join(adapter, name)))] as const);
  const packed = await packAdapter(new Map(files));
  writeFileSync(join(folder, "packed.zip"), Buffer.from(await packed.arrayBuffer()));
  registerFile("mine/packed.zip", packed);
  ranges.requests.length = 0;
  for (const place of [join(folder, "packed.zip"), `${ranges.url}/packed.zip?v=2`, "mine/packed.zip"]) {
    const [once, twice] = await Promise.all([logitsFrom(place), logitsFrom(place)]);
    assertSameBits(place, once!, wanted);
    assertSameBits(`${place} at the same time`, twice!, wanted);
  }
  assert.ok(
    ranges.requests.every((line) => line.startsWith("GET /packed.zip?v=2")),
    ranges.requests.join("\n"),
  );
  const base = await loadModel(await give("model", "base", "a URL, by ranges"));
  assert.is((await loadAdapter("adapter Blob", base)).meta.task.num_labels, 2);
  await base.close();
});
