/** What the bundlers' pages and the templates have in common: the run that they classify with, and servers. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import sirv from "sirv";
import { findChromium } from "../../src/tools/browsers.mjs";
import { messages, must } from "../helpers/packed.mjs";

/** Where programs are installed, and pages are built and left. */
export const home = resolve("build/bundlers");
export const modules = join(home, "node_modules");
export const TEXTS = ["you have won a prize, call now", "see you at lunch", ""];
/** The largest difference of a probability from Node's. */
export const TOLERANCE = 1e-4;

export const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
export const browserOptions = (...args) => ({
  executablePath: findChromium(),
  args: ["--no-sandbox", ...GPU, ...args],
});

/** Serves a folder; `stop` ends it. */
export async function serve(site, headers = {}) {
  const answer = sirv(site, {
    dev: true,
    setHeaders: (response) => response.setHeaders(new Map(Object.entries(headers))),
  });
  const server = createServer((request, response) => answer(request, response, () => response.writeHead(404).end()));
  await new Promise((ready) => server.listen(0, "localhost", ready));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://localhost:${server.address().port}/`, stop };
}

/** Opens a page in a new browser, does something with it, and closes the browser. */
export async function inBrowser(work) {
  const browser = await chromium.launch(browserOptions());
  try {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(300_000);
    return await work(tab);
  } finally {
    await browser.close();
  }
}

/** Trains the run that all classify with; returns what Node says of the texts. */
export async function trainRun() {
  const run = join(home, "run");
  writeFileSync(join(home, "messages.csv"), messages(40));
  const what = ["--data", join(home, "messages.csv"), "--model", "gpt2-micro", "--epochs", "1", "--device", "wasm"];
  must(process.execPath, ["dist/lowrank.js", "train", ...what, "--out", run, "--force"]);
  const { Classifier, openDevice } = await import("../../dist/engine.js");
  const device = await openDevice("wasm");
  const results = await (await Classifier.load(run, { device })).classify(TEXTS);
  device.destroy();
  return results;
}
