/**
 * Regressions and several labels a message, in both directions with PEFT and transformers: logits, losses, a pipeline.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Float32 on both sides. */
const TOLERANCE = 1e-4;
const OBJECTIVES = { regression: "regression", multi_label_classification: "multi-label" };

/** The mean over rows and outputs, as transformers has it for a problem_type. */
function lossOf(problemType, logits, labels) {
  const [x, y] = [logits.flat(), labels.flat()];
  const one = (x, y) =>
    problemType === "regression" ? (x - y) ** 2 : Math.max(x, 0) - x * y + Math.log1p(Math.exp(-Math.abs(x)));
  return x.reduce((sum, value, i) => sum + one(value, y[i]), 0) / x.length;
}

function relativeError(a, b) {
  const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.flat().map((value, i) => value - b.flat()[i])) / norm(b.flat());
}

export async function checkOutputs(
  work,
  micro,
  python,
  must,
  report,
  { Classifier, fineTune, loadDataset, loadModel, openDevice },
) {
  const script = join("test/exchange", "outputs.py");
  must(python, [script, "prepare", work, micro]);
  const { texts, jobs } = JSON.parse(readFileSync(join(work, "outputs-from-peft.json"), "utf8"));
  const device = await openDevice("wasm");
  const logitsOf = async (directory, model) => {
    const classifier = await Classifier.load(directory, { device, model });
    const { objective } = classifier.meta.task;
    const flat = await classifier.logits(texts);
    const k = flat.length / texts.length;
    classifier.destroy();
    return { objective, logits: texts.map((_, i) => [...flat.subarray(i * k, (i + 1) * k)]) };
  };
  for (const { name, base, directory, logits, labels, loss } of jobs) {
    const ours = await logitsOf(directory, base);
    const errors = [relativeError(ours.logits, logits), Math.abs(lossOf(name, ours.logits, labels) / loss - 1)];
    const isRead = ours.objective === OBJECTIVES[name];
    report(
      isRead && errors.every((error) => error <= TOLERANCE),
      `peft ${name} -> ours (${ours.objective}): logits ${errors[0].toExponential(1)}, loss ${errors[1].toExponential(1)}`,
    );
  }

  const exported = [];
  for (const [problemType, objective] of Object.entries(OBJECTIVES)) {
    const file = join(work, `${objective}.jsonl`);
    const label = (i) => (objective === "regression" ? String((i % 7) - 2) : ["a|b", "b", "", "c|a"][i % 4]);
    writeFileSync(file, texts.map((text, i) => JSON.stringify({ text, label: label(i) })).join("\n"));
    const model = await loadModel(micro);
    const data = await loadDataset({ file }, { model, objective });
    const pooling = "last-token";
    const run = await fineTune({ device, model, data, epochs: 2, batchSize: 4, lr: 1e-3, rank: 4, pooling });
    await model.close();
    const directory = join(work, "runs", objective);
    await run.save(directory);
    const { logits } = await logitsOf(directory, micro);
    const names = data.labels;
    const labels = texts.map((_, i) =>
      objective === "regression" ? [Number(label(i))] : names.map((name) => Number(label(i).split("|").includes(name))),
    );
    for (const form of ["peft", "merged"]) {
      const out = join(work, "exports", `${form}-${objective}`);
      must(process.execPath, ["dist/export.js", "--run", directory, "--to", form, "--out", out]);
      const loss = lossOf(problemType, logits, labels);
      exported.push({ form, problem_type: problemType, base: micro, directory: out, logits, labels, loss });
    }
  }
  device.destroy();
  writeFileSync(join(work, "outputs-to-peft.json"), JSON.stringify({ texts, jobs: exported }));
  must(python, [script, "score", work]);
}
