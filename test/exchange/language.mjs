/** The live check of language models: adapters and models both ways, perplexity, and a training curve as PyTorch's. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const TEXT = "test/golden/lm/sotu-1904.txt";
/** Relative error of losses: float32 on both sides. */
const TOLERANCE = 1e-4;
/** Of the perplexities of a training curve. */
const CURVE = 0.01;

const relative = (got, want) => Math.abs(got - want) / Math.abs(want);
const worst = (got, want) => Math.max(...want.map((value, i) => relative(got[i], value)));

/** Mean loss of each text, by a run or an adapter on its base model. */
async function scoreTexts(lowrank, device, directory, model, texts) {
  const lm = await lowrank.LanguageModel.load(directory, { device, model });
  const scores = [];
  for (const text of texts) scores.push((await lm.score(text)).loss);
  lm.destroy();
  return scores;
}

function excerpt(from, to) {
  const bytes = readFileSync(TEXT).subarray(from, to);
  return {
    name: `${from}.txt`,
    size: bytes.length,
    read: async (at, n) => bytes.slice(at, at + n),
    close: async () => {},
  };
}

/** Training with the settings of the Python side, from the adapter that it began with. */
async function train(lowrank, device, base, { settings, directory }) {
  const { length, block, epochs, batch, every, seed, adamw } = settings;
  const [a, b] = [Math.floor(length * 0.8), Math.floor(length * 0.9)];
  const model = await lowrank.loadModel(base);
  const data = await lowrank.loadTexts(
    { train: excerpt(0, a), val: excerpt(a, b), test: excerpt(b, length) },
    { maxLength: block },
  );
  const run = await lowrank.fineTune({
    device,
    model,
    data,
    adapter: await lowrank.loadAdapter(directory, model),
    epochs,
    batchSize: batch,
    evalEvery: every,
    seed,
    lr: adamw.lr,
    weightDecay: adamw.weight_decay,
    schedule: "constant",
    warmup: 0,
  });
  await model.close();
  return run;
}

/** Reports its findings, and leaves the input of `language.py score` in `work`. `must` runs what may not fail. */
export async function checkLanguageModels({
  exportForms,
  lowrank,
  device,
  work,
  micro,
  python,
  must,
  report,
  checkPrinted,
}) {
  const [tiny, llama, qwen2] = ["tiny", "llama", "qwen2"].map((name) => join(work, name));
  must(python, ["test/exchange/language.py", "prepare", work, micro, TEXT]);
  const theirs = JSON.parse(readFileSync(join(work, "lm-from-peft.json"), "utf8"));
  const { texts } = theirs;
  for (const { name, base, directory, scores } of theirs.jobs) {
    const error = worst(await scoreTexts(lowrank, device, directory, base, texts), scores);
    report(error <= TOLERANCE, `peft lm ${name} -> ours: losses ${error.toExponential(1)}`);
  }

  const run = await train(lowrank, device, micro, theirs);
  const curve = run.evaluations.map(({ val }) => val.perplexity);
  const wanted = theirs.evaluations.map(Math.exp);
  report(
    curve.length === wanted.length && worst(curve, wanted) <= CURVE && wanted.at(-1) < wanted[0],
    `lm training curve, ${run.steps.length} steps: validation perplexity ${curve.map((p) => p.toFixed(2)).join(" ")}, ` +
      `PyTorch ${wanted.map((p) => p.toFixed(2)).join(" ")}`,
  );
  const lm = await lowrank.LanguageModel.load(micro, { device });
  const { perplexity } = await lm.score(readFileSync(TEXT, "utf8").slice(0, theirs.bytes));
  lm.destroy();
  const [ours, torch] = [perplexity, Math.exp(theirs.loss)].map((value) => value.toPrecision(4));
  report(ours === torch, `perplexity of ${theirs.bytes} bytes: ${ours}, PyTorch ${torch}`);

  const jobs = [];
  const RUNS = [
    { name: "tiny r 3", base: tiny, rank: 3 },
    { name: "tiny dora", base: tiny, rank: 3, dora: true },
    {
      name: "tiny with its head, rslora",
      base: tiny,
      rank: 2,
      scaling: "alpha/sqrt(r)",
      targets: ["c_attn", "fc", "head"],
    },
    { name: "tiny mixed ranks", base: tiny, continue: join(work, "lm-from-peft", "tiny-patterns") },
    { name: "micro r 8", base: micro, rank: 8 },
    { name: "tiny all", base: tiny, mode: "all" },
    { name: "tiny last_block", base: tiny, mode: "last_block" },
    { name: "tiny bitfit", base: tiny, mode: "bitfit" },
    { name: "tiny prompt", base: tiny, mode: "prompt", virtualTokens: 3 },
    { name: "micro prefix", base: micro, mode: "prefix", virtualTokens: 7 },
    { name: "llama r 3", base: llama, rank: 3 },
    { name: "llama with its head", base: llama, rank: 2, targets: ["q", "gate", "head"] },
    { name: "llama all", base: llama, mode: "all" },
    { name: "qwen2 dora", base: qwen2, rank: 3, dora: true },
    { name: "qwen2 prefix", base: qwen2, mode: "prefix", virtualTokens: 3 },
  ];
  for (const { name, base, continue: from, ...settings } of RUNS) {
    const model = await lowrank.loadModel(base);
    const [train, val, test] = [excerpt(0, 3000), excerpt(3000, 3500), excerpt(3500, 4000)];
    const data = await lowrank.loadTexts({ train, val, test }, { model, maxLength: 32 });
    const adapter = from === undefined ? {} : { adapter: await lowrank.loadAdapter(from, model) };
    const trained = await lowrank.fineTune({ device, model, data, epochs: 1, batchSize: 4, ...settings, ...adapter });
    await model.close();
    const saved = join(work, "runs", `lm-${name.replaceAll(/\W+/g, "-")}`);
    await trained.save(saved);
    const scores = await scoreTexts(lowrank, device, saved, base, texts);
    for (const form of exportForms(settings)) {
      const directory = join(work, "exports", `lm-${form}-${name.replaceAll(/\W+/g, "-")}`);
      const carried = form === "peft" && base === micro ? ["--with-base"] : [];
      must(process.execPath, ["dist/export.js", "--run", saved, "--to", form, "--out", directory, ...carried]);
      if (base === micro) checkPrinted(`${form} lm ${name}`, directory);
      jobs.push({ name, form, base, directory: resolve(directory), scores });
    }
  }
  writeFileSync(join(work, "lm-to-peft.json"), JSON.stringify({ texts, jobs }));
}
