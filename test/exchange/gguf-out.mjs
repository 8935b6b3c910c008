/**
 * Exports for llama.cpp against llama.cpp: greedy texts of merged models, perplexities of every type of
 * weights, the bytes of its own quantiser, and the README's code as printed. Alone, after `npm run build`:
 * `node test/exchange/gguf-out.mjs [FILE.gguf ...]`, with the Python environment of run.mjs. FILEs are base models.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGE = "node-llama-cpp@3";
const TEXT = "test/golden/lm/sotu-1904.txt";
/** Tokens of the text whose perplexity is compared. */
const SCORED = 100;
const NEW_TOKENS = 40;
/**
 * llama.cpp rounds what GELU gives to F16, which moves a loss by some 1e-5. Where two tokens are as likely as this
 * allows (a difference of logits), texts part.
 */
const LOSS = 1e-4;
const GAP = 0.02;
const PROMPTS = [
  ...["Once upon a time", "The President said that", "In the year 1904 the people of", "My dear friend,"],
  ...["The law must", "There is no", "1, 2, 3,", "We have seen   that", "Our navy", "It’s a café; isn't it?"],
];

/** llama.cpp's package in build/exchange, installed the first time; null: the registry does not answer. */
async function loadPackage(home) {
  const directory = join(home, "llama");
  const entry = join(directory, "node_modules/node-llama-cpp/dist/index.js");
  if (!existsSync(entry)) {
    console.log("installing node-llama-cpp in build/exchange ...");
    mkdirSync(directory, { recursive: true });
    const env = { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true" };
    const command = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", directory, PACKAGE];
    if (spawnSync("npm", command, { env, stdio: "inherit" }).status !== 0) return null;
  }
  return { directory, ...(await import(pathToFileURL(entry))) };
}

/** Opens a file with products and caches in F32, calls `use`, and closes it. */
async function withModel(llama, modelPath, use) {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({
    contextSize: 256,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequence = context.getSequence();
  try {
    return await use(sequence, model);
  } finally {
    await model.dispose();
  }
}

/** The logits behind each of these tokens, as maps from tokens, the most likely first. */
async function logits(sequence, tokens) {
  await sequence.clearHistory();
  const generateNext = { logits: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } };
  const all = await sequence.controlledEvaluate(tokens.map((token) => [token, { generateNext }]));
  return all.map(({ next }) => next.logits);
}

/** Mean loss of tokens behind the token that ends a text. */
async function loss(sequence, end, tokens) {
  const all = await logits(sequence, [end, ...tokens.slice(0, -1)]);
  const losses = all.map((own, i) => {
    const [top] = own.values();
    let sum = 0;
    for (const logit of own.values()) sum += Math.exp(logit - top);
    return top + Math.log(sum) - own.get(tokens[i]);
  });
  return losses.reduce((sum, one) => sum + one, 0) / losses.length;
}

/** The texts' tokens, and where they part from ours: the difference of the two tokens' logits in llama.cpp. */
async function compareTexts(sequence, model, completions) {
  let same = 0;
  const gaps = [];
  const wrong = [];
  for (const [i, prompt] of PROMPTS.entries()) {
    const ids = model.tokenize(prompt);
    if (ids.join() !== completions[i].prompt.join()) wrong.push(`the tokens of ${JSON.stringify(prompt)} differ`);
    await sequence.clearHistory();
    const found = [];
    for await (const token of sequence.evaluate(ids, { temperature: 0 })) {
      found.push(token);
      if (found.length === completions[i].ids.length) break;
    }
    const at = completions[i].ids.findIndex((id, k) => id !== found[k]);
    if (at < 0 || found.length === at) same++;
    else {
      const last = (await logits(sequence, [...ids, ...found.slice(0, at)])).at(-1);
      gaps.push(last.get(found[at]) - last.get(completions[i].ids[at]));
    }
  }
  const parted =
    gaps.length > 0 ? `, others part where logits differ by ${gaps.map((gap) => gap.toExponential(1)).join(" ")}` : "";
  const good = wrong.length === 0 && gaps.every((gap) => gap < GAP) && same >= PROMPTS.length - 2;
  return [good, `${same} of ${PROMPTS.length} texts of ${NEW_TOKENS} tokens are ours${parted} ${wrong.join("; ")}`];
}

/** A run of a language model, with LoRA on all matrices. */
async function train({ fineTune, loadModel, loadTexts }, device, base, bytes, run) {
  const text = readFileSync(TEXT);
  const model = await loadModel(base);
  const part = (from, to) => {
    const own = text.subarray(from, to);
    return {
      name: `${from}.txt`,
      size: own.length,
      read: async (at, n) => own.slice(at, at + n),
      close: async () => {},
    };
  };
  const data = await loadTexts(
    { train: part(0, bytes), val: part(bytes, bytes + 600), test: part(bytes + 600, bytes + 1200) },
    { model, maxLength: 64 },
  );
  const trained = await fineTune({ device, model, data, epochs: 1, batchSize: 4, lr: 3e-3 });
  await model.close();
  await trained.save(run);
}

export async function checkGgufOut(home, work, micro, files, python, must, report, library, device) {
  const llamaCpp = await loadPackage(home);
  if (!llamaCpp) return console.log("skipped: llama.cpp: node-llama-cpp could not be installed");
  const { getLlama, LlamaLogLevel, directory } = llamaCpp;
  const llama = await getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: LlamaLogLevel.error });
  const folder = join(work, "gguf-out");
  mkdirSync(folder, { recursive: true });
  for (const [base, bytes] of [[micro, 20000], ...files.map((file) => [resolve(file), 2000])]) {
    const name = basename(base, ".gguf");
    const own = (form) => join(folder, `${name}-${form}`);
    await train(library, device, base, bytes, own("run"));
    const write = (dtype) => {
      const out = own(`gguf-${dtype}`);
      must(process.execPath, ["dist/export.js", "--run", own("run"), "--to", "gguf", "--dtype", dtype, "--out", out]);
      return out;
    };
    const lm = await library.LanguageModel.load(own("run"), { device });
    const ours = await lm.complete(PROMPTS, { maxNewTokens: NEW_TOKENS });
    for (const [i, prompt] of PROMPTS.entries()) ours[i].prompt = [...lm.tokenizer.encode(prompt)];
    const scored = lm.tokenizer.decode(
      lm.tokenizer.encode(readFileSync(TEXT, "utf8").slice(30000, 32000)).slice(0, SCORED),
    );
    const tokens = [...lm.tokenizer.encode(scored)];
    const mean = (await lm.score(scored)).loss;
    const end = lm.tokenizer.endOfText;
    lm.destroy();
    const merged = Object.fromEntries(["f32", "f16", "q8", "q4"].map((dtype) => [dtype, write(dtype)]));
    const losses = {};
    for (const [dtype, out] of Object.entries(merged))
      losses[dtype] = await withModel(llama, join(out, "model.gguf"), async (sequence, model) => {
        if (dtype === "f32") report(...(await named(`gguf ${name}, merged`, compareTexts(sequence, model, ours))));
        return loss(sequence, end, tokens);
      });
    const good = Math.abs(losses.f32 / mean - 1) <= LOSS && losses.q4 < 1.2 * mean;
    const all = Object.entries({ ours: mean, ...losses });
    report(
      good,
      `gguf ${name}, perplexity: ${all.map(([kind, one]) => `${kind} ${Math.exp(one).toFixed(3)}`).join(", ")}`,
    );
    compareBytes(directory, python, folder, name, merged, report);
    if (base === micro) checkPrinted(directory, merged.f16, report);
  }
  await llama.dispose();
}

async function named(name, comparison) {
  const [good, line] = await comparison;
  return [good, `${name}: ${line}`];
}

/** Files in Q8_0 and Q4_0 against those of llama.cpp's own quantiser. */
function compareBytes(directory, python, folder, name, merged, report) {
  const platform = `${process.platform === "win32" ? "win" : process.platform === "darwin" ? "mac" : "linux"}-${process.arch}`;
  const libraries = join(directory, "node_modules/@node-llama-cpp", platform, "bins", platform);
  const file = (dtype) => join(merged[dtype], "model.gguf");
  const pairs = [`1=${file("f16")}`, `7=${file("q8")}`, `2=${file("q4")}`];
  const scratch = join(folder, "scratch.gguf");
  const command = ["test/exchange/quantize.py", libraries, file("f32"), scratch, ...pairs];
  const { stdout, stderr } = spawnSync(python, command, { encoding: "utf8" });
  rmSync(scratch, { force: true });
  const last = stdout.trim().split("\n").at(-1);
  const different = last ? Object.values(JSON.parse(last)).flat() : [stderr.trim().split("\n").at(-1)];
  report(
    different.length === 0,
    `gguf ${name}, F16, Q8_0 and Q4_0: ${different.join(", ") || "the bytes of llama.cpp's quantiser"}`,
  );
}

/** Whether the code in an export's README runs as it is printed. */
function checkPrinted(directory, out, report) {
  const [, code] = /```js\n([^`]*)```/.exec(readFileSync(join(out, "README.md"), "utf8"));
  symlinkSync(join(directory, "node_modules"), join(out, "node_modules"), "dir");
  writeFileSync(join(out, "printed.mjs"), code);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["printed.mjs"], { cwd: out, encoding: "utf8" });
  const good = status === 0 && stdout.trim() !== "";
  report(good, `as printed, ${basename(out)}: ${(good ? stdout : stderr).trim().split("\n").at(-1).slice(0, 80)}`);
}

if (process.argv[1] === import.meta.filename) {
  const home = resolve("build/exchange");
  const library = await import(pathToFileURL(resolve("dist/node.js")));
  const device = await library.openDevice("wasm");
  const work = join(home, "work-gguf");
  rmSync(work, { recursive: true, force: true });
  let failures = 0;
  const report = (good, line) => {
    console.log(`${good ? "ok  " : "FAIL"} ${line}`);
    if (!good) failures++;
  };
  const must = (command, args) => {
    if (spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] }).status !== 0) process.exit(1);
  };
  const micro = resolve("data/models/gpt2-micro");
  const python = join(home, "venv/bin/python");
  await checkGgufOut(home, work, micro, process.argv.slice(2), python, must, report, library, device);
  device.destroy();
  process.exit(failures > 0 ? 1 : 0);
}
