/** Model cards: PEFT and transformers open exports by the code of their cards, which huggingface_hub reads. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleProgram } from "../../src/tools/bundles.mjs";

const SMALL = { epochs: 1, batchSize: 8, lr: 1e-3 };
/** Words that would end a string, a comment, a script or a line of what is generated, if they could. */
const HOSTILE = ["a\nimport os; os.abort()\n#</script>`\"'*/", "b\u2028\ud83d\ude00 \\ ```"];
const LABELS = {
  classification: (i) => ["ham", "spam"][i % 2],
  hostile: (i) => HOSTILE[i % 2],
  regression: (i) => String((i % 7) - 2),
  "multi-label": (i) => ["a|b", "b", "", "c|a"][i % 4],
};
/** A run of each objective, method and kind of texts that differ in what is written. */
const RUNS = [
  { name: "lora, a bias, calibrated", calibrate: true },
  { name: "dora, cut texts", dora: true, maxLength: 12 },
  { name: "last token", pooling: "last-token" },
  { name: "prompt, last token", mode: "prompt", pooling: "last-token" },
  { name: "padded", padding: "longest", pooling: "last", headBias: false, lossy: true },
  { name: "prompt", mode: "prompt" },
  { name: "prefix", mode: "prefix" },
  { name: "bitfit", mode: "bitfit" },
  { name: "full, f16", mode: "last_block", dtype: "f16" },
  { name: "lora, q8", dtype: "q8" },
  { name: "regression", objective: "regression" },
  { name: "multi-label", objective: "multi-label", threshold: "f1", lossy: true },
  { name: "pairs", isPair: true },
  { name: "hostile labels", labels: "hostile" },
  { name: "bert", base: "bert", form: "merged", pooling: "cls", calibrate: true },
  { name: "bert, f16", base: "bert", form: "merged", pooling: "cls", dtype: "f16" },
  { name: "bert, pairs", base: "bert", form: "merged", pooling: "cls", isPair: true },
  { name: "bert, mean", base: "bert", form: "merged" },
  { name: "roberta", base: "roberta", form: "merged", pooling: "cls", targets: ["q", "v", "head"] },
  {
    name: "roberta, labels",
    base: "roberta",
    form: "merged",
    pooling: "cls",
    objective: "multi-label",
  },
  { name: "roberta, peft", base: "roberta", pooling: "cls" },
  { name: "xlm-roberta, score", base: "xlm-roberta", form: "merged", pooling: "cls", objective: "regression" },
  { name: "lm", objective: "lm" },
  { name: "lm, head", objective: "lm", targets: ["q", "v", "head"] },
  { name: "lm, full", objective: "lm", mode: "all", lr: 1e-4 },
];

function writeRows(path, objective, isPair, labels, base) {
  const text = (i) =>
    base
      ? `w${2 + (i % 90)} ${`w${3 + ((7 * i) % 91)} `.repeat(1 + (i % 5))}`
      : `message ${i} of ${["a friend", "the bank", "nobody"][i % 3]}${", please".repeat(i % 5)}`;
  const row = (i) =>
    objective === "lm"
      ? { text: `${text(i)}. `.repeat(8) }
      : { ...(isPair ? { question: text(i), answer: text(i + 1) } : { text: text(i) }), label: LABELS[labels](i) };
  writeFileSync(path, Array.from({ length: 80 }, (_, i) => JSON.stringify(row(i))).join("\n"));
}

async function train(
  { name, objective = "classification", isPair = false, labels = objective, lossy: _, form: __, base, ...given },
  { work, lowrank, encoderModel },
) {
  const { fineTune, loadDataset, loadModel, loadTexts, openDevice } = lowrank;
  const { padding, pooling, maxLength, ...settings } = given;
  const file = join(work, `${name}.jsonl`);
  writeRows(file, objective, isPair, labels, base);
  const model = await loadModel(base ? encoderModel(join(work, `${base} base`), base) : "gpt2-micro");
  const device = await openDevice("wasm");
  const load = { model, ...(padding ? { padding } : {}), maxLength: maxLength ?? (base ? 24 : 40) };
  const data =
    objective === "lm"
      ? await loadTexts({ file }, load)
      : await loadDataset({ file }, { ...load, objective, ...(isPair ? { textColumn: "question,answer" } : {}) });
  const run = await fineTune({ device, model, data, ...SMALL, ...(pooling ? { pooling } : {}), ...settings });
  await run.save(join(work, name));
  device.destroy();
  await model.close();
}

/** Each run is exported as a person does it, for PEFT where it has the method, and opened. */
export async function checkCards(work, python, report, lowrank) {
  const folder = join(work, "cards");
  mkdirSync(folder, { recursive: true });
  const outfile = resolve("build/open-export.mjs");
  await bundleProgram("test/exchange/open-export.ts", outfile);
  const { openExport, encoderModel } = await import(outfile);
  const written = [];
  for (const run of RUNS) {
    await train(run, { work: folder, lowrank, encoderModel });
    const form = run.form ?? (["lora", "prompt", "prefix"].includes(run.mode ?? "lora") ? "peft" : "merged");
    const out = join(folder, `${run.name} ${form}`);
    const args = ["--run", join(folder, run.name), "--to", form, "--out", out];
    const command = ["dist/export.js", ...args, ...(run.lossy ? ["--lossy"] : [])];
    const { status, stderr } = spawnSync(process.execPath, command, { encoding: "utf8" });
    if (status !== 0) {
      report(false, `card ${run.name}: ${stderr}`);
      continue;
    }
    const { isRight, line } = await openExport(join(folder, run.name), form, out, python);
    report(isRight, `card ${run.name}: ${line}`);
    // The fixtures have no licence.
    if (!run.base) written.push(out);
  }
  const { stdout, stderr } = spawnSync(python, ["test/exchange/cards.py", ...written], { encoding: "utf8" });
  const cards = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line || "{}"));
  for (const [i, path] of written.entries()) {
    const { license, library, metrics = [], same } = cards[i] ?? {};
    const isRight = license === "cc-by-4.0" && library && metrics.length > 0 && same;
    report(isRight, `card of ${path}: ${isRight ? JSON.stringify(metrics[0]) : stderr || JSON.stringify(cards[i])}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , python, work] = process.argv;
  const lowrank = await import(resolve("dist/node.js"));
  await checkCards(work, python, (good, line) => console.log(good ? "ok  " : "FAIL", line), lowrank);
}
