/** Exports to ONNX in the real transformers.js: probabilities, greedy texts, and the code as printed. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** The largest difference of probabilities, by the type of the weights: float32 on both sides, but for rounding. */
const TOLERANCE = { f32: 1e-5, f16: 1e-3, q8: 3e-2 };
const VERSION = "4.3.2";
const TEXTS = 50;
const PROMPTS = [
  ...["Once upon a time", "Everyone has the right to", "The", "In  1998,", "No one shall be", "He said: \"I'll"],
  ...["the the the", "Ünïcödé 你好", "def main():\n    ", "All human beings are born free and equal in dignity and"],
];

/** transformers.js in build/exchange, installed the first time. Its scripts only fetch what runs on NVIDIA's GPUs. */
async function openTransformers(home) {
  const name = "@huggingface/transformers";
  const path = join(home, "node_modules", name, "package.json");
  if (!existsSync(path) || JSON.parse(readFileSync(path, "utf8")).version !== VERSION) {
    console.log("installing transformers.js in build/exchange ...");
    writeFileSync(join(home, "package.json"), JSON.stringify({ private: true }));
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    execFileSync("npm", ["install", ...flags, `${name}@${VERSION}`], { cwd: home });
  }
  return import(pathToFileURL(createRequire(join(home, "package.json")).resolve(name)).href);
}

/** `bases`: GPT-2s and Llama-type models, by name; of GGUF files, the first. */
export async function checkOnnx({ lowrank, device, work, bases, report, must }) {
  const home = resolve("build/exchange");
  const { pipeline, AutoTokenizer, AutoModelForSequenceClassification } = await openTransformers(home);
  const { Classifier, LanguageModel, fineTune, loadDataset, loadModel, loadTexts } = lowrank;
  const folder = join(work, "onnx");
  mkdirSync(folder, { recursive: true });

  const train = async (name, base, load, settings = {}) => {
    const model = await loadModel(base);
    const how = { epochs: 1, batchSize: 4, lr: 2e-3, rank: 3, headBias: false, ...settings };
    const run = await fineTune({ device, model, data: await load(model), ...how });
    await model.close();
    await run.save(join(folder, name));
    return join(folder, name);
  };
  const write = (run, base, dtype) => {
    const out = `${run}-${dtype}`;
    const flags = ["--run", run, "--model", base, "--to", "onnx", "--dtype", dtype, "--out", out];
    must(process.execPath, ["dist/export.js", ...flags]);
    return out;
  };
  const checkPrinted = (name, directory) => {
    const [, code] = /```js\n([^`]*)```/.exec(readFileSync(join(directory, "README.md"), "utf8"));
    writeFileSync(join(directory, "use.mjs"), code);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["use.mjs"], { cwd: directory, encoding: "utf8" });
    const last = (status === 0 ? stdout : stderr).trim().split("\n").at(-1);
    report(status === 0 && last !== "", `as printed, onnx ${name}: ${last}`);
  };

  const texts = Array.from({ length: TEXTS }, (_, i) =>
    ["ok", `Call ${i} 0800 now!`, "See you at seven", "don't  do\tthat 你好", "win ".repeat(i + 1)][i % 5].padEnd(
      i % 7,
      ".",
    ),
  );
  const rows = (label) => texts.map((text, i) => JSON.stringify({ text, label: label(i) })).join("\n");
  const files = {
    classes: rows((i) => ["ham", "spam", "other"][i % 3]),
    labels: rows((i) => ["a|b", "b", "", "c"][i % 4]),
  };
  for (const [name, content] of Object.entries({ ...files, scores: rows((i) => String((i % 7) - 2)) }))
    writeFileSync(join(folder, `${name}.jsonl`), content);
  const load =
    (name, options = {}) =>
    (model) =>
      loadDataset(
        { file: join(folder, `${name}.jsonl`) },
        { model, maxLength: Math.min(60, model.config.n_positions), ...options },
      );

  for (const [name, base] of Object.entries(bases)) {
    const run = await train(
      `classes-${name}`,
      base,
      load("classes"),
      name === "qwen2" ? { pooling: "last-token" } : {},
    );
    const classifier = await Classifier.load(run, { device, model: base });
    const ours = await classifier.classify(texts);
    classifier.destroy();
    for (const dtype of name === "micro" ? ["f32", "f16", "q8"] : ["f32"]) {
      const directory = write(run, base, dtype);
      const classify = await pipeline("text-classification", directory);
      const alone = [];
      for (const text of texts) alone.push(await classify(text, { top_k: null }));
      const batches = [];
      for (let i = 0; i < texts.length; i += 10)
        batches.push(...(await classify(texts.slice(i, i + 10), { top_k: null })));
      await classify.dispose();
      const [one, padded] = [alone, batches].map((all) =>
        Math.max(
          ...all.flatMap((row, i) => row.map(({ label, score }) => Math.abs(score - ours[i].probabilities[label]))),
        ),
      );
      report(
        one <= TOLERANCE[dtype] && padded <= TOLERANCE[dtype],
        `onnx ${name} ${dtype}, ${texts.length} texts: probabilities ${one.toExponential(1)}, in batches ${padded.toExponential(1)}`,
      );
      if (name === "micro") checkPrinted(`${name} ${dtype}`, directory);
    }
  }

  const { micro } = bases;
  for (const [name, objective] of [
    ["labels", "multi-label"],
    ["scores", "regression"],
  ]) {
    const run = await train(name, micro, load(name, { objective }));
    const directory = write(run, micro, "f32");
    const classifier = await Classifier.load(run, { device, model: micro });
    const ours = await classifier.logits(texts);
    classifier.destroy();
    const tokenizer = await AutoTokenizer.from_pretrained(directory);
    const model = await AutoModelForSequenceClassification.from_pretrained(directory);
    const { logits } = await model(tokenizer(texts, { padding: true, truncation: true }));
    await model.dispose();
    const error = Math.max(...ours.map((value, i) => Math.abs(value - logits.data[i])));
    report(error <= 1e-4, `onnx ${objective}: logits ${error.toExponential(1)}`);
    checkPrinted(objective, directory);
  }

  for (const [name, base] of Object.entries(bases)) {
    const data = (model) => loadTexts({ file: join(folder, "texts.jsonl") }, { model, maxLength: 32 });
    writeFileSync(join(folder, "texts.jsonl"), texts.map((text) => JSON.stringify({ text })).join("\n"));
    const run = await train(`lm-${name}`, base, data);
    const lm = await LanguageModel.load(run, { device, model: base });
    const ours = await lm.complete(PROMPTS, { maxNewTokens: 16, temperature: 0 });
    lm.destroy();
    const directory = write(run, base, "f32");
    const generate = await pipeline("text-generation", directory);
    const how = { max_new_tokens: 16, do_sample: false };
    const ends = (all) => all.map(([{ generated_text }], i) => generated_text.slice(PROMPTS[i].length));
    const alone = [];
    for (const prompt of PROMPTS) alone.push(await generate(prompt, how));
    const padded = await generate(PROMPTS, how);
    await generate.dispose();
    // In a batch transformers.js goes on behind the end of a text, and leaves the end itself out.
    const isOurs = (text, i) => text === ours[i].text;
    const beginsAsOurs = (text, i) => isOurs(text, i) || (ours[i].finish === "end" && text.startsWith(ours[i].text));
    const equal = [ends(alone).filter(isOurs).length, ends(padded).filter(beginsAsOurs).length];
    report(
      equal.every((count) => count === PROMPTS.length),
      `onnx lm ${name}: ${equal[0]} of ${PROMPTS.length} greedy texts equal, ${equal[1]} in one padded batch`,
    );
    // The others' context is shorter than the text that is asked for.
    if (name === "micro") checkPrinted(`lm ${name}`, directory);
  }
}
