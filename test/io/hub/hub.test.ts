/** Models by name, from a server that answers as the Hugging Face hub does, into a cache laid out as its own. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type { ErrorCode } from "../../../src/error-codes.ts";
import { loadModel, openBaseModel, resolveModel } from "../../../src/io/hf.ts";
import type { DownloadEvent } from "../../../src/io/hub/download-options.ts";
import { hubModelName } from "../../../src/io/hub/hub-model.ts";
import { parseSnapshot } from "../../../src/io/hub/hub-names.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { nowhere, type Server, sendBytes, serve, setEnvironment } from "../../helpers/http.ts";
import { answerAsHub, digest, gitHash, json, REVISION, useHub } from "../../helpers/hub-server.ts";
import { tinyModel } from "../../helpers/tiny.ts";

const folder = temporaryFolder();
const NAME = "someone/small-gpt2";
const tiny = tinyModel(join(folder, "tiny"));
const stored = (file: string) =>
  readFileSync(/\.txt|vocab/.test(file) ? packagePath(`data/models/gpt2-micro/${file}`) : join(tiny, file));
const WEIGHTS = stored("model.safetensors");
const SMALL = ["config.json", "merges.txt", "vocab.json"];

/** What the hub has, and how it misbehaves. */
let files: Map<string, Uint8Array>;
let answers: (request: IncomingMessage, response: ServerResponse) => boolean;
let server: Server;
const options = { retryDelay: 1 };

/** An empty cache, a hub with a tiny model, and nobody logged in. */
function start(extra: Record<string, string | undefined> = {}): string {
  files = new Map([...SMALL, "model.safetensors"].map((file) => [file, stored(file)]));
  answers = () => false;
  server.requests.length = 0;
  return join(useHub(folder, server.url, extra), "models--someone--small-gpt2");
}

function hub(request: IncomingMessage, response: ServerResponse): void {
  if (!answers(request, response)) answerAsHub(request, response, files);
}

test("starts", async () => {
  server = await serve(hub);
});

test("names", () => {
  assert.is(hubModelName("gpt2"), "openai-community/gpt2");
  assert.is(hubModelName("distilgpt2"), "distilbert/distilgpt2");
  assert.is(hubModelName("smollm2-135m"), "HuggingFaceTB/SmolLM2-135M-Instruct");
  assert.is(hubModelName(NAME), NAME);
  for (const name of ["llama", "a/b/c", "/a/b", "./b", "../b", "a/..", "a--b/c", "", "a/", "constructor"])
    assert.is(hubModelName(name), undefined, name);
  assert.equal(parseSnapshot("/x/hub/models--a-b--c/snapshots/123"), { name: "a-b/c", revision: "123" });
  assert.is(parseSnapshot("/x/models/snapshots"), undefined);
});

test("a model is downloaded into the hub's layout, with events; the second call sends no requests", async () => {
  const place = start();
  const events: DownloadEvent[] = [];
  const model = await loadModel(NAME, { ...options, onProgress: (event) => events.push(event) });
  assert.is(model.directory, join(place, "snapshots", REVISION));
  assert.is(model.config.n_embd, 16);
  await model.close();
  assert.is(readFileSync(join(place, "refs/main"), "utf8"), REVISION);
  assert.equal(readdirSync(join(place, "snapshots", REVISION)).sort(), [...SMALL, "model.safetensors"].sort());
  const link = join(place, "snapshots", REVISION, "model.safetensors");
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.is(readlinkSync(link), join("../../blobs", digest("sha256", WEIGHTS)));
  assert.equal(
    readdirSync(join(place, "blobs")).sort(),
    [...SMALL.map((file) => gitHash(stored(file))), digest("sha256", WEIGHTS)].sort(),
  );
  const big = events.filter(({ file }) => file === "model.safetensors");
  assert.equal(big.at(0), {
    status: "initiate",
    name: NAME,
    file: "model.safetensors",
    loaded: 0,
    total: WEIGHTS.length,
  });
  assert.is(big.at(1)!.status, "download");
  assert.is(big.at(-1)!.status, "done");
  assert.ok(big.length > 20 && big.length < 300, `${big.length} events`);
  assert.is(events.at(-1), big.at(-1), "the weights come last");

  server.requests.length = 0;
  setEnvironment({ HF_HUB_OFFLINE: "1" });
  assert.is(await resolveModel(NAME), model.directory);
  assert.equal(server.requests, []);
  truncateSync(link, 1000);
  await assertFails("invalid-safetensors", ["delete a downloaded model's folder in the cache"], () =>
    openBaseModel(model.directory),
  );
});

test("Python's cache is used; HF_HUB_CACHE takes precedence over HF_HOME", async () => {
  start({ HF_HUB_OFFLINE: "1", HF_HUB_CACHE: join(folder, "cache") });
  const place = join(folder, "cache/models--openai-community--gpt2");
  const snapshot = join(place, "snapshots/abc");
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(place, "refs"));
  writeFileSync(join(place, "refs/main"), "abc");
  writeFileSync(join(snapshot, "config.json"), "{}");
  await assertFails("not-in-cache", ['"openai-community/gpt2" is not in the cache', "named gpt2"], () =>
    resolveModel("gpt2"),
  );
  writeFileSync(join(snapshot, "model.safetensors"), "");
  assert.is(await resolveModel("gpt2"), snapshot);
  assert.is(await resolveModel("openai-community/gpt2"), snapshot);
});

test("an interrupted download resumes, in the same call and in a later one", async () => {
  const place = start();
  let cuts = 0;
  answers = (request, response) => {
    if (request.url !== "/cdn/model.safetensors" || cuts++ >= 2) return false;
    sendBytes(request, response, WEIGHTS, { cutAt: 1_000_000 });
    return true;
  };
  await resolveModel(NAME, options);
  const ranges = server.requests.filter((request) => request.includes("/cdn/"));
  assert.is(ranges.length, 3);
  const starts = ranges.slice(1).map((request) => Number(/bytes=(\d+)-$/.exec(request)![1]));
  assert.ok(starts[0]! > 0 && starts[0]! <= 1_000_000 && starts[1]! > starts[0]!, ranges.join(", "));

  // A connection that brings nothing any more: what came is kept, for the next call.
  const blob = join(place, "blobs", digest("sha256", WEIGHTS));
  start();
  const later = join(process.env.HF_HOME!, "hub/models--someone--small-gpt2/blobs", digest("sha256", WEIGHTS));
  answers = (request, response) => {
    if (request.url !== "/cdn/model.safetensors") return false;
    if (request.headers.range) response.destroy();
    else sendBytes(request, response, WEIGHTS, { cutAt: 700_000 });
    return true;
  };
  await assertFails("server-unreachable", [`cannot download the model "${NAME}"`], () => resolveModel(NAME, options));
  const kept = lstatSync(`${later}.incomplete`).size;
  assert.ok(kept > 0 && kept <= 700_000, `${kept}`);
  answers = () => false;
  server.requests.length = 0;
  await resolveModel(NAME, options);
  assert.ok(server.requests.includes(`GET /cdn/model.safetensors bytes=${kept}-`), server.requests.join(", "));
  assert.equal(readFileSync(later), readFileSync(blob));
});

test("a file with wrong contents is reported and deleted", async () => {
  const place = start();
  const other = Uint8Array.from(WEIGHTS);
  other[500_000]! ^= 1;
  answers = (request, response) => {
    if (request.url !== "/cdn/model.safetensors") return false;
    sendBytes(request, response, other);
    return true;
  };
  const words = ["damaged", digest("sha256", WEIGHTS), digest("sha256", other), "deleted"];
  await assertFails("hash-mismatch", words, () => resolveModel(NAME, options));
  assert.is(readdirSync(join(place, "blobs")).length, SMALL.length);
  assert.not.ok(existsSync(join(place, "refs/main")), "an incomplete model is none of the cache's");
});

test("errors of the hub are reported", async () => {
  for (const [status, requests, code, words, token] of [
    [401, 1, "no-such-repository", ["no such model on the hub", "status 401", "HF_TOKEN"]],
    [404, 1, "no-such-repository", ["no such model on the hub", "check the account"], "hf_x"],
    [403, 1, "gated-repository", ["gated", "HF_TOKEN"]],
    [429, 5, "server-unavailable", ["status 429: too many requests"]],
    [503, 5, "server-unavailable", ["status 503", "try again later"]],
    [200, 1, "invalid-hub-answer", ["reports no valid revision"]],
  ] as [number, number, ErrorCode, string[], string?][]) {
    start({ HF_TOKEN: token });
    answers = (_, response) => {
      json(response, status, { error: "because" });
      return true;
    };
    await assertFails(code, [`cannot download the model "${NAME}"`, ...words], () => resolveModel(NAME, options));
    assert.is(server.requests.length, requests);
  }
  start();
  answers = (_, response) => {
    response.end("<html>");
    return true;
  };
  await assertFails("not-a-hub", ["not a Hugging Face hub", "HF_ENDPOINT"], () => resolveModel(NAME, options));
  start({ HF_ENDPOINT: await nowhere() });
  await assertFails(
    "server-unreachable",
    [`cannot download the model "${NAME}"`, "cannot be reached", "ECONNREFUSED"],
    () => resolveModel(NAME, options),
  );
  start({ HF_TOKEN: "hf_secret\n1" });
  const message = await assertFails("invalid-access-token", ["hf_"], () => resolveModel(NAME, options));
  assert.not.match(message, "secret");
});

test("the token is sent to the hub, from HF_TOKEN or the file of a login", async () => {
  start();
  const seen: (string | undefined)[] = [];
  answers = (request) => {
    seen.push(request.headers.authorization);
    return false;
  };
  mkdirSync(process.env.HF_HOME!, { recursive: true });
  writeFileSync(join(process.env.HF_HOME!, "token"), "hf_file\n");
  await resolveModel(NAME, options);
  assert.equal(new Set(seen), new Set(["Bearer hf_file"]));
  start({ HF_TOKEN: "hf_set" });
  seen.length = 0;
  answers = (request) => {
    seen.push(request.headers.authorization);
    return false;
  };
  await resolveModel(NAME, options);
  assert.equal(new Set(seen), new Set(["Bearer hf_set"]));
});

test("an unsupported model is refused before its weights are downloaded", async () => {
  const config = JSON.parse(stored("config.json").toString());
  const vocabulary = stored("vocab.json").toString().replace('"hello":', '"hello":50257,"h e":');
  for (const [code, words, changed] of [
    ["missing-model-files", ["python -c", "save_pretrained", "model"], { "pytorch_model.bin": "{}" }],
    ["missing-model-files", ["save_pretrained"], { "pytorch_model.bin.index.json": "{}" }],
    ["missing-model-files", ["adapter"], { "adapter_config.json": "{}" }],
    ["missing-model-files", ["resolve/main/FILE.gguf"], {}],
    ["unsupported-architecture", ['"mamba"'], { "config.json": JSON.stringify({ ...config, model_type: "mamba" }) }],
    ["wrong-vocabulary", ["50257", "50258 ids"], { "vocab.json": vocabulary }],
  ] as [ErrorCode, string[], Record<string, string>][]) {
    start();
    const isMissing = code === "missing-model-files";
    if (isMissing) files.delete("model.safetensors");
    for (const [name, content] of Object.entries(changed)) files.set(name, Buffer.from(content));
    const all = isMissing ? ["lacks model.safetensors", ...words] : words;
    await assertFails(code, all, () => resolveModel(NAME, options));
    assert.not.match(server.requests.join(), "model.safetensors", "weights fetched");
  }
});

test("a sharded model is downloaded with its index, and is complete only with all shards", async () => {
  const index = (shards: unknown) => new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map: shards }));
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const sharded = (map: unknown = { "wte.weight": first, "wpe.weight": second, "ln_f.bias": first }) => {
    const place = start();
    files.delete("model.safetensors");
    files.set("model.safetensors.index.json", index(map));
    files.set(first!, WEIGHTS.subarray(0, 100_000));
    files.set(second!, WEIGHTS.subarray(100_000, 150_000));
    return place;
  };
  let place = sharded();
  let cuts = 0;
  answers = (request, response) => {
    if (request.url !== `/cdn/${second}` || cuts++ > 0) return false;
    assert.not.ok(existsSync(join(place, "refs/main")), "noted before all shards are there");
    sendBytes(request, response, files.get(second!)!, { cutAt: 20_000 });
    return true;
  };
  const snapshot = await resolveModel(NAME, options);
  assert.equal(readdirSync(snapshot).sort(), [...SMALL, first!, second!, "model.safetensors.index.json"].sort());
  assert.equal(new Uint8Array(readFileSync(join(snapshot, second!))), new Uint8Array(files.get(second!)!));
  server.requests.length = 0;
  assert.is(await resolveModel(NAME, options), snapshot);
  assert.equal(server.requests, []);
  rmSync(join(snapshot, second!));
  assert.is(await resolveModel(NAME, options), snapshot);
  assert.ok(existsSync(join(snapshot, second!)), "a shard that is missing in the cache is linked again");

  place = sharded();
  files.delete(second!);
  await assertFails("missing-shards", ["lacks 1 of 2 shards", second!], () => resolveModel(NAME, options));
  // Other indices: hf.test.ts.
  const shard = "../model.safetensors";
  place = sharded({ "wte.weight": shard });
  await assertFails("invalid-shards-index", [JSON.stringify(shard)], () => resolveModel(NAME, options));
  assert.not.ok(existsSync(join(place, "refs/main")));
});
