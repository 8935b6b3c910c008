/** Token classifiers: adapters and models both ways by value, and the entity F1 of a file as seqeval measures it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** The largest relative error of logits: float32 on both sides. */
const TOLERANCE = 1e-4;

/** Reports its findings, and leaves the input of `tokens.py score` in `work`. */
export async function checkTokens(check) {
  const { exportForms, lowrank, device, work, micro, python, must, report, relativeError, checkPrinted } = check;
  const { Classifier, fineTune, loadModel, loadTagged } = lowrank;
  must(python, ["test/exchange/tokens.py", "prepare", work, micro]);
  const { sentences, jobs: theirs } = JSON.parse(readFileSync(join(work, "tokens-from-peft.json"), "utf8"));

  /** The labels, and of each sentence the logits [tokens, labels]. */
  const tag = async (directory, model) => {
    const classifier = await Classifier.load(directory, { device, model });
    const { labels } = classifier;
    const logits = [];
    for (const words of sentences) {
      const flat = await classifier.logits([words.join(" ")]);
      const of = (_, token) => [...flat.subarray(token * labels.length, (token + 1) * labels.length)];
      logits.push(Array.from({ length: flat.length / labels.length }, of));
    }
    classifier.destroy();
    return { labels, logits };
  };

  for (const { name, base, directory, logits } of theirs) {
    const error = relativeError((await tag(directory, base)).logits.flat(), logits.flat());
    report(error <= TOLERANCE, `peft tokens ${name} -> ours: ${error.toExponential(1)}`);
  }

  const llama = join(work, "llama");
  const RUNS = [
    { name: "micro r 4", base: micro, rank: 4 },
    { name: "micro prompt", base: micro, mode: "prompt", virtualTokens: 6 },
    { name: "micro all", base: micro, mode: "all", lr: 1e-3 },
    { name: "llama r 3", base: llama, rank: 3 },
    { name: "llama prompt", base: llama, mode: "prompt", virtualTokens: 5 },
  ];
  const jobs = [];
  for (const { name, base, ...settings } of RUNS) {
    const model = await loadModel(base);
    const maxLength = model.config.n_positions - (settings.virtualTokens ?? 0);
    const [train, val, test] = ["train", "val", "test"].map((set) => join(work, `${set}.conll`));
    const data = await loadTagged({ train, val, test }, { model, maxLength });
    const trained = await fineTune({ device, model, data, epochs: 2, lr: 5e-3, ...settings });
    await model.close();
    const run = join(work, "runs", `tokens-${name.replaceAll(" ", "-")}`);
    await trained.save(run);
    const { measured } = trained.results.test.compared[0];
    const figures = [measured.entity_f1, measured.acc].map((one) => one.share ?? one.value ?? one);
    for (const form of exportForms(settings)) {
      const directory = join(work, "exports", `tokens-${form}-${name.replaceAll(" ", "-")}`);
      must(process.execPath, ["dist/export.js", "--run", run, "--to", form, "--out", directory]);
      if (base === micro) checkPrinted(`${form} tokens ${name}`, directory);
      jobs.push({ name, form, base, directory: resolve(directory), figures, ...(await tag(run, base)) });
    }
  }
  writeFileSync(join(work, "tokens-to-peft.json"), JSON.stringify({ sentences, jobs }));
}
