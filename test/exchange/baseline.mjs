/** The baseline against scikit-learn's on whole data sets: n-grams, the chosen C, scores and accuracy. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleProgram } from "../../src/tools/bundles.mjs";

/** The largest difference of a score, as a part of the largest score: ours ends a little before the optimum. */
const TOLERANCE = 2e-3;

const rowsOf = (set) => Array.from({ length: set.size }, (_, row) => [set.text(row), set.label(row)]);

/** `sources`: what `loadDataset` takes, by name. */
export async function checkBaseline(sources, work, python, must, report, { loadDataset, loadModel }, model) {
  const loaded = {};
  const checkpoint = await loadModel(model);
  for (const [name, source] of Object.entries(sources)) loaded[name] = await loadDataset(source, { model: checkpoint });
  await checkpoint.close();
  const [sets, theirs] = ["sets.json", "baselines.json"].map((name) => join(work, name));
  const rows = Object.entries(loaded).map(([name, { train, val, test }]) => [
    name,
    { train: rowsOf(train), val: rowsOf(val), test: rowsOf(test) },
  ]);
  writeFileSync(sets, JSON.stringify(Object.fromEntries(rows)));
  must(python, ["test/exchange/baseline.py", sets, theirs]);
  const outfile = join(work, "fit.mjs");
  await bundleProgram("src/classic/fit.ts", outfile);
  const { fitWithin } = await import(resolve(outfile));
  for (const [name, expected] of Object.entries(JSON.parse(readFileSync(theirs, "utf8")))) {
    const { test, labels } = loaded[name];
    const classic = await fitWithin(loaded[name]);
    const c = Number(/\(C (.*)\)$/.exec(classic.name)[1]);
    const texts = rowsOf(test).map(([text]) => text);
    const logits = await classic.logits(texts, labels);
    const scores = rowsOf(test).map((_, row) => [...logits.slice(row * labels.length, (row + 1) * labels.length)]);
    const right = scores.filter((row, i) => row.indexOf(Math.max(...row)) === test.label(i)).length;
    const wanted = centred(expected.scores);
    const own = centred(scores.map((row) => row.slice(-expected.scores[0].length)));
    const largest = (some) => some.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = largest(own.map((score, i) => score - wanted[i])) / largest(wanted);
    const predicted = (await classic.classify(texts)).map(({ probabilities }) => probabilities);
    const byTheirs = expected.scores.map((row) => softmax(row.length > 1 ? row : [0, ...row]));
    const apart = largest(predicted.flatMap((one, i) => Object.values(one).map((share, c) => share - byTheirs[i][c])));
    report(
      c === expected.c && right / test.size === expected.accuracy && worst <= TOLERANCE,
      `scikit-learn's baseline on ${name}: C ${c} (${expected.c}), accuracy ${(right / test.size).toFixed(4)} ` +
        `(${expected.accuracy.toFixed(4)}), scores to ${worst.toExponential(1)}, probabilities to ${apart.toExponential(1)}`,
    );
  }
}

function softmax(scores) {
  const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
}

/** Of more than two classes all scores of a row may be larger by the same. */
function centred(scores) {
  return scores.flatMap((row) => {
    const mean = row.length > 1 ? row.reduce((a, b) => a + b, 0) / row.length : 0;
    return row.map((score) => score - mean);
  });
}
