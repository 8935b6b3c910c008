/** The results in a run directory, against figures made by hand, and the baselines. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import type { FileContent } from "../../src/platform/reader.ts";
import type { RunRecord } from "../../src/record/record.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { training } from "../../src/tasks/classification/classification-training.ts";
import type { Prediction } from "../../src/tasks/predictions.ts";
import { WORDS } from "../../src/tasks/words.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { measuringContext } from "../../src/train/measure.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { TrainEvent, TrainResult } from "../../src/train/records.ts";
import { blockFiles } from "../../src/views/files.ts";
import { baselinesTable, predictionsFile } from "../../src/views/run-tables.ts";
import { answersOf, joinPredictions, measureClasses, shareRight } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { savedTables } from "../helpers/markup.ts";
import { filesIn, snapshot } from "../helpers/spawn.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();

/** Three files of messages. */
function messageSets(...contents: [train: string, val: string, test: string]): Promise<LoadedDataset> {
  const [train, val, test] = contents.map((content, i) =>
    bytesReader(`${i}.csv`, new TextEncoder().encode(`label,text\n${content}\n`)),
  ) as [ReturnType<typeof bytesReader>, ReturnType<typeof bytesReader>, ReturnType<typeof bytesReader>];
  return loadDataset({ train, val, test }, { maxLength: 16 });
}

/** A run that made the predictions [label, probabilities] of the validation and test sets. */
function makeResult(
  data: LoadedDataset,
  val: [number, number[]][],
  test: [number, number[]][],
): [RunRecord, TrainResult] {
  const predictions = (some: [number, number[]][]): Prediction[] =>
    some.map(([label, all], row) => {
      return { row, label, probability: all[label]!, probabilities: Float64Array.from(all) };
    });
  const context = measuringContext(data, { calibrate: false, threshold: "none", positive: null });
  const answer = (set: LoadedDataset["val"], some: [number, number[]][]) =>
    training.answers!(set, joinPredictions(predictions(some)), context);
  const evaluation = { rows: 1, loss: 1, accuracy: 1 };
  const splits = { train: evaluation, val: evaluation, test: evaluation };
  const baselines = [{ name: "always ham", values: test.map(() => 0) }];
  const results = { before: splits, after: splits, test: measureClasses(data, predictions(test), baselines) };
  return [
    {
      ...{ objective: "classification", unequal: false },
      options: DEFAULTS,
      labels: data.labels,
      evaluations: [],
      seconds: 1,
      examples: 0,
      results,
    } as unknown as RunRecord,
    { answers: { val: answer(data.val, val), test: answer(data.test, test) } } as unknown as TrainResult,
  ];
}

/** The tables of the results, as CSV. */
function tablesOf([record]: [RunRecord, TrainResult]): Map<string, string> {
  const results = record.results!;
  return new Map(blockFiles([...baselinesTable(record, results), ...WORDS.classification.blocks!(record, results)]));
}

async function readPredictions([, result]: [RunRecord, TrainResult], data: LoadedDataset): Promise<string> {
  const [[, content]] = predictionsFile(result, data) as [[string, FileContent]];
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of content as AsyncIterable<Uint8Array>) text += decoder.decode(chunk, { stream: true });
  return text;
}

test("predictions, classes and baselines of a worked example, to the letter", async () => {
  const data = await messageSets(
    'ham,hello\nspam,"win, now"',
    'spam,"two\nlines of ""spam"""',
    'ham,ciao\nham,"très bien, cut off at sixteen tokens a a a a a a a a a a a a a a a a end"\nspam,win',
  );
  const result = makeResult(
    data,
    [[1, [0.25, 0.75]]],
    [
      [0, [0.9, 0.1]],
      [1, [1 / 3, 2 / 3]],
      [1, [1e-9, 1 - 1e-9]],
    ],
  );
  assert.is(
    await readPredictions(result, data),
    [
      "set,row,text,truth,predicted,probability ham,probability spam",
      'validation,3,"two\nlines of ""spam""",spam,spam,0.25,0.75',
      "test,4,ciao,ham,ham,0.9,0.1",
      'test,5,"très bien, cut off at sixteen tokens a a a a a a a a a a a a a a a a end",ham,spam,0.333333,0.666667',
      "test,6,win,spam,spam,1e-9,1",
      "",
    ].join("\r\n"),
  );
  const files = tablesOf(result);
  assert.is(files.get("figures/confusion.csv"), "truth,predicted ham,predicted spam\r\nham,1,1\r\nspam,0,1\r\n");
  const table = (name: string) =>
    files
      .get(`figures/${name}`)!
      .trimEnd()
      .split("\r\n")
      .map((line) => line.split(","));
  const near = (found: string[], expected: readonly number[]) => {
    for (const [i, value] of expected.entries())
      assert.ok(Math.abs(Number(found[i]) - value) < 1e-6, `${found[i]} instead of ${value}`);
  };
  const [head, ham, spam] = table("classes.csv");
  assert.is(
    head!.join(),
    "class,rows,predicted,precision,precision_low,precision_high,recall,recall_low,recall_high,f1,f1_low,f1_high,roc_auc,pr_auc",
  );
  // Wilson's intervals: 1 of 1 is 0.206549 to 1, 1 of 2 is 0.094531 to 0.905469.
  near(ham!.slice(1), [2, 1, 1, 0.206549, 1, 0.5, 0.094531, 0.905469, 2 / 3, 0.172734, 0.95039, 1, 1]);
  near(spam!.slice(1), [1, 2, 0.5, 0.094531, 0.905469, 1, 0.206549, 1, 2 / 3, 0.172734, 0.95039, 1, 1]);
  const [names, own, majority] = table("baselines.csv");
  assert.is(
    names!.join(),
    "model,rows,acc,acc_low,acc_high,acc_no_copies,acc_no_copies_low,acc_no_copies_high," +
      "macro_f1,balanced_accuracy,mcc,difference,difference_low,difference_high,standing,mcnemar_p",
  );
  assert.equal([own![0], own!.slice(11).join(""), majority![0]], ["this run", "", "always ham"]);
  near(own!.slice(1, 5), [3, 2 / 3, 0.20766, 0.938508]);
  near(own!.slice(8), [2 / 3, 0.75, 0.5]);
  near(majority!.slice(1, 5), [3, 2 / 3, 0.20766, 0.938508]);
  near(majority!.slice(8, 10), [0.4, 0.5]);
  // One row is right by each alone. There is no correlation with a single class.
  assert.equal([majority![10], majority![11], majority![14], majority![15]], ["", "0", "not distinguishable", "1"]);
  const [of, figures] = table("measures.csv");
  assert.is(of!.slice(0, 6).join(), "acc,macro_f1,balanced_accuracy,mcc,roc_auc,pr_auc");
  near(figures!, [2 / 3, 2 / 3, 0.75, 0.5, 1, 1]);
});

test("measures of a class without test rows are empty fields", async () => {
  const data = await messageSets("ham,hello\nham,yes\nspam,win\nweb,minister", "ham,a", "ham,ciao\nspam,win");
  const [ham, spam]: [number, number[]][] = [
    [0, [1, 0, 0]],
    [1, [0, 1, 0]],
  ];
  const files = tablesOf(makeResult(data, [ham!], [ham!, spam!]));
  assert.match(files.get("figures/classes.csv")!, /\r\nweb,0,0,,,,,,,,,,,\r\n$/);
});

test("predictions of many rows come in chunks, each once and in order", async () => {
  const rows = Array.from({ length: 3000 }, (_, i) => `${i % 2 ? "ham" : "spam"},message ${i}${"x".repeat(i % 50)}`);
  const data = await messageSets(rows.slice(0, 4).join("\n"), rows.slice(4, 6).join("\n"), rows.join("\n"));
  const sure: [number, number[]] = [0, [1, 0]];
  const result = makeResult(data, [sure, sure], new Array(3000).fill(sure));
  const [[, content]] = predictionsFile(result[1], data) as [[string, FileContent]];
  const sizes: number[] = [];
  let text = "";
  for await (const chunk of content as AsyncIterable<Uint8Array>) {
    sizes.push(chunk.length);
    text += new TextDecoder().decode(chunk);
  }
  assert.ok(sizes.length > 1 && Math.max(...sizes) < 70_000, sizes.join());
  const texts = text
    .trimEnd()
    .split("\r\n")
    .slice(3)
    .map((line) => line.split(",")[2]);
  assert.equal(
    texts,
    rows.map((row) => row.split(",")[1]!),
  );
});

test("a run directory: all files, and the predictions of the run", async () => {
  const model = await openBaseModel(tinyModel(join(folder, "model")));
  try {
    const data = await tinyData(messages(24));
    const options = { rank: 2, epochs: 1, batchSize: 4 };
    const out = join(folder, "run");
    const args = { device: await testDevice("wasm 1 thread"), model, data, ...options, save: out };
    const run = await fineTune(args);
    const saved = snapshot(out);
    await run.save(out);
    assert.equal(snapshot(out), saved);
    // Before training: there is no event.
    const onEvent = ({ type }: TrainEvent) => assert.unreachable(type);
    for (const [save, code, words] of [
      [out, "output-exists", ["a finished run", "run.save(directory, { force: true })"]],
      [join(out, "run.json", "run"), "invalid-output", ["the output directory cannot be created"]],
    ] as const)
      await assertFails(code, words, () => fineTune({ ...args, save, onEvent }));
    assert.equal(snapshot(out), saved);
    // Its directory is there from the beginning. A file of its names that is put there meanwhile is nobody's but the
    // user's.
    const late = join(folder, "late");
    const take = ({ type }: TrainEvent) => type === "end" && writeFileSync(join(late, "predictions.csv"), "mine");
    await assertFails("files-in-the-way", [late, "predictions.csv"], () =>
      fineTune({ ...args, save: late, onEvent: take }),
    );
    assert.equal(filesIn(late), ["predictions.csv", "run.json"]);
    const stop = new AbortController();
    const none = join(folder, "none");
    stop.abort();
    await fineTune({ ...args, save: none, signal: stop.signal }).catch(() => {});
    assert.not.ok(existsSync(none), "a run that has not begun leaves nothing");
    const read = (name: string) => readFileSync(join(out, name), "utf8");
    const lines = read("predictions.csv").trimEnd().split("\r\n").slice(1);
    assert.is(lines.length, data.val.size + data.test.size);
    answersOf(run).forEach(({ row, truth, predicted, probabilities }) => {
      const line = lines[data.val.size + row]!;
      assert.ok(line.startsWith(`test,${data.test.place(row) + 1},"${data.test.text(row)}"`), line);
      assert.match(line, `,${truth},${predicted},`);
      assert.ok(line.endsWith(probabilities.map((p) => Number(p.toPrecision(6))).join()), line);
    });
    assert.is(shareRight(run, "val"), run.results!.after.val!.accuracy);
    const report = read("report.html");
    assert.match(report, new RegExp(`test set, ${data.test.size} rows; expected calibration error \\d`));
    const tables = savedTables(report);
    assert.match(
      tables.get("baselines.csv")!,
      new RegExp(`\r\n"TF-IDF, logistic regression \\(C 1000\\)",${data.test.size},1,`),
    );
    assert.match(tables.get("classes.csv")!, /\r\nspam,\d/);
    assert.equal(
      run.results!.test!.compared.slice(1).map(({ name }) => name),
      ["TF-IDF, logistic regression (C 1000)", `always ${["ham", "spam"][majorityClass(data)]}`],
    );
  } finally {
    await model.close();
  }
});

function majorityClass({ train }: LoadedDataset): number {
  const counts = Object.values(train.classes());
  return counts.indexOf(Math.max(...counts));
}

test("the most frequent class is found by its id: an object would sort labels that are numbers", async () => {
  const rows = Array.from({ length: 60 }, (_, i) => `10,"message ${i}"\n${i % 4 ? "" : `9,"other ${i}"\n`}`);
  const data = await tinyData(`label,text\n${rows.join("")}`, { split: "stratified" });
  const { labels } = data;
  assert.equal([...labels], ["10", "9"]);
  const always = (await fitBaselines({ ...data, val: data.train })).baselines.at(-1);
  assert.is(always!.name, "always 10");
  assert.ok(Array.from(always!.values).every((label) => labels[label] === "10"));
});
