/** Pairs of texts against transformers: ids at every length, an adapter of PEFT's. cards.mjs opens what is exported. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The largest relative error of logits: float32 on both sides. */
const TOLERANCE = 1e-4;

export async function checkPairs({ lowrank, device, work, micro, python, must, report, relativeError }) {
  const { Classifier, loadDataset } = lowrank;
  must(python, ["test/exchange/pairs.py", work, micro]);
  const { pairs, texts, ids, adapter, length, logits } = JSON.parse(readFileSync(join(work, "pairs.json"), "utf8"));
  const path = join(work, "pairs.jsonl");
  const rows = texts.map(([text_a, text_b], i) => JSON.stringify({ text_a, text_b, label: "ab"[i % 2] }));
  writeFileSync(path, rows.join("\n"));
  let equal = 0;
  for (const [longest, expected] of Object.entries(ids)) {
    const { train } = await loadDataset({ train: path, val: path, test: path }, { maxLength: Number(longest) });
    const batch = train.batch(train.positions());
    equal += expected.filter(
      (row, i) => `${row}` === `${batch.ids.slice(batch.starts[i], batch.starts[i + 1])}`,
    ).length;
  }
  const all = Object.keys(ids).length * texts.length;
  report(
    equal === all,
    `tokens of ${texts.length} pairs at every length to ${Object.keys(ids).length}: ${equal} of ${all} equal`,
  );

  const classify = async (directory) => {
    const classifier = await Classifier.load(directory, { device, model: micro });
    const flat = await classifier.logits(pairs);
    classifier.destroy();
    return pairs.map((_, i) => [...flat.subarray(2 * i, 2 * i + 2)]);
  };
  // The context is longer than the pairs: PEFT's adapters do not say how long their texts were.
  const short = pairs.map((pair, i) => ({ pair, i })).filter(({ i }) => ids[length][i].length < length);
  const found = await classify(adapter);
  const error = relativeError(
    short.map(({ i }) => found[i]),
    short.map(({ i }) => logits[i]),
  );
  report(error <= TOLERANCE, `peft, ${short.length} pairs -> ours: ${error.toExponential(1)}`);
}
