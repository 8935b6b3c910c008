/** Classic models, against scikit-learn's results (made by test/exchange/baseline.py). */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { recognizeUnlike } from "../../src/classic/answers.ts";
import { printClassic } from "../../src/classic/file.ts";
import { fitWithin } from "../../src/classic/fit.ts";
import { ClassicModel } from "../../src/classic/model.ts";
import { parseClassic } from "../../src/classic/read.ts";
import { type Ngrams, setTexts, Tfidf } from "../../src/classic/tfidf.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { csvLine } from "../../src/io/csv.ts";
import { zip } from "../../src/io/zip.ts";
import { argmaxRows } from "../../src/tasks/predictions.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

const folder = temporaryFolder();

type Sets = Record<"train" | "val" | "test", [text: string, label: number][]>;
interface Case {
  sets: Sets;
  expected: { columns: number; entries: number; c: number; accuracy: number; scores: number[][] };
}

const { cases } = JSON.parse(readFileSync(packagePath("test/golden/baseline/tfidf.json"), "utf8")) as {
  cases: Record<string, Case>;
};

/** Ours ends where the gradient is 1e-5 of that at the start. */
const SCORES = { atol: 1e-4, rtol: 1e-4 };

/** The sets as three files, and the id that each class has in them. */
async function load({ train, val, test }: Sets): Promise<[LoadedDataset, ids: number[]]> {
  const [first, second, third] = [train, val, test].map((rows, i) => {
    const lines = rows.map(([text, label]) => csvLine([`class ${label}`, text]));
    return bytesReader(`${i}.csv`, new TextEncoder().encode(["label,text\r\n", ...lines].join("")));
  });
  const data = await loadDataset({ train: first!, val: second!, test: third! });
  return [data, data.labels.map((_, label) => data.labels.indexOf(`class ${label}`))];
}

/** What it says of the test rows: scores, of two classes the second's, and classes. */
async function predict(classic: ClassicModel, { test, labels }: Pick<LoadedDataset, "test" | "labels">) {
  const logits = await classic.logits([...setTexts(test, test.positions())], labels);
  const scores = labels.length === 2 ? logits.filter((_, i) => i % 2 === 1) : logits;
  return { scores, values: argmaxRows(logits, labels.length), c: Number(/\(C (.*)\)$/.exec(classic.name)![1]) };
}

/**
 * Of more than two classes all scores of a row may be larger by the same: without their mean, in the order of `ids`.
 */
function comparable(scores: ArrayLike<number>, ids: readonly number[]): number[] {
  if (ids.length === 2) return Array.from(scores, (score) => (ids[1] === 1 ? score : -score));
  return Array.from({ length: scores.length / ids.length }, (_, row) => {
    const own = ids.map((id) => scores[row * ids.length + id]!);
    const mean = own.reduce((a, b) => a + b, 0) / own.length;
    return own.map((score) => score - mean);
  }).flat();
}

for (const [name, { sets, expected }] of Object.entries(cases))
  test(`TF-IDF with logistic regression is scikit-learn's: ${name}`, async () => {
    const texts = (set: keyof Sets) => sets[set].map(([text]) => text);
    const tfidf = await Tfidf.fit(texts("train"), 1e6);
    const { starts, columns, values } = await tfidf.transform(texts("train"));
    assert.equal([tfidf.width, columns.length], [expected.columns, expected.entries]);
    // Words and characters are of length 1 each; all of these texts have both.
    for (let row = 0; row < starts.length - 1; row++) {
      const squares = values.subarray(starts[row]!, starts[row + 1]!).reduce((sum, value) => sum + value ** 2, 0);
      assert.ok(Math.abs(squares - 2) < 1e-5 || Math.abs(squares - 1) < 1e-5, String(squares));
    }
    const [data, ids] = await load(sets);
    const { c, scores, values: found } = await predict((await fitWithin(data))!, data);
    assert.is(c, expected.c);
    const order = [...ids.keys()];
    assertAllClose("scores", comparable(scores, ids), comparable(expected.scores.flat(), order), SCORES);
    const right = found.filter((label, row) => data.test.label(row) === label).length;
    assert.is(right / data.test.size, expected.accuracy);
  });

test("with too many n-grams those of the fewest rows have no column; rows beyond the limit are not read", async () => {
  const texts = ["aa bb", "aa bb cc", "aa", "aa dd"];
  const all = await Tfidf.fit(texts, 1000);
  // Words: aa, bb, "aa bb" in two rows or more; characters: 6 n-grams each of " aa " and " bb ".
  const common = await Tfidf.fit(texts, all.width - 1);
  assert.is(common.width, 3 + 6 + 6);
  assert.is((await Tfidf.fit(texts, common.width)).width, common.width);
  const { columns } = await common.transform(["cc"]);
  assert.equal([...columns], []);
  assert.equal([all.rows, (await Tfidf.fit(texts, 1000, { mostEntries: 1 })).rows], [4, 1]);
});

test("of too many training rows a sample is used, the same in every run", async () => {
  const data = await tinyData(messages(24));
  const classic = (await fitWithin(data, { mostWork: 16_000 }))!;
  assert.match(classic.parts.limits!, new RegExp(`^\\d+ of ${data.train.size} training rows, stopped `));
  assert.equal(printClassic(classic.parts), printClassic((await fitWithin(data, { mostWork: 16_000 }))!.parts));
});

test("a fit ends at its limit of work with what it has, and the baseline says what it left out", async () => {
  const { sets } = cases["three unequal classes"]!;
  const [data] = await load(sets);
  const answer = async (limits = {}) => {
    const classic = (await fitWithin(data, limits))!;
    const { c, values } = await predict(classic, data);
    return {
      c,
      right: values.filter((label, row) => label === data.test.label(row)).length,
      limits: classic.parts.limits,
    };
  };
  const whole = await answer();
  assert.is(whole.limits, undefined);
  const work = { mostWork: 3e6 };
  const stopped = await answer(work);
  assert.is(stopped.limits, "stopped after 0.003 billion multiply-adds");
  assert.ok(stopped.c < whole.c && stopped.right > data.test.size / 2, `C ${stopped.c}, ${stopped.right} right`);
  assert.equal(await answer(work), stopped);
  // Fewer rows, so that some products of them can be afforded; and fewer n-grams.
  const small = (await fitWithin(data, { mostWork: 5e5, mostWeights: 1000 }))!;
  assert.match(
    small.parts.limits!,
    new RegExp(`^\\d+ of ${data.train.size} training rows, \\d+ of \\d+ n-grams, stopped after 0.0005 `),
  );
});

test("classes without training rows are never predicted, and do not choose C; one class alone has no such baseline", async () => {
  const rows = (...some: [string, number][]): [string, number][] => some;
  const [a, b] = [rows(["aa bb", 0], ["aa cc", 0]), rows(["dd ee", 1], ["dd ff", 1])];
  const [data, [first]] = await load({ train: [...a, ...b, ["zz", 2]], val: [["zz", 2]], test: [...a, ["zz", 2]] });
  const zs = [...data.train.positions()].filter((row) => data.train.text(row) === "zz");
  const others = data.train.select([...data.train.positions()].filter((row) => !zs.includes(row)));
  const classic = (await fitWithin({ ...data, train: others }))!;
  assert.is(classic.labels.length, 2);
  const found = await predict(classic, data);
  assert.equal([found.c, found.values[0], found.values[1]], [1, first, first]);
  assert.not.equal(found.values[2], data.test.label(2));
  const one = data.train.select([0]);
  assert.is(await fitWithin({ ...data, train: one }), null);
  assert.equal(
    (await fitBaselines({ ...data, train: one })).baselines.map(({ name }) => name),
    [`always ${data.labels[one.label(0)]}`],
  );
});

test("the baselines end with the reason of their signal", async () => {
  const data = await tinyData(messages(24));
  const reason = new Error("stop");
  const error = await fitBaselines(data, AbortSignal.abort(reason)).catch((thrown) => thrown);
  assert.is(error, reason);
});

test("runs on the same data have the same baselines, also where a signal has ended the first", async () => {
  const data = await tinyData(messages(8), { split: "random" });
  const abort = new AbortController();
  const stopped = fitBaselines(data, abort.signal);
  abort.abort(new Error("stopped"));
  const [first, second] = [fitBaselines(data), fitBaselines(data)];
  await stopped.then(
    () => assert.unreachable("it has not ended"),
    (error) => assert.is(error.message, "stopped"),
  );
  assert.equal(await first, await second);
  assert.is((await fitBaselines(data)).classic, (await fitBaselines(data)).classic);
  assert.match((await first).baselines[0]!.name, "TF-IDF");
});

test("a model's file gives the same answers, to the bit; words, pairs and characters of all kinds are in it", async () => {
  const { sets } = cases["three unequal classes"]!;
  const [data] = await load(sets);
  const texts = sets.test.map(([text]) => text);
  const pairs = await loadDataset({
    rows: sets.train.map(([text, label]) => ({ text: [text, `${text} zz`] as const, label: `class ${label}` })),
  });
  for (const [own, asked] of [
    [data, texts],
    [pairs, texts.map((text) => [text, "zz"] as const)],
  ] as const) {
    const classic = (await fitWithin(own))!;
    const path = join(folder, "classic.json");
    writeFileSync(path, printClassic(classic.parts)!);
    const read = await ClassicModel.load(path);
    assert.equal(read.meta, classic.meta);
    assert.equal(await read.logits(asked), await classic.logits(asked));
    assert.equal(printClassic(read.parts), printClassic(classic.parts));
    assert.equal(await read.classify(asked), await classic.classify(asked));
    assert.is((await ClassicModel.load(folder)).name, classic.name);
    const packed = await zip([["runs/first/classic.json", new Uint8Array(readFileSync(path))]]);
    writeFileSync(join(folder, "run.zip"), new Uint8Array(await packed.arrayBuffer()));
    assert.equal(await (await ClassicModel.load(join(folder, "run.zip"))).classify(asked), await read.classify(asked));
    const foreign = Array.from({ length: 40 }, (_, i) => `qwx${i}`).join(" ");
    const unlike = await read.unlike([...asked.slice(0, 2), own.pairs ? [foreign, foreign] : foreign]);
    assert.equal(unlike, [false, false, true]);
    assert.is((await read.classify([typeof asked[0] === "string" ? " " : ["", " "]]))[0]!.label, null);
    await assertFails("wrong-text-count", [own.pairs ? "pairs of texts" : "single texts"], () =>
      read.classify(own.pairs ? ["text"] : [["one", "other"]]),
    );
    await assertFails("wrong-task", ["use classify"], () => read.score(asked));
  }
});

test("rows of templates resemble each other, new sentences about the same do not", async () => {
  const read = async (name: string) => {
    const bytes = readFileSync(packagePath(`test/golden/phrasings/${name}.csv`));
    return loadDataset({ file: bytesReader("rows.csv", bytes) }, { fractions: [1, 0, 0] });
  };
  const [templates, sentences] = await Promise.all([read("en-train"), read("en-test")]);
  const alike = async (train: LoadedDataset["train"], test: LoadedDataset["train"]) => {
    const { baselines } = await fitBaselines({ ...templates, train, val: train.select([]), test });
    return baselines[0]!.alike!;
  };
  const { train } = templates;
  const half = (parity: number) => train.select([...train.positions()].filter((row) => row % 2 === parity));
  assert.ok((await alike(half(0), half(1))) > 0.9);
  assert.is(await alike(train, sentences.train), 0);
});

test("a text with hardly a word of the training data is unlike it", () => {
  // Behind each vocabulary of words is one of characters.
  const isUnlikeBy = (vocabularies: readonly Pick<Ngrams, "ngrams" | "rows">[]) =>
    recognizeUnlike({ tfidf: { list: () => vocabularies.flatMap((words) => [words, words]) } as unknown as Tfidf });
  const ngrams = ["we", "meet", "at", "the", "station", "we meet", "noon", "see", "you"];
  const isUnlike = isUnlikeBy([{ ngrams, rows: [9, 8, 9, 9, 3, 8, 1, 7, 7] }]);
  const german = "morgen treffen wir uns wieder am Bahnhof, wie immer";
  assert.equal(["See you at the station, Ann", german, "we meet at noon", "Morgen", "?!", ""].map(isUnlike), [
    false,
    true,
    false,
    false,
    false,
    false,
  ]);
  // The words of each text of a pair are its own; of no repeated word nothing is known.
  const second = { ngrams: ["yes", "no", "station"], rows: [5, 5, 5] };
  const pairs = isUnlikeBy([{ ngrams, rows: ngrams.map(() => 5) }, second]);
  assert.equal(
    [pairs(["see you at the station", "yes no"]), pairs(["yes no yes", "we meet see you at the"])],
    [false, true],
  );
  assert.is(isUnlikeBy([{ ngrams, rows: ngrams.map(() => 1) }])(german), false);
});

/** The scores of a text or a pair by the file, as data/README.md says that another program gets them. */
function scoresBy(file: Json, texts: readonly string[]): number[] {
  const scores: number[] = [...file.intercept];
  for (const { text, analyzer, ngrams, df, coef } of file.vocabularies) {
    const lower = texts[text]!.toLowerCase();
    const words = lower.match(/[\p{L}\p{N}_]{2,}/gu) ?? [];
    const found =
      analyzer === "word"
        ? [...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)]
        : lower
            .split(/\s+/)
            .filter(Boolean)
            .map((word) => [" ", ...word, " "])
            .flatMap((word) =>
              [2, 3, 4, 5].flatMap((n) => word.slice(n - 1).map((_, i) => word.slice(i, i + n).join(""))),
            );
    const weights = ngrams.map(
      (ngram: string, i: number) =>
        found.filter((one) => one === ngram).length * (Math.log((1 + file.rows) / (1 + df[i])) + 1),
    );
    const length = Math.hypot(...weights) || 1;
    for (const [k, row] of coef.entries())
      scores[k]! += weights.reduce((sum: number, weight: number, i: number) => sum + (weight / length) * row[i], 0);
  }
  return scores;
}

test("another program gets the model's scores from its file: of classes, labels, a number and pairs", async () => {
  const texts = cases["three unequal classes"]!.sets.train.map(([text]) => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, " "));
  const rows = (label: (i: number) => string | string[] | number, isPair = false) =>
    texts.map((text, i) => ({ text: isPair ? ([text, `${i % 3} aa`] as const) : text, label: label(i) }));
  const labels = (i: number) => ["a", "b", "c"].filter((_, label) => (i >> label) % 2);
  for (const data of await Promise.all([
    loadDataset({ rows: rows((i) => `class ${i % 3}`) }),
    loadDataset({ rows: rows((i) => `class ${i % 2}`, true) }),
    loadDataset({ rows: rows(labels) }, { objective: "multi-label" }),
    loadDataset({ rows: rows((i) => i % 5) }, { objective: "regression" }),
  ])) {
    const classic = (await fitWithin(data))!;
    const file = JSON.parse(new TextDecoder().decode(printClassic(classic.parts)!));
    for (const row of [0, 1, 2]) {
      const text = data.test.text(row);
      // Of two classes the file has the second's score alone.
      const wanted = (await classic.logits([text])).slice(-file.intercept.length);
      assertAllClose("scores", scoresBy(file, [text].flat()), wanted, { atol: 1e-5, rtol: 1e-5 });
    }
  }
});

test("of a damaged file it is said what is wrong; a directory without one is refused", async () => {
  const classic = (await fitWithin(await tinyData(messages(12))))!;
  const whole = new TextDecoder().decode(printClassic(classic.parts)!);
  for (const [change, part] of [
    [(json: Json) => (json.format = "x"), "format"],
    [(json: Json) => (json.labels = ["a", "a"]), "labels"],
    [(json: Json) => json.intercept.push(1), "intercept"],
    [(json: Json) => json.vocabularies.pop(), "vocabularies"],
    [(json: Json) => (json.vocabularies[0].analyzer = "char"), "vocabularies[0]"],
    [(json: Json) => (json.vocabularies[0].ngrams[0] = 1), "vocabularies[0].ngrams"],
    [(json: Json) => (json.vocabularies[0].df[0] = 1000), "vocabularies[0].df"],
    [(json: Json) => (json.vocabularies[1].df[0] = null), "vocabularies[1].df"],
    [(json: Json) => json.vocabularies[1].coef[0].pop(), "vocabularies[1].coef"],
    [(json: Json) => (json.vocabularies[1].coef[0][0] = "1"), "vocabularies[1].coef"],
  ] as const) {
    const json = JSON.parse(whole);
    change(json);
    await assertFails("invalid-field", [`${part} is invalid`, "here.json"], () => parseClassic(json, "here.json"));
  }
  const other = JSON.stringify({ ...JSON.parse(whole), objective: "lm" });
  await assertFails("unknown-value", ["classification, regression, multi-label"], () =>
    parseClassic(JSON.parse(other), "here.json"),
  );
  for (const ngrams of [["aa", "aa"], ["aa bb cc"], [""], ["aa "]]) {
    const json = JSON.parse(whole);
    Object.assign(json.vocabularies[0], { ngrams, df: ngrams.map(() => 1), coef: [ngrams.map(() => 0)] });
    await assertFails("invalid-vocabulary", [JSON.stringify(ngrams.at(-1))], () => parseClassic(json, "here.json"));
  }
  for (const json of [null, [], 3, { format: "lowrank-run" }])
    await assertFails("invalid-field", ["format"], () => parseClassic(json, "here.json"));
  writeFileSync(join(folder, "empty.zip"), new Uint8Array(await (await zip([])).arrayBuffer()));
  await assertFails("no-classic-model", ["no classic.json"], () => ClassicModel.load(join(folder, "empty.zip")));
  await assertFails("no-classic-model", ["no such directory"], () => ClassicModel.load(join(folder, "nowhere")));
});

// biome-ignore lint/suspicious/noExplicitAny: it is made wrong.
type Json = any;
