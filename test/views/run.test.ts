/** What is shown of a run and its data, with many classes, long labels and control characters. */
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { csvLine } from "../../src/io/csv.ts";
import { EMPTY_CURVE } from "../../src/record/curve.ts";
import type { RunRecord } from "../../src/record/record.ts";
import type { Prediction } from "../../src/tasks/predictions.ts";
import type { Baseline, Results } from "../../src/tasks/task.ts";
import { isUnequal } from "../../src/train/class-weights.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { blockFiles } from "../../src/views/files.ts";
import { inSummary, runBlocks, summaryBlocks, useCommands } from "../../src/views/run.ts";
import { reportBlocks } from "../../src/views/run-report.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { describeAnswer, describeEffort, headline, toneOf } from "../../src/views/verdicts.ts";
import { measureClasses } from "../helpers/answers.ts";
import { test } from "../helpers/harness.ts";
import { tinyData } from "../helpers/tiny.ts";

/** `rows` messages of classes with these names, alternating. */
function alternatingData(labels: readonly string[], rows: number): Promise<LoadedDataset> {
  const lines = Array.from({ length: rows }, (_, i) => [`message ${i}`, labels[i % labels.length]]);
  const csv = [["text", "label"], ...lines].map(csvLine).join("");
  return loadDataset({ file: bytesReader("a\u001b[31m.csv", new TextEncoder().encode(csv)) }, { balance: false });
}

/** The predictions in which `say` maps the true class of each test message to the predicted one. */
function predict({ labels, test: set }: LoadedDataset, say: (truth: number) => number): Prediction[] {
  return Array.from({ length: set.size }, (_, row) => {
    const label = say(set.label(row));
    const probabilities = Float64Array.from(labels, (_, i) => (i === label ? 0.5 : 0));
    return { row, label, probability: 0.5, probabilities };
  });
}

/** TF-IDF is always right. */
function baselines({ test: set }: LoadedDataset): Baseline[] {
  const truth = Array.from({ length: set.size }, (_, row) => set.label(row));
  return [
    { name: "TF-IDF", values: truth },
    { name: "always ham", values: truth.map(() => 0) },
  ];
}

/** The record of a run that made these predictions. */
function recordOf(data: LoadedDataset, predictions: Prediction[], against = baselines(data)): RunRecord {
  const evaluation = { rows: data.test.size, loss: 1, accuracy: 0.5 };
  const splits = (one: typeof evaluation) => ({ train: one, val: one, test: one });
  const { train, val, test: set } = data.stats;
  return {
    ...{ objective: "classification", options: DEFAULTS, labels: data.labels, data: {}, unequal: isUnequal(data) },
    ...{ counts: { rows: [train.rows, val.rows, set.rows] }, examples: 1, seconds: 1 },
    ...{ step: 1, epoch: DEFAULTS.epochs, keptStep: 1, evaluations: [{ step: 1, val: evaluation }] },
    results: {
      before: splits({ ...evaluation, loss: 2 }),
      after: splits(evaluation),
      ...{ parts: [], decision: null, test: measureClasses(data, predictions, against) },
    },
  } as unknown as RunRecord;
}

/** The record of a run in which `say` maps the true class of each test message to the predicted one. */
const makeResult = (data: LoadedDataset, say: (truth: number) => number) => recordOf(data, predict(data, say));

/** As in the terminal, with plain spaces. */
const show = (blocks: Parameters<typeof renderBlocks>[0], width: number) =>
  renderBlocks(blocks, width).replaceAll("\u00a0", " ");
const showResult = (record: RunRecord, width: number) => show(runBlocks(record), width);
const showData = (data: LoadedDataset, width: number) => show(dataBlocks(data, "m\u0007", "auto"), width);

/** Checks the width of tables; the terminal can wrap sentences. */
function assertFits(text: string, width: number): void {
  for (const line of text.split("\n").filter((one) => /^[│┌├└]/.test(one)))
    assert.ok(line.length <= width, `${line.length}: ${line}`);
}

test("1,002 classes: the summary fits a screen; the CSV file is complete", async () => {
  const labels = Array.from({ length: 1002 }, (_, i) => `class ${(i / 7).toFixed(3)}`);
  const data = await alternatingData(labels, 3006);
  // A third of the classes is misclassified as the preceding class.
  const result = makeResult(data, (truth) => (truth % 3 === 2 ? truth - 1 : truth));
  const described = showData(data, 80);
  const resultText = showResult(result, 80);
  for (const text of [described, resultText]) {
    assert.ok(text.split("\n").length < 95, text);
    assertFits(text, 80);
  }
  assert.match(described, /1002 classes: [^│]*label\s+column is\s+the\s+right\s+one/);
  assert.match(described, "The largest of 1,002 classes; the smallest has 3 rows:");
  const { truth = [], predicted = [] } = result.results!.test.rows;
  const wrong = truth.filter((label, row) => predicted[row] !== label).length;
  assert.match(resultText, `Misclassified: ${wrong} of 1,002 test messages, the 100 most confident:`);
  assert.match(resultText, /│ TF-IDF +│ 100.0 % \(99.6–100.0\) │ -33.3 % \(-36\.\d to -30\.\d\) │/);
  assert.match(resultText, /│ TF-IDF +│ worse \(p < 0.001\) +│/);
  assert.match(resultText, /│ always ham +│ better \(p < 0.001\) +│/);
  const counts = [...resultText.matchAll(/│ +(\d+) │$/gm)].map(([, rows]) => Number(rows));
  assert.is(counts.length, 12);
  assert.equal(
    counts,
    counts.toSorted((a, b) => b - a),
  );

  const files = new Map(blockFiles(runBlocks(result)));
  for (const name of ["classes", "confusion"])
    assert.ok(files.get(`figures/${name}.csv`)!.split("\r\n").length > 1000, name);
  const csv = files.get("figures/confusion.csv")!;
  const [head, ...rows] = csv.trimEnd().split("\r\n");
  assert.is(head, "truth,predicted,rows");
  assert.is(
    rows.reduce((sum, row) => sum + Number(row.split(",")[2]), 0),
    1002,
  );
});

test("few classes: every class with its rows, and the whole matrix", async () => {
  const data = await alternatingData(["ham", "spam", "news"], 300);
  const resultText = showResult(
    makeResult(data, (truth) => (truth === 1 ? 0 : truth)),
    80,
  );
  assert.match(resultText, /│ True label │ ham │ news │ spam │/);
  assert.match(resultText, /│ news +│ +\d+ │ +0 │ +0 │/);
  const described = showData(data, 80);
  for (const label of data.labels) assert.match(described, new RegExp(`│ ${label} +│ +\\d+ │ +\\d+ │ +\\d+ │`));
  assert.not.match(described, "label column");
});

test("a terminal has the baselines, the notes, and the verdict last; the report has the worst errors before the rest", async () => {
  const data = await alternatingData(["ham", "spam", "news"], 300);
  const record = {
    ...makeResult(data, (truth) => (truth === 1 ? 0 : truth)),
    ...{
      model: "/home/me/gpt2",
      data: { file: "/home/me/a.csv" },
      settings: {},
      created: 0,
      memory: 5e6,
      trainable: 10,
    },
    ...{ parameters: 100, device: null, peftObstacle: null, curve: EMPTY_CURVE, stepsPerEpoch: 1 },
    evaluations: [{ step: 1, epoch: 1, examples: 8, lr: 0.1, val: { rows: 60, loss: 1, accuracy: 0.5 } }],
  } as unknown as RunRecord;
  const text = show([...inSummary(dataBlocks(data, "m", "auto")), ...summaryBlocks(record)], 80);
  assert.ok(text.split("\n").length <= 40, text);
  assert.match(
    text,
    /\n30 of 60 test messages right\. Always guessing ham: 20\. A word-count model: 60,\s+clearly better\. A\s+word-count\s+model\s+is\s+better,\s+and\s+comes\s+with\s+this\s+run:\s+take\s+it\.[^│]*$/,
  );
  assert.not.match(text, /Misclassified|Confusion|Before and after/);
  // What labels a table is what is better.
  const [, table] = useCommands(record, "runs/a", "out.csv");
  assert.equal(table, ["classify", "--run", "runs/a", "--classic", "--in", "new.csv", "--out", "out.csv"]);
  const blocks = reportBlocks(record, { classic: null }, data);
  const titles = blocks.flatMap((block) => (block.kind === "heading" ? block.text : []));
  const sections = ["How it is used", "How good it is", "What it gets wrong", "How it was made"];
  assert.equal(titles, ["A model that classifies messages as ham, news or spam", ...sections]);
  const [, first, picture, advice] = blocks;
  assert.ok(first?.kind === "text" && picture?.kind === "figure" && picture.chart.kind === "bars");
  assert.match(
    first.text,
    /^30 of 60 test messages right\. Always guessing ham: 20\. A word-count model: 60, clearly better\.$/,
  );
  assert.equal(
    picture.chart.bars.map(({ name, value }) => [name, value]),
    [
      ["This run", 2 / 3],
      ["A word-count model", 1],
      ["Always guessing ham", 1 / 3],
    ],
  );
  assert.match(
    picture.caption.replaceAll("\u00a0", " "),
    /^This run 66.7 % \(54.1–77.3\); A word-count model 100.0 % \(94.0–100.0\); Always guessing ham 33.3 % \(/,
  );
  assert.ok(
    advice?.kind === "note" &&
      advice.text.startsWith("A word-count model is better, and comes with this run: take it."),
  );
  const mistakes = blocks.find((block) => block.kind === "table" && block.name === "mistakes");
  assert.ok(mistakes?.kind === "table" && mistakes.shown === 10 && mistakes.rows.length === 20);
  assert.is(mistakes.caption, "Misclassified: 20 of 60 test messages, the worst 10");
  assert.not.match(JSON.stringify(blocks), "/home/me");
});

test("the parts of a data set have rows of their own", async () => {
  const data = await alternatingData(["ham", "spam"], 100);
  const record = makeResult(data, () => 0);
  const parts = [
    { name: "one", rows: 13, loss: 0.5, accuracy: 1 },
    // Of several labels there is no loss of a part.
    { name: "other", rows: 7, loss: Number.NaN, accuracy: 0.25 },
  ];
  const text = showResult({ ...record, results: { ...record.results!, parts } }, 100);
  assert.match(text, /│ Test: one +│ +13 │ +– │ 0\.5000 │ +– │ +100\.0 % │/);
  assert.match(text, /│ Test: other +│ +7 │ +– │ +– │ +– │ +25\.0 % │/);
});

test("the run beside the baselines: where they win, the summary says so and what to try", async () => {
  const data = await alternatingData(["ham", "spam"], 100);
  // Better than the most frequent class, and worse than TF-IDF.
  const right = predict(data, (label) => label);
  const predictions = right.map((one, i) => ({ ...one, label: i < 5 ? 1 - one.label : one.label }));
  const worse = recordOf(data, predictions);
  const rows = data.test.size;
  const share = ((100 * (rows - 5)) / rows).toFixed(1);
  const lost = showResult(worse, 200);
  assert.match(lost, new RegExp(`│ this run +│ +${share} % \\(`));
  assert.match(
    lost,
    "McNemar's exact test of the accuracy, corrected with Holm's method for 2 comparisons (each interval is of one alone):",
  );
  assert.match(
    lost,
    /│ TF-IDF +│ 100.0 % \(83.9–100.0\) │ -25.0 % \(-46.9 to 0.0\) │ not distinguishable \(p = 0.125\) │/,
  );
  assert.match(lost, /│ always ham +│ .* │ .* \(p . 0.\d{3}\) +│/);
  assert.match(
    lost,
    new RegExp(
      `right\\. Always guessing ham: 10(, no clear difference)?\\. A word-count model: ${rows}, no clear difference\\.\n`,
    ),
  );
  const [table, larger] = ["an adapter of the token table", "a larger model, such as gpt2"];
  for (const [options, parameters, advice] of [
    [{}, 7e6, `${table} as well (--targets all,wte), or full fine-tuning (--mode all) at its default rate of 0.0005`],
    [{ targets: [...DEFAULTS.targets, "wte"] }, 7e6, larger],
    [{ mode: "all" }, 7e6, `LoRA with ${table} (--mode lora and --targets all,wte), or ${larger}`],
    [
      { mode: "bitfit" },
      7e6,
      `LoRA with ${table} (--mode lora and --targets all,wte), or full fine-tuning (--mode all) at its default rate`,
    ],
    [{}, 124e6, undefined],
  ] as [Partial<TrainOptions>, number, string | undefined][]) {
    const shown = showResult({ ...worse, parameters, options: { ...DEFAULTS, ...options } }, 200).replaceAll(
      /\s+/g,
      " ",
    );
    if (advice === undefined) assert.not.match(shown, "Try ");
    else assert.match(shown, `Try ${advice}`);
  }
  const [, always] = baselines(data);
  const same = predictions.map(({ label }) => label);
  const equal = recordOf(data, predictions, [{ name: "TF-IDF", values: same }, always!]);
  assert.match(showResult(equal, 200), `A word-count model: ${rows - 5}, no clear difference.\n`);
  // Answers that are equal on 20 rows may differ by much on others.
  const enough =
    /note: Whether it is better than a word-count model, which comes with this run, cannot be told from 20 rows: it may be \d+\.\d points worse or \d+\.\d points better\./;
  assert.match(showResult(equal, 300), enough);
  const many = await alternatingData(["ham", "spam"], 1500);
  assert.match(
    showResult(
      recordOf(
        many,
        predict(many, (label) => label),
      ),
      300,
    ),
    /model: 300, as good\.\nnote: A word-count model is as good, within 2 points, and comes with this run: it is enough\./,
  );
  // Where most test rows have a near-copy among the training rows they say little of new texts.
  const copied = structuredClone(equal);
  const unseen = { value: 0.75, low: 0.3, high: 0.95, rows: 4 };
  copied.results!.test.compared[0].unseen = unseen;
  assert.is(toneOf(copied), "unclear");
  assert.match(showResult(copied, 400), /10 of 20 test messages right; of the 4 that resemble no training row, 3\. /);
  assert.match(
    showResult(copied, 400),
    /note: 80 % of the test rows differ from a training row in a few words at most: how good it is on texts in other words cannot be told from them\. A test set of such texts \(--test\) would tell/,
  );
  const alike = (share: number, from: RunRecord = equal) => {
    const resembling = structuredClone(from);
    resembling.results!.test.compared[1]!.alike = share;
    return showResult(resembling, 400);
  };
  // There words are no better by less than the margin, however surely.
  const surely = (low: number) => {
    const beaten = structuredClone(equal);
    const { against } = beaten.results!.test.compared[1]!;
    Object.assign(against!, { standing: "worse", difference: { ...against!.difference, low, high: -0.001 } });
    return alike(0.9, beaten);
  };
  assert.match(
    surely(-0.03),
    /clearly better\.\nnote: A word-count model is better, and comes with this run: take it\. 90 %/,
  );
  assert.match(surely(-0.01), /as good\.\nnote: 90 % of the test rows differ/);
  assert.match(alike(0.5), "note: 50 % of the test rows differ from a training row in a few words at most:");
  assert.not.match(alike(0.4), "differ from a training row");
  // Test rows of which far fewer are right than of the validation rows are of another kind.
  const drifted = structuredClone(equal);
  for (const [rows, isSaid] of [
    [100, true],
    [5, false],
  ] as const) {
    Object.assign(drifted.results!.after.val!, { rows, accuracy: 1 });
    const said =
      "Of the validation rows 100.0 % are right, of the test rows 75.0 %: the test rows are of another kind.";
    assert.is(showResult(drifted, 300).includes(said), isSaid);
    // A threshold lowers the accuracy of the test rows alone.
    const options = { ...DEFAULTS, threshold: "recall=1" as const };
    assert.not.match(showResult({ ...drifted, options }, 300), "of another kind");
  }
  // What helped a small GPT-2 is not advised for another base.
  const other = showResult({ ...equal, vocabulary: "another" }, 300);
  assert.match(other, enough);
  assert.not.match(other, "Try ");
  // Where most rows have one label, it is said what of the others was right; what is fitted has nothing to set.
  const rare = await alternatingData([...new Array<string>(9).fill("ham"), "spam"], 1000);
  const [, ofRare] = baselines(rare);
  const never = predict(rare, () => 0);
  const blind = recordOf(rare, never, [{ name: "TF-IDF", values: never.map(() => 0) }, ofRare!]);
  const fitted = showResult({ ...blind, options: { ...DEFAULTS, mode: "probe" } }, 300);
  assert.match(fitted, /right; of the 20 that are not ham, 0\. Always guessing ham: 180, as good\. /);
  assert.match(
    fitted,
    "note: It is not clearly better than always guessing ham: these rows do not show that the answer follows from the text. ",
  );
  const limits = "3 of 9 training rows, stopped after 5 billion multiply-adds";
  const limited = recordOf(data, predictions, [{ name: "TF-IDF", values: same, limits }, always!]);
  assert.is(limited.results!.test.compared[1]!.limits, limits);
  assert.match(showResult(limited, 200), `note: "TF-IDF" was fitted in part: ${limits}.\n`);
  // TF-IDF is right as well: there is nothing to try.
  const won = showResult(recordOf(data, right), 300);
  assert.match(
    won,
    /note: Whether .* cannot be told from 20 rows: it may be .* better\. Some [0-9,]+ test rows would tell\.\n[\s\S]*\nnote: One seed: /,
  );
  // Every probability is 0.5, and every row is right.
  assert.match(
    won,
    /│ +Macro F1 │ Balanced accuracy │ +MCC │ .* │ +Calibration error │\n.*\n│ +100.0 % │ +100.0 % │ 1.000 │ .* 50.0 % \(50.0–50.0\) +│/,
  );
  assert.match(won, /No test message was misclassified\./);
});

test("few test rows make the accuracy a rough guess; classes without any have no measures", async () => {
  const lines = (label: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${label},row ${i}\n`).join("");
  const data = await tinyData(`label,text\n${lines("ham", 14)}${lines("spam", 20)}${lines("news", 2)}`, {
    split: "ordered",
  });
  const text = showResult(
    makeResult(data, () => data.labels.indexOf("spam")),
    120,
  );
  assert.match(text, /│ spam +│ +6 │ +75.0 % \(/);
  assert.match(text, /│ news +│ +2 │ +– │ +0.0 % \(/);
  assert.match(text, /│ ham +│ +0 │ +– │ +– │ +– │/);
  assert.match(
    text,
    "note: The test set has only 8 rows: the accuracy is a rough guess (75.0 %, 95 % interval 40.9 % to 92.9 %).\n",
  );
});

test("a run that learned nothing says so, with a learning rate or a number of epochs to try", async () => {
  const data = await alternatingData(["ham", "spam"], 400);
  const result = makeResult(data, (label) => label);
  const perplexityLine = (loss: number) => {
    const one = { rows: 1, loss, accuracy: 0.5 };
    return { train: one, val: one, test: one };
  };
  const note = ({ options = DEFAULTS, step = 200, ...changed }: Partial<RunRecord> & Partial<Results>) => {
    const { evaluations = [], counts = result.counts, ...ofResults } = changed;
    const record = { ...result, options, step, evaluations, counts, results: { ...result.results!, ...ofResults } };
    return /note: (.*)/.exec(showResult(record, 200))?.[1] ?? "";
  };
  assert.is(
    note({ before: perplexityLine(0.7), after: perplexityLine(3), options: { ...DEFAULTS, lr: 5 } }),
    "The training loss did not fall: 0.7000 before training, 3.0000 after it. " +
      "The learning rate 5 is probably too high for this method. Try a learning rate of 0.001.",
  );
  assert.match(
    note({ before: perplexityLine(0.7), after: perplexityLine(0.7), options: { ...DEFAULTS, lr: 1e-9 } }),
    "The learning rate 1e-9 is probably too low for this method. Try a learning rate of 0.001.",
  );
  assert.match(
    note({ before: perplexityLine(0.7), after: perplexityLine(0.7), step: 6, options: { ...DEFAULTS, epochs: 3 } }),
    "6 steps are probably too few. Try more examples, or 50 epochs.",
  );
  assert.match(
    note({ before: perplexityLine(0.7), after: perplexityLine(3), step: 6, options: { ...DEFAULTS, lr: 5 } }),
    "Try a learning rate of 0.001.",
  );
  const risen = { before: perplexityLine(0.7), after: perplexityLine(0.8) };
  assert.match(note(risen), "Try a learning rate of 0.00025.");
  // Where that is no better, and where the last evaluation is the best one, more epochs may be.
  assert.match(
    note({ ...risen, options: { ...DEFAULTS, lr: 0.00025, epochs: 4 } }),
    "200 steps are probably too few at the low learning rate 0.00025. Try more examples, or 8 epochs.",
  );
  const losses = (...all: number[]) => ({
    evaluations: all.map((loss, i) => ({ step: i, val: { rows: 1, loss, accuracy: 0.5 } })) as RunRecord["evaluations"],
  });
  const four = { ...DEFAULTS, epochs: 4 };
  assert.match(note({ ...risen, ...losses(0.9, 0.8, 0.7), options: four }), "or 8 epochs.");
  assert.match(note({ ...risen, ...losses(0.7, 0.8, 0.9), options: four }), "Try a learning rate of 0.00025.");
  const predictions = predict(data, () => 0);
  const measured = (some: Prediction[]) => note({ test: measureClasses(data, some, baselines(data)) });
  assert.match(measured(predictions), /^It is not clearly better than always guessing ham\. .* Try /);
  // A threshold that was chosen for another figure can cost the accuracy: the learning rate is not to blame.
  const decision = { positive: 0, threshold: 0.2, precision: 0.5, recall: 1 };
  const thresholded = { ...DEFAULTS, threshold: "recall=1" };
  const tuned = note({
    ...{ test: measureClasses(data, predictions, baselines(data)), decision, options: thresholded },
  });
  assert.match(tuned, /^The run predicts by a threshold \(recall=1\), which can lower the accuracy/);
  assert.not.match(tuned, /always|Try/);
  // Better by chance.
  const lucky = predictions.map((one) => ({ ...one, label: one.row === 1 ? data.test.label(1) : 0 }));
  assert.match(measured(lucky), /^It is not clearly better than always guessing ham\. /);
  assert.match(note({}), /^Whether it is better than a word-count model, which comes with this run, cannot be told/);
  // No number of rows is known from which LoRA is better than a probe.
  const test = measureClasses(data, lucky, baselines(data));
  const options = { ...DEFAULTS, mode: "probe" } as const;
  assert.not.match(note({ test, options, counts: { ...result.counts, rows: [5000, 9, 9] } }), "Try");
});

test("the summary says why a run ended early, and which evaluation was kept", async () => {
  const data = await alternatingData(["ham", "spam"], 100);
  const result = makeResult(data, (label) => label);
  const records = [4, 8, 12].map((step, i) => ({ step, val: { rows: 1, loss: 0.5 + i, accuracy: 1 } }));
  const stopped = {
    ...result,
    options: { ...DEFAULTS, patience: 2, epochs: 20 },
    ...{ step: 12, epoch: 1.5, examples: 96, evaluations: records, keptStep: 4 },
  } as unknown as RunRecord;
  const text = showResult(stopped, 120);
  assert.match(text, "note: Stopped in epoch 1.5 of 20: 2 evaluations without a lower validation loss.");
  assert.match(text, "note: Kept: step 4 of 12, with validation loss 0.5000; after the last step it is 2.5000.");
  assert.not.match(showResult(result, 120), /Stopped|Kept/);
});

test("labels and file names: one line, truncated, without control characters", async () => {
  const labels = ["\u001b[2Jham", `spam ${"x".repeat(10_000)}`, "two\nlines", "\u202egnp.exe"];
  const data = await alternatingData(labels, 400);
  for (const width of [80, 200]) {
    const text = [
      showData(data, width),
      showResult(
        makeResult(data, () => 0),
        width,
      ),
    ].join("\n");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
    assert.not.match(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    assert.match(text, "\\u001b[2Jham");
    assert.match(text, "two lines");
    assertFits(text, width);
  }
});

test("the result says of how many training rows its figures are", async () => {
  const data = await alternatingData(["ham", "spam"], 100);
  const text = showResult(
    makeResult(data, (label) => label),
    80,
  );
  assert.match(text, /│ Training \* +│ +20 │/);
  assert.match(text, /\nBefore and after training; training \*: a sample of 20 of 70 rows:\n/);
});

test("the headline: a share of few messages is none, a language model has its perplexity, a stopped run its last loss", () => {
  const at = (test: object) => ({ train: test, val: test, test });
  const record = (before: object, after: object, more = {}) =>
    ({
      ...{ options: DEFAULTS, objective: "classification", unequal: false, examples: 1234, seconds: 61, step: 3 },
      ...{ evaluations: [{ step: 2, val: { loss: 0.5, accuracy: 0.25, macroF1: 0.2 } }] },
      ...{ results: { before: at(before), after: at(after), test: { details: { classes: [] } } }, ...more },
    }) as unknown as RunRecord;
  const found = (after: object, more = {}) => headline(record({}, after, more))?.replaceAll("\u00a0", " ");
  assert.is(found({ rows: 2, accuracy: 0.5 }), "1 of 2 test messages right: too few to tell");
  assert.is(found({ rows: 1, accuracy: 1 }), "1 of 1 test message right: too few to tell");
  assert.is(found({ rows: 2000, accuracy: 0.945 }), "1,890 of 2,000 test messages right");
  const lm = record({ perplexity: 12345 }, { perplexity: 31.456 }, { objective: "lm" });
  assert.is(
    `${describeEffort(lm)}. ${describeAnswer(lm)}`,
    "LoRA, rank 8, alpha 16: 1,234 blocks in 1 min 01 s, including evaluation. " +
      "The perplexity on the test set was 12,345 before and is 31.46 now.",
  );
  const stopped = record({}, {}, { results: null, unequal: true });
  assert.is(headline(stopped), null);
  assert.match(
    describeAnswer(stopped).replaceAll("\u00a0", " "),
    "Stopped after step 3; last evaluation after step 2: validation loss 0.5000, accuracy 25.0 %, macro F1 20.0 %.",
  );
});
