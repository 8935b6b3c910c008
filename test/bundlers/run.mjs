/**
 * Builds a page with the packed package by the bundlers that people use, and runs each bundle in Chromium: on the CPU
 * with threads, on the CPU where memory cannot be shared, and on WebGPU. `npm run test:bundlers [-- NAME...]`. Also
 * checks the types with the lowest TypeScript, and runs the templates. Installs the programs into build/bundlers the first time; the pages are
 * left in build/bundlers/sites.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { installPackage, installTools, messages, must } from "../helpers/packed.mjs";
import { home, ISOLATED, inBrowser, modules, serve, TEXTS, TOLERANCE, trainRun } from "./site.mjs";
import { TEMPLATES } from "./templates.mjs";

const here = resolve("test/bundlers");
const page = join(home, "page");
/** The most bytes of scripts and WASM, after gzip, that a page loads to classify: test/browser/size.test.ts, and a tenth. */
const MOST_BYTES = 143_000;

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
async function visit(site, { device, headers, expected }, results, picture) {
  const server = await serve(site, headers ? ISOLATED : {});
  const work = async (tab) => {
    const faults = [];
    const loaded = new Set();
    tab.on("pageerror", (error) => faults.push(error.message));
    tab.on("console", (message) => faults.push(`${message.type()}: ${message.text()}`));
    tab.on("response", (response) => {
      const { pathname } = new URL(response.url());
      if (!response.ok() && response.status() !== 304) faults.push(`${response.status()} ${pathname}`);
      if (/\.(js|wasm)$/.test(pathname)) loaded.add(pathname);
    });
    await tab.goto(server.url);
    await tab.waitForFunction("globalThis.classify");
    const found = await tab.evaluate(([device, texts]) => globalThis.classify(device, texts), [device, TEXTS]);
    const bytes = [...loaded].reduce((sum, path) => sum + gzipSync(readFileSync(join(site, path))).length, 0);
    const trained = await tab.evaluate((csv) => globalThis.train(csv), messages(12));
    await tab.screenshot({ path: picture });
    const probabilities = results.map((one) => Object.values(one.probabilities));
    const wrong = found.probabilities.flatMap((row, i) => row.map((x, k) => Math.abs(x - probabilities[i][k])));
    if (!(Math.max(...wrong) <= TOLERANCE)) faults.push(`a probability differs from Node's by ${Math.max(...wrong)}`);
    for (const { kind, name } of [found.device, trained.device])
      if (kind !== device || !expected.test(name)) faults.push(`ran on ${name} (${kind})`);
    if (trained.steps.length !== 1 || !Number.isFinite(trained.steps[0])) faults.push(`steps: ${trained.steps}`);
    if (!(bytes <= MOST_BYTES)) faults.push(`loaded ${bytes} bytes to classify`);
    if (faults.length > 0) throw new Error(faults.join("\n"));
    return { bytes, files: loaded.size };
  };
  return inBrowser(work).finally(server.stop);
}

/** Checks the types of both entries and of the package's own files, as a project without other types sees them. */
function checkTypes() {
  const source = `
    import { Classifier, fineTune, openDevice } from "lowrank/engine";
    import { train } from "lowrank";
    import * as page from "lowrank/browser";
    export const classifier: Promise<Classifier> = openDevice().then((device) => Classifier.load("run", { device }));
    export const same: typeof train = page.train;
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

const wanted = process.argv.slice(2);
const listWanted = (all) => Object.keys(all).filter((name) => wanted.length === 0 || wanted.includes(name));
installTools(here, home);
const packed = installPackage(home);
rmSync(page, { recursive: true, force: true });
cpSync(join(here, "page"), page, { recursive: true });
const results = await trainRun();
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
for (const name of listWanted(BUNDLERS))
  await check(`${name} ${installedVersion(name)}`, async () => {
    const { site, seconds } = build(name, packed);
    const sizes = [];
    for (const run of RUNS) {
      const how = `${run.device}${run.headers ? ", threads" : ""}`;
      const picture = join(home, "sites", `${name}-${how.replaceAll(/\W+/g, "-")}.png`);
      const { bytes, files } = await visit(site, run, results, picture);
      sizes.push(`${how}: ${(bytes / 1000).toFixed(1)} kB in ${files} files`);
    }
    return `  built in ${seconds.toFixed(1)} s; scripts and WASM, gzip, to classify: ${sizes.join("; ")}`;
  });
for (const name of listWanted(TEMPLATES)) await check(name, () => TEMPLATES[name](results[0]));
process.exit(failures > 0 ? 1 : 0);
