/** What a run is measured by when it has ended. */

import * as assert from "uvu/assert";
import { joinPair } from "../../src/core/pair.ts";
import type { Estimate } from "../../src/core/statistics.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { csvLine } from "../../src/io/csv.ts";
import { textToTry } from "../../src/tasks/text-to-try.ts";
import { measureClasses } from "../helpers/answers.ts";
import { test } from "../helpers/harness.ts";

const LONG = "word ".repeat(50);

/** The results of a test set with these messages: text, class, predicted class, its probability. */
async function measure(rows: readonly [text: string, truth: string, predicted: string, probability?: number][]) {
  const file = (lines: { text: string; label: string }[]) => {
    const csv = ["label,text\r\n", ...lines.map(({ label, text }) => csvLine([label, text]))].join("");
    return bytesReader("rows.csv", new TextEncoder().encode(csv));
  };
  const some = ["ham", "news", "spam", "ham", "news", "spam"].map((label) => ({ text: "x", label }));
  const test = file(rows.map(([text, label]) => ({ text, label })));
  const data = await loadDataset({ train: file(some), val: file(some), test });
  const predictions = rows.map(([, , name, probability = 0.9], row) => {
    const label = data.labels.indexOf(name);
    const probabilities = Float64Array.from(data.labels, (_, id) => (id === label ? probability : 0));
    return { row, label, probability, probabilities };
  });
  return measureClasses(data, predictions);
}

test("samples: right ones of each class in turn and short, wrong ones the most confident first", async () => {
  const { samples, mistakes, example, rows } = await measure([
    ["a", "ham", "ham"],
    ["b", "ham", "ham"],
    [LONG, "news", "news"],
    ["c", "spam", "spam"],
    ["d", "spam", "ham", 0.6],
    ["e", "ham", "spam", 0.8],
    ["  ", "ham", "ham", 0.99],
  ]);
  assert.equal(
    samples.map(({ text }) => text),
    ["a", "c", "b"],
  );
  assert.equal(mistakes[0], { text: "e", truth: "ham", predicted: "spam", probability: 0.8 });
  assert.equal(
    [mistakes.length, example, rows],
    [2, "a", { truth: [0, 0, 1, 2, 2, 0, 0], predicted: [0, 0, 1, 2, 0, 2, 0] }],
  );
  const only = await measure([[LONG, "ham", "ham"]]);
  assert.equal(
    only.samples.map(({ text }) => joinPair(text).trim()),
    [LONG.trim()],
  );
});

test("the ranking of each class, and the areas of all; none where a class is without rows", async () => {
  const { classes, rocAuc, prAuc } = (
    await measure([
      ["a", "ham", "ham", 0.9],
      ["b", "spam", "ham", 0.8],
      ["c", "ham", "ham", 0.7],
    ])
  ).details;
  assert.equal(
    classes.map(({ ranking }) => ranking?.rocAuc ?? null),
    [0.5, null, 0.5],
  );
  assert.equal([rocAuc, prAuc], [null, null]);
});

test("the accuracy without near-duplicates of training messages, where there are any and others", async () => {
  const found = await measure([
    ["x", "ham", "ham"],
    ["X!", "spam", "spam"],
    ["new", "ham", "spam"],
    ["other", "ham", "ham"],
  ]);
  const [{ measured, unseen }] = found.compared;
  assert.equal([(measured.acc as Estimate).value, unseen?.rows, unseen?.value], [0.75, 2, 0.5]);
  assert.is((await measure([["new", "ham", "ham"]])).compared[0].unseen, null);
  assert.is((await measure([["x", "ham", "ham"]])).compared[0].unseen, null);
});

test("a text to try is short and plain: it is printed into code and commands", () => {
  assert.is(
    textToTry(['say "no" to this offer', LONG, "Hi", "Grüße, kommst du heute?", "a longer message of words"]),
    "Grüße, kommst du heute?",
  );
  assert.is(textToTry([LONG, "Hi", "$HOME is where the heart is"]), "Hi");
  assert.is(textToTry([LONG]), "some text");
});
