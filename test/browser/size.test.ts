/** The size of the built files that a page loads: code and WASM after gzip, without models and tables. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { SHADERS } from "../../src/backend/generated/later-shaders.ts";
import { NUMBERS } from "../../src/backend/generated/numbers.ts";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { assembleShader, unroll } from "../../src/backend/webgpu-source.ts";
import { buildPlan } from "../../src/model/model.ts";
import { test } from "../helpers/harness.ts";
import { smallSpec } from "../helpers/models.ts";

const KB = 1000;
/**
 * Limits of a page that classifies, and of this project's whole page. A bundler leaves out what generates: `npm run
 * test:bundlers` has limits of its own.
 */
const EMBED_BYTES = 84.5 * KB;
const PAGE_BYTES = 235 * KB;
const STANDALONE_BYTES = 86 * KB;
/** What a page that classifies loads besides where there is WebGPU, with the check of the GPU. */
const WEBGPU_BYTES = 16 * KB;

const LIBRARY = packagePath("dist/browser");
/** A page loads one of the two builds of the kernels: the larger counts. */
const KERNELS = packagePath("dist/kernels-relaxed.wasm");
const TOKENIZER = packagePath("dist/tokenizer.wasm");
/** It has the tokenizer, too: a page that has loaded data does not load the other. */
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

test("a page that classifies loads at most 84.5 kB, 16 kB more for WebGPU, and no code that trains or reads data sets", () => {
  const code = closure(join(LIBRARY, "index.js"));
  const cpu = readdirSync(LIBRARY).find((name) => /^wasm-open-\w+\.js$/.test(name))!;
  const files = [cpu, "kernels-worker.js"].flatMap((name) => [...closure(join(LIBRARY, name))]);
  const bytes = zipped([...new Set([...code, ...files]), TOKENIZER, KERNELS]);
  assert.ok(bytes <= EMBED_BYTES, `${bytes} bytes`);
  const chunk = readdirSync(LIBRARY).find((name) => /^gpu-\w+\.js$/.test(name))!;
  const webgpu = zipped([...closure(join(LIBRARY, chunk))].filter((path) => !code.has(path)));
  assert.ok(webgpu <= WEBGPU_BYTES, `${webgpu} bytes for WebGPU`);
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

test("a page that classifies on WebGPU loads none of the shaders that are loaded on demand", async () => {
  const plan = buildPlan({
    spec: smallSpec("lora"),
    capacity: { tokens: 64, sequences: 4 },
    maxBinding: 1 << 27,
    optimizer: null,
  });
  for (const dispatch of plan.segments.flatMap(({ dispatches }) => dispatches)) {
    const shader = chooseShader(dispatch);
    const code = await assembleShader(dispatch.kernel, shader);
    for (const [later, source] of Object.entries(SHADERS))
      assert.not.ok(code.includes(unroll(source)), `${shader.name} needs ${later}`);
  }
});

/**
 * What the page loads only when a visitor asks for it, in kB, and the sources of which it consists. A file belongs to
 * the first that has all of its sources.
 */
const LATER: Readonly<Record<string, readonly [kilobytes: number, sources: RegExp]>> = {
  // Another compression than Snappy.
  compressors: [80, /\/node_modules\/(hyparquet-compressors|fzstd|hysnappy)\//],
  // A data set or a model of the hub, or the SMS collection; hashes besides, as the browser has none of a download.
  hub: [
    37,
    /\/(src\/(platform\/browser-download|data\/(sets\/(hub|sms)|table\/parquet)|io\/([a-z]+\/)?(hub(?!-names|\/)|download\.|shards))|data\/datasets\/sms-experiment|node_modules\/(hyparquet|@noble)\b)/,
  ],
  // Programs give rows, no visitor does.
  rows: [1.2, /\/src\/data\/sets\/memory-rows\./],
  // Files by the address of a server; what mends a folder or says what it lacks.
  folders: [2.2, /\/src\/(platform\/url-files|io\/([a-z]+\/)?missing-files)\./],
  // A comparison of settings on WebGPU; a model with several.
  "several adapters": [
    9.2,
    /\/src\/(train\/(scheduler|group|cpu-parts|clock)|engine\/(group|members)|plan\/fuse|ops\/jobs|infer\/several-adapters)\./,
  ],
  tables: [
    6,
    /\/src\/(infer\/table\/(label-(table|fields)|open-table|table|parquet)|data\/table\/text-columns|run\/trained-texts|web\/worker\/label)\./,
  ],
  // How others use a model: code of an export, columns of a labelled table.
  usages: [1.4, /\/src\/tasks\/([\w-]+\/[\w-]+-usage|usages)\./],
  // What `check` says of a visitor's file.
  problems: [4.9, /\/src\/(data\/(problems|table\/(checked-columns|label-kinds))|run\/check|web\/worker\/check)\./],
  // Labels that a person reviews.
  review: [1.8, /\/src\/(study\/review|web\/(worker\/review|page\/data\/review-part))\./],
  // Models that come with the page.
  examples: [0.6, /\/src\/web\/worker\/examples\./],
  // A file that is a document or a picture.
  "other files": [0.6, /\/src\/data\/table\/foreign\./],
  // What a language model learns from.
  "texts to learn": [5.2, /\/(src\/data\/text\/(texts|blocks|text-rows|text-file)\.|data\/datasets\/human-rights)/],
  // What a run is compared with, which is measured when it begins; texts unlike it, and zip files, which only programs have.
  classic: [9.9, /\/src\/(classic\/|train\/baselines\.)/],
  pairs: [1, /\/src\/infer\/pairs\./],
  tags: [
    5,
    /\/src\/(data\/text\/(tagged|words)|infer\/words|tasks\/tokens\/(tokens-results|entities)|train\/tag-baselines)\./,
  ],
  // Generation.
  texts: [
    9.4,
    /\/src\/(infer\/text\/(decoding|generation|language-model|read-ahead|run-length|stop-strings)|(engine|model)\/decoder|ops\/(cache|sample)|web\/worker\/writer)\./,
  ],
  // What checks a GPU that is not known to be right, what measures the variants of products.
  measuring: [
    8.5,
    /\/(src\/(backend\/(compare|webgpu-(choice|timer)|generated\/measured-shaders)|engine\/check-work|(infer\/text\/generation|train\/training)-check)\.|shaders\/matmul_direct\.)/,
  ],
  // The shaders of some methods, of sampling and of Llama.
  methods: [5, /\/(src\/backend\/generated\/method-shaders\.|shaders\/)/],
  // With the shaders that train, and the check of the GPU.
  gpu: [
    20.2,
    /\/(src\/(backend\/(webgpu(-(nudge|pace|scalars|shaders|source))?|generated\/(all-shaders|numbers))|engine\/device-(check|times)|infer\/inference-check)\.|shaders\/(?!matmul_direct))/,
  ],
  scores: [
    6,
    /\/src\/(tasks\/(regression|multi-label|lm)\/[\w-]+-results|train\/(score|label)-baselines|data\/outputs)\./,
  ],
  // What is wrong with a page that lacks files of the package.
  "page errors": [0.8, /\/src\/platform\/page-errors\./],
  // Excel files.
  excel: [7.2, /\/(src\/(data\/table\/(xlsx|sheet-lines)|infer\/table\/sheet)\.|node_modules\/saxen\/)/],
  "rows of other files": [
    2.7,
    /\/src\/(data\/(table\/(lines|fasttext)|sets\/(folder|given-sets))|infer\/table\/csv-rows)\./,
  ],
  // Which columns are text and label where their names do not say it.
  "columns by contents": [1.7, /\/src\/data\/table\/column-facts\./],
  "label faults": [1.8, /\/src\/data\/table\/label-faults\./],
  // The card with what a model writes.
  writing: [4.2, /\/src\/(web\/page\/write\/[\w-]+|infer\/text\/sampling)\./],
  // What the runs of a comparison say together.
  comparison: [2.7, /\/src\/(study\/outcome|views\/study\/(comparison|seeds)|web\/page\/runs\/compared)\./],
  // What a run learned, in figures.
  learned: [2, /\/src\/web\/page\/run\/learned\./],
  // Training messages like one, a map of the test messages.
  why: [4, /\/src\/(infer\/hidden|web\/(worker\/alike|page\/why\/(why-part|map)))\./],
  // Data of `train --folds`, and groups of its rows.
  folds: [3, /\/src\/data\/sets\/(folds|groups|corrections)\./],
  records: [2.9, /\/src\/(run\/check-record|check-tree|tasks\/stored)\./],
  "foreign files": [
    15.3,
    /\/src\/(io\/([a-z]+\/)?(vocabulary-tables|pretokenizers|tokenizer-(files|json)|peft-(import|import-virtual|config)|expression|name-patterns)|(de)?quantize)\./,
  ],
  // A model in 8 or 4 bits on the CPU.
  blocks: [0.6, /\/src\/backend\/block-panels\./],
  // With Jinja.
  chats: [14.3, /\/(src\/data\/text\/chat\.|node_modules\/@huggingface\/jinja\/)/],
  gguf: [8.2, /\/src\/io\/([a-z]+\/)?(gguf(?!\/)|ggml|tokenizer-(gguf|fast))[\w-]*\./],
  // Architectures other than GPT-2.
  rotary: [
    4.6,
    /\/src\/(io\/([a-z]+\/)?(rotary-config|parts|collect)|model\/(llama|neox|gate|rotate|rope-table)|ops\/(rope|swiglu))\./,
  ],
  zip: [4.6, /\/(src\/io\/zip\.|node_modules\/fflate\/)/],
  // Models and adapters by the address of a server, adapters in one file.
  served: [2, /\/src\/io\/([a-z]+\/)?(served|packed)\./],
  "tied head": [0.5, /\/src\/io\/tied-head\./],
  "copied head": [0.7, /\/src\/io\/peft\/peft-copy\./],
  reference: [1.8, /\/src\/(infer|train)\/reference\./],
  onnx: [7.3, /\/src\/(export\/(onnx|tokenizer)|io\/([a-z]+\/)?(tokenizer-fast|collect|builder)|(de)?quantize)/],
  // What a run is downloaded as: its README, code that uses it, the page of one file, forms for other programs.
  downloads: [
    24,
    /\/(src\/(export\/|quote\.|io\/([a-z]+\/)?(model-file|merge|ggml-encode|gguf-(adapter|metadata|tensors|vocabulary|write))\.|run\/describe-data|views\/(card|markdown|block-file)|web\/(worker\/files\/(download|page-base|forms)|page\/run\/forms-part))|data\/datasets\/)/,
  ],
};

test("the whole page loads at most 235 kB; what only some visitors need is loaded on demand", () => {
  const folder = packagePath("dist/web/dist/page");
  const code = readdirSync(folder)
    .filter((name) => /\.(js|css)$/.test(name))
    .map((name) => join(folder, name));
  const started = new Set(["main.js", "worker.js"].flatMap((name) => [...closure(join(folder, name))]));
  const groups = new Map<string | undefined, string[]>();
  for (const path of code) {
    const parts = path.endsWith(".js") ? sources([path]) : [];
    const isOf = ([, pattern]: (typeof LATER)[string]) => parts.length > 0 && parts.every((part) => pattern.test(part));
    const name = Object.keys(LATER).find((one) => isOf(LATER[one]!));
    assert.ok(name === undefined || !started.has(path), `${path} is loaded at the start`);
    groups.set(name, [...(groups.get(name) ?? []), path]);
  }
  const page = zipped([...groups.get(undefined)!, DATA, KERNELS]);
  assert.ok(page <= PAGE_BYTES, `${page} bytes of at most ${PAGE_BYTES}`);
  for (const [name, [most]] of Object.entries(LATER)) {
    const files = groups.get(name) ?? [];
    const bytes = zipped(files);
    assert.ok(files.length > 0 && bytes <= most * KB, `${name}: ${bytes} bytes of at most ${most} kB`);
  }
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

test("a page of one file has at most 86 kB of code in addition to the model, the tables and the WASM", () => {
  const bytes = zipped([packagePath("dist/standalone.html")]);
  assert.ok(bytes <= STANDALONE_BYTES, `${bytes} bytes`);
});

test("importing the library has no side effects", async () => {
  // A module with side effects would fail in Node, which has no location, navigator.gpu or Worker.
  const before = Object.keys(globalThis).sort();
  const library = (await import(`${LIBRARY}/index.js`)) as Record<string, unknown>;
  assert.type(library.fineTune, "function");
  assert.equal(Object.keys(globalThis).sort(), before);
});
