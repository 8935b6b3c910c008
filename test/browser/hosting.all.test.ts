/** The page on a static host: without headers, offline, and replaced by a newer build. */
import { cpSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import type * as Data from "../../src/entries/data.ts";
import type * as Engine from "../../src/entries/engine.ts";
import { Classifier, fineTune, loadModel } from "../../src/entries/engine.ts";
import type * as Lowrank from "../../src/index.ts";
import { assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData } from "../helpers/tiny.ts";
import { openBrowser, openPage, plainServer, webServer } from "./browser.ts";
import { ISOLATED, packageServer, pageWith, trainFrom } from "./origins.ts";
import { assertAccessible } from "./page.ts";

const TEXTS = ["you have won a prize, call now", "see you at lunch"];
const DEVICE = "wasm relaxed 2 threads";

/** A copy of the page's folder that a test can change. */
function copyOfPage(): string {
  const folder = temporaryFolder();
  cpSync(packagePath("dist/web"), folder, { recursive: true });
  return folder;
}

/** Waits until the page has started and its service worker has all files; returns the page's text about the machine. */
async function begin(page: Page): Promise<string> {
  await page.waitForFunction(() => /thread/.test(document.querySelector("#machine")?.textContent ?? ""));
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
  return (await page.textContent("#machine"))!;
}

/** Logits of a classifier that the page's main thread loads from a folder of the page's server. */
function logitsInPage(page: Page, adapter: string): Promise<{ name: string; logits: number[] }> {
  return page.evaluate(
    async ([adapter, texts]) => {
      const { Classifier, openDevice }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
      const device = await openDevice("wasm");
      const classifier = await Classifier.load(`${location.origin}/${adapter}`, { device });
      const logits = [...(await classifier.logits(texts))];
      classifier.destroy();
      device.destroy();
      return { name: device.info.name, logits };
    },
    [adapter, TEXTS] as const,
  );
}

test("without the headers the page reports one thread, and an adapter from a URL gives the same logits", async () => {
  const folder = copyOfPage();
  const device = await testDevice(DEVICE);
  const model = await loadModel("gpt2-micro");
  const run = await fineTune({ device, model, data: await tinyData(messages(8)), epochs: 1, rank: 2 });
  await run.save(join(folder, "run"));
  await model.close();
  const { url } = await plainServer(folder);
  const { page, faults } = await openPage(await openBrowser(), url);
  assert.match(await begin(page), /one thread/);
  const workers: string[] = [];
  page.on("worker", (worker) => workers.push(worker.url()));
  const found = await logitsInPage(page, "run/adapter");
  assert.match(found.name, /^CPU, 1 thread, /);
  assert.ok(
    workers.some((url) => url.endsWith("/kernels-worker.js")),
    "the page's main thread has computed",
  );
  const classifier = await Classifier.load(join(folder, "run"), { device });
  assertSameBits("logits", Float32Array.from(found.logits), await classifier.logits(TEXTS));
  classifier.destroy();
  assert.equal(faults, []);
});

test("after the first visit the page works offline, with all threads", async () => {
  const context = await openBrowser();
  const { page, faults } = await openPage(context, await webServer());
  await begin(page);
  await context.setOffline(true);
  await page.reload();
  assert.match(await begin(page), /uses \d+ threads/);
  const read = await page.evaluate(async () => {
    const { Tokenizer }: typeof Data = await import(`${location.origin}/dist/browser/data.js`);
    const { loadModel }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
    const model = await loadModel("gpt2-micro");
    return [(await Tokenizer.load()).encode("a b").length, (await model.read("wpe.weight")).length];
  });
  assert.equal(read, [2, 512 * 64]);
  assert.equal(faults, []);
});

test("own messages begin with e5-small-cut, which is kept once it is loaded; a click returns to gpt2-micro", async () => {
  const gguf = "data/models/e5-small-cut/e5-small-cut.gguf";
  assert.is(Math.round(statSync(packagePath(gguf)).size / 1e6), 30);
  const context = await openBrowser();
  const { page, faults } = await openPage(context, await webServer());
  await begin(page);
  const isModel = async (name: string, blocks: number) => {
    await page.locator(`#model-report >> text=${blocks} blocks`).waitFor({ state: "attached" });
    assert.is(await page.inputValue("#model"), name);
  };
  assert.match((await page.textContent("#bases"))!, /e5-small-cut[^(]*\(30 MB,/);
  assert.is(await page.evaluate((file) => caches.match(file).then(Boolean), gguf), false);
  await page.check("input[name=source][value=file]");
  await isModel("gpt2-micro", 4);
  const file = { name: "messages.csv", mimeType: "text/plain", buffer: Buffer.from(messages(40)) };
  await page.setInputFiles("#file", file);
  await isModel("e5-small-cut", 12);
  assert.match((await page.textContent("#model-default"))!, "30 MB");
  await page.waitForFunction((file) => caches.match(file).then(Boolean), gguf);
  await page.check("input[name=source][value=spam]");
  await isModel("gpt2-micro", 4);
  await page.check("input[name=source][value=file]");
  await isModel("e5-small-cut", 12);
  await context.setOffline(true);
  await page.reload();
  await isModel("e5-small-cut", 12);
  const read = await page.evaluate(async () => {
    const { loadModel }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
    const model = await loadModel("e5-small-cut");
    return [model.config.n_layer, (await model.read("ln_f.weight")).length];
  });
  assert.equal(read, [12, 384]);
  await assertAccessible(page);
  await page.click("#model-default button");
  await isModel("gpt2-micro", 4);
  assert.is(await page.evaluate(() => document.activeElement?.id), "model");
  assert.not.ok(await page.isVisible("#model-default"));
  await page.reload();
  await page.waitForSelector("#start:not([disabled])");
  await isModel("gpt2-micro", 4);
  assert.equal(faults, []);
});

test("a newer build replaces the older one completely, at a later visit", async () => {
  const folder = copyOfPage();
  const { url } = await plainServer(folder);
  const { page, faults } = await openPage(await openBrowser(), url);
  await begin(page);
  const change = (file: string, from: RegExp, to: string) => {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    assert.match(text, from, file);
    writeFileSync(path, text.replace(from, to));
  };
  change("index.html", /<title>.*<\/title>/, "<title>Newer</title>");
  change("service-worker.js", /"[0-9a-f]{16}"/, '"newer"');
  // This visit still uses the older build, and downloads the newer one.
  await page.reload();
  await begin(page);
  assert.is.not(await page.title(), "Newer");
  await page.waitForFunction(async () => (await navigator.serviceWorker.getRegistration())?.waiting !== null);
  // On a busy machine the page before a reload can count as a second open one: then the visit after it replaces the
  // build.
  for (let visit = 0; visit < 5 && (await page.title()) !== "Newer"; visit++) {
    // The page reloads itself once more while it loads: there may be no end of loading to wait for.
    await page.reload({ waitUntil: "commit" });
    await page.waitForFunction(() => document.title === "Newer", null, { timeout: 15_000 }).catch(() => {});
  }
  assert.is(await page.title(), "Newer");
  await begin(page);
  assert.equal(await page.evaluate(() => caches.keys()), ["lowrank-page-newer"]);
  assert.equal(faults, []);
});

test("a 304 response has all headers: without them Safari refuses a cached worker", async () => {
  const url = `${await webServer()}/dist/page/worker.js`;
  const first = await fetch(url);
  const again = await fetch(url, { headers: { "if-none-match": first.headers.get("etag")! } });
  assert.equal([first.status, again.status], [200, 304]);
  for (const name of ["cross-origin-embedder-policy", "cross-origin-resource-policy", "content-security-policy"])
    assert.is(again.headers.get(name), first.headers.get(name), name);
});

test("from another origin the library trains and classifies, on threads or in a worker, or has the page's thread", async () => {
  const [code, files] = await Promise.all([packageServer(), packageServer()]);
  const policy = (worker: string) => ({
    "Content-Security-Policy": `script-src ${code} 'wasm-unsafe-eval'; connect-src ${files}; worker-src ${worker}`,
  });
  const context = await openBrowser();
  const found: number[][] = [];
  for (const { headers, from, threads } of [
    { headers: ISOLATED, from: undefined, threads: 2 },
    { headers: policy(`blob: ${files}`), from: files, threads: 1 },
  ]) {
    const { page } = await openPage(context, await pageWith(headers));
    const { device, logits } = await trainFrom(page, code, from);
    assert.match(device.name, `CPU, ${threads} thread`);
    assert.is(device.why, undefined);
    assert.is(page.workers().length, threads);
    found.push(logits);
    await page.close();
  }
  assert.equal(found[0], found[1]);
  const { page } = await openPage(context, await pageWith(policy("'none'")));
  const info = await page.evaluate(
    async ([code, files]) => {
      const { setPackageUrl }: typeof Lowrank = await import(`${code}/dist/browser/index.js`);
      const { openDevice }: typeof Engine = await import(`${code}/dist/browser/engine.js`);
      setPackageUrl(files);
      return (await openDevice("wasm")).info;
    },
    [code, files] as const,
  );
  assert.match(info.name, /^CPU, 1 thread,/);
  assert.is(info.why, "no worker can be started");
});
