/** Tables labelled with scores, and with several labels a row: what is written, and found again in a copy. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Classification, Classifier } from "../../src/infer/classifier.ts";
import { type LabelSettings, labelTable, survey } from "../../src/infer/label-table.ts";
import { openTable } from "../../src/infer/open-table.ts";
import { loadModel } from "../../src/io/hf.ts";
import type { AdapterMeta } from "../../src/io/peft.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const model = loadModel(tinyModel(at("model")));
const SETTINGS: LabelSettings = {
  version: "1",
  input: "a",
  model: "b",
  device: "wasm",
  dtype: "f32",
  textColumn: "text",
  encoding: "utf-8",
};

const open = new Map<string, Promise<Classifier>>();
afterAll(async () => {
  for (const classifier of open.values()) (await classifier).destroy();
  await (await model).close();
});

/** A classifier with random tensors. */
function classifierOf(rest: Partial<AdapterMeta>): Promise<Classifier> {
  const key = JSON.stringify(rest);
  const make = async () => {
    const meta = testMeta({}, { model: TINY, ...rest });
    return Classifier.of({ meta, tensors: drawTensors(meta) }, await model, await testDevice("wasm 1 thread"));
  };
  const known = open.get(key) ?? make();
  open.set(key, known);
  return known;
}

const SCORES = { task: TASKS.regression, labels: ["score"] };
const SEVERAL = {
  task: TASKS["multi-label"],
  labels: ["red", "green", 'a "b", c'],
  settings: { thresholds: [0.2, 0.6, 0.5] },
};

const TEXTS = ["one", 'a, "b"', "three words here", ""];
const INPUTS: Record<string, string> = {
  "a.csv": `id,text\r\n${TEXTS.map((text, i) => `${i},"${text.replaceAll('"', '""')}"\r\n`).join("")}`,
  "a.tsv": `text\tid\n${TEXTS.map((text, i) => `${text.replaceAll('"', "")}\t${i}\n`).join("")}`,
  "a.jsonl": TEXTS.map((text, i) => `${JSON.stringify({ text, id: i })}\n`).join(""),
  "taken.jsonl": TEXTS.map((text) => `${JSON.stringify({ text, score: 1, predicted: 2 })}\n`).join(""),
};
for (const [name, content] of Object.entries(INPUTS)) writeFileSync(at(name), content);

/** Labels a file; returns rows that were there before, or "done". */
async function label(input: string, output: string, classifier: Classifier) {
  const table = await openTable(at(input), {});
  let resumed = 0;
  const onProgress = (_: number, kept: number) => {
    resumed = kept;
  };
  const options = { output: at(output), settings: SETTINGS, force: false, check: async () => {}, onProgress };
  try {
    const isNew = await labelTable(table, await survey(table, input), classifier, options);
    return isNew ? resumed : "done";
  } finally {
    await table.close();
  }
}

for (const [kind, rest] of Object.entries({ scores: SCORES, several: SEVERAL }))
  for (const input of Object.keys(INPUTS))
    test(`${kind}, ${input}: a copy that was cut off is continued, and one that is finished is recognised`, async () => {
      const classifier = await classifierOf(rest);
      const output = `${kind}-${input}`;
      assert.is(await label(input, output, classifier), 0);
      const whole = readFileSync(at(output));
      assert.is(await label(input, output, classifier), "done");
      const again = `again-${output}`;
      writeFileSync(at(`${again}.part.json`), JSON.stringify({ format: "lowrank-labels", ...SETTINGS }));
      // In the last row.
      writeFileSync(at(`${again}.part`), whole.subarray(0, whole.length - 3));
      assert.is(await label(input, again, classifier), TEXTS.length - 1);
      assert.equal(readFileSync(at(again)), whole);
    });

test("a score is in a column of its own, with six decimals", async () => {
  const classifier = await classifierOf(SCORES);
  const [header, ...lines] = readFileSync(at("scores-a.csv"), "utf8").trimEnd().split("\r\n");
  assert.is(header, "id,text,score");
  const scores = await classifier.score(TEXTS);
  assert.equal(
    lines.map((line) => line.split(",").at(-1)),
    scores.map(({ score }) => score?.toFixed(6) ?? ""),
  );
  const [first] = readFileSync(at("scores-taken.jsonl"), "utf8").split("\n");
  assert.type(JSON.parse(first!).score_2, "number");
});

test("several labels are in one column, their probabilities in a column each", async () => {
  const classifier = await classifierOf(SEVERAL);
  const found = await classifier.classify(TEXTS);
  const lines = readFileSync(at("several-a.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(
    lines.map(({ predicted }) => predicted),
    found.map(({ labels }, i) => (TEXTS[i] === "" ? null : labels!.join("|"))),
  );
  assert.equal(
    lines.map((line) => line['probability a "b", c']?.toFixed(6)),
    found.map(({ probabilities }) => probabilities['a "b", c']?.toFixed(6)),
  );
  const [header] = readFileSync(at("several-a.csv"), "utf8").split("\r\n");
  assert.is(header, 'id,text,predicted,probability red,probability green,"probability a ""b"", c"');
});

test("of several labels the one is the most probable of those that are predicted, or none", async () => {
  for (const [thresholds, expected] of [
    [[1, 0, 1], "green"],
    [[0, 1, 1], "red"],
    [[1, 1, 1], null],
  ] as const) {
    const classifier = await classifierOf({ ...SEVERAL, settings: { thresholds: [...thresholds] } });
    const [{ label, labels, probability, probabilities }] = (await classifier.classify("one")) as [Classification];
    assert.equal([label, labels], [expected, expected === null ? [] : [expected]]);
    assert.is(probability, expected === null ? null : probabilities[expected]);
  }
});
