/**
 * Builds a page with the packed package by the bundlers that people use, and runs each bundle in Chromium: on the CPU
 * with threads, on the CPU where memory cannot be shared, and on WebGPU. `npm run test:bundlers [-- NAME...]`. Also
 * checks the types with the lowest TypeScript. Installs the programs into build/bundlers the first time; the pages are
 * left in build/bundlers/sites.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright-core";
import sirv from "sirv";
import { findChromium } from "../../src/tools/browsers.mjs";
import { installPackage, installTools, messages, must } from "../helpers/packed.mjs";

const here = resolve("test/bundlers");
const home = resolve("build/bundlers");
const page = join(home, "page");
const modules = join(home, "node_modules");
const TEXTS = ["you have won a prize, call now", "see you at lunch", ""];
/** The largest difference of a probability from Node's. */
const TOLERANCE = 1e-4;
/** The most bytes of scripts and WASM, after gzip, that a page loads to classify: on WebGPU the CPU checks the GPU. */
const MOST_BYTES = { wasm: 95_500, webgpu: 117_500 };

/** Bundlers by name: the program, its arguments for a site's folder, and the path of the page's script, if separate. */
const BUNDLERS = {
  ...Object.fromEntries(
    ["vite8", "vite7", "vite6"].map((name) => [
      name,
      { program: `${name}/bin/vite.js`, args: (site) => ["build", "--base", "./", "--outDir", site, "--emptyOutDir"] },
    ]),
  ),
  webpack: {
    program: "webpack-cli/bin/cli.js",
    args: (site) => ["--mode", "production", "--entry", "./main.js", "-o", site],
    script: "main.js",
  },
  // Two plugins: one finds packages, one copies the files of `new URL`.
  rollup: {
    program: "rollup/dist/bin/rollup",
    args: (site) => ["main.js", "-d", site, "-p", "node-resolve", "-p", "@web/rollup-plugin-import-meta-assets"],
    script: "main.js",
  },
  // Leaves `new URL` as it is: the script goes where the package's own script would be, beside the package's files.
  esbuild: {
    program: "esbuild/bin/esbuild",
    args: (site) => ["main.js", "--bundle", "--splitting", "--format=esm", "--minify", `--outdir=${site}/dist/browser`],
    script: "dist/browser/main.js",
    copies: ["dist", "data"],
  },
};

/** Ways to run a page: the device, whether the server's headers let memory be shared, and the device's name. */
const RUNS = [
  { device: "wasm", headers: true, expected: /^CPU, 2 threads/ },
  { device: "wasm", headers: false, expected: /^CPU, 1 thread/ },
  { device: "webgpu", headers: false, expected: /swiftshader/i },
];

const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

async function serve(site, headers) {
  const answer = sirv(site, {
    dev: true,
    setHeaders: (response) => response.setHeaders(new Map(Object.entries(headers))),
  });
  const server = createServer((request, response) => answer(request, response, () => response.writeHead(404).end()));
  await new Promise((ready) => server.listen(0, "localhost", ready));
  return server;
}

/** Builds the page; returns the folder of the site, and the seconds that it took. */
function build(name, packed) {
  const { program, args, script, copies = [] } = BUNDLERS[name];
  const site = join(home, "sites", name);
  rmSync(site, { recursive: true, force: true });
  mkdirSync(site, { recursive: true });
  for (const folder of copies) cpSync(join(packed, folder), join(site, folder), { recursive: true });
  const started = performance.now();
  must(process.execPath, [join(modules, program), ...args(site)], { cwd: page });
  const seconds = (performance.now() - started) / 1000;
  const html = readFileSync(join(page, "index.html"), "utf8");
  if (script) writeFileSync(join(site, "index.html"), html.replace("./main.js", `./${script}`));
  cpSync(join(home, "run"), join(site, "run"), { recursive: true });
  return { site, seconds };
}

/** Runs a site in a new browser; returns the gzipped bytes of code that classifying loads. Throws if anything fails. */
async function visit(site, { device, headers, expected }, probabilities, picture) {
  const server = await serve(site, headers ? ISOLATED : {});
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  });
  try {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(300_000);
    const faults = [];
    const loaded = new Set();
    tab.on("pageerror", (error) => faults.push(error.message));
    tab.on("console", (message) => faults.push(`${message.type()}: ${message.text()}`));
    tab.on("response", (response) => {
      const { pathname } = new URL(response.url());
      if (!response.ok() && response.status() !== 304) faults.push(`${response.status()} ${pathname}`);
      if (/\.(js|wasm)$/.test(pathname)) loaded.add(pathname);
    });
    await tab.goto(`http://localhost:${server.address().port}/`);
    await tab.waitForFunction("globalThis.classify");
    const found = await tab.evaluate(([device, texts]) => globalThis.classify(device, texts), [device, TEXTS]);
    const bytes = [...loaded].reduce((sum, path) => sum + gzipSync(readFileSync(join(site, path))).length, 0);
    const trained = await tab.evaluate((csv) => globalThis.train(csv), messages(12));
    await tab.screenshot({ path: picture });
    const wrong = found.probabilities.flatMap((row, i) => row.map((x, k) => Math.abs(x - probabilities[i][k])));
    if (!(Math.max(...wrong) <= TOLERANCE)) faults.push(`a probability differs from Node's by ${Math.max(...wrong)}`);
    for (const { kind, name } of [found.device, trained.device])
      if (kind !== device || !expected.test(name)) faults.push(`ran on ${name} (${kind})`);
    if (trained.steps.length !== 1 || !Number.isFinite(trained.steps[0])) faults.push(`steps: ${trained.steps}`);
    if (!(bytes <= MOST_BYTES[device])) faults.push(`loaded ${bytes} bytes to classify`);
    if (faults.length > 0) throw new Error(faults.join("\n"));
    return { bytes, files: loaded.size };
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

/** Checks the types of both entries and of the package's own files, as a project without other types sees them. */
function checkTypes() {
  const source = `
    import { Classifier, fineTune, openDevice } from "lowrank";
    import * as page from "lowrank/browser";
    export const classifier: Promise<Classifier> = openDevice().then((device) => Classifier.load("run", { device }));
    export const same: typeof fineTune = page.fineTune;
    // @ts-expect-error a rank is a number
    fineTune({ rank: "8" });
  `;
  writeFileSync(join(home, "types.ts"), source);
  const resolutions = { bundler: "esnext", node16: "node16", nodenext: "nodenext" };
  for (const lib of [["es2022"], ["es2022", "dom"]])
    for (const [moduleResolution, module] of Object.entries(resolutions)) {
      const compilerOptions = {
        noEmit: true,
        strict: true,
        target: "es2022",
        lib,
        types: [],
        module,
        moduleResolution,
      };
      writeFileSync(join(home, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["types.ts"] }));
      must(process.execPath, [join(modules, "typescript/bin/tsc"), "--project", home]);
    }
}

/** What Node says of the texts, with the run that all pages classify with. */
async function inNode() {
  const run = join(home, "run");
  writeFileSync(join(home, "messages.csv"), messages(40));
  const args = [
    "train",
    "--data",
    join(home, "messages.csv"),
    "--model",
    "gpt2-micro",
    "--epochs",
    "1",
    "--device",
    "wasm",
    "--out",
    run,
    "--force",
  ];
  must(process.execPath, ["dist/lowrank.js", ...args]);
  const { Classifier, openDevice } = await import("../../dist/index.js");
  const device = await openDevice("wasm");
  const results = await (await Classifier.load(run, { device })).classify(TEXTS);
  device.destroy();
  return results.map(({ probabilities }) => Object.values(probabilities));
}

const wanted = process.argv.slice(2);
const names = Object.keys(BUNDLERS).filter((name) => wanted.length === 0 || wanted.includes(name));
installTools(here, home);
const packed = installPackage(home);
rmSync(page, { recursive: true, force: true });
cpSync(join(here, "page"), page, { recursive: true });
const probabilities = await inNode();
let failures = 0;
async function check(name, work) {
  try {
    console.log(`ok   ${name}${await work()}`);
  } catch (error) {
    failures++;
    console.log(`FAIL ${name}\n${error.message}`);
  }
}
const installedVersion = (name) => JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")).version;
await check(`types with TypeScript ${installedVersion("typescript")}`, () => checkTypes() ?? "");
for (const name of names)
  await check(`${name} ${installedVersion(name)}`, async () => {
    const { site, seconds } = build(name, packed);
    const sizes = [];
    for (const run of RUNS) {
      const how = `${run.device}${run.headers ? ", threads" : ""}`;
      const picture = join(home, "sites", `${name}-${how.replaceAll(/\W+/g, "-")}.png`);
      const { bytes, files } = await visit(site, run, probabilities, picture);
      sizes.push(`${how}: ${(bytes / 1000).toFixed(1)} kB in ${files} files`);
    }
    return `  built in ${seconds.toFixed(1)} s; scripts and WASM, gzip, to classify: ${sizes.join("; ")}`;
  });
process.exit(failures > 0 ? 1 : 0);
