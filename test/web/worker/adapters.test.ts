/** The page's worker as it ships: runs that start from an adapter; what is downloaded, and loaded again. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { openWasm } from "../../../src/backend/wasm.ts";
import { Classifier } from "../../../src/infer/classifier.ts";
import { zip } from "../../../src/io/zip.ts";
import type { PageSettings } from "../../../src/web/protocol.ts";
import { assertSameFiles, temporaryFolder } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { addTiny, openTiny, PageBrowser, pickedFile, type Tab, TINY_RUN } from "../../helpers/page-worker.ts";
import { assertCode, filesIn, runCommand } from "../../helpers/spawn.ts";
import { messages, tinyModel } from "../../helpers/tiny.ts";

const MESSAGE = "see you at lunch, friend";
const base = tinyModel(join(temporaryFolder(), "tiny"));

type Files = Record<string, Uint8Array<ArrayBuffer>>;

/** The files as a zip that a visitor selects. */
async function zipOf(files: Files): Promise<File> {
  return pickedFile("files.zip", await zip(Object.entries(files)));
}

/** A tab with a run that has ended. */
async function trained(settings: Partial<PageSettings> = {}) {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  return { browser, tab, run: await tab.train({ ...TINY_RUN, ...settings }) };
}

test("a run starts from the adapter of another one, also when that is deleted and the worker has ended", async () => {
  const { browser, tab, run: first } = await trained({ keep: "last", rank: 4 });
  const reached = first.record.evaluations.at(-1)!.val;
  const settings = { ...TINY_RUN, adapter: first.id };
  await tab.call("pick", [pickedFile("news.csv", messages(8, ["ham", "spam", "news"]))]);
  const { summary } = await tab.refused("estimate", { ...settings, data: "news.csv" });
  assert.match(summary, "the classes of the adapter and the data differ");
  const held = tab.hold("write", /step-0*8\./);
  const id = await tab.call("start", { ...settings, epochs: 3 });
  await held.reached;
  await tab.call("forget", first.id);
  tab.end();
  const next = await browser.open();
  const { record, state, changes } = await next.train("resume", id);
  assert.equal([state, record.adapter, record.settings.adapter], ["finished", "start", "LoRA, rank 4, alpha 16"]);
  assert.equal(record.evaluations[0]!.val, reached);
  assert.ok(changes);
  assert.equal((await next.call("runs")).length, 1);
});

test("an adapter that is downloaded gives the same verdict in Node, and loaded into the page again", async () => {
  const { browser, tab, run } = await trained();
  const { adapterBytes, runBytes, page, usages } = await tab.call("take", run.id);
  const files = await tab.download(run.id, "adapter");
  const card = new TextDecoder().decode(files["adapter/README.md"]);
  assert.match(card, "## Training\n\n");
  const sizes = Object.entries(files).map(([path, { length }]) => (path.endsWith("README.md") ? 0 : length));
  assert.is(
    sizes.reduce((a, b) => a + b),
    adapterBytes,
  );
  assert.ok(runBytes! > adapterBytes && usages.length > 0);
  const verdict = (await tab.call("classify", run.id, MESSAGE)).adapter;

  const directory = temporaryFolder();
  for (const [path, bytes] of Object.entries(files)) writeFileSync(join(directory, basename(path)), bytes);
  const device = await openWasm({ threads: 1 });
  const classifier = await Classifier.load(directory, { device, model: base });
  assert.equal((await classifier.classify([MESSAGE]))[0], verdict);
  classifier.destroy();
  device.destroy();

  const id = await tab.call("load", [await zipOf(files)], "tiny");
  const loaded = (await tab.listed(id))!;
  assert.equal([loaded.state, loaded.usable, loaded.record.labels], ["loaded", true, ["ham", "spam"]]);
  assert.equal((await tab.call("classify", id, MESSAGE)).adapter, verdict);
  const again = await tab.download(id, "adapter");
  assertSameFiles({ ...again, "adapter/README.md": files["adapter/README.md"]! }, files);
  assert.is((await tab.call("take", id)).runBytes, null);

  // The page of one file has the size that was said before.
  const html = await tab.call("download", run.id, { kind: "page", dtype: null });
  assert.is(html.size, (page as { bytes: number }).bytes);
  assert.match(await html.text(), /^<!doctype html>[\s\S]*<\/html>\n$/i);
  assert.equal((await (await browser.open()).call("runs")).length, 2);
});

test("the forms for other programs are listed, each with the bytes that it has, or why there is none", async () => {
  const { tab, run } = await trained({ epochs: 1 });
  const forms = await tab.call("forms", run.id);
  assert.equal(
    forms.map(({ kind }) => kind),
    ["merged", "gguf", "onnx"],
  );
  for (const { kind, choices, notes } of forms) {
    assert.ok(choices.length > 0 || notes.length > 0, kind);
    for (const { dtype, bytes } of choices.slice(0, 1)) {
      const files = await tab.download(run.id, { kind, dtype });
      const folder = ["messages", kind, dtype ?? []].flat().join("-");
      assert.ok(Object.keys(files).every((path) => path.startsWith(`${folder}/`)));
      const marker = Object.keys(files).find((path) => path.endsWith("/lowrank-files.json"))!;
      const size = Object.values(files).reduce((sum, { length }) => sum + length, -files[marker]!.length);
      if (bytes !== null) assert.is(size, bytes, `${kind} ${dtype}`);
    }
  }
});

testAll("a run on an encoder is downloaded and loaded again with what was trained where a probe answers", async () => {
  const { tab, run } = await trained({ model: "e5-small-cut", epochs: 1 });
  assert.ok((await tab.call("take", run.id)).runBytes! > 0);
  const files = await tab.download(run.id, "run");
  assert.ok(files["messages-run/tuned/adapter_model.safetensors"]);
  const id = await tab.call("load", [await zipOf(files)], "tiny");
  const again = await tab.download(id, "run");
  assert.equal(Object.keys(again), Object.keys(files));
});

test("what is neither a run nor an adapter is refused, and nothing of it is stored", async () => {
  const { browser, tab, run } = await trained({ epochs: 1 });
  const files = await tab.download(run.id, "adapter");
  const stored = browser.files.list();
  const load = async (files: Files) => tab.refused("load", [await zipOf(files)], "tiny");
  assert.is((await load({ "a/notes.txt": new Uint8Array(3) })).code, "no-run-or-adapter");
  const short = files["adapter/lowrank.safetensors"]!.subarray(0, 100) as Uint8Array<ArrayBuffer>;
  assert.ok(await load({ ...files, "adapter/lowrank.safetensors": short }));
  const torn = pickedFile("torn.zip", (await zipOf(files)).slice(0, -30));
  assert.is((await tab.refused("load", [torn], "tiny")).code, "damaged-archive");
  const two = [await zipOf(files), await zipOf(files)];
  assert.is((await tab.refused("load", two, "tiny")).code, "damaged-archive");
  // The outermost adapter is loaded, and nothing of another one.
  const inner = { "adapter/old/lowrank.json": new Uint8Array(3) as Uint8Array<ArrayBuffer> };
  const id = await tab.call("load", [await zipOf({ ...inner, ...files })], "tiny");
  await tab.call("forget", id);
  assert.is((await tab.refused("load", [await zipOf(files)], "tiny", { writes: true })).code, "wrong-task");
  assert.equal(browser.files.list(), stored);
  assert.is((await tab.call("runs")).length, 1);
});

/** The files of an adapter by name, without the README of a download. */
function adapterIn(files: Files): Files {
  const names = Object.keys(files).filter((path) => /(^|\/)adapter\/(?!README)/.test(path));
  return Object.fromEntries(names.map((path) => [basename(path), files[path]!]).sort());
}

const filesOf = (directory: string): Files =>
  Object.fromEntries(filesIn(directory).map((path) => [path, new Uint8Array(readFileSync(join(directory, path)))]));

/** Writes what was downloaded of a run; gives its directory. */
function unpack(files: Files, folder: string): string {
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return join(folder, Object.keys(files)[0]!.split("/")[0]!);
}

/** Trains until the first checkpoint is written, and stops. */
async function stopEarly(tab: Tab, settings: PageSettings): Promise<string> {
  const held = tab.hold("write", /step-0*4\./);
  const ended = tab.ended();
  const id = await tab.call("start", settings);
  await held.reached;
  await tab.call("stop");
  held.release();
  assert.is((await ended).state, "stopped");
  return id;
}

test("a run that was stopped in the page is resumed in Node, with its file and the adapter that it began with, and is finished when it comes back", async () => {
  const { tab, run: first } = await trained({ epochs: 1 });
  const id = await stopEarly(tab, { ...TINY_RUN, adapter: first.id });
  const run = unpack(await tab.download(id, "run"), temporaryFolder());
  const stayed = await tab.train("resume", id);
  assertCode(await runCommand("train", ["--resume", run, "--model", base], { cwd: dirname(run) }), 0);
  const inPage = await tab.download(id, "run");
  assertSameFiles(adapterIn(filesOf(run)), adapterIn(inPage));
  assert.equal(filesOf(run)["predictions.csv"], inPage["messages-run/predictions.csv"]);

  const back = async (files: File[]) => tab.listed(await tab.call("load", files, "tiny"));
  const { state, record, usable, changes } = (await back([await zipOf(filesOf(run))]))!;
  assert.equal([state, usable, record.results], ["finished", true, stayed.record.results]);
  assert.equal(changes, stayed.changes);
  // Without folders, as a visitor selects them, where there is one adapter.
  const alone = Object.entries(await tab.download(first.id, "run"));
  const flat = await back(alone.map(([path, bytes]) => pickedFile(basename(path), bytes)));
  assert.equal([flat!.state, flat!.changes], ["finished", first.changes]);
});

test("a run that was stopped in Node is resumed in the page, with a file of the same name and content alone", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "messages.csv"), messages(24));
  const flags = "--device wasm --epochs 3 --rank 2 --checkpoint-every 4".split(" ");
  const train = (out: string) =>
    runCommand("train", ["messages.csv", "--model", base, ...flags, "--out", join(folder, out)], { cwd: folder });
  assertCode(await train("straight"), 0);
  const stopping = train("stopped");
  const hasBegun = () => existsSync(join(folder, "stopped/checkpoint"));
  const interrupt = setInterval(() => hasBegun() && process.emit("SIGINT"));
  assertCode(await stopping.finally(() => clearInterval(interrupt)), 130);

  const tab = await new PageBrowser().open();
  await addTiny(tab, base);
  const id = await tab.call("load", [await zipOf(filesOf(join(folder, "stopped")))], "gpt2-micro");
  assert.is((await tab.listed(id))!.state, "stopped");
  const missing = await tab.refused("resume", id);
  assert.equal([missing.code, missing.expected], ["not-stored", "messages.csv"]);
  await tab.call("pick", [pickedFile("messages.csv", messages(23))]);
  assert.match((await tab.refused("resume", id)).summary, "The data has changed since this run began");
  await tab.call("pick", [pickedFile("messages.csv", messages(24))]);
  assert.is((await tab.train("resume", id)).state, "finished");
  assertSameFiles(adapterIn(await tab.download(id, "adapter")), adapterIn(filesOf(join(folder, "straight"))));
});
