/** The size of the built files that a page loads: code and WASM after gzip, without models and tables. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { NUMBERS } from "../../src/backend/generated/numbers.ts";
import { test } from "../helpers/harness.ts";

const KB = 1000;
/** Of a page that classifies, with WebGPU and the check of the GPU. */
const EMBED_BYTES = 130 * KB;
/** Of this project's page, when it starts. */
const PAGE_BYTES = 280 * KB;
/** With the tokenizers of encoders and the word counts of probes, which own data begin with. */
const STANDALONE_BYTES = 100 * KB;

const LIBRARY = packagePath("dist/browser");
/** A page loads one of the two builds of the kernels: the larger counts. */
const KERNELS = packagePath("dist/kernels-relaxed.wasm");
const TOKENIZER = packagePath("dist/tokenizer.wasm");
const DATA = packagePath("dist/data.wasm");

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

/** The source files of built files; a script that only exports what others have has no map. */
function sources(paths: Iterable<string>): string[] {
  return [...paths].flatMap((path) => {
    const map = `${path}.map`;
    return existsSync(map) ? (JSON.parse(readFileSync(map, "utf8")) as { sources: string[] }).sources : [];
  });
}

test("a page that classifies loads at most 130 kB, and no code that trains or reads data sets", () => {
  const code = closure(join(LIBRARY, "index.js"));
  const chunks = readdirSync(LIBRARY).filter((name) => /^(webgpu|inference-check)-\w+\.js$/.test(name));
  const files = [...chunks, "kernels-worker.js"].flatMap((name) => [...closure(join(LIBRARY, name))]);
  const bytes = zipped([...new Set([...code, ...files]), TOKENIZER, KERNELS]);
  assert.ok(chunks.length === 2 && bytes <= EMBED_BYTES, `${bytes} bytes`);
  const parts = sources(code);
  assert.ok(
    parts.some((path) => path.endsWith("src/infer/classifier.ts")),
    "the classifier is missing",
  );
  const training = parts.filter((path) =>
    /src\/(train\/(?!records)|run\/)|src\/data\/(corpus|loader)|src\/(model|ops)\/(dropout|backward|rules|adamw|gradnorm)/.test(
      path,
    ),
  );
  assert.equal(training, []);
});

test("the whole page loads at most 280 kB when it starts", () => {
  const folder = packagePath("dist/web/dist/page");
  const code = ["main.js", "worker.js", "kernels-worker.js"].flatMap((name) => [...closure(join(folder, name))]);
  const bytes = zipped([...new Set(code), join(folder, "style.css"), DATA, KERNELS]);
  assert.ok(bytes <= PAGE_BYTES, `${bytes} bytes of at most ${PAGE_BYTES}`);
});

test("numbers stand in the shaders of a page where the constants were", () => {
  const names = [...NUMBERS.matchAll(/const (\w+)/g)].map(([, name]) => name!);
  assert.ok(names.includes("TYPE_F16"));
  for (const folder of [LIBRARY, packagePath("dist/web/dist/page")])
    for (const file of readdirSync(folder).filter((name) => /\.(js|html)$/.test(name))) {
      const code = readFileSync(join(folder, file), "utf8");
      const left = names.filter((name) => code.includes(name));
      assert.equal(left, [], file);
    }
});

test("a page of one file has at most 100 kB of code in addition to the model, the tables and the WASM", () => {
  const bytes = zipped([packagePath("dist/standalone.html")]);
  assert.ok(bytes <= STANDALONE_BYTES, `${bytes} bytes`);
});

test("importing the library has no side effects", async () => {
  // A module with side effects would fail in Node, which has no location, navigator.gpu or Worker.
  const before = Object.keys(globalThis).sort();
  for (const [entry, name] of Object.entries({ index: "train", data: "loadDataset", engine: "fineTune" })) {
    const library = (await import(`${LIBRARY}/${entry}.js`)) as Record<string, unknown>;
    assert.type(library[name], "function");
  }
  assert.equal(Object.keys(globalThis).sort(), before);
});
