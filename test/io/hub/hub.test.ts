/** Models by name, from a server that answers as the Hugging Face hub does, into a cache laid out as its own. */
import {
  existsSync,
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
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { loadModel, openBaseModel, resolveModel } from "../../../src/io/hf.ts";
import type { DownloadEvent } from "../../../src/io/hub/download-options.ts";
import { hubModelName } from "../../../src/io/hub/hub-model.ts";
import { parseSnapshot } from "../../../src/io/hub/hub-names.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { type Server, sendBytes, serve, setEnvironment } from "../../helpers/http.ts";
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
  const snapshot = join(place, "snapshots", REVISION);
  assert.equal([model.directory, model.config.n_embd], [snapshot, 16]);
  await model.close();
  assert.is(readFileSync(join(place, "refs/main"), "utf8"), REVISION);
  assert.equal(readdirSync(snapshot).sort(), [...SMALL, "model.safetensors"].sort());
  const link = join(snapshot, "model.safetensors");
  const blobs = [...SMALL.map((file) => gitHash(stored(file))), digest("sha256", WEIGHTS)];
  assert.is(readlinkSync(link), join("../../blobs", blobs.at(-1)!));
  assert.equal(readdirSync(join(place, "blobs")).sort(), blobs.sort());
  const big = events.filter(({ file }) => file === "model.safetensors");
  const first = { status: "initiate", name: NAME, file: "model.safetensors", loaded: 0, total: WEIGHTS.length };
  assert.equal([big[0], big[1]!.status, big.at(-1)!.status], [first, "download", "done"]);
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

test("a file with wrong contents is reported and deleted", async () => {
  const place = start();
  files.set("other", Uint8Array.from(WEIGHTS).fill(1, 500_000, 500_001));
  answers = (request, response) => {
    if (request.url !== "/cdn/model.safetensors") return false;
    sendBytes(request, response, files.get("other")!);
    return true;
  };
  const words = ["damaged", digest("sha256", WEIGHTS), digest("sha256", files.get("other")!), "deleted"];
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
  ] as [number, number, ErrorCode, string[], string?][]) {
    start({ HF_TOKEN: token });
    answers = (_, response) => {
      json(response, status, { error: "because" });
      return true;
    };
    await assertFails(code, [`cannot download the model "${NAME}"`, ...words], () => resolveModel(NAME, options));
    assert.is(server.requests.length, requests);
  }
});

test("the token is sent to the hub, from HF_TOKEN or the file of a login; an invalid one is not shown", async () => {
  for (const [extra, token] of [
    [{}, "hf_file"],
    [{ HF_TOKEN: "hf_set" }, "hf_set"],
  ] as const) {
    start(extra);
    mkdirSync(process.env.HF_HOME!, { recursive: true });
    writeFileSync(join(process.env.HF_HOME!, "token"), "hf_file\n");
    const seen = new Set<string | undefined>();
    answers = ({ headers }) => !seen.add(headers.authorization);
    await resolveModel(NAME, options);
    assert.equal([...seen], [`Bearer ${token}`]);
  }
  start({ HF_TOKEN: "hf_secret\n1" });
  assert.not.match(await assertFails("invalid-access-token", ["hf_"], () => resolveModel(NAME, options)), "secret");
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
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  const sharded = (map: unknown = { "wte.weight": first, "wpe.weight": second, "ln_f.bias": first }) => {
    const place = start();
    files.delete("model.safetensors");
    files.set("model.safetensors.index.json", Buffer.from(JSON.stringify({ metadata: {}, weight_map: map })));
    files.set(first, WEIGHTS.subarray(0, 100_000));
    files.set(second, WEIGHTS.subarray(100_000, 150_000));
    return place;
  };
  sharded();
  const snapshot = await resolveModel(NAME, options);
  assert.equal(readdirSync(snapshot).sort(), [...SMALL, first, second, "model.safetensors.index.json"].sort());
  assert.equal(new Uint8Array(readFileSync(join(snapshot, second))), new Uint8Array(files.get(second)!));
  server.requests.length = 0;
  assert.is(await resolveModel(NAME, options), snapshot);
  assert.equal(server.requests, []);
  rmSync(join(snapshot, second));
  assert.is(await resolveModel(NAME, options), snapshot);
  assert.ok(existsSync(join(snapshot, second)), "a shard that is missing in the cache is linked again");

  sharded();
  files.delete(second);
  await assertFails("missing-shards", ["lacks 1 of 2 shards", second], () => resolveModel(NAME, options));
  // Other indices: hf.test.ts.
  const place = sharded({ "wte.weight": "../model.safetensors" });
  await assertFails("invalid-shards-index", ['"../model.safetensors"'], () => resolveModel(NAME, options));
  assert.not.ok(existsSync(join(place, "refs/main")));
});
