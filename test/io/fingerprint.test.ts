/**
 * A base model's fingerprint has every value of it, in whatever file, and is computed once for a version of the files.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { floatToHalf } from "../../src/core/half.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { type EncodableTensor, encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { sendBytes, serve, setEnvironment } from "../helpers/http.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const cache = join(folder, "cache");
setEnvironment({ LOWRANK_CACHE: cache });
const KEPT = join(cache, "base-models.json");
const WEIGHTS = "model.safetensors";

async function print(directory: string): Promise<string> {
  await using model = await openBaseModel(directory);
  return await fingerprint(model);
}

test("one value of any tensor is another fingerprint", async () => {
  await using model = await openBaseModel(tinyModel(join(folder, "model")));
  const prints = new Set([await fingerprint(model)]);
  for (const changed of model.names) {
    const read: BaseModel["read"] = async (name, ...rows) => {
      const values = await model.read(name, ...rows);
      if (name === changed) values[Math.floor(values.length * 0.7)]! += 1e-3;
      return values;
    };
    prints.add(await fingerprint({ ...model, read, files: new Map() }));
  }
  assert.is(prints.size, 1 + model.names.length);
});

/** A file of tensors in F16. */
function halves(tensors: readonly EncodableTensor[]): Uint8Array {
  let at = 0;
  const entries = tensors.map(({ name, shape, data }) => {
    const begin = at;
    at += 2 * data.length;
    return [name, { dtype: "F16", shape, data_offsets: [begin, at] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([
    length,
    header,
    ...tensors.map(({ data }) => Buffer.from(floatToHalf(data as Float32Array).buffer)),
  ]);
}

test("the same values have one fingerprint, in one file or in two, in f32 or in f16", async () => {
  const all: EncodableTensor[] = [];
  const directory = tinyModel(join(folder, "rounded"), (tensors) => {
    for (const { data } of tensors.values()) data.set(data.map((x) => Math.round(x * 64) / 64));
    all.push(...tensors.values());
  });
  const expected = await print(directory);
  for (const name of ["halves", "shards"]) mkdirSync(join(folder, name));
  const write = (name: string, file: string, content: Uint8Array | string) =>
    writeFileSync(join(folder, name, file), content);
  for (const name of ["halves", "shards"]) write(name, "config.json", readFileSync(join(directory, "config.json")));
  write("halves", WEIGHTS, halves(all));
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const weight_map = Object.fromEntries(all.map(({ name }, i) => [name, i < 9 ? first : second]));
  write("shards", first, encodeSafetensors(all.slice(0, 9)));
  write("shards", second, encodeSafetensors(all.slice(9)));
  write("shards", `${WEIGHTS}.index.json`, JSON.stringify({ weight_map }));
  for (const name of ["halves", "shards"]) assert.is(await print(join(folder, name)), expected, name);
});

test("it is kept for the version of the file, and computed again for another or if what is kept is damaged", async () => {
  const directory = tinyModel(join(folder, "kept"));
  const first = await print(directory);
  const whole = readFileSync(KEPT, "utf8");
  const [key, { tensors }] = (JSON.parse(whole) as [string, { tensors: string }][]).at(-1)!;
  // What is kept is taken for what it says: the weights are not read.
  writeFileSync(KEPT, JSON.stringify([[key, { tensors: "x" }]]));
  assert.is.not(await print(directory), first);
  for (const damaged of [whole.slice(0, -9), JSON.stringify([[key, { tensors: 5 }]])]) {
    writeFileSync(KEPT, damaged);
    assert.is(await print(directory), first);
    assert.ok(readFileSync(KEPT, "utf8").includes(tensors));
  }
  const bytes = readFileSync(join(directory, WEIGHTS));
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(join(directory, WEIGHTS), bytes);
  assert.is.not(await print(directory), first);
});

test("a model on a server is downloaded once, also if all of it is read again", async () => {
  const directory = tinyModel(join(folder, "served"));
  const expected = await print(directory);
  const { length } = readFileSync(join(directory, WEIGHTS));
  let sent = 0;
  let headers: Record<string, string> = {};
  const server = await serve((request, response) => {
    const path = join(directory, request.url!);
    if (!existsSync(path)) return void response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (request.url === `/${WEIGHTS}` && last) sent += Math.min(Number(last), length - 1) - Number(first) + 1;
    sendBytes(request, response, readFileSync(path), { headers });
  });
  const identify = async (readsAll: boolean) => {
    sent = 0;
    await using model = await openBaseModel(server.url);
    assert.is(await fingerprint(model), expected);
    if (readsAll) for (const name of model.names) await model.read(name);
    return sent;
  };
  for (const stamp of [undefined, { etag: '"a"' }, { "last-modified": "Sun, 29 Nov 2026 19:38:17 GMT" }]) {
    headers = { ...stamp };
    assert.is(await identify(true), length, JSON.stringify(stamp));
    // A file that a server names the version of is known: no more than its beginning is downloaded to identify it.
    assert.is(await identify(false), stamp ? 1 << 20 : length, `${JSON.stringify(stamp)} again`);
  }
});
