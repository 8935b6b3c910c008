/** The SMS collection: its download from a local server, its two readings, and the experiment's order of rows. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { zipSync } from "fflate";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import sms from "../../../data/datasets/sms.json" with { type: "json" };
import experiment from "../../../data/datasets/sms-experiment.json" with { type: "json" };
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { joinPair } from "../../../src/core/pair.ts";
import { type LoadedDataset, loadDataset } from "../../../src/data/datasets.ts";
import { openNamed } from "../../../src/data/sets/named.ts";
import { type CollectionDescription, openCollection, readAsPandas } from "../../../src/data/sets/sms.ts";
import type { DownloadEvent } from "../../../src/io/hub/download-options.ts";
import type { FileReader } from "../../../src/platform/reader.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test, testIf } from "../../helpers/harness.ts";
import { nowhere, type Server, sendBytes, serve, setEnvironment } from "../../helpers/http.ts";
import { setsOf } from "../../helpers/tiny.ts";

const folder = temporaryFolder();
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Made up: as pandas reads it, the third message swallows the fourth. */
const LINES = [
  'ham\tSee you at "noon"',
  "spam\tWIN £100, now",
  'ham\t"Hi there',
  'ham\tI said ok" then',
  'spam\t"all ""of"" it" quoted',
  "ham\tü",
];
const CONTENT = new TextEncoder().encode(`${LINES.join("\n")}\n`);
const zip = zipSync({ readme: new Uint8Array(9), SMSSpamCollection: CONTENT }, { mtime: "2020-01-01" });
const about: CollectionDescription = {
  name: "made-up",
  archive: { path: "static/public/228/made+up.zip", bytes: zip.length, sha256: sha256(zip) },
  entry: { name: "SMSSpamCollection", bytes: CONTENT.length, sha256: sha256(CONTENT) },
  rows: 6,
  labels: { ham: 4, spam: 2 },
  experiment: { rows: 5, labels: { ham: 3, spam: 2 }, made: "" },
};

let answers: Parameters<typeof serve>[0] = (request, response) => sendBytes(request, response, zip);
let server: Server;
const options = { retryDelay: 1 };
let caches = 0;

/** An empty cache. */
function newCache(): string {
  const cache = join(folder, `cache-${caches++}`);
  setEnvironment({ LOWRANK_CACHE: cache, LOWRANK_UCI_ENDPOINT: server.url });
  server.requests.length = 0;
  return cache;
}

test("starts", async () => {
  server = await serve((request, response) => answers(request, response));
});

async function readWhole(file: FileReader) {
  return new TextDecoder().decode(await file.read(0, file.size));
}

test("downloaded through a redirect, unzipped, verified and stored; the second call sends no requests", async () => {
  const cache = newCache();
  answers = (request, response) => {
    if (request.url === `/${about.archive.path}`) response.writeHead(302, { location: "/elsewhere" }).end();
    else sendBytes(request, response, zip);
  };
  const events: DownloadEvent[] = [];
  const file = await openCollection(false, { ...options, onProgress: (event) => events.push(event) }, about);
  assert.is(
    await readWhole(file),
    'label,text\nham,"See you at ""noon"""\nspam,"WIN £100, now"\nham,"""Hi there"\nham,"I said ok"" then"\n' +
      'spam,"""all """"of"""" it"" quoted"\nham,"ü"\n',
  );
  assert.equal(readdirSync(join(cache, "datasets/made-up")), ["SMSSpamCollection"]);
  assert.equal(new Set(events.map(({ status }) => status)), new Set(["initiate", "download", "progress", "done"]));
  assert.equal(events.at(-1), {
    status: "done",
    name: "made-up",
    file: "made+up.zip",
    loaded: zip.length,
    total: zip.length,
  });
  const asked = server.requests.length;
  await openCollection(false, options, about);
  assert.is(server.requests.length, asked);
});

test("as pandas reads it: quoted fields without their marks, over line ends", async () => {
  assert.equal(readAsPandas(new TextDecoder().decode(CONTENT)), [
    ["ham", 'See you at "noon"'],
    ["spam", "WIN £100, now"],
    ["ham", "Hi there\nham\tI said ok then"],
    ["spam", 'all "of" it quoted'],
    ["ham", "ü"],
  ]);
  assert.equal(readAsPandas('ham\t"open\nham\tx'), [["ham", "open\nham\tx"]]);
  assert.equal(readAsPandas('ham\t""\n\nspam\tx\ty'), [
    ["ham", ""],
    ["spam", "x"],
  ]);
});

/** Runs `work` where the data set sms is this file, of which these rows are the experiment's. */
async function withCollection<T>(content: string, about: object, rows: string, work: () => Promise<T>): Promise<T> {
  newCache();
  const bytes = new TextEncoder().encode(content);
  const archive = zipSync({ SMSSpamCollection: bytes }, { mtime: "2020-01-01" });
  answers = (request, response) => sendBytes(request, response, archive);
  const real = [{ ...sms }, { ...experiment }];
  Object.assign(sms, about, {
    archive: { ...sms.archive, bytes: archive.length, sha256: sha256(archive) },
    entry: { ...sms.entry, bytes: bytes.length, sha256: sha256(bytes) },
  });
  Object.assign(experiment, { rows });
  return work().finally(() => {
    Object.assign(sms, real[0]);
    Object.assign(experiment, real[1]);
  });
}

test("by its name: the experiment's rows of pandas' reading in their order; line by line for another split", async () => {
  const content = new TextDecoder().decode(CONTENT);
  const { rows, labels, experiment: read } = about;
  await withCollection(content, { rows, labels, experiment: read }, "4 1 0 2 3", async () => {
    for (const split of [undefined, "experiment"] as const) {
      const opened = await openNamed("sms", { ...options, ...(split ? { split } : {}) });
      assert.is(opened.split, "experiment");
      assert.is(
        await readWhole(opened.file as FileReader),
        'label,text\nspam,"all ""of"" it quoted"\nham,"Hi there\nham\tI said ok then"\nham,"See you at ""noon"""\n' +
          'ham,"ü"\nspam,"WIN £100, now"\n',
      );
    }
    const lines = await openNamed("sms", { ...options, split: "random" });
    assert.is(await readWhole(lines.file as FileReader), await readWhole(await openCollection(false, options, sms)));
  });
});

test("a failed download, a wrong archive and another file are reported and not stored", async () => {
  const cache = newCache();
  const copy = join(cache, "datasets/made-up/SMSSpamCollection");
  for (const [code, words, answer] of [
    ["request-refused", ["404", "no such file", copy], (_, response) => response.writeHead(404).end()],
    ["hash-mismatch", ["damaged", "deleted"], (request, response) => sendBytes(request, response, zip.slice().fill(0))],
  ] as [ErrorCode, string[], typeof answers][]) {
    answers = answer;
    const prefix = 'cannot download the data set "made-up"';
    await assertFails(code, [prefix, ...words], () => openCollection(false, options, about));
    const path = join(cache, "datasets/made-up");
    assert.equal(existsSync(path) ? readdirSync(path) : [], []);
  }
  answers = (request, response) => sendBytes(request, response, zip);
  await assertFails("not-this-dataset", ["7 messages", "found:    6 messages: 4 ham, 2 spam"], () =>
    openCollection(false, options, { ...about, rows: 7 }),
  );
});

test("without a network the error says where to copy the file, which is then used", async () => {
  const path = join(newCache(), "datasets/made-up/SMSSpamCollection");
  setEnvironment({ LOWRANK_UCI_ENDPOINT: await nowhere() });
  const open = () => openCollection(false, options, about);
  await assertFails("server-unreachable", ["ECONNREFUSED", "copy the collection's file", path], open);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, CONTENT);
  await open();
  writeFileSync(path, "something else");
  await assertFails("server-unreachable", open);
});

test('the data set "sms" is downloaded from UCI, and another archive is refused', async () => {
  newCache();
  const words = ['cannot download the data set "sms"', "203415 bytes", "deleted"];
  await assertFails("hash-mismatch", words, () => loadDataset({ name: "sms" }));
  assert.equal(server.requests, ["GET /static/public/228/sms+spam+collection.zip"]);
});

const shared = packagePath("../shared/data/sms");

testIf(
  existsSync(shared),
  "no SMS files beside the repository",
  "SMS: the published rows come back in order",
  async () => {
    const [train, val, test] = ["train", "val", "test"].map((name) => `${shared}/${name}.csv`);
    const published = await loadDataset({ train: train!, val: val!, test: test! });
    const setRows = (data: LoadedDataset) =>
      setsOf(data).map((set) => Array.from(set.positions(), (i) => [set.label(i), joinPair(set.text(i))] as const));
    const rows = setRows(published);

    // A collection with the published messages where they are drawn from, and fillers elsewhere.
    const numbers = experiment.rows.split(" ").map(Number);
    const all = Array.from({ length: 5572 }, (_, i) => `filler ${i}`);
    for (const [i, [label, text]] of rows.flat().entries()) {
      all[numbers[i]!] = text;
      assert.is(label, Number(numbers[i]! >= 4825), "the labels in their order");
    }
    const quoted = (text: string) => (/^"|[\t\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = all.map((text, i) => `${i < 4825 ? "ham" : "spam"}\t${quoted(text)}\n`);
    const drawn = await withCollection(lines.join(""), {}, experiment.rows, () => loadDataset({ name: "sms" }));
    assert.equal([setRows(drawn), drawn.stats.leaks], [rows, { val: 24, test: 59 }]);
  },
);
