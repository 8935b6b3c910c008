/**
 * Builds the browser bundles. dist/browser/ is the library `lowrank/browser`; dist/web/ is the complete page. It
 * mirrors the package's layout (dist/browser/, data/models/, ...), so that relative paths are the same in both.
 */
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as esbuild from "esbuild";
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

/** Small modules that the library loads on demand. In the page's scripts they take less than in scripts of their own. */
const NOT_APART =
  /import\("([./\w-]*\/(?:device-check|quantize|tokenizer-files|url-files|recover|initial|decoding))\.ts"\)/g;

/** Makes imports on demand of those modules static. */
function joinSmall({ onLoad }) {
  onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
    const code = readFileSync(path, "utf8");
    const paths = [...new Set([...code.matchAll(NOT_APART)].map(([, name]) => name))];
    if (paths.length === 0) return undefined;
    const imports = paths.map((name, i) => `import * as later${i} from "${name}.ts";\n`).join("");
    const joined = code.replace(NOT_APART, (_, name) => `Promise.resolve(later${paths.indexOf(name)})`);
    return { contents: imports + joined, loader: "ts" };
  });
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
  const scripts = { main: `${PAGE}/page/main.ts`, worker: `${PAGE}/worker/worker.ts`, style: join(PAGE, "style.css") };
  await bundle(join(WEB, SCRIPTS), scripts, {
    external: [REMOTE, TIMER],
    plugins: [...common.plugins, { name: "join", setup: joinSmall }],
  });
  await bundle(join(WEB, BENCH), { bench: `${PAGE}/page/bench.ts` });
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
async function bundle(outdir, entryPoints, { external = [], plugins = common.plugins, namesMaps = false } = {}) {
  const options = { ...common, plugins, outdir, metafile: true };
  const split = await esbuild.build({
    ...options,
    entryPoints,
    external,
    chunkNames: "[name]-[hash]",
    splitting: true,
  });
  const { "remote-worker": remote, ...others } = WORKERS;
  const whole = await esbuild.build({ ...options, entryPoints: external.includes(REMOTE) ? others : WORKERS });
  for (const path of Object.keys({ ...split.metafile.outputs, ...whole.metafile.outputs })) {
    if (!path.endsWith(".js")) continue;
    const inputMap = JSON.parse(readFileSync(`${path}.map`, "utf8"));
    const { code, map } = shrink(path, readFileSync(path, "utf8"), { module: true, sourcemap: true, inputMap });
    writeFileSync(path, namesMaps ? `${code}\n//# sourceMappingURL=${basename(path)}.map\n` : code);
    writeFileSync(`${path}.map`, JSON.stringify(map));
  }
}

/** Shortens a script further than esbuild does, by 3 % after gzip. */
function shrink(path, script, options) {
  const { code, map, errors } = minifySync(path, script, options);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  // Bundlers look for files and workers in quotes.
  return { code: code.replace(/\b(import\(|new URL\(|type:)`([\w./-]+)`/g, '$1"$2"'), map };
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
    return (file.endsWith(".ts") ? shrink(file, text, {}).code : text).trim();
  };
  const script = { format: "iife", external: NOT_ALONE, logOverride: { "empty-import-meta": "silent" } };
  const style = await built("page.css");
  const page = await built("page.ts", script);
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
    .replace(/ src="page.ts">/, () => `>${page}`);
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
