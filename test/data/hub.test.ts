/** Data sets by name, from a server that answers as the Hugging Face hub does, into a cache laid out as Python's. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { type DatasetOptions, loadDataset } from "../../src/data/datasets.ts";
import { openHubDataset } from "../../src/data/hub.ts";
import { findConfiguration, matcher, parseCard } from "../../src/data/hub-files.ts";
import { parquetLines } from "../../src/data/parquet.ts";
import { loadTexts } from "../../src/data/texts.ts";
import { DataModule } from "../../src/data/wasm.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { ConfigError, DataError, DownloadError, FormatError, LowrankError } from "../../src/errors.ts";
import type { DownloadEvent } from "../../src/io/download-options.ts";
import { nearestRepository } from "../../src/io/hub-names.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { nowhere, type Server, sendBytes, serve, setEnvironment } from "../helpers/http.ts";
import {
  answerDatasets,
  branchCommit,
  type DatasetOnHub,
  digest,
  documentedDatasets,
  gitHash,
  json,
  useHub,
} from "../helpers/hub-server.ts";

const folder = temporaryFolder();
const fixture = (path: string) => new Uint8Array(readFileSync(packagePath(`test/hub-datasets/${path}`)));
const IMDB = (split: string) => fixture(`imdb/plain_text/${split}-00000-of-00001.parquet`);

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

/** A data set someone/set with these files. */
function publish(files: Record<string, string | Uint8Array>, branch = "main", gated = false): void {
  const bytes = Object.entries(files).map(([path, content]): [string, Uint8Array] => [
    path,
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  ]);
  const { branches = {} } = datasets.get(NAME) ?? {};
  datasets.set(NAME, { branches: { ...branches, [branch]: new Map(bytes) }, gated });
}
const NAME = "someone/set";

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
    setEnvironment({ HF_HUB_OFFLINE: "1" });
    const again = await load(first.origin.name as string);
    assert.is(again.train.text(3), (await load(name)).train.text(3));
    assert.equal([...hub.requests, ...cdn.requests], []);
    assert.is(first.origin.name, again.origin.name, "the commit is part of the origin");
  }
  const place = join(cache, "datasets--stanfordnlp--imdb");
  const commit = branchCommit("stanfordnlp/imdb");
  assert.is(readFileSync(join(place, "refs/main"), "utf8"), commit);
  const snapshot = join(place, "snapshots", commit);
  const links = readdirSync(snapshot, { recursive: true })
    .map(String)
    .filter((path) => lstatSync(join(snapshot, path)).isSymbolicLink());
  assert.equal(links.sort(), [
    "README.md",
    ...["test", "train"].map((one) => `plain_text/${one}-00000-of-00001.parquet`),
  ]);
  const blobs = [
    gitHash(fixture("imdb/README.md")),
    ...["test", "train"].map((split) => digest("sha256", IMDB(split))),
  ];
  assert.equal(readdirSync(join(place, "blobs")).sort(), blobs.sort());
  const tree = JSON.parse(readFileSync(join(place, "trees", `${commit}.json`), "utf8"));
  assert.is(tree.format_version, 1);
  assert.equal(tree.files["plain_text/test-00000-of-00001.parquet"], {
    size: IMDB("test").length,
    blob_id: gitHash(IMDB("test")),
    lfs_sha256: digest("sha256", IMDB("test")),
    lfs_size: IMDB("test").length,
  });
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
  await assertFails(ConfigError, "already-split", ["random, stratified or ordered"], () =>
    load("stanfordnlp/imdb", { split: "experiment" }),
  );
  await assertFails(DataError, "no-such-column", ['no column "txt"', 'did you mean "text"'], () =>
    load("stanfordnlp/imdb", { textColumn: "txt" }),
  );
});

test("a download that was cut off resumes; damaged files are refused", async () => {
  start();
  const train = IMDB("train");
  let cuts = 0;
  answers = (request, response) => {
    if (!request.url!.endsWith(digest("sha256", train)) || cuts++ > 0) return false;
    sendBytes(request, response, train, { cutAt: 1000 });
    return true;
  };
  assert.equal(sizes(await load("stanfordnlp/imdb")), [54, 6, 20]);
  assert.ok(cdn.requests.includes(`GET /cdn/${digest("sha256", train)} bytes=1000-`), cdn.requests.join());

  const cache = start();
  answers = (request, response) => {
    if (!request.url!.endsWith(digest("sha256", train))) return false;
    sendBytes(
      request,
      response,
      train.map((byte, i) => (i === 500 ? byte ^ 1 : byte)),
    );
    return true;
  };
  await assertFails(
    DownloadError,
    "hash-mismatch",
    ['cannot download the data set "stanfordnlp/imdb"', "damaged"],
    () => load("stanfordnlp/imdb"),
  );
  const snapshot = join(cache, "datasets--stanfordnlp--imdb/snapshots", branchCommit("stanfordnlp/imdb"));
  assert.equal(readdirSync(snapshot), ["README.md"], "no file of a set that is not complete");
});

test("Python's cache is used: offline as it is, online for what it has", async () => {
  const cache = start({ HF_HUB_OFFLINE: "1" });
  const place = join(cache, "datasets--stanfordnlp--imdb");
  const snapshot = join(place, "snapshots", branchCommit("stanfordnlp/imdb"));
  mkdirSync(join(snapshot, "plain_text"), { recursive: true });
  mkdirSync(join(place, "refs"));
  await assertFails(DownloadError, "not-in-cache", () => load("stanfordnlp/imdb"));
  writeFileSync(join(place, "refs/main"), branchCommit("stanfordnlp/imdb"));
  writeFileSync(join(snapshot, "README.md"), fixture("imdb/README.md"));
  const file = (split: string) => join(snapshot, `plain_text/${split}-00000-of-00001.parquet`);
  for (const split of ["train", "test"]) writeFileSync(file(split), IMDB(split));
  assert.equal(sizes(await load("stanfordnlp/imdb")), [54, 6, 20]);
  assert.equal(hub.requests, []);
  setEnvironment({ HF_HUB_OFFLINE: undefined });
  rmSync(file("test"));
  assert.equal(sizes(await load("stanfordnlp/imdb")), [54, 6, 20]);
  assert.equal(cdn.requests, [`GET /cdn/${digest("sha256", IMDB("test"))}`]);
  assert.not.ok(
    hub.requests.some((request) => request.includes("/revision/")),
    "the cache's commit is kept",
  );
});

const ROWS = (from: number, to: number, label = (i: number) => `${i % 2}`) =>
  Array.from({ length: to - from }, (_, i) => [`a text about thing ${from + i}`, label(i)]);
const csv = (rows: string[][]) => `text,label\n${rows.map((row) => row.join()).join("\n")}\n`;
const jsonl = (rows: string[][]) =>
  rows.map(([text, label]) => JSON.stringify({ text, label: Number(label) })).join("\n");
const FEATURES =
  "dataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': bad\n          '1': good\n";
const card = (yaml: string) => `---\n${yaml}---\n# A data set\n`;

test("CSV and JSON lines, by their names; class names from the card", async () => {
  start();
  publish({
    "README.md": card(FEATURES),
    "data/train.csv": csv(ROWS(0, 20)),
    "data/dev.csv": csv(ROWS(20, 24)),
    "data/eval_set.csv": csv(ROWS(30, 36)),
    "notes.txt": "x",
  });
  const three = await load(NAME);
  assert.equal(sizes(three), [20, 4, 6]);
  assert.equal([...three.labels], ["bad", "good"]);
  assert.is(three.split, "given");
  assert.match(three.source, /: train, validation, test$/);
  await assertFails(ConfigError, "already-split", () => load(NAME, { split: "random" }));

  start();
  const sorted = (from: number, label: string) => jsonl(ROWS(from, from + 6, () => label));
  publish({
    "train/part-0.jsonl": sorted(0, "0"),
    "train/part-1.jsonl": sorted(6, "1"),
    "valid/part.jsonl": jsonl(ROWS(12, 16)),
  });
  const { train, val, test, labels, source } = await load(NAME);
  assert.equal(sizes({ train, val, test }), [10, 2, 4], "classes of both shards; the validation set is the test set");
  assert.equal([...labels], ["0", "1"]);
  assert.match(source, "and validation as the test set");
});

test("a test without answers is left out; what is not readable is taken from the hub's Parquet", async () => {
  start();
  publish({
    "data/train-00000-of-00001.parquet": IMDB("train"),
    "data/test-00000-of-00001.parquet": IMDB("unsupervised"),
  });
  const { source, labels } = await load(NAME);
  assert.match(source, "train (not used: test, which has no classes)");
  assert.equal([...labels], ["neg", "pos"]);

  for (const files of [
    { "set.py": "", "train.csv": "raw" },
    { "train.zip": "PK", "README.md": card("") },
    { "README.md": card("configs:\n- config_name: a\n  data_files: data/*.csv.gz\n"), "data/x.csv.gz": "" },
  ]) {
    start();
    publish(files);
    publish({ "a/train/0000.parquet": IMDB("train"), "a/test/0000.parquet": IMDB("test") }, "refs/convert/parquet");
    const { train, origin } = await load(NAME);
    assert.is(train.size, 54);
    assert.is(origin.name, `${NAME}:a@${branchCommit(NAME, "refs/convert/parquet")}`);
    setEnvironment({ HF_HUB_OFFLINE: "1" });
    assert.is((await load(NAME)).train.size, 54);
    assert.is((await load(origin.name as string)).train.size, 54);
  }
  start();
  publish({ "a.zip": "PK", "b.png": "" });
  await assertFails(DataError, "no-readable-files", ["a.zip, b.png"], () => load(NAME));
});

test("an unknown configuration, split or revision is named with what there is", async () => {
  start();
  const config = (name: string, more = "") =>
    `- config_name: ${name}\n  data_files:\n  - split: train\n    path: ${name}/*.csv\n${more}`;
  publish({
    "README.md": card(`configs:\n${config("small")}${config("large")}`),
    "small/a.csv": csv(ROWS(0, 20)),
    "large/a.csv": csv(ROWS(0, 40)),
  });
  await assertFails(DataError, "ambiguous-configuration", ["small (train), large (train)", `${NAME}:small`], () =>
    load(NAME),
  );
  await assertFails(
    DataError,
    "no-such-configuration",
    ['no configuration "smal"', `did you mean ${NAME}:small?`],
    () => load(`${NAME}:smal`),
  );
  assert.is((await load(`${NAME}:large`)).stats.rowsRead, 40);
  assert.is((await load(`${NAME}:large@${branchCommit(NAME)}`)).stats.rowsRead, 40);
  await assertFails(ConfigError, "no-such-revision", ['no revision "v2"'], () => load(`${NAME}@v2`));
  start();
  publish({
    "README.md": card(`configs:\n${config("a")}${config("b", "  default: true\n")}`),
    "a/a.csv": "",
    "b/b.csv": csv(ROWS(0, 30)),
  });
  assert.is((await load(NAME)).stats.rowsRead, 30);
  start();
  publish({
    "README.md": card("configs:\n- config_name: a\n  data_files:\n  - split: first\n    path: '*.csv'\n"),
    "x.csv": csv(ROWS(0, 9)),
  });
  await assertFails(DataError, "no-training-split", ["found:    first"], () => load(NAME));
});

test("names that are none, and files of that name", async () => {
  start();
  await assertFails(ConfigError, "no-such-dataset", ['no data set "imdb"', 'did you mean "stanfordnlp/imdb"'], () =>
    load("imdb"),
  );
  await assertFails(ConfigError, "no-such-dataset", ['did you mean "sms"'], () => load("sm"));
  for (const name of ["a/b/c", "/a/b", "a/", "../x/y", "a/b:", "a/b@", "a/b@../x", "a--b/c", "a/b c"])
    await assertFails(ConfigError, "invalid-dataset-name", ["owner/name"], () => load(name));
  const path = join(folder, "real");
  mkdirSync(path);
  await assertFails(ConfigError, "invalid-dataset-name", () => load(path));
  assert.equal(hub.requests, []);
  assert.is(nearestRepository({ type: "dataset", name: "fancyzhx/agnews" }), "fancyzhx/ag_news");
  assert.is(nearestRepository({ type: "dataset", name: "x/imdb" }), "stanfordnlp/imdb");
  assert.is(nearestRepository({ type: "dataset", name: "x/y" }), undefined);
});

test("refusals of the hub are reported, soon and with a way out", async () => {
  start();
  const missing = ["no such data set on the hub", "status 401", "did you mean stanfordnlp/imdb?", "HF_TOKEN"];
  await assertFails(DownloadError, "no-such-repository", missing, () => load("stanfordnlp/imbd"));
  setEnvironment({ HF_TOKEN: "hf_x" });
  await assertFails(DownloadError, "no-such-repository", ["status 404", "check the account of HF_TOKEN"], () =>
    load("someone/else"),
  );
  for (const [token, status] of [
    [undefined, 401],
    ["hf_x", 403],
  ] as const) {
    start({ HF_TOKEN: token });
    publish({ "train.csv": csv(ROWS(0, 9)) }, "main", true);
    await assertFails(
      DownloadError,
      "gated-repository",
      ["is gated", `status ${status}`, `${hub.url}/datasets/${NAME}`, "HF_TOKEN"],
      () => load(NAME),
    );
  }
  for (const [status, requests, code, ...words] of [
    [403, 1, "gated-repository", "gated"],
    [429, 5, "server-unavailable", "too many requests"],
    [503, 5, "server-unavailable", "status 503"],
    [200, 1, "invalid-hub-answer", "no valid revision"],
  ] as const) {
    start();
    answers = (_, response) => {
      response.setHeader("retry-after", "0");
      json(response, status, {});
      return true;
    };
    await assertFails(DownloadError, code, ["cannot download", ...words], () => find("stanfordnlp/imdb"));
    assert.is(hub.requests.length, requests, `${status}`);
  }
  start({ HF_ENDPOINT: await nowhere() });
  await assertFails(DownloadError, "server-unreachable", ["cannot be reached", "ECONNREFUSED"], () =>
    load("stanfordnlp/imdb"),
  );
  start();
  answers = (_, response) => Boolean(response.end("<html>"));
  await assertFails(DownloadError, "not-a-hub", ["not a Hugging Face hub"], () => load("stanfordnlp/imdb"));
});

test("lists of files that lie are refused: paths outside, sizes, endless pages; the token stays with the hub", async () => {
  const lists = async (code: ErrorCode, words: string[], entries: object[], link?: string) => {
    start({ HF_TOKEN: "hf_secret" });
    const tokens: string[] = [];
    answers = (request, response) => {
      if (!request.url!.includes("/tree/")) return false;
      tokens.push(request.headers.authorization ?? "none");
      if (link) response.setHeader("link", `<${link}/api/datasets/a/b/tree/x?cursor=1>; rel="next"`);
      json(response, 200, entries);
      return true;
    };
    publish({ "train.csv": "" });
    await assertFails(LowrankError, code, words, () => load(NAME));
    return tokens;
  };
  const file = { type: "file", path: "train.csv", size: 10, oid: "0".repeat(40) };
  await lists("invalid-hub-answer", ["invalid path", "x\\train.csv"], [{ ...file, path: "x\\train.csv" }]);
  await lists("invalid-hub-answer", ["invalid path"], [{ ...file, path: "C:/train.csv" }]);
  await lists("invalid-hub-answer", ["invalid list of files"], [{ ...file, size: "10" }]);
  await lists("invalid-hub-answer", ["no valid hash"], [{ ...file, oid: "x/../y" }]);
  await lists(
    "exceeds-limit",
    ["too large", "at most 2.1 GB", "9.0 GB in 1 files", "--train"],
    [{ ...file, size: 9e9 }],
  );
  const tokens = await lists("exceeds-limit", ["too many files"], [file], cdn.url);
  assert.equal([tokens[0], ...new Set(tokens.slice(1))], ["Bearer hf_secret", "none"]);
  assert.is(tokens.length, 50);
});

test("a card that is not valid is named", async () => {
  for (const [yaml, ...words] of [
    ["a: [1\n", "not valid YAML"],
    ["configs: 5\n", "card of the data set is invalid", "config_name"],
    ["configs:\n- config_name: a\n  data_files: 5\n", "data_files"],
    ["configs:\n- config_name: a\n  data_files:\n  - split: train\n    path: {}\n", "split and path"],
    ["- a\n", "keys and values"],
    ["a: 1\nb: [1\n", "not valid YAML", "README.md:3"],
    // In words: it contains itself.
    ["configs:\n- &a {x: *a}\n", "config_name", "found:    x"],
    ["configs:\n- config_name: a\n  data_files: &a\n    train: *a\n", "split and path", "found:    train"],
    [`configs:\n- config_name: a\n  data_dir: a${"/".repeat(400_000)}b\n`, "at most 4096 characters"],
    [`configs:\n- config_name: a\n  data_files: "${"[".repeat(400_000)}"\n`, "at most 4096 characters"],
    // What takes a second or a gigabyte to parse.
    [`a: ${"[".repeat(500_000)}\n`, "brackets in pairs"],
    ["}\n".repeat(200_000), "brackets in pairs"],
    [`${"!a ".repeat(150_000)}x\n`, "words and signs"],
    [`${"!a ".repeat(20_000)}x\n`, "at most one tag"],
    [`a: ${"x ".repeat(300_000)}\n`, "characters of YAML"],
  ] as const) {
    start();
    publish({ "README.md": card(yaml), "train.csv": csv(ROWS(0, 9)) });
    await assertFails(FormatError, "invalid-dataset-card", ["README.md", ...words], () => load(NAME));
  }
  const features = (names: string) =>
    parseCard(card(FEATURES.replace(/names:\n[\s\S]*/, `names: ${names}\n`)), "x").infos[0]!.classes.get("label");
  assert.equal(features("[a, b]"), ["a", "b"]);
  assert.equal(features("{0: a, 1: b}"), ["a", "b"]);
  for (const names of ["[a, a]", "{0: a, 2: b}", "5", "[]", "[{}]"]) assert.is(features(names), undefined, names);
  assert.equal(parseCard("# no YAML", "x"), { configs: [], infos: [] });
  assert.equal(parseCard("---\ndataset_info: 5\nconfigs: null\n---", "x"), { configs: [], infos: [] });
});

test("files match patterns as in a shell, in bounded time", async () => {
  for (const [pattern, path, expected] of [
    ["data/train-*", "data/train-00000-of-00001.parquet", true],
    ["data/train-*", "data/x/train-0", false],
    ["*.csv", "a/b.csv", false],
    ["**/*.csv", "a/b/c.csv", true],
    ["**/*.csv", "c.csv", true],
    ["data/**", "data/a/b", true],
    ["train[0-9].tsv", "train7.tsv", true],
    ["train[!0-9].tsv", "train7.tsv", false],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["a[[]b", "a[b", true],
    ["a.c", "abc", false],
  ] as const)
    assert.is(matcher(pattern)(path), expected, `${pattern} ${path}`);
  const find = (pattern: string, paths: readonly string[]) => {
    const all = paths.map((path) => ({ path, size: 1 }));
    const { configs } = parseCard(card(`configs:\n- config_name: a\n  data_files: ${pattern}\n`), "x");
    return findConfiguration(NAME, all, { configs, infos: [] }, undefined);
  };
  const many = Array.from({ length: 20_000 }, (_, i) => `data/${"x".repeat(80)}-${i}.csv`);
  assert.is(find("[data/x*-1*.csv, '**/*2.csv', data/none-*]", many)?.splits.get("train")?.length, 12_000);
  assert.is(find(`"${"*a".repeat(100)}b"`, ["a".repeat(500)]), undefined);
  for (const [pattern, path] of [
    ["*a".repeat(2000), `${"a".repeat(200_000)}/`],
    ["**/".repeat(1300), "a".repeat(200_000)],
  ] as const)
    await assertFails(DataError, "exceeds-limit", () => find(`["${pattern}"]`, [path, path, path]));
  await assertFails(DataError, "exceeds-limit", () => find(`[${"'*a*b*c*d', ".repeat(1000)}]`, many));
  const found = findConfiguration(
    NAME,
    [
      { path: "a_train_1.json", size: 1 },
      { path: "trains.json", size: 1 },
    ],
    { configs: [], infos: [] },
    undefined,
  )!;
  assert.equal([...found.splits.keys()], ["train"]);
  assert.is(found.splits.get("train")!.length, 1);
});

test("Parquet of other types: lists, structures and bytes are no text or label; a local file loads too", async () => {
  start();
  const path = packagePath("test/hub-datasets/types.parquet");
  const options = { module, split: "ordered", textColumn: "text", fractions: [0.5, 0.25, 0.25] } as const;
  assert.equal([...(await loadDataset({ file: path }, options)).labels], ["no", "yes"]);
  assert.equal([...(await loadDataset({ file: path }, { ...options, labelColumn: "score" })).labels], ["0", "1"]);
  assert.equal([...(await loadDataset({ file: path }, { ...options, labelColumn: "count" })).labels], ["0", "1", "2"]);
  const where = ["lists, structures or bytes in tags, image, raw"];
  await assertFails(DataError, "column-without-text", ['column "tags" has no texts or numbers', ...where], () =>
    loadDataset({ file: path }, { module, labelColumn: "tags" }),
  );
  await assertFails(DataError, "column-without-text", ['column "image" has no texts or numbers', ...where], () =>
    loadTexts({ file: path }, { textColumn: "image" }),
  );
  await assertFails(DataError, "no-such-column", ['There is no column "txt"'], () =>
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
    await assertFails(FormatError, "invalid-parquet", ["x.parquet"], () =>
      loadDataset({ file: bytesReader("x.parquet", broken) }, { module }),
    );
  const long = packagePath("test/hub-datasets/long.parquet");
  await assertFails(DataError, "data-too-large", ["row 1 is too long", "at most 16777216 bytes"], () =>
    loadDataset({ file: long }, { module }),
  );
  const file = await openFile(path);
  const lines = await parquetLines(file, () => ["text", "count"]);
  await file.close();
  assert.is(new TextDecoder().decode(await lines.read(0, 38)), '{"text":"message number 0","count":"0"}'.slice(0, 38));
});

test("texts for a language model, in the same splits", async () => {
  start();
  const texts = await loadTexts({ name: "stanfordnlp/imdb" }, { maxLength: 64 });
  assert.equal(
    [texts.stats.train, texts.stats.val, texts.stats.test].map(({ documents }) => documents),
    [54, 6, 20],
  );
  assert.match(
    texts.source,
    /stanfordnlp\/imdb:plain_text of the Hugging Face hub: train, of which a tenth, drawn by the seed, is the validation set, and test$/,
  );
  assert.is(texts.origin.name, `stanfordnlp/imdb:plain_text@${branchCommit("stanfordnlp/imdb")}`);
  const sms = await loadTexts({ name: "ucirvine/sms_spam" }, { maxLength: 64, fractions: [0.5, 0.25, 0.25] });
  assert.equal(
    [sms.stats.train, sms.stats.val, sms.stats.test].map(({ documents }) => documents),
    [40, 20, 20],
  );
  await assertFails(ConfigError, "unsupported-dataset", ['"spam" is not a data set for a language model'], () =>
    loadTexts({ name: "spam" }),
  );
  publish({ "train.csv": csv(ROWS(0, 20)) });
  await assertFails(FormatError, "table-without-text", () => loadTexts({ name: NAME }));
  assert.not.ok(existsSync(join(process.env.HF_HOME!, "datasets")), "the cache of Python's datasets is its own");
});
