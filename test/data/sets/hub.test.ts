/** Data sets by name, from a server that answers as the Hugging Face hub does, into a cache laid out as Python's. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import type { DatasetOptions } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { loadTexts } from "../../../src/data/text/texts.ts";
import { DataModule } from "../../../src/data/wasm.ts";
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
import { readToLabel } from "../../helpers/tables.ts";
import { fileOf, setsOf, sizesOf } from "../../helpers/tiny.ts";

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
const IMDB_NAME = "stanfordnlp/imdb";

/** A data set someone/set with files at these paths, each one of imdb's splits. */
function publish(files: Record<string, string>, gated = false): void {
  const parquet = new Map(Object.entries(files).map(([path, split]) => [path, IMDB(split)]));
  datasets.set(NAME, { parquet, gated });
}

const load = (name: string, options: DatasetOptions = {}) => loadDataset({ name }, { module, ...options });

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
    // Each class has three texts, with other numbers: one in each set.
    ["ucirvine/sms_spam", [27, 26, 27], ["ham", "spam"], "ucirvine/sms_spam:plain_text of the Hugging Face hub: train"],
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
    assert.equal(sizesOf(first), rows, name);
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
  assert.equal(sizesOf(await load(`stanfordnlp/imdb:plain_text@${parquetCommit("stanfordnlp/imdb")}`)), [54, 6, 20]);
  assert.equal(cdn.requests, [`GET ${TRAIN}`]);
  rmSync(place, { recursive: true });
  setEnvironment({ HF_HUB_OFFLINE: "1" });
  await assertFails("not-in-cache", ["stanfordnlp/imdb"], () => load("stanfordnlp/imdb"));
});

test("--split, the seed and the columns are heeded", async () => {
  start();
  const text = async (options: DatasetOptions) => (await load(IMDB_NAME, options)).val.text(0);
  assert.is(await text({}), await text({ seed: 1 }));
  assert.is.not(await text({}), await text({ seed: 2 }));
  for (const [options, classes] of [
    [{ split: "ordered" }, { neg: 0, pos: 6 }],
    [{ fractions: [0.6, 0.2, 0.2] }, { neg: 8, pos: 8 }],
    // Its labels are numbers with names: it is the names that are ordered.
    [
      { split: "ordered", labels: ["pos", "none"] },
      { pos: 6, none: 0, neg: 0 },
    ],
  ] as const)
    assert.equal((await load(IMDB_NAME, options)).val.stats().classes, classes);
  // One split alone is divided as a file is, in groups, too: here of classes.
  const { groups, origin } = await load("ucirvine/sms_spam", { groupColumn: "label", fractions: [1, 0, 0] });
  assert.equal([groups!.length, new Set(groups).size, origin.groupColumn], [80, 2, "label"]);
  const words = ["random, stratified or ordered"];
  await assertFails("options-conflict", words, () => load(IMDB_NAME, { split: "experiment" }));
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
  assert.equal(sizesOf(two), [72, 8, 20]);
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
  assert.equal(sizesOf(await load(NAME)), [60, 20, 20]);
  await assertFails("already-split", () => load(NAME, { split: "random" }));
});

/** What is refused of a name: the files that the data set has (not given: no branch), the code, and words. */
async function refuses(refusals: [name: string, paths: string[] | undefined, code: ErrorCode, words: string[]][]) {
  for (const [name, paths, code, words] of refusals) {
    start();
    if (paths) publish(Object.fromEntries(paths.map((path) => [path, "train"])));
    else datasets.set(NAME, {});
    await assertFails(code, words, () => load(name));
  }
}

test("configurations and revisions are named with what there is; without Parquet files what works is said", async () => {
  const two = ["small/train/0000.parquet", "large/train/0000.parquet"];
  const both = ["large (train), small (train)"];
  const none = ["no Parquet files", "with data, val and test"];
  const unnamed = ["a\\b/train/0000.parquet", "C:/train/0000.parquet", "a/__proto__/0000.parquet"];
  const partial = ["only a part", "partial-train", "with data"];
  await refuses([
    [NAME, two, "ambiguous-configuration", [...both, `${NAME}:large`]],
    [`${NAME}:smal`, two, "no-such-configuration", [...both, `did you mean ${NAME}:small?`]],
    [`${NAME}@v2`, two, "no-such-revision", ["a commit of the branch", "v2", "data"]],
    [`${NAME}@${"0".repeat(40)}`, two, "no-such-revision", ["no commit 0000"]],
    [NAME, undefined, "no-parquet-export", [...none, "no such branch"]],
    // Others than CONFIGURATION/SPLIT/0000.parquet; names that would leave the folder.
    [NAME, ["train.parquet", "../train/0000.parquet", "a/../0000.parquet"], "no-parquet-export", none],
    [NAME, unnamed, "no-training-split", ["found:    __proto__"]],
    [NAME, ["default/partial-train/0000.parquet"], "no-parquet-export", partial],
    [NAME, ["default/first/0000.parquet"], "no-training-split", ["found:    first"]],
  ]);
  publish({ "small/train/0000.parquet": "test", "default/train/0000.parquet": "train" });
  for (const [name, rows] of Object.entries({ [NAME]: 60, [`${NAME}:default`]: 60, [`${NAME}:small`]: 20 }))
    assert.is((await load(name)).stats.rowsRead, rows);
});

test("names that are none, and files of that name", async () => {
  start();
  await assertFails("no-such-dataset", ['no data set "imdb"', `did you mean "${IMDB_NAME}"`], () => load("imdb"));
  await assertFails("no-such-dataset", ['did you mean "sms"'], () => load("sm"));
  const path = join(folder, "real");
  mkdirSync(path);
  for (const name of ["a/b/c", "/a/b", "a/", "../x/y", "a/b:", "a/b@", "a--b/c", "a/b c", path])
    await assertFails("invalid-dataset-name", ["owner/name"], () => load(name));
  assert.equal(hub.requests, []);
  const near = { "fancyzhx/agnews": "fancyzhx/ag_news", "x/imdb": IMDB_NAME, "x/y": undefined };
  for (const [name, expected] of Object.entries(near))
    assert.is(nearestRepository({ type: "dataset", name }), expected);
});

test("what the hub refuses is said of a data set: a near name, its page, and that its files are too large", async () => {
  start();
  const missing = ["no such data set on the hub", "status 401", `did you mean ${IMDB_NAME}?`, "HF_TOKEN"];
  await assertFails("no-such-repository", missing, () => load("stanfordnlp/imbd"));
  start({ HF_TOKEN: "hf_x" });
  publish({ "a/train/0000.parquet": "train" }, true);
  const gated = ["is gated", "status 403", `${hub.url}/datasets/${NAME}`, "HF_TOKEN"];
  await assertFails("gated-repository", gated, () => load(NAME));
  start();
  answers = (request, response) => {
    if (!request.url!.includes("/revision/")) return false;
    const entry = { rfilename: "a/train/0000.parquet", size: 9e9, lfs: { sha256: "0".repeat(64) } };
    json(response, 200, { sha: parquetCommit(NAME), siblings: [entry] });
    return true;
  };
  const words = ["too large", "at most 2.1 GB", "9.0 GB in 1 files", "data, val and test"];
  await assertFails("exceeds-limit", words, () => load(NAME));
});

test("the token stays with the hub", async () => {
  start({ HF_TOKEN: "hf_secret" });
  const tokens: [cdn: boolean, token: string | undefined][] = [];
  answers = ({ url, headers }) => {
    tokens.push([url!.startsWith("/cdn/"), headers.authorization]);
    return false;
  };
  await load(IMDB_NAME);
  assert.equal(new Set(tokens.map(String)), new Set(["false,Bearer hf_secret", "true,"]));
});

test("Parquet of other types: lists, structures and bytes are no text or label; a local file loads too", async () => {
  const path = packagePath("test/hub-datasets/types.parquet");
  const read = (file: string | Uint8Array, options: DatasetOptions = {}) =>
    loadDataset({ file: typeof file === "string" ? file : fileOf("x.parquet", file) }, { module, ...options });
  const options = { split: "ordered", textColumn: "text", fractions: [0.5, 0.25, 0.25] } as const;
  for (const [labelColumn, labels] of Object.entries({ label: "no,yes", score: "0,1", count: "0,1,2" }))
    assert.is((await read(path, { ...options, labelColumn })).labels.join(), labels);
  const where = "lists, structures or bytes in tags, image, raw";
  const bytes = fixture("types.parquet");
  // The field of a column's name as one that is unknown.
  const nameless = bytes.slice();
  nameless[Buffer.from(bytes).indexOf("\x18\x05label", 0, "latin1")] = 0xf8;
  const image = { textColumn: "image" };
  const long = packagePath("test/hub-datasets/long.parquet");
  for (const [code, words, work] of [
    ["column-without-text", ['"tags" has no texts or numbers', where], () => read(path, { labelColumn: "tags" })],
    ["column-without-text", ['"image" has no texts or numbers', where], () => loadTexts({ file: path }, image)],
    [
      "column-without-text",
      ['"image" has no texts or numbers', where],
      () => readToLabel(fileOf("x.parquet", bytes), image),
    ],
    ["no-such-column", ['There is no column "txt"'], () => loadTexts({ file: path }, { textColumn: "txt" })],
    ["exceeds-limit", ["row is too long", "long.parquet:1", "at most 16 MiB"], () => read(long)],
    ["invalid-parquet", ["x.parquet"], () => readToLabel(fileOf("x.parquet", bytes.subarray(0, 700)))],
    ...[
      nameless,
      bytes.subarray(0, 500),
      bytes.subarray(0, 0),
      bytes.map((byte, i) => (i > 4 && i < 200 ? 7 : byte)),
    ].map((file) => ["invalid-parquet", ["x.parquet"], () => read(file)]),
  ] as [ErrorCode, string[], () => unknown][])
    await assertFails(code, words, work);
});

test("texts for a language model, in the same splits", async () => {
  start();
  const rows = async (name: string, options: object) => {
    const { stats, source, origin } = await loadTexts({ name }, { maxLength: 64, ...options });
    return [setsOf(stats).map((one) => one.documents), source, origin.name] as const;
  };
  const [imdb, source, origin] = await rows(IMDB_NAME, {});
  assert.equal(imdb, [54, 6, 20]);
  assert.match(
    source,
    `${IMDB_NAME}:plain_text of the Hugging Face hub: train, of which a tenth, drawn by the seed, is the`,
  );
  assert.is(origin, `${IMDB_NAME}:plain_text@${parquetCommit(IMDB_NAME)}`);
  assert.equal((await rows("ucirvine/sms_spam", { fractions: [0.5, 0.25, 0.25] }))[0], [40, 20, 20]);
  const words = ['"spam" is not a data set for a language model'];
  await assertFails("unsupported-dataset", words, () => loadTexts({ name: "spam" }));
});
