/**
 * Builds the browser bundles. dist/browser/ is the library `lowrank/browser`; dist/web/ is the complete page. It
 * mirrors the package's layout (dist/browser/, data/models/, ...), so that relative paths are the same in both.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as esbuild from "esbuild";
import { rolldown } from "rolldown";
import { minifySync } from "vite";

const PAGE = "src/web";
const WEB = "dist/web";
/** The library, index.html and bench.html have a folder each: shared chunks would cost more requests and bytes. */
const LIBRARY = "dist/browser";
const SCRIPTS = "dist/page";
const BENCH = "dist/bench";
/** The library's workers. Each is one file without imports, so that a bundler may copy it as it is. */
const WORKERS = {
  "kernels-worker": "src/backend/kernels-worker.ts",
  "remote-worker": "src/backend/remote-worker.ts",
};
/** The CPU of a page's main thread. A page with a worker of its own computes there. */
const REMOTE = "*/remote.ts";
/** What measures dispatches: the page of measurements alone does. */
const TIMER = "*/webgpu-timer.ts";
const ASSETS = [
  "dist/data.wasm",
  "dist/kernels.wasm",
  "dist/kernels-relaxed.wasm",
  "dist/gpt2.tokenizer.bin",
  "dist/datasets",
  "data/models",
];

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

/** Reduces the bundle size: drops the comments of shaders, and the unused parts of the hub's client. */
function makeSmall({ onLoad, onResolve }) {
  onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
    const code = readFileSync(path, "utf8").replace(/\/\/.*|\/\*[\s\S]*?\*\//g, "");
    // Keeps spaces between words, and around a minus sign, which could become a decrement.
    return { contents: code.replace(/\s+/g, " ").replace(/ ?([^\w\s@-]) ?/g, "$1"), loader: "text" };
  });
  // The client's build is not tree-shakable, its sources are.
  onResolve({ filter: /^@huggingface\/hub$/ }, () => ({ path: "hub", namespace: "small" }));
  onLoad({ filter: /^hub$/, namespace: "small" }, () => ({
    contents: ["model-info", "paths-info", "dataset-info", "list-files"]
      .map((name) => `export * from "./${name}.ts";`)
      .join("\n"),
    resolveDir: "node_modules/@huggingface/hub/src/lib",
  }));
}

const common = {
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2023",
  minify: true,
  sourcemap: true,
  plugins: [{ name: "small", setup: makeSmall }],
  logLevel: "warning",
};

export async function buildWeb() {
  rmSync(LIBRARY, { recursive: true, force: true });
  await bundle(LIBRARY, { index: "src/browser.ts" }, { namesMaps: true });
  const scripts = { main: `${PAGE}/page/main.tsx`, worker: `${PAGE}/worker/worker.ts`, style: join(PAGE, "style.css") };
  await bundle(join(WEB, SCRIPTS), scripts, { external: [REMOTE, TIMER] });
  await bundle(join(WEB, BENCH), { bench: `${PAGE}/bench/bench.tsx` });
  for (const asset of [LIBRARY, ...ASSETS]) cpSync(asset, join(WEB, asset), { recursive: true });
  await buildStandalone();
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

/**
 * Bundles entry points without some files, and the workers that are started then, into a folder. Scripts name their
 * source maps, or, which is 2 kB less in the page, only lie beside them.
 */
async function bundle(outdir, entryPoints, { external = [], namesMaps = false } = {}) {
  const options = { ...common, outdir, metafile: true };
  const split = await esbuild.build({
    ...options,
    entryPoints,
    external,
    chunkNames: "[name]-[hash]",
    splitting: true,
    write: false,
  });
  await joinChunks(outdir, split, namesMaps);
  const { "remote-worker": remote, ...others } = WORKERS;
  const whole = await esbuild.build({ ...options, entryPoints: external.includes(REMOTE) ? others : WORKERS });
  for (const path of Object.keys(whole.metafile.outputs)) {
    if (!path.endsWith(".js")) continue;
    const inputMap = JSON.parse(readFileSync(`${path}.map`, "utf8"));
    const { code, map } = shrink(path, readFileSync(path, "utf8"), { module: true, sourcemap: true, inputMap });
    writeFileSync(path, namesMaps ? `${code}\n//# sourceMappingURL=${basename(path)}.map\n` : code);
    writeFileSync(`${path}.map`, JSON.stringify(map));
  }
}

/**
 * Writes what esbuild has split. It makes a script for each set of entry points that need the same files, dozens of
 * them; those that an entry point always loads are joined here into one, which is a tenth less after gzip.
 */
async function joinChunks(outdir, { outputFiles, metafile: { outputs } }, namesMaps) {
  const files = new Map(outputFiles.map(({ path, text }) => [path, text]));
  const isScript = (path) => path.endsWith(".js");
  mkdirSync(outdir, { recursive: true });
  for (const [path, text] of files) if (!/\.js(\.map)?$/.test(path)) writeFileSync(path, text);
  /** A script and what it imports: at once, or also on demand. */
  const closure = (path, kinds, found = new Set()) => {
    if (found.has(resolve(path))) return found;
    found.add(resolve(path));
    for (const { kind, path: next } of outputs[path].imports)
      if (kinds.includes(kind) && outputs[next]) closure(next, kinds, found);
    return found;
  };
  const entries = Object.keys(outputs)
    .filter((path) => isScript(path) && dirname(path) === outdir && isNamed(path))
    .map((path) => ({
      path,
      name: basename(path, ".js"),
      atOnce: closure(path, ["import-statement"]),
      all: closure(path, ["import-statement", "dynamic-import"]),
    }));
  const isAlone = entries.length === 1;
  // What another entry point may load too is apart: a worker cannot run what is the page's.
  const groups = entries.map((entry) => ({
    name: `${entry.name}-core`,
    test: (id) => entry.atOnce.has(id) && entries.every((other) => other === entry || !other.all.has(id)),
  }));
  const isShared = (id) => !isAlone && entries.every(({ atOnce }) => atOnce.has(id));
  const bundled = await rolldown({
    preserveEntrySignatures: isAlone ? "strict" : "allow-extension",
    input: Object.fromEntries(entries.map(({ name, path }) => [name, resolve(path)])),
    platform: "browser",
    plugins: [
      {
        name: "split",
        resolveId: (id, importer) => {
          const path = importer ? resolve(dirname(importer), id) : id;
          return files.has(path) ? path : { id, external: true };
        },
        load: (id) => ({ code: files.get(id), map: JSON.parse(files.get(`${id}.map`)) }),
      },
    ],
  });
  const { output } = await bundled.write({
    dir: outdir,
    format: "esm",
    minify: true,
    sourcemap: namesMaps ? true : "hidden",
    entryFileNames: "[name].js",
    chunkFileNames: ({ name }) => `${name.replace(/-[A-Z0-9]{8}$/, "")}-[hash].js`,
    hashCharacters: "base36",
    codeSplitting: { includeDependenciesRecursively: isAlone, groups: [{ name: "shared", test: isShared }, ...groups] },
  });
  for (const { fileName } of output.filter(({ type }) => type === "chunk")) {
    const path = join(outdir, fileName);
    writeFileSync(path, inQuotes(readFileSync(path, "utf8")));
  }
}

/** Whether a script of esbuild's is an entry point's, and no chunk. */
const isNamed = (path) => !/-[A-Z0-9]{8}\.js$/.test(path);

/** Bundlers look for files and workers in quotes. */
const inQuotes = (code) => code.replace(/\b(import\(|new URL\(|type:)`([\w./-]+)`/g, '$1"$2"');

/** Shortens a script further than esbuild does, by 3 % after gzip. */
function shrink(path, script, options) {
  const { code, map, errors } = minifySync(path, script, options);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  return { code: inQuotes(code), map };
}

/** What the standalone page leaves out: it downloads nothing, imports nothing, and has no other thread. */
const NOT_ALONE = [
  REMOTE,
  ...["hub-model", "url-files", "recover", "bitsandbytes", "peft-import"].map((name) => `*/${name}.ts`),
];

/** Builds the page that classifies on its own, in one file, without the model: see src/run/standalone.ts. */
async function buildStandalone() {
  const folder = join(PAGE, "standalone");
  const built = async (file, options = {}) => {
    const entryPoints = [join(folder, file)];
    const { outputFiles } = await esbuild.build({ ...common, sourcemap: false, write: false, entryPoints, ...options });
    const { text } = outputFiles[0];
    return (/\.tsx?$/.test(file) ? shrink(file, text, {}).code : text).trim();
  };
  const script = { format: "iife", external: NOT_ALONE, logOverride: { "empty-import-meta": "silent" } };
  const style = await built("page.css");
  const page = await built("page.tsx", script);
  const worker = await built("worker.ts", script);
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
  writeFileSync(join(WEB, SCRIPTS, "standalone.html"), html);
}

/**
 * Builds the service worker, which caches every file for offline use, except the page of measurements, under a version
 * that depends on all their contents.
 */
async function buildServiceWorker() {
  const files = readdirSync(WEB, { recursive: true })
    .map((name) => String(name).replaceAll("\\", "/"))
    .filter((name) => !/\.(map|md)$/.test(name) && statSync(join(WEB, name)).isFile())
    .filter((name) => name !== "bench.html" && !name.startsWith(`${BENCH}/`))
    .sort();
  const hash = createHash("sha256");
  for (const name of files) hash.update(`${name}\n`).update(readFileSync(join(WEB, name)));
  await esbuild.build({
    ...common,
    entryPoints: [join(PAGE, "service-worker.ts")],
    outdir: WEB,
    define: {
      FILES: JSON.stringify(files),
      VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
    },
  });
}
