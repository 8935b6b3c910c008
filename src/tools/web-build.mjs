/**
 * Builds what runs in a page. dist/browser/ is the library `lowrank/browser`; dist/web/ is the page, complete: it mirrors the
 * package (dist/browser/, data/models/, ...), so that files find each other in both alike.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as esbuild from "esbuild";

const PAGE = "src/web";
const WEB = "dist/web";
const LIBRARY = "dist/browser";
/** What ships of the library; everything else in its folder is the page's. */
const LIBRARY_ENTRIES = {
  index: "src/browser.ts",
  "kernels-worker": "src/backend/kernels-worker.ts",
  "remote-worker": "src/backend/remote-worker.ts",
};
const ASSETS = [
  "dist/data.wasm",
  "dist/kernels.wasm",
  "dist/kernels-relaxed.wasm",
  "dist/gpt2.tokenizer.bin",
  "dist/datasets",
  "data/models",
];

/**
 * Everything from this origin but models that the visitor asks for by their name on the hub; of scripts inside a page, those
 * of these hashes.
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

/** Sent with every file; the first two let a page share memory between threads. */
const headers = (hashes) => ({
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": contentSecurityPolicy(hashes).join("; "),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
});

/** What a page need not load: the comments of shaders, and all of the hub's client but what is called. */
function makeSmall({ onLoad, onResolve }) {
  onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
    const code = readFileSync(path, "utf8").replace(/\/\/.*|\/\*[\s\S]*?\*\//g, "");
    // No space but between words, and beside a minus, which must not become a decrement.
    return { contents: code.replace(/\s+/g, " ").replace(/ ?([^\w\s@-]) ?/g, "$1"), loader: "text" };
  });
  // As built, the client does not come apart; its sources do.
  onResolve({ filter: /^@huggingface\/hub$/ }, () => ({ path: "hub", namespace: "small" }));
  onLoad({ filter: /^hub$/, namespace: "small" }, () => ({
    contents: ["model-info", "paths-info"].map((name) => `export * from "./${name}.ts";`).join("\n"),
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

/** The page's own programs: what index.html loads, and its worker. */
const PAGE_ENTRIES = { main: `${PAGE}/page/main.ts`, worker: `${PAGE}/worker/worker.ts` };

export async function buildWeb() {
  const js = join(WEB, LIBRARY);
  const { metafile } = await esbuild.build({
    ...common,
    entryPoints: {
      ...LIBRARY_ENTRIES,
      ...PAGE_ENTRIES,
      style: join(PAGE, "style.css"),
    },
    outdir: js,
    chunkNames: "[name]-[hash]",
    splitting: true,
    metafile: true,
  });
  copyLibrary(metafile.outputs, js);
  dropMapNames(Object.keys(metafile.outputs));
  for (const asset of ASSETS) cpSync(asset, join(WEB, asset), { recursive: true });
  const pages = readdirSync(PAGE).filter((name) => /\.(html|svg|webmanifest)$/.test(name));
  for (const file of pages) cpSync(join(PAGE, file), join(WEB, file));
  await buildServiceWorker();
  const hashes = pages.filter((name) => name.endsWith(".html")).flatMap((name) => inlineScripts(join(PAGE, name)));
  const lines = Object.entries(headers(hashes)).map(([name, value]) => `  ${name}: ${value}`);
  writeFileSync(join(WEB, "_headers"), `/*\n${lines.join("\n")}\n`);
}

/** The hashes of the scripts inside a page, as its policy names them. */
function inlineScripts(file) {
  const scripts = readFileSync(file, "utf8").matchAll(/<script\b(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g);
  return [...scripts].map(([, code]) => `'sha256-${createHash("sha256").update(code).digest("base64")}'`);
}

/** Copies what the library's entries load, at once or later, out of the page's folder. */
function copyLibrary(outputs, js) {
  rmSync(LIBRARY, { recursive: true, force: true });
  mkdirSync(LIBRARY, { recursive: true });
  const wanted = new Set(Object.keys(LIBRARY_ENTRIES).map((name) => `${js}/${name}.js`));
  for (const file of wanted) for (const { path } of outputs[file].imports) if (outputs[path]) wanted.add(path);
  for (const file of [...wanted].flatMap((name) => [name, `${name}.map`])) cpSync(file, join(LIBRARY, basename(file)));
}

/** The name of its map in every script is 2 kB of what the page loads; the maps stay beside the scripts. */
function dropMapNames(files) {
  for (const file of files.filter((name) => name.endsWith(".js")))
    writeFileSync(file, readFileSync(file, "utf8").replace(/\/\/# sourceMappingURL=\S*\s*$/, ""));
}

/** Keeps every file for a page without network, under a version that changes with any of them. */
async function buildServiceWorker() {
  const files = readdirSync(WEB, { recursive: true })
    .map((name) => String(name).replaceAll("\\", "/"))
    .filter((name) => !name.endsWith(".map") && !name.endsWith(".md") && statSync(join(WEB, name)).isFile())
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
