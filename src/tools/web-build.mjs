/**
 * Builds the browser bundles. dist/browser/ is the library for pages; dist/web/ is the complete page. It
 * mirrors the package's layout (dist/browser/, data/models/, ...), so that relative paths are the same in both.
 */
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as esbuild from "esbuild";
import { rolldown } from "rolldown";
import { NEW, WASM } from "./bundles.mjs";
import { listNotices, NOTICES } from "./notices.mjs";

const PAGE = "src/web";
const WEB = join(NEW, "web");
/** The constants of src/platform/build.ts. */
let constants = {};
/** The library and the page have a folder each: shared chunks would cost more requests and bytes. */
const LIBRARY = "browser";
const LIBRARY_ENTRIES = {
  index: "src/index.ts",
  ...Object.fromEntries(
    ["data", "engine", "e5-small-cut", "gpt2-micro"].map((name) => [name, `src/entries/${name}.ts`]),
  ),
};
const SCRIPTS = "dist/page";
/** The library's worker, one file without imports, so that a bundler may copy it as it is. */
const WORKER = { "kernels-worker": "src/backend/kernels-worker.ts" };
const ASSETS = [LIBRARY, ...WASM, "gpt2.tokenizer.bin"];

/**
 * Allows resources from this origin, and models and data sets that the visitor requests from the Hugging Face Hub.
 * Inline scripts are allowed by their hashes.
 */
const contentSecurityPolicy = (hashes) => [
  "default-src 'none'",
  ["script-src 'self' 'wasm-unsafe-eval'", ...hashes].join(" "),
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self' https://huggingface.co https://*.huggingface.co https://*.hf.co",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

/** Sent with every file. The first two headers enable shared memory between threads. */
const headers = (hashes) => ({
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": contentSecurityPolicy(hashes).join("; "),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
});

const TARGET = "es2023";

/** What is in the description of a data set for its readers: see data/README.md. */
const ORIGIN = ["source", "made", "verified", "leftOut"];

/** Constants of shaders. */
const NUMBERS = "src/backend/generated/numbers.ts";

/** Reduces the bundle size: drops comments of shaders and data sets, and writes numbers into shaders. */
const small = {
  name: "small",
  load(id) {
    if (/data.datasets.[\w-]+\.json$/.test(id))
      return JSON.stringify(JSON.parse(readFileSync(id), (key, value) => (ORIGIN.includes(key) ? undefined : value)));
    if (resolve(id) === resolve(NUMBERS)) return "export const NUMBERS = ``";
    if (!id.endsWith(".wgsl")) return null;
    const found = readFileSync(NUMBERS, "utf8").matchAll(/^const (\w+) = (\w+);$/gm);
    const numbers = new Map([...found].map(([, name, value]) => [name, value]));
    const code = readFileSync(id, "utf8")
      .replace(/\/\/.*|\/\*[\s\S]*?\*\//g, "")
      .replace(/\b[A-Z][A-Z0-9_]+\b/g, (name) => numbers.get(name) ?? name);
    // Keeps spaces between words, and between minus signs, which could become a decrement.
    const close = code
      .replace(/\s+/g, " ")
      .replace(/ ?([^\w\s@-]) ?/g, "$1")
      .replace(/(?<!-) ?- ?(?! ?-)/g, "-")
      .replace(/,([)\]}])/g, "$1");
    // 1.0 and 0.5 as 1. and .5
    return { code: close.replace(/\b(\d+\.)0(?!\d)|\b0(\.\d)/g, "$1$2").trim(), moduleType: "text" };
  },
  /** Bundlers look for files and workers in quotes. */
  generateBundle(_, files) {
    for (const file of Object.values(files))
      if (file.type === "chunk") file.code = file.code.replace(/\b(import\(|new URL\(|type:)`([\w./-]+)`/g, '$1"$2"');
  },
};

/** What all scripts consist of. */
const bundledModules = new Set();

/** Bundles scripts without some files: in one each, or as `codeSplitting` says. Returns the text without a folder. */
async function roll(input, external, { preserveEntrySignatures, ...output }) {
  const bundled = await rolldown({
    input,
    external,
    preserveEntrySignatures,
    platform: "browser",
    plugins: [small],
    optimization: { inlineConst: { mode: "all" } },
    // What is imported on demand by one may be imported at once by another.
    checks: { ineffectiveDynamicImport: false },
    transform: {
      target: TARGET,
      // Children as arguments are less to load than a property of each element.
      jsx: { runtime: "classic", pragma: "createElement", pragmaFrag: "Fragment" },
      inject: { createElement: ["preact", "createElement"], Fragment: ["preact", "Fragment"] },
      define: { ...constants, ...(output.format === "iife" && { "import.meta": "{}" }) },
    },
  });
  const options = {
    format: "esm",
    minify: true,
    comments: { annotation: false },
    entryFileNames: "[name].js",
    codeSplitting: false,
    ...output,
  };
  const { output: written } = await (output.dir ? bundled.write(options) : bundled.generate(options));
  for (const { moduleIds = [] } of written) for (const id of moduleIds) bundledModules.add(id);
  return written[0].code;
}

export async function buildWeb(define) {
  constants = define;
  await bundle(join(NEW, LIBRARY), LIBRARY_ENTRIES, { namesMaps: true, annotates: true });
  const scripts = { main: `${PAGE}/page/main.tsx`, worker: `${PAGE}/worker/worker.ts` };
  await bundle(join(WEB, SCRIPTS), scripts);
  writeFileSync(join(WEB, SCRIPTS, "style.css"), await buildStyle(join(PAGE, "style.css")));
  for (const asset of ASSETS) cpSync(join(NEW, asset), join(WEB, "dist", asset), { recursive: true });
  const filter = (path) => !path.endsWith("make");
  for (const folder of ["models", "adapters", "datasets"])
    cpSync(`data/${folder}`, join(WEB, "data", folder), { recursive: true, filter });
  await buildStandalone();
  for (const folder of [NEW, WEB]) writeFileSync(join(folder, NOTICES), listNotices(bundledModules));
  const pages = readdirSync(PAGE).filter((name) => /\.(html|svg|webmanifest)$/.test(name));
  for (const file of pages) cpSync(join(PAGE, file), join(WEB, file));
  await buildServiceWorker();
  const hashes = pages.filter((name) => name.endsWith(".html")).flatMap((name) => inlineScripts(join(PAGE, name)));
  const lines = Object.entries(headers(hashes)).map(([name, value]) => `  ${name}: ${value}`);
  writeFileSync(join(WEB, "_headers"), `/*\n${lines.join("\n")}\n`);
}

/** The hashes of a page's inline scripts, in the format of the content security policy. */
function inlineScripts(file) {
  const scripts = readFileSync(file, "utf8").matchAll(/<script\b(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g);
  return [...scripts].map(([, code]) => `'sha256-${createHash("sha256").update(code).digest("base64")}'`);
}

/** The modules that a module imports, and theirs: at once, or also on demand. */
function reach(id, kinds, graph, found = new Set()) {
  if (found.has(id)) return found;
  found.add(id);
  for (const next of kinds.flatMap((kind) => graph.getModuleInfo(id)?.[kind] ?? [])) reach(next, kinds, graph, found);
  return found;
}

/** Imported on demand, so that a page of one file has none; all others need it at once. */
const REQUESTS = resolve("src/platform/http.ts");

/**
 * Joins the modules that an entry point always loads: a bundler by itself makes a script for each set of entry points
 * that need the same modules, dozens of them, which are a tenth more after gzip. What another entry point may load too
 * is shared: a worker cannot run what is the page's.
 */
function joinModules(entryPoints) {
  let entries;
  return (id, graph) => {
    entries ??= Object.entries(entryPoints).map(([name, path]) => ({
      name,
      atOnce: reach(resolve(path), ["importedIds"], graph),
      all: reach(resolve(path), ["importedIds", "dynamicallyImportedIds"], graph),
    }));
    if (id !== REQUESTS && !entries.some(({ atOnce }) => atOnce.has(id))) return null;
    // The library's entry point exports nothing but its names, not what other scripts import.
    if (id === resolve(LIBRARY_ENTRIES.index)) return null;
    // A class that most pages do not import: by itself, no bundler takes it into them.
    if (id === resolve("src/classic/model.ts")) return "classic-model";
    const users = entries.filter(({ all }) => all.has(id));
    return users.length > 1 ? "shared" : `${users[0].name}-core`;
  };
}

/**
 * Bundles entry points, and the worker that is started then, into a folder. Scripts name their source maps, or, which
 * is 2 kB less in the page, only lie beside them.
 */
async function bundle(dir, entryPoints, { namesMaps = false, annotates = false } = {}) {
  const sourcemap = namesMaps ? true : "hidden";
  await roll(entryPoints, [], {
    preserveEntrySignatures: "allow-extension",
    dir,
    sourcemap,
    chunkFileNames: "[name]-[hash].js",
    hashCharacters: "base36",
    // Whoever bundles the library reads which calls are pure.
    comments: { annotation: annotates },
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ name: joinModules(entryPoints), debugName: "joined" }],
    },
  });
  await roll(WORKER, [], { dir, sourcemap });
}

/** A style sheet with what it imports. */
async function buildStyle(path) {
  const { outputFiles } = await esbuild.build({ entryPoints: [path], bundle: true, minify: true, write: false });
  return outputFiles[0].text;
}

/** What the standalone page leaves out: it downloads nothing, imports nothing, has one adapter and no other thread. */
const NOT_ALONE = [
  "platform/http",
  "hub-model",
  "url-files",
  "shards",
  "peft-import",
  "fingerprint",
  "served",
  "browser-disk",
  "device-check",
  "inference-check",
  "initial",
  "dequantize",
  "legacy",
].map((name) => new RegExp(`/${name}\\.[jt]s$`));

/** Builds the page that classifies on its own, in one file, without the model: see src/export/page.ts. */
async function buildStandalone() {
  const folder = join(PAGE, "standalone");
  const built = async (file) => (await roll(join(folder, file), NOT_ALONE, { format: "iife" })).trim();
  const style = (await buildStyle(join(folder, "page.css"))).trim();
  const page = await built("page.tsx");
  const worker = await built("worker.ts");
  const scriptHash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  // No connections: what is typed cannot leave the page.
  const policy = [
    "default-src 'none'",
    `script-src ${scriptHash(page)} 'wasm-unsafe-eval'`,
    "worker-src blob:",
    `style-src ${scriptHash(style)}`,
    "img-src data:",
  ].join("; ");
  const html = readFileSync(join(folder, "page.html"), "utf8")
    .replace("{{policy}}", policy)
    .replace('<link rel="stylesheet" href="page.css" />', () => `<style>${style}</style>`)
    .replace(/ src="worker.ts">/, () => `>${worker}`)
    .replace(/ src="page.tsx">/, () => `>${page}`);
  for (const folder of [NEW, join(WEB, "dist")]) writeFileSync(join(folder, "standalone.html"), html);
}

/** Large files that the page keeps once it has used them. */
const ONCE_USED = /^data\/models\/e5-small-cut\/.*\.gguf$/;

/**
 * Builds the service worker, which caches every file for offline use, under a version that depends on all their contents.
 */
async function buildServiceWorker() {
  const files = readdirSync(WEB, { recursive: true })
    .map((name) => String(name).replaceAll("\\", "/"))
    .filter((name) => !/\.(map|md)$/.test(name) && statSync(join(WEB, name)).isFile())
    .sort();
  const hash = createHash("sha256");
  for (const name of files) hash.update(`${name}\n`).update(readFileSync(join(WEB, name)));
  await esbuild.build({
    entryPoints: [join(PAGE, "service-worker.ts")],
    outdir: WEB,
    bundle: true,
    minify: true,
    sourcemap: true,
    target: TARGET,
    define: {
      FILES: JSON.stringify(files.filter((name) => !ONCE_USED.test(name))),
      ONCE_USED: JSON.stringify(files.filter((name) => ONCE_USED.test(name))),
      VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
    },
  });
}
