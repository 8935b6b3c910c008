/** The library in Chromium, from the built files that ship, compared with Node; the page that measures. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import type * as Data from "../../src/entries/data.ts";
import { loadDataset } from "../../src/entries/data.ts";
import type * as Engine from "../../src/entries/engine.ts";
import { Classifier, fineTune, loadModel } from "../../src/entries/engine.ts";
import type * as Lowrank from "../../src/index.ts";
import { assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testIf } from "../helpers/harness.ts";
import { filesIn } from "../helpers/spawn.ts";
import { messages } from "../helpers/tiny.ts";
import { openBrowser, openPage, type TestPage, webServer } from "./browser.ts";
import { FIREFOX, openFirefox } from "./firefox.ts";

const folder = temporaryFolder();
const MESSAGES = messages(24);
const TEXTS = ["you have won a prize, call now", "see you at lunch", ""];
/** The same in Node and in the page: number of threads and fused multiply-add. */
const DEVICE = "wasm relaxed 2 threads";
const OPTIONS = { batchSize: 8, epochs: 2, rank: 4, alpha: 8, schedule: "cosine", init: "gaussian", seed: 5 } as const;

/** A run of a page: the device that trained, its saved files, and the logits of the saved adapter. */
interface PageRun {
  device: string;
  files: Record<string, number[]>;
  logits: number[];
}

/** Trains in the page's main thread, with the public API only. */
function trainInPage(page: Page, csv: string): Promise<PageRun> {
  return page.evaluate(
    async ([csv, texts, options]) => {
      const { registerFile }: typeof Lowrank = await import(`${location.origin}/dist/browser/index.js`);
      const { loadDataset }: typeof Data = await import(`${location.origin}/dist/browser/data.js`);
      const { Classifier, fineTune, loadModel, openDevice }: typeof Engine = await import(
        `${location.origin}/dist/browser/engine.js`
      );
      registerFile("picked.csv", new Blob([csv]));
      const device = await openDevice("wasm", { threads: 2 });
      const model = await loadModel("gpt2-micro");
      const data = await loadDataset({ file: "picked.csv" }, { maxLength: 64 });
      const run = await fineTune({ device, model, data, ...options });
      await run.save("run");
      const classifier = await Classifier.load("run", { device });
      const files: PageRun["files"] = {};
      const root = await navigator.storage.getDirectory();
      const adapter = await (await root.getDirectoryHandle("run")).getDirectoryHandle("adapter");
      for await (const [file, handle] of adapter.entries()) {
        const content = await (await (handle as FileSystemFileHandle).getFile()).arrayBuffer();
        files[file] = [...new Uint8Array(content)];
      }
      return { device: run.device.name, files, logits: [...(await classifier.logits(texts))] };
    },
    [csv, TEXTS, OPTIONS] as const,
  );
}

function write(directory: string, files: PageRun["files"]): string {
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), Uint8Array.from(bytes));
  }
  return directory;
}

async function trainInNode(directory: string): Promise<string> {
  const device = await testDevice(DEVICE);
  const model = await loadModel("gpt2-micro");
  const file = bytesReader("picked.csv", new TextEncoder().encode(MESSAGES));
  const data = await loadDataset({ file }, { maxLength: 64 });
  await (await fineTune({ device, model, data, ...OPTIONS })).save(directory, { force: true });
  await model.close();
  return directory;
}

async function logitsInNode(directory: string): Promise<Float32Array> {
  const classifier = await Classifier.load(directory, { device: await testDevice(DEVICE) });
  const logits = await classifier.logits(TEXTS);
  classifier.destroy();
  return logits;
}

/** Opens a file of the server that runs no code. */
async function openLibrary(context: BrowserContext): Promise<TestPage> {
  await context.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  return openPage(context, `${await webServer()}/data/models/gpt2-micro/config.json`);
}

test("on WASM the same settings give the same adapter in Node and in a page, bit for bit", async () => {
  const { page, faults } = await openLibrary(await openBrowser());
  const run = await trainInPage(page, MESSAGES);
  const trained = await trainInNode(join(folder, "node"));
  assert.is(run.device, (await testDevice(DEVICE)).info.name, "the devices differ");
  assert.equal(Object.keys(run.files).sort(), filesIn(join(trained, "adapter")));
  for (const [name, bytes] of Object.entries(run.files))
    assert.ok(readFileSync(join(trained, "adapter", name)).equals(Uint8Array.from(bytes)), `${name} differs`);
  const copy = write(join(folder, "page"), run.files);
  assertSameBits("logits", await logitsInNode(copy), Float32Array.from(run.logits));
  assert.equal(faults, []);
});

test("a study in a page: in memory, and in its files, where the same call repeats nothing", async () => {
  const { page, faults } = await openLibrary(await openBrowser());
  const [memory, first, again] = await page.evaluate(
    async ([csv, options]) => {
      const { registerFile }: typeof Lowrank = await import(`${location.origin}/dist/browser/index.js`);
      const { loadDataset }: typeof Data = await import(`${location.origin}/dist/browser/data.js`);
      const { loadModel, openDevice, study }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
      registerFile("picked.csv", new Blob([csv]));
      const device = await openDevice("wasm", { threads: 2 });
      const model = await loadModel("gpt2-micro");
      const data = await loadDataset({ file: "picked.csv" }, { maxLength: 64 });
      const train = async (save: { save?: string }) => {
        const types = new Set<string>();
        const runs = [2, 4].map((rank) => ({ ...options, rank }));
        const onEvent = ({ type }: { type: string }) => types.add(type);
        const { best, report } = await study({ device, model, data, runs, onEvent, ...save });
        const { results, trial } = best!.record;
        return { types: [...types], charts: report!.toHtml().split("<svg").length, best: { results, trial } };
      };
      const root = await navigator.storage.getDirectory();
      const found = [await train({}), await train({ save: "study" }), await train({ save: "study" })];
      await (await root.getDirectoryHandle("study")).getFileHandle("report.html");
      return found;
    },
    [MESSAGES, OPTIONS] as const,
  );
  assert.ok(memory!.charts > 2, `${memory!.charts} charts`);
  assert.equal(first!.best, memory!.best);
  assert.equal(again, { types: ["skip"], charts: memory!.charts, best: memory!.best });
  assert.equal(faults, []);
});

/** Trains, learns further rows, saves and loads in a page. */
async function checkFewLines(context: BrowserContext): Promise<void> {
  const { page, faults } = await openLibrary(context);
  const found = await page.evaluate(async () => {
    const { load, train }: typeof Lowrank = await import(`${location.origin}/dist/browser/index.js`);
    const texts = (label: string, ...texts: string[]) => texts.map((text) => ({ text, label }));
    const rows = [
      ...texts("refund", "I want my money back", "a refund, please", "please return my money", "refund my order"),
      ...texts("hours", "when do you open", "are you open on Sunday", "your opening hours", "how long are you open"),
    ];
    const model = await train(rows, { model: "gpt2-micro", device: "wasm" });
    await model.learn(texts("shipping", "where is my parcel", "my parcel has not come", "track my parcel"));
    await model.save("topics");
    const asked = ["I want a refund, please", "where is my parcel"];
    const answers = [await model.classify(asked)];
    for (const source of ["topics", await model.toBlob()]) {
      const again = await load(source, { device: "wasm" });
      answers.push(await again.classify(asked));
      again.destroy();
    }
    const denied = async () => {
      throw new DOMException("denied", "SecurityError");
    };
    Object.defineProperty(navigator.storage, "getDirectory", { value: denied });
    const error = await model.save("elsewhere").catch(({ code, message }) => `${code}: ${message}`);
    model.destroy();
    return { answers, error };
  });
  assert.equal(
    found.answers[0]!.map(({ label }) => label),
    ["refund", "shipping"],
  );
  assert.equal(found.answers[1], found.answers[0]);
  assert.equal(found.answers[2], found.answers[0]);
  assert.match(String(found.error), /^write-failed: .*toBlob/s);
  assert.equal(faults, []);
}

const FEW_LINES = "a few lines train, learn further rows, save and load, in storage and as one file";
test(FEW_LINES, async () => checkFewLines(await openBrowser()));
testIf(FIREFOX !== "", "no Firefox: `npm run driver` installs it, or names it", `in Firefox: ${FEW_LINES}`, async () =>
  checkFewLines(await openFirefox()),
);

/** Addresses that a page has loaded and that match. */
function loaded(page: Page, pattern: RegExp): Promise<string[]> {
  return page.evaluate(
    (source) =>
      performance
        .getEntriesByType("resource")
        .map(({ name }) => name)
        .filter((name) => new RegExp(source).test(name)),
    pattern.source,
  );
}

test("a model opens from a blob, a response, a URL, a handle and a folder on a server, by ranges", async () => {
  const { page, faults } = await openLibrary(await openBrowser());
  const ranges: string[] = [];
  page.on("request", (request) => {
    const { range } = request.headers();
    if (range !== undefined) ranges.push(range);
  });
  const found = await page.evaluate(async () => {
    const { registerFile }: typeof Lowrank = await import(`${location.origin}/dist/browser/index.js`);
    const { loadModel }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
    const base = `${location.origin}/data/models/gpt2-micro`;
    const whole = async (name: string) => (await fetch(`${base}/${name}`)).blob();
    const root = await navigator.storage.getDirectory();
    const kinds: Record<string, (name: string) => Promise<Parameters<typeof registerFile>[1]>> = {
      blob: whole,
      response: (name) => fetch(`${base}/${name}`),
      url: async (name) => new URL(`${base}/${name}`),
      handle: async (name) => {
        const handle = await root.getFileHandle(name, { create: true });
        const stream = await handle.createWritable();
        await stream.write(await whole(name));
        await stream.close();
        return handle;
      },
    };
    const values: Record<string, number[]> = {};
    const read = async (kind: string, place: string) => {
      const model = await loadModel(place);
      values[kind] = [...(await model.read("wte.weight", 40000, 40002))];
      await model.close();
    };
    for (const [kind, source] of Object.entries(kinds)) {
      for (const name of ["config.json", "model.safetensors"]) registerFile(`${kind}/${name}`, await source(name));
      await read(kind, kind);
    }
    await read("folder", base);
    return values;
  });
  const model = await loadModel("gpt2-micro");
  const expected = [...(await model.read("wte.weight", 40000, 40002))];
  await model.close();
  assert.equal(Object.keys(found), ["blob", "response", "url", "handle", "folder"]);
  for (const values of Object.values(found)) assert.equal(values, expected);
  // Of the URL and of the folder: the size, the length of the header, the header, and the rows.
  const weights = ranges.filter((range) => !/^bytes=0-[07]$/.test(range));
  assert.ok(ranges.length >= 8 && weights.length >= 4, ranges.join(", "));
  // The folder has no tokenizer.json and no tokenizer_config.json.
  assert.equal(
    faults.filter((fault) => !/status of 404/.test(fault)),
    [],
  );
});

test("the embed example trains once, and classifies typed text", async () => {
  const context = await openBrowser();
  await context.route("**/spam.csv", (route) => route.fulfill({ body: messages(40) }));
  const { page, faults } = await openPage(context, `${await webServer()}/embed.html`);
  const answer = page.locator("#answer");
  for (const visit of ["first", "second"]) {
    await page.waitForFunction(() => document.querySelector<HTMLOutputElement>("#answer")!.value === "Ready");
    await page.fill("#text", TEXTS[0]!);
    await page.waitForFunction(() => / %$/.test(document.querySelector<HTMLOutputElement>("#answer")!.value));
    assert.match((await answer.textContent())!, /^(ham|spam), \d+\.\d %$/, visit);
    // An empty field has no label, not even that of a text before it that is still being classified.
    await page.fill("#text", TEXTS[1]!);
    await page.fill("#text", " ");
    await page.waitForTimeout(200);
    assert.is(await answer.textContent(), "", "an empty field is judged");
    if (visit === "first") await page.reload();
  }
  assert.equal(await loaded(page, /saved-run|datasets-/), [], "the second visit has trained again");
  assert.equal(faults, []);
});

test("an HTML page in place of a package file is reported, and a server that does not answer", async () => {
  const context = await openBrowser();
  const { page } = await openLibrary(context);
  const load = () =>
    page.evaluate(async () => {
      const { Tokenizer }: typeof Data = await import(`${location.origin}/dist/browser/data.js`);
      return Tokenizer.load().then(
        () => "no error",
        (error: Error) => error.message,
      );
    });
  await context.route("**/tokenizer.wasm", (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html>" }),
  );
  assert.match(
    await load(),
    /a file of the package was not found[\s\S]*\/dist\/tokenizer\.wasm[\s\S]*HTML[\s\S]*optimizeDeps/,
  );
  await context.route("**/tokenizer.wasm", (route) => route.abort());
  assert.match(
    await load(),
    /a file of the package was not found[\s\S]*\/dist\/tokenizer\.wasm[\s\S]*Failed to fetch[\s\S]*CORS/,
  );
});
