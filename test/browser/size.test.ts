/** The size of the built files that a page loads: code and WASM after gzip, without models and tables. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { test } from "../harness.ts";

const KB = 1000;
/** Limits of a page that classifies, and of this project's whole page. */
const EMBED_BYTES = 108 * KB;
const PAGE_BYTES = 224 * KB;

const LIBRARY = packagePath("dist/browser");
/** A page loads one of the two builds of the kernels: the larger counts. */
const WASM = ["dist/data.wasm", "dist/kernels-relaxed.wasm"].map((name) => packagePath(name));

const zipped = (paths: readonly string[]) =>
  paths.reduce((sum, path) => sum + gzipSync(readFileSync(path), { level: 9 }).length, 0);

/** A module and its static imports, transitively. */
function closure(entry: string, found = new Set<string>()): Set<string> {
  if (found.has(entry)) return found;
  found.add(entry);
  const imports = readFileSync(entry, "utf8").matchAll(/\b(?:from|import)\s*"(\.[^"]+)"/g);
  for (const [, name] of imports) closure(join(dirname(entry), name!), found);
  return found;
}

/** The source files of built files. */
function sources(paths: Iterable<string>): string[] {
  return [...paths].flatMap(
    (path) => (JSON.parse(readFileSync(`${path}.map`, "utf8")) as { sources: string[] }).sources,
  );
}

test("a page that classifies loads at most 108 kB, and no code that trains or reads data sets", () => {
  const code = closure(join(LIBRARY, "index.js"));
  const worker = closure(join(LIBRARY, "kernels-worker.js"));
  const bytes = zipped([...new Set([...code, ...worker]), ...WASM]);
  assert.ok(bytes <= EMBED_BYTES, `${bytes} bytes`);
  const parts = sources(code);
  assert.ok(
    parts.some((path) => path.endsWith("src/infer/classifier.ts")),
    "the classifier is missing",
  );
  const training = parts.filter((path) => /src\/(train\/(?!records)|run\/)|src\/data\/(corpus|loader)/.test(path));
  assert.equal(training, []);
});

test("the whole page loads at most 224 kB", () => {
  const folder = packagePath("dist/web/dist/browser");
  const code = readdirSync(folder).filter((name) => /\.(js|css)$/.test(name));
  const bytes = zipped([...code.map((name) => join(folder, name)), ...WASM]);
  assert.ok(bytes <= PAGE_BYTES, `${bytes} bytes`);
});

test("importing the library has no side effects", async () => {
  // A module with side effects would fail in Node, which has no location, navigator.gpu or Worker.
  const before = Object.keys(globalThis).sort();
  const library = (await import(`${LIBRARY}/index.js`)) as Record<string, unknown>;
  assert.type(library.fineTune, "function");
  assert.equal(Object.keys(globalThis).sort(), before);
});
