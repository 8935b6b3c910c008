/** Data sets by name, from a server that answers as the Hugging Face hub does, into a cache laid out as Python's. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { bytesReader } from "../../../src/data/corpus.ts";
import type { DatasetOptions } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { openHubDataset } from "../../../src/data/sets/hub.ts";
import { parquetLines } from "../../../src/data/table/parquet.ts";
import { loadTexts } from "../../../src/data/text/texts.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import type { ErrorCode } from "../../../src/error-codes.ts";
import type { DownloadEvent } from "../../../src/io/hub/download-options.ts";
import { nearestRepository } from "../../../src/io/hub/hub-names.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { type Server, sendBytes, serve, setEnvironment } from "../../helpers/http.ts";
import {
  answerDatasets,
  type DatasetOnHub,
  digest,
  documentedDatasets,
  json,
  parquetCommit,
  useHub,
} from "../../helpers/hub-server.ts";

const folder = temporaryFolder();
const fixture = (path: string) => new Uint8Array(readFileSync(packagePath(`test/hub-datasets/${path}`)));
const IMDB = (split: string) => fixture(`imdb/plain_text/${split}/0000.parquet`);
/** The train split on the storage host. */
const TRAIN = "/cdn/stanfordnlp/imdb/plain_text/train/0000.parquet";

let module: DataModule;
let hub: Server;
let cdn: Server;
let datasets: Map<string, DatasetOnHub>;
let answers: (request: IncomingMessage, response: ServerResponse) => boolean;

/** An empty cache, a hub with the documented data sets, and nobody logged in. Returns the hub's cache. */
function start(extra: Record<string, string | undefined> = {}): string {
  datasets = documentedDatasets();
  answers = () => false;
  hub.requests.length = 0;
  cdn.requests.length = 0;
  return useHub(folder, hub.url, extra);
}

const NAME = "someone/set";

/** A data set someone/set with files at these paths, each one of imdb's splits. */
function publish(files: Record<string, string>, gated = false): void {
  const parquet = new Map(Object.entries(files).map(([path, split]) => [path, IMDB(split)]));
  datasets.set(NAME, { parquet, gated });
}

const load = (name: string, options: DatasetOptions = {}) => loadDataset({ name }, { module, ...options });
/** Without the waits between attempts. */
const find = (name: string) => openHubDataset(name, { retryDelay: 1 });

const sizes = ({ train, val, test }: Record<"train" | "val" | "test", { size: number }>) => [
  train.size,
  val.size,
  test.size,
];

test("starts", async () => {
  module = await DataModule.load();
  cdn = await serve((request, response) => {
    if (!answers(request, response)) answerDatasets(request, response, datasets);
  });
  hub = await serve((request, response) => {
    if (!answers(request, response)) answerDatasets(request, response, datasets, cdn.url);
  });
});

test("the documented data sets load with their splits and classes; the second time nothing is requested", async () => {
  const cache = start();
  for (const [name, rows, labels, words] of [
    ["ucirvine/sms_spam", [56, 8, 16], ["ham", "spam"], "ucirvine/sms_spam:plain_text of the Hugging Face hub: train"],
    [
      "fancyzhx/ag_news",
      [72, 8, 20],
      ["World", "Sports", "Business", "Sci/Tech"],
      "8 rows, drawn by the seed within each class, are the validation set",
    ],
    ["stanfordnlp/imdb", [54, 6, 20], ["neg", "pos"], "and test (not used: unsupervised)"],
  ] as const) {
    setEnvironment({ HF_HUB_OFFLINE: undefined });
    const events: DownloadEvent[] = [];
    const first = await load(name, { onProgress: (event) => events.push(event) });
    assert.equal(sizes(first), rows, name);
    assert.equal([...first.labels], labels);
    assert.match(first.source, words);
    assert.is(events.at(-1)!.status, "done");
    assert.is(events[0]!.name, name);
    hub.requests.length = 0;
    cdn.requests.length = 0;
    const again = await load(first.origin.name as string);
    setEnvironment({ HF_HUB_OFFLINE: "1" });
    const text = again.train.text(3);
    for (const one of [name, (first.origin.name as string).split("@")[0]!])
      assert.is((await load(one)).train.text(3), text);
    assert.equal([...hub.requests, ...cdn.requests], []);
    assert.is(first.origin.name, again.origin.name, "the commit is part of the origin");
  }
  const place = join(cache, "datasets--stanfordnlp--imdb");
  const snapshot = join(place, "snapshots", parquetCommit("stanfordnlp/imdb"));
  const links = readdirSync(snapshot, { recursive: true })
    .map(String)
    .filter((path) => lstatSync(join(snapshot, path)).isSymbolicLink());
  assert.equal(
    links.sort(),
    ["test", "train"].map((one) => `plain_text/${one}/0000.parquet`),
  );
  const blobs = ["test", "train"].map((split) => digest("sha256", IMDB(split)));
  assert.equal(readdirSync(join(place, "blobs")).sort(), blobs.sort());

  // A file that is gone is downloaded again; by its commit, whatever the branch has now.
  setEnvironment({ HF_HUB_OFFLINE: undefined });
  rmSync(join(snapshot, "plain_text/train/0000.parquet"));
  rmSync(join(place, "blobs", digest("sha256", IMDB("train"))));
  assert.equal(sizes(await load(`stanfordnlp/imdb:plain_text@${parquetCommit("stanfordnlp/imdb")}`)), [54, 6, 20]);
  assert.equal(cdn.requests, [`GET ${TRAIN}`]);
  rmSync(place, { recursive: true });
  setEnvironment({ HF_HUB_OFFLINE: "1" });
  await assertFails("not-in-cache", ["stanfordnlp/imdb"], () => load("stanfordnlp/imdb"));
});

test("the rows do not depend on the cache; --split, the seed and the columns are heeded", async () => {
  start();
  const texts = async (options: DatasetOptions) => (await load("stanfordnlp/imdb", options)).val.text(0);
  assert.is(await texts({}), await texts({ seed: 1 }));
  assert.is.not(await texts({}), await texts({ seed: 2 }));
  const ordered = await load("stanfordnlp/imdb", { split: "ordered" });
  assert.equal(ordered.val.stats().classes, { neg: 0, pos: 6 });
  const drawn = await load("stanfordnlp/imdb", { fractions: [0.6, 0.2, 0.2] });
  assert.equal(drawn.val.stats().classes, { neg: 8, pos: 8 });
  // Its labels are numbers with names: it is the names that are ordered.
  const named = await load("stanfordnlp/imdb", { split: "ordered", labels: ["pos", "none"] });
  assert.equal(named.val.stats().classes, { pos: 6, none: 0, neg: 0 });
  await assertFails("options-conflict", ["random, stratified or ordered"], () =>
    load("stanfordnlp/imdb", { split: "experiment" }),
  );
  await assertFails("no-such-column", ['no column "txt"', 'did you mean "text"'], () =>
    load("stanfordnlp/imdb", { textColumn: "txt" }),
  );
});

test("no file of a set that is not complete is in the snapshot", async () => {
  const cache = start();
  answers = (request, response) => {
    if (request.url !== TRAIN) return false;
    sendBytes(request, response, new Uint8Array(IMDB("train").length));
    return true;
  };
  const words = ['cannot download the data set "stanfordnlp/imdb"', "damaged"];
  await assertFails("hash-mismatch", words, () => load("stanfordnlp/imdb"));
  assert.not.ok(existsSync(join(cache, "datasets--stanfordnlp--imdb/snapshots")));
});

test("several files of a split, other names of splits, and a test without answers", async () => {
  start();
  publish({ "a/training/0000.parquet": "train", "a/training/0001.parquet": "test", "a/dev/0000.parquet": "test" });
  const two = await load(NAME);
  assert.equal(sizes(two), [72, 8, 20]);
  assert.match(two.source, `${NAME}:a of the Hugging Face hub: training, of which 8 rows`);
  assert.match(two.source, "and dev as the test set");

  start();
  publish({ "default/train/0000.parquet": "train", "default/test/0000.parquet": "unsupervised" });
  const { source, labels, origin } = await load(NAME);
  assert.match(source, `${NAME} of the Hugging Face hub: train (not used: test, which has no classes)`);
  assert.equal([...labels], ["neg", "pos"]);
  assert.is(origin.name, `${NAME}:default@${parquetCommit(NAME)}`);

  start();
  publish({ "x/train/0000.parquet": "train", "x/validation/0000.parquet": "test", "x/test/0000.parquet": "test" });
  assert.equal(sizes(await load(NAME)), [60, 20, 20]);
  await assertFails("already-split", () => load(NAME, { split: "random" }));
});

test("an unknown configuration or revision is named with what there is", async () => {
  start();
  publish({ "small/train/0000.parquet": "test", "large/train/0000.parquet": "train" });
  const both = ["large (train), small (train)"];
  await assertFails("ambiguous-configuration", [...both, `${NAME}:large`], () => load(NAME));
  await assertFails("no-such-configuration", [...both, `did you mean ${NAME}:small?`], () => load(`${NAME}:smal`));
  assert.is((await load(`${NAME}:large`)).stats.rowsRead, 60);
  assert.is((await load(`${NAME}:small`)).stats.rowsRead, 20);
  for (const revision of ["v2", "main"])
    await assertFails("no-such-revision", ["a commit of the branch", revision, "data"], () =>
      load(`${NAME}@${revision}`),
    );
  await assertFails("no-such-revision", ["no commit 0000"], () => load(`${NAME}@${"0".repeat(40)}`));
  publish({ "other/train/0000.parquet": "test", "default/train/0000.parquet": "train" });
  assert.is((await load(NAME)).stats.rowsRead, 60);
});

test("a data set without Parquet files, or with a part of them, is refused with what works", async () => {
  start();
  datasets.set(NAME, {});
  const words = ["no Parquet files", "with data, or with train"];
  await assertFails("no-parquet-export", [...words, "no such branch"], () => load(NAME));
  // Others than CONFIGURATION/SPLIT/0000.parquet; names that would leave the folder.
  publish({ "train.parquet": "train", "../train/0000.parquet": "train", "a/../0000.parquet": "train" });
  await assertFails("no-parquet-export", words, () => load(NAME));
  publish({
    "a\\b/train/0000.parquet": "train",
    "C:/train/0000.parquet": "train",
    "a/__proto__/0000.parquet": "train",
  });
  await assertFails("no-training-split", ["found:    __proto__"], () => load(NAME));
  publish({ "default/partial-train/0000.parquet": "train" });
  await assertFails("no-parquet-export", ["only a part", "partial-train", "with data"], () => load(NAME));
  publish({ "default/first/0000.parquet": "train" });
  await assertFails("no-training-split", ["found:    first"], () => load(NAME));
});

test("names that are none, and files of that name", async () => {
  start();
  await assertFails("no-such-dataset", ['no data set "imdb"', 'did you mean "stanfordnlp/imdb"'], () => load("imdb"));
  await assertFails("no-such-dataset", ['did you mean "sms"'], () => load("sm"));
  for (const name of ["a/b/c", "/a/b", "a/", "../x/y", "a/b:", "a/b@", "a--b/c", "a/b c"])
    await assertFails("invalid-dataset-name", ["owner/name"], () => load(name));
  const path = join(folder, "real");
  mkdirSync(path);
  await assertFails("invalid-dataset-name", () => load(path));
  assert.equal(hub.requests, []);
  assert.is(nearestRepository({ type: "dataset", name: "fancyzhx/agnews" }), "fancyzhx/ag_news");
  assert.is(nearestRepository({ type: "dataset", name: "x/imdb" }), "stanfordnlp/imdb");
  assert.is(nearestRepository({ type: "dataset", name: "x/y" }), undefined);
});

test("refusals of the hub are reported, soon and with a way out", async () => {
  start();
  const missing = ["no such data set on the hub", "status 401", "did you mean stanfordnlp/imdb?", "HF_TOKEN"];
  await assertFails("no-such-repository", missing, () => load("stanfordnlp/imbd"));
  setEnvironment({ HF_TOKEN: "hf_x" });
  await assertFails("no-such-repository", ["status 404", "check the account of HF_TOKEN"], () => load("someone/else"));
  for (const [token, status] of [
    [undefined, 401],
    ["hf_x", 403],
  ] as const) {
    start({ HF_TOKEN: token });
    publish({ "a/train/0000.parquet": "train" }, true);
    await assertFails(
      "gated-repository",
      ["is gated", `status ${status}`, `${hub.url}/datasets/${NAME}`, "HF_TOKEN"],
      () => load(NAME),
    );
  }
});

test("descriptions of files that lie are refused; the token stays with the hub", async () => {
  const told = async (code: ErrorCode, words: string[], changes: object) => {
    start();
    answers = (request, response) => {
      if (!request.url!.includes("/revision/")) return false;
      const entry = { rfilename: "a/train/0000.parquet", size: 10, lfs: { sha256: "0".repeat(64) }, ...changes };
      json(response, 200, { sha: parquetCommit(NAME), siblings: [entry] });
      return true;
    };
    await assertFails(code, words, () => find(NAME));
  };
  await told("invalid-hub-answer", ["no valid hash"], { lfs: { sha256: "x/../y" } });
  await told("invalid-hub-answer", ["invalid file size"], { size: "10" });
  await told("exceeds-limit", ["too large", "at most 2.1 GB", "9.0 GB in 1 files", "train, val and test"], {
    size: 9e9,
  });
  start({ HF_TOKEN: "hf_secret" });
  const tokens = new Map<string, string | undefined>();
  answers = (request) => {
    tokens.set(request.url!.split("?")[0]!, request.headers.authorization);
    return false;
  };
  await load("stanfordnlp/imdb");
  assert.equal(
    [...tokens].filter(([path]) => path.startsWith("/cdn/")).map(([, token]) => token),
    [undefined, undefined],
  );
  assert.is(tokens.get("/api/datasets/stanfordnlp/imdb/revision/refs%2Fconvert%2Fparquet"), "Bearer hf_secret");
});

test("Parquet of other types: lists, structures and bytes are no text or label; a local file loads too", async () => {
  start();
  const path = packagePath("test/hub-datasets/types.parquet");
  const options = { module, split: "ordered", textColumn: "text", fractions: [0.5, 0.25, 0.25] } as const;
  assert.equal([...(await loadDataset({ file: path }, options)).labels], ["no", "yes"]);
  assert.equal([...(await loadDataset({ file: path }, { ...options, labelColumn: "score" })).labels], ["0", "1"]);
  assert.equal([...(await loadDataset({ file: path }, { ...options, labelColumn: "count" })).labels], ["0", "1", "2"]);
  const where = ["lists, structures or bytes in tags, image, raw"];
  await assertFails("column-without-text", ['column "tags" has no texts or numbers', ...where], () =>
    loadDataset({ file: path }, { module, labelColumn: "tags" }),
  );
  await assertFails("column-without-text", ['column "image" has no texts or numbers', ...where], () =>
    loadTexts({ file: path }, { textColumn: "image" }),
  );
  await assertFails("no-such-column", ['There is no column "txt"'], () =>
    loadTexts({ file: path }, { textColumn: "txt" }),
  );
  const bytes = fixture("types.parquet");
  // The field of a column's name as one that is unknown.
  const nameless = bytes.slice();
  const name = Buffer.from(bytes).indexOf("\x18\x05label", 0, "latin1");
  assert.ok(name > 0);
  nameless[name] = 0xf8;
  for (const broken of [
    nameless,
    bytes.subarray(0, 500),
    new Uint8Array(0),
    new TextEncoder().encode("text,label\n"),
    bytes.map((byte, i) => (i > 4 && i < 200 ? 7 : byte)),
  ])
    await assertFails("invalid-parquet", ["x.parquet"], () =>
      loadDataset({ file: bytesReader("x.parquet", broken) }, { module }),
    );
  const long = packagePath("test/hub-datasets/long.parquet");
  await assertFails("data-too-large", ["row 1 is too long", "at most 16777216 bytes"], () =>
    loadDataset({ file: long }, { module }),
  );
  const file = await openFile(path);
  const lines = await parquetLines(file, async () => ["text", "count"]);
  await file.close();
  assert.is(new TextDecoder().decode(await lines.read(0, 38)), '{"text":"message number 0","count":"0"}'.slice(0, 38));
});

test("texts for a language model, in the same splits", async () => {
  start();
  const documents = ({ stats }: Awaited<ReturnType<typeof loadTexts>>) =>
    [stats.train, stats.val, stats.test].map((one) => one.documents);
  const texts = await loadTexts({ name: "stanfordnlp/imdb" }, { maxLength: 64 });
  assert.equal(documents(texts), [54, 6, 20]);
  assert.match(
    texts.source,
    /stanfordnlp\/imdb:plain_text of the Hugging Face hub: train, of which a tenth, drawn by the seed, is the validation set, and test$/,
  );
  assert.is(texts.origin.name, `stanfordnlp/imdb:plain_text@${parquetCommit("stanfordnlp/imdb")}`);
  const sms = await loadTexts({ name: "ucirvine/sms_spam" }, { maxLength: 64, fractions: [0.5, 0.25, 0.25] });
  assert.equal(documents(sms), [40, 20, 20]);
  await assertFails("unsupported-dataset", ['"spam" is not a data set for a language model'], () =>
    loadTexts({ name: "spam" }),
  );
});
