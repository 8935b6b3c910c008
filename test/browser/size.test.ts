/** The size of the built files that a page loads: code and WASM after gzip, without models and tables. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { SHADERS } from "../../src/backend/generated/later-shaders.ts";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import { assembleShader, unroll } from "../../src/backend/webgpu-source.ts";
import { buildPlan } from "../../src/model/model.ts";
import { test } from "../helpers/harness.ts";
import { smallSpec } from "../helpers/models.ts";

const KB = 1000;
/**
 * Limits of a page that classifies, with threads and without shared memory, and of this project's whole page. A bundler
 * leaves out what generates: `npm run test:bundlers` has limits of its own.
 */
const EMBED_BYTES = 86 * KB;
const UNSHARED_BYTES = 88.3 * KB;
const PAGE_BYTES = 222.4 * KB;
/** What reads models and adapters of other programs: their tokenizers, their types of weights, PEFT's settings. */
const FOREIGN_BYTES = 14.6 * KB;
/** What compares a head with the token table. */
const TIED_BYTES = 0.5 * KB;
/** What compares a trained model with what it gave when it was saved, and measures that when a run ends. */
const REFERENCE_BYTES = 1.8 * KB;
/** What reads models in GGUF files. */
const GGUF_BYTES = 8.2 * KB;
/** What says that labels are no classes to learn, or look like several in one. */
const LABEL_FAULTS_BYTES = 1.8 * KB;
/** What the page loads besides for a data set of the hub; and for one with another compression than Snappy. */
const HUB_BYTES = 37 * KB;
const COMPRESSORS_BYTES = 80 * KB;
/** What reads files by the address of a server, and what mends a folder or says what it lacks. */
const FOLDERS_BYTES = 2.2 * KB;
const STANDALONE_BYTES = 83 * KB;
/** What a comparison of settings on WebGPU needs besides: several adapters in one plan. */
const SEVERAL_BYTES = 9.2 * KB;
/** What a run is downloaded as, and the code that uses it. */
const DOWNLOADS_BYTES = 7.2 * KB;
/** What quotes the words of a model in its downloads and forms. */
const QUOTES_BYTES = 0.7 * KB;
/** What makes the forms for other programs: merged models, GGUF files, the hub's folder, its card. */
const FORMS_BYTES = 18.5 * KB;
/** What only Llama-type models need. */
const LLAMA_BYTES = 4.6 * KB;
/** What writes ONNX. */
const ONNX_BYTES = 7.3 * KB;
/** What zips and unzips. */
const ZIP_BYTES = 4.6 * KB;
/** What measures a regression, or several labels a message, beside baselines. */
const SCORES_BYTES = 6 * KB;
/** What checks the records of stored runs. */
const RECORDS_BYTES = 2.9 * KB;
/** What labels a table, and finds its columns. */
const TABLE_BYTES = 6 * KB;
/** What makes a CSV file of the list of runs. */
const RUNS_CSV_BYTES = 1 * KB;
/** What joins the texts of a pair. */
const PAIRS_BYTES = 1 * KB;
/** What such a page loads besides where there is WebGPU, with the check of the GPU. */
const WEBGPU_BYTES = 16 * KB;
/** What makes texts of chats, with Jinja. */
const CHATS_BYTES = 14 * KB;
/** What generates text. */
const TEXTS_BYTES = 8 * KB;
/** The shaders of DoRA, dropout and prefix tuning, of regression and several labels, of sampling and of Llama. */
const METHODS_BYTES = 5 * KB;
/** What the page loads besides where there is WebGPU: with the shaders that train, and the check of the GPU. */
const PAGE_GPU_BYTES = 20.2 * KB;
/** What only training and generation check, what measures the variants of products, and one that nothing else uses. */
const MEASURING_BYTES = 8.5 * KB;

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

test("a page that classifies loads at most 86 kB, 16 kB more for WebGPU, and no code that trains or reads data sets", () => {
  const code = closure(join(LIBRARY, "index.js"));
  // The CPU is on threads, or in a worker where memory cannot be shared.
  for (const [part, worker, most] of [
    ["wasm-local", "kernels-worker", EMBED_BYTES],
    ["remote", "remote-worker", UNSHARED_BYTES],
  ] as const) {
    const chunk = readdirSync(LIBRARY).find((name) => new RegExp(`^${part}-\\w+\\.js$`).test(name))!;
    const files = [chunk, `${worker}.js`].flatMap((name) => [...closure(join(LIBRARY, name))]);
    const bytes = zipped([...new Set([...code, ...files]), TOKENIZER, KERNELS]);
    assert.ok(bytes <= most, `${bytes} bytes with ${part}`);
  }
  const chunk = readdirSync(LIBRARY).find((name) => /^gpu-\w+\.js$/.test(name))!;
  const webgpu = zipped([...closure(join(LIBRARY, chunk))].filter((path) => !code.has(path)));
  assert.ok(webgpu <= WEBGPU_BYTES, `${webgpu} bytes for WebGPU`);
  const parts = sources(code);
  assert.ok(
    parts.some((path) => path.endsWith("src/infer/classifier.ts")),
    "the classifier is missing",
  );
  const training = parts.filter((path) =>
    /src\/(train\/(?!records)|run\/)|src\/data\/(corpus|loader)|src\/(model|ops)\/(dropout|backward|adamw|gradnorm)/.test(
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
 * What is loaded only when a visitor asks for something on the hub, or for the SMS collection; hashes besides, as the
 * browser has none of a download.
 */
const OF_THE_HUB =
  /\/(src\/(data\/(hub|parquet|sms)|io\/(hub(?!-names)|download\.|shards))|data\/datasets\/sms-experiment|node_modules\/(hyparquet|@noble)\b)/;
const OF_FOLDERS = /\/src\/(platform\/url-files|io\/(missing-files|recover))\./;
const OF_SEVERAL =
  /\/src\/(train\/(scheduler|group|cpu-parts|clock)|engine\/(group|members)|plan\/fuse|ops\/grouped)\./;
const OF_TABLES =
  /\/src\/(infer\/(label-(table|fields)|open-table|table|parquet)|data\/text-columns|run\/trained-texts|web\/worker\/label)\./;
const OF_RUNS_CSV = /\/src\/(web\/page\/runs-csv|views\/csv)\./;
const OF_PAIRS = /\/src\/infer\/pairs\./;
const OF_DOWNLOADS = /\/src\/(export\/(standalone|peft-code|usage)|io\/model-file|web\/worker\/(take|page-base))\./;
const OF_QUOTES = /\/src\/quote\./;
/** Whatever is not in `OF_DOWNLOADS` but part of it. */
const OF_FORMS =
  /\/(src\/(export\/|io\/(merge|ggml-encode|gguf-(adapter|metadata|tensors|vocabulary|write))\.|run\/describe-data|views\/(card|markdown|block-file)|web\/(worker|page\/parts)\/forms)|data\/datasets\/)/;
const OF_FOREIGN =
  /\/src\/(io\/(vocabulary-tables|pretokenizers|tokenizer-(files|json)|peft-(import|import-virtual|config)|expression|name-patterns)|quantize)\./;
const OF_REFERENCE = /\/src\/(infer|train)\/reference\./;
const OF_TIED = /\/src\/io\/tied-head\./;
const OF_LLAMA = /\/src\/(io\/(llama-(config|files)|collect)|model\/(llama|rope-table)|ops\/(rope|swiglu|rmsnorm))\./;
const OF_ONNX = /\/src\/(export\/(onnx|tokenizer)|io\/(tokenizer-fast|collect|builder)|quantize)/;
const OF_ZIP = /\/(src\/io\/zip\.|node_modules\/fflate\/)/;
const OF_CHATS = /\/(src\/data\/chat\.|node_modules\/@huggingface\/jinja\/)/;
const OF_GGUF = /\/src\/io\/(gguf|ggml|tokenizer-(gguf|fast))[\w-]*\./;
const OF_SCORES = /\/src\/(train\/(regression|multi-label|ridge|label-baselines)|score-measures|data\/outputs)\./;
const OF_LABEL_FAULTS = /\/src\/data\/label-faults\./;
const OF_RECORDS = /\/src\/run\/check-record\./;
const OF_TEXTS =
  /\/src\/(infer\/(decoding|generation|language-model|read-ahead|run-length|stop-strings)|(engine|model)\/decoder|ops\/(cache|sample)|web\/worker\/writer)\./;
const OF_METHODS = /\/(src\/backend\/generated\/method-shaders\.|shaders\/)/;
const OF_GPU =
  /\/(src\/(backend\/(webgpu(-(nudge|pace|scalars|shaders|source))?|generated\/all-shaders)|engine\/device-(check|times)|infer\/inference-check)\.|shaders\/(?!matmul_direct))/;
const OF_MEASURING =
  /\/(src\/(backend\/(compare|webgpu-(choice|timer)|generated\/measured-shaders)|engine\/check-work|(infer|train)\/(generation|training)-check)\.|shaders\/matmul_direct\.)/;
const OF_COMPRESSORS = /\/node_modules\/(hyparquet-compressors|fzstd|hysnappy)\//;

test("the whole page loads at most 222.4 kB; what only some visitors need is loaded on demand", () => {
  const folder = packagePath("dist/web/dist/page");
  const code = readdirSync(folder)
    .filter((name) => /\.(js|css)$/.test(name))
    .map((name) => join(folder, name));
  const only = (pattern: RegExp) =>
    code.filter((path) => {
      const parts = path.endsWith(".js") ? sources([path]) : [];
      return parts.length > 0 && parts.every((source) => pattern.test(source));
    });
  const compressors = only(OF_COMPRESSORS);
  const hub = only(OF_THE_HUB).filter((path) => !compressors.includes(path));
  const folders = only(OF_FOLDERS);
  const several = only(OF_SEVERAL);
  const tables = only(OF_TABLES);
  const runsCsv = only(OF_RUNS_CSV);
  const pairs = only(OF_PAIRS);
  const texts = only(OF_TEXTS);
  const measuring = only(OF_MEASURING);
  const methods = only(OF_METHODS).filter((path) => !measuring.includes(path));
  const gpu = only(OF_GPU).filter((path) => !methods.includes(path));
  const scores = only(OF_SCORES);
  const labelFaults = only(OF_LABEL_FAULTS);
  const records = only(OF_RECORDS);
  const foreign = only(OF_FOREIGN);
  const chats = only(OF_CHATS);
  const gguf = only(OF_GGUF);
  const llama = only(OF_LLAMA);
  const zip = only(OF_ZIP);
  const tied = only(OF_TIED);
  const reference = only(OF_REFERENCE);
  const quotes = only(OF_QUOTES);
  const onnx = only(OF_ONNX).filter((path) => ![...foreign, ...gguf, ...llama].includes(path));
  const downloads = only(OF_DOWNLOADS);
  const forms = only(OF_FORMS).filter((path) => ![...downloads, ...onnx].includes(path));
  const later = [
    ...scores,
    ...labelFaults,
    ...records,
    ...hub,
    ...compressors,
    ...folders,
    ...several,
    ...tables,
    ...runsCsv,
    ...pairs,
    ...texts,
    ...methods,
    ...measuring,
    ...gpu,
    ...foreign,
    ...chats,
    ...gguf,
    ...llama,
    ...zip,
    ...tied,
    ...reference,
    ...quotes,
    ...onnx,
    ...downloads,
    ...forms,
  ];
  const started = new Set(["main.js", "worker.js"].flatMap((name) => [...closure(join(folder, name))]));
  for (const path of later) assert.not.ok(started.has(path), `${path} is loaded at the start`);
  for (const [some, most] of [
    [[...code.filter((path) => !later.includes(path)), DATA, KERNELS], PAGE_BYTES],
    [folders, FOLDERS_BYTES],
    [several, SEVERAL_BYTES],
    [tables, TABLE_BYTES],
    [runsCsv, RUNS_CSV_BYTES],
    [pairs, PAIRS_BYTES],
    [onnx, ONNX_BYTES],
    [texts, TEXTS_BYTES],
    [methods, METHODS_BYTES],
    [measuring, MEASURING_BYTES],
    [gpu, PAGE_GPU_BYTES],
    [scores, SCORES_BYTES],
    [labelFaults, LABEL_FAULTS_BYTES],
    [records, RECORDS_BYTES],
    [foreign, FOREIGN_BYTES],
    [chats, CHATS_BYTES],
    [gguf, GGUF_BYTES],
    [llama, LLAMA_BYTES],
    [zip, ZIP_BYTES],
    [tied, TIED_BYTES],
    [reference, REFERENCE_BYTES],
    [quotes, QUOTES_BYTES],
    [downloads, DOWNLOADS_BYTES],
    [forms, FORMS_BYTES],
    [hub, HUB_BYTES],
    [compressors, COMPRESSORS_BYTES],
  ] as const) {
    const bytes = zipped(some);
    assert.ok(some.length > 0 && bytes <= most, `${bytes} bytes of at most ${most}`);
  }
});

test("a page of one file has at most 83 kB of code beside the model, the tables and the WASM", () => {
  const bytes = zipped([packagePath("dist/web/dist/page/standalone.html")]);
  assert.ok(bytes <= STANDALONE_BYTES, `${bytes} bytes`);
});

test("importing the library has no side effects", async () => {
  // A module with side effects would fail in Node, which has no location, navigator.gpu or Worker.
  const before = Object.keys(globalThis).sort();
  const library = (await import(`${LIBRARY}/index.js`)) as Record<string, unknown>;
  assert.type(library.fineTune, "function");
  assert.equal(Object.keys(globalThis).sort(), before);
});
