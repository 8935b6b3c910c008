/** What a classifier has to beat, against scikit-learn's results (made by test/exchange/baseline.py). */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { csvLine } from "../../src/io/csv.ts";
import { fitClasses, predictTfidf } from "../../src/train/baselines.ts";
import { Tfidf } from "../../src/train/tfidf.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

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
    const { c, scores, values: found } = (await predictTfidf(data))!;
    assert.is(c, expected.c);
    const order = [...ids.keys()];
    assertAllClose("scores", comparable(scores, ids), comparable(expected.scores.flat(), order), SCORES);
    const right = Array.from(found).filter((label, row) => data.test.label(row) === label).length;
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
  const { limits, values } = (await predictTfidf(data, { mostWork: 16_000 }))!;
  assert.match(limits!, new RegExp(`^\\d+ of ${data.train.size} training rows, stopped `));
  assert.equal((await predictTfidf(data, { mostWork: 16_000 }))!.values, values);
});

test("a fit ends at its limit of work with what it has, and the baseline says what it left out", async () => {
  const { sets } = cases["three unequal classes"]!;
  const [data] = await load(sets);
  const right = ({ values }: { values: ArrayLike<number> }) =>
    Array.from(values).filter((label, row) => label === data.test.label(row)).length;
  const whole = (await predictTfidf(data))!;
  assert.is(whole.limits, undefined);
  const work = { mostWork: 3e6 };
  const stopped = (await predictTfidf(data, work))!;
  assert.is(stopped.limits, "stopped after 0.003 billion multiply-adds");
  assert.ok(stopped.c < whole.c && right(stopped) > data.test.size / 2, `C ${stopped.c}, ${right(stopped)} right`);
  assert.equal(await predictTfidf(data, work), stopped);
  // Fewer rows, so that some products of them can be afforded; and fewer n-grams.
  const small = (await predictTfidf(data, { mostWork: 5e5, mostWeights: 1000 }))!;
  assert.match(
    small.limits!,
    new RegExp(`^\\d+ of ${data.train.size} training rows, \\d+ of \\d+ n-grams, stopped after 0.0005 `),
  );
});

test("classes without training rows are never predicted, and do not choose C; one class alone has no such baseline", async () => {
  const rows = (...some: [string, number][]): [string, number][] => some;
  const [a, b] = [rows(["aa bb", 0], ["aa cc", 0]), rows(["dd ee", 1], ["dd ff", 1])];
  const [data, [first]] = await load({ train: [...a, ...b, ["zz", 2]], val: [["zz", 2]], test: [...a, ["zz", 2]] });
  const zs = [...data.train.positions()].filter((row) => data.train.text(row) === "zz");
  const others = data.train.select([...data.train.positions()].filter((row) => !zs.includes(row)));
  const found = (await predictTfidf({ ...data, train: others }))!;
  assert.equal([found.c, found.values[0], found.values[1]], [1, first, first]);
  assert.not.equal(found.values[2], data.test.label(2));
  const one = data.train.select([0]);
  assert.is(await predictTfidf({ ...data, train: one }), null);
  assert.equal(
    (await fitClasses({ ...data, train: one })).map(({ name }) => name),
    [`always ${data.labels[one.label(0)]}`],
  );
});

test("the baselines end with the reason of their signal", async () => {
  const data = await tinyData(messages(24));
  const reason = new Error("stop");
  const error = await fitClasses(data, AbortSignal.abort(reason)).catch((thrown) => thrown);
  assert.is(error, reason);
});

test("runs on the same data have the same baselines, also where a signal has ended the first", async () => {
  const data = await tinyData(messages(8), { split: "random" });
  const abort = new AbortController();
  const stopped = fitClasses(data, abort.signal);
  abort.abort(new Error("stopped"));
  const [first, second] = [fitClasses(data), fitClasses(data)];
  await stopped.then(
    () => assert.unreachable("it has not ended"),
    (error) => assert.is(error.message, "stopped"),
  );
  assert.equal(await first, await second);
  assert.is(await fitClasses(data), await fitClasses(data));
  assert.match((await first)[0]!.name, "TF-IDF");
});
