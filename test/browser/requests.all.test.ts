/**
 * What a page asks of a server on its way to the first label, by `lowrank/browser` as it ships, in Chromium. Every answer
 * comes 60 ms late. The figures in src/bench/README.md are what this file prints.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { extname, join } from "node:path";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/entries/data.ts";
import type * as Engine from "../../src/entries/engine.ts";
import { fineTune, loadModel } from "../../src/entries/engine.ts";
import { zip } from "../../src/io/zip.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { type Server, sendBytes, serve } from "../helpers/http.ts";
import { filesIn } from "../helpers/spawn.ts";
import { messages } from "../helpers/tiny.ts";
import { openBrowser, openPage } from "./browser.ts";

const DELAY_MS = 60;
const TYPES: Record<string, string> = { "": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const folder = temporaryFolder();

/** The package under /, the run under /run, each answer late. Files are asked for again at every visit. */
async function lateServer(hasRanges: boolean): Promise<Server & { sent: () => number }> {
  const sockets = new Set<Socket>();
  const server = await serve((request, response) => {
    const path = decodeURI(new URL(request.url!, "http://x").pathname);
    if (!hasRanges) delete request.headers.range;
    sockets.add(request.socket);
    setTimeout(() => {
      const headers = {
        "content-type": TYPES[extname(path)] ?? "application/octet-stream",
        "cache-control": "no-store",
      };
      try {
        const file = ["/", "/favicon.ico"].includes(path)
          ? Buffer.from("<!doctype html>")
          : readFileSync(placeOf(path));
        if (request.method === "HEAD") response.writeHead(200, { ...headers, "content-length": file.length }).end();
        else sendBytes(request, response, file, { headers });
      } catch {
        response.writeHead(404).end();
      }
    }, DELAY_MS);
  });
  return { ...server, sent: () => [...sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0) };
}

const placeOf = (path: string) => (/^\/run\b/.test(path) ? join(folder, path) : packagePath(path.slice(1)));

test("a run is trained", async () => {
  const device = await testDevice("wasm 2 threads");
  const model = await loadModel("gpt2-micro");
  const file = bytesReader("messages.csv", new TextEncoder().encode(messages(24)));
  const data = await loadDataset({ file }, { model, maxLength: 64 });
  await (await fineTune({ device, model, data, batchSize: 8, epochs: 1, seed: 5 })).save(join(folder, "run"));
  await model.close();
  const adapter = join(folder, "run/adapter");
  const files = filesIn(adapter).map((name) => [name, new Uint8Array(readFileSync(join(adapter, name)))] as const);
  writeFileSync(join(folder, "run.zip"), Buffer.from(await (await zip(files)).arrayBuffer()));
});

/** Loads a classifier as often, one after the other, and gives the milliseconds of each to its first label. */
const firstLabels = (page: Page, place: string, times: number): Promise<number[]> =>
  page.evaluate(
    async ([place, times]) => {
      const taken: number[] = [];
      for (let i = 0; i < times; i++) {
        const start = performance.now();
        const { Classifier, openDevice }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
        const classifier = await Classifier.load(place, { device: await openDevice("wasm", { threads: 2 }) });
        await classifier.classify("you have won a prize");
        taken.push(Math.round(performance.now() - start));
        classifier.destroy();
      }
      return taken;
    },
    [place, times] as const,
  );

/** What was asked for: scripts, files of the package that every page needs, and the model's and the adapter's files. */
function sorted(requests: readonly string[]): { scripts: string[]; tables: string[]; models: string[] } {
  const found = { scripts: [] as string[], tables: [] as string[], models: [] as string[] };
  for (const line of requests.slice(0))
    if (/\.js$|^GET \/$|favicon/.test(line)) found.scripts.push(line);
    else found[line.includes(" /dist/") ? "tables" : "models"].push(line);
  return found;
}

/** The most requests for models and adapters, at the first visit and when the base model is kept. */
const MOST = { run: [6, 4], "run.zip": [3, 1] } as const;

for (const hasRanges of [true, false])
  for (const place of ["run", "run.zip"] as const)
    test(`${place} on a server ${hasRanges ? "with" : "without"} ranges`, async () => {
      const server = await lateServer(hasRanges);
      const context = await openBrowser();
      for (const [visit, name] of ["first", "second"].entries()) {
        server.requests.length = 0;
        const sentBefore = server.sent();
        const { page, faults } = await openPage(context, `${server.url}/`);
        const address = `${server.url}/${place}`;
        const [first] = await firstLabels(page, address, 1);
        const { scripts, tables, models } = sorted(server.requests);
        const megabytes = (server.sent() - sentBefore) / 1e6;
        const before = server.requests.length;
        const again = await firstLabels(page, address, 2);
        const later = sorted(server.requests.slice(before));
        console.log(
          [
            `${place}, ${hasRanges ? "ranges" : "no ranges"}, ${name} visit:`,
            `${scripts.length} scripts, ${tables.length} tables, ${models.length} of models, ${megabytes.toFixed(1)} MB, ${first} ms;`,
            `two more loads: ${later.tables.length + later.models.length} requests, ${again.join(" and ")} ms`,
            ...(process.env.LIST ? [...tables, ...models].map((line) => `\n  ${line}`) : []),
          ].join(" "),
        );
        assert.ok(tables.length <= 3 && models.length <= MOST[place][visit]!, server.requests.join("\n"));
        assert.equal([later.tables.length, later.models.length], [0, 2 * MOST[place][1]]);
        assert.equal(faults, []);
        await page.close();
      }
    });

test("without storage nothing is kept, and all works; what is loaded at the same time is downloaded once", async () => {
  const server = await lateServer(true);
  const context = await openBrowser();
  await context.addInitScript(() => {
    navigator.storage.getDirectory = () => Promise.reject(new DOMException("denied", "SecurityError"));
  });
  const { page, faults } = await openPage(context, `${server.url}/`);
  const weights = () => server.requests.filter((line) => line.includes("/model.safetensors")).length;
  await page.evaluate(async (place) => {
    const { Classifier, openDevice }: typeof Engine = await import(`${location.origin}/dist/browser/engine.js`);
    const device = await openDevice("wasm", { threads: 2 });
    await Promise.all([1, 2, 3].map(() => Classifier.load(place, { device })));
  }, `${server.url}/run.zip`);
  assert.is(weights(), 1);
  await firstLabels(page, `${server.url}/run.zip`, 2);
  assert.equal(faults, []);
});
