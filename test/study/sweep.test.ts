/** Sweeps: the list of trials, resuming, shards, and the report. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { CONFIGS } from "../../src/bench/shapes.ts";
import type { ModelConfig } from "../../src/config.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import type { Block, Cell, Table } from "../../src/document/blocks.ts";
import { loadModel } from "../../src/io/hf.ts";
import { memoryTotals } from "../../src/plan/memory.ts";
import { PRESETS } from "../../src/run/settings.ts";
import { describeTrial, listCells, runnableTrials, type SweepSpec, type Trial } from "../../src/study/grid.ts";
import { bestTrial, listOutcomes } from "../../src/study/outcome.ts";
import { SWEEPS } from "../../src/study/presets.ts";
import { runTrials, type StudyEvent } from "../../src/study/runner.ts";
import {
  collect,
  type FinishedCell,
  keepPart,
  partCount,
  readFinished,
  type TrialRecord,
} from "../../src/study/store.ts";
import { peakMemory } from "../../src/train/plan-event.ts";
import { train } from "../../src/train/trainer.ts";
import { toHtml } from "../../src/views/html.tsx";
import { toMarkdown } from "../../src/views/markdown.ts";
import { judgedBy } from "../../src/views/measures.ts";
import { runFiles } from "../../src/views/run-files.ts";
import * as report from "../../src/views/study/report.ts";
import { summaryBlocks } from "../../src/views/study/summary.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { cellOf, predicting } from "../helpers/trials.ts";

const folder = temporaryFolder();
const GPT2: ModelConfig = CONFIGS["gpt2-small"];

function presetFor(name: string, model: ModelConfig = GPT2): SweepSpec {
  const { base, arms } = SWEEPS[name]!;
  return { base, arms: typeof arms === "function" ? arms(model, base) : arms };
}

/** All trials: nothing is chosen. */
const listTrials = async (...args: Parameters<typeof listCells>) => runnableTrials(await listCells(...args));

/** Trials as cells at a shared learning rate. */
function toCells(trials: readonly TrialRecord[]): FinishedCell[] {
  const cellKey = ({ trial, options }: TrialRecord) => JSON.stringify([trial.model, { ...options, seed: 0 }]);
  return [...new Set(trials.map(cellKey))].map((key) => cellOf(trials.filter((trial) => cellKey(trial) === key)));
}

const reportBlocks = (trials: readonly TrialRecord[], data: LoadedDataset) =>
  report.reportBlocks(toCells(trials), data);
const writeReport = (out: string, trials: readonly TrialRecord[], data: LoadedDataset) =>
  report.writeReport(out, toCells(trials), data);

const TINY_RUN = { epochs: 1, batchSize: 4, rank: 2, alpha: 4, lr: 1e-2 };

test("presets: the published program's settings, and the quickstart's", () => {
  const published = { scaling: "alpha", init: "paper", pooling: "last", padding: "longest", epochs: 20, lr: 5e-5 };
  const rows = { dataset: "sms", balance: true, classWeights: "none", headInit: "uniform" };
  const paper = { ...published, schedule: "constant", warmup: 0, keep: "last", model: "gpt2", ...rows };
  assert.equal(PRESETS, { quickstart: { model: "smollm2-cut", dataset: "spam", trainRows: 100 }, paper });
  assert.equal(SWEEPS.paper!.base, paper);
});

test("the published experiment has 19 distinct trials; the other presets have their own", async () => {
  const trials = await listTrials(presetFor("paper"), 1, () => ({}));
  assert.is(trials.length, 19);
  assert.is(new Set(trials.map(({ name }) => name)).size, 19);
  const modes = trials.map(({ options }) => options.mode);
  assert.is(modes.filter((mode) => mode === "lora").length, 16);
  const { options } = trials[0]!;
  assert.equal([options.scaling, options.init, options.pooling, options.lr], ["alpha", "paper", "last", 5e-5]);
  for (const name of Object.keys(SWEEPS))
    assert.ok((await listTrials(presetFor(name), 2, () => ({}))).length % 2 === 0, name);
});

test("targets and layers: a list is one value, a list of lists is several", async () => {
  const labels = async (arm: Record<string, unknown>) =>
    (await listTrials({ base: {}, arms: [arm] }, 1, () => ({}))).map((trial) => describeTrial(trial).slice(22));
  assert.equal(await labels({ layers: [0, 1, 4] }), [", in blocks 0-1,4"]);
  assert.equal(await labels({ layers: [[3], null] }), [", in block 3", ""]);
  assert.equal(await labels({ targets: ["q", "v"], layers: [[0], [1]] }), [
    ", on q v, in block 0",
    ", on q v, in block 1",
  ]);
  assert.equal((await listTrials({ base: {}, arms: [{ mode: "all", layers: [[3], null] }] }, 1, () => ({}))).length, 1);
});

test("settings without effect in a mode create no further trials; other data or another model do", async () => {
  const spec = { base: {}, arms: [{ mode: ["last_layer"], rank: [4, 8], alpha: [8, 16] }] };
  const [only, ...more] = await listTrials(spec, 1, () => ({ name: "a" }));
  assert.is(more.length, 0);
  const [other] = await listTrials(spec, 1, () => ({ name: "b" }));
  assert.is.not(only!.key, other!.key);
  assert.is((await listTrials(spec, 3, () => ({}))).length, 3);
});

test("seeds that are given as settings are seeds of one setting", async () => {
  const cells = await listCells({ base: {}, arms: [{ rank: [2, 4], seed: [1, 3, 2] }] }, 2, () => ({}));
  const seeds = cells.map(({ rates }) =>
    rates.map((trials) => trials.map(({ options: { rank, seed } }) => [rank, seed])),
  );
  assert.equal(
    seeds,
    [2, 4].map((rank) => [[1, 2, 3, 4].map((seed) => [rank, seed])]),
  );
});

test("a key depends on every option that changes the result", async () => {
  const key = async (options: object) =>
    (await listTrials({ base: { model: "m" }, arms: [{ ...options }] }, 1, () => ({ name: "a" })))[0]!.key;
  assert.is(await key({ mode: "lora", rank: 8 }), await key({}), "the defaults");
  assert.is(await key({ recompute: "on" }), await key({}), "the same bits");
  const keys = await Promise.all([{}, { rank: 4 }, { keep: "last" }, { seed: 2 }].map(key));
  assert.is(new Set(keys).size, 4);
});

test("a trial is finished only with its own options", async () => {
  const { out: trained } = await wholeSweep();
  const sweep = await tinySweep("options");
  const [trial] = sweep.trials;
  cpSync(join(trained, "trials", trial!.name), join(sweep.out, "trials", trial!.name), { recursive: true });
  const path = join(sweep.out, "trials", trial!.name, "run.json");
  const record = JSON.parse(readFileSync(path, "utf8"));
  for (const [options, isDone] of [
    [record.options, true],
    // As if the default had changed since: the key is the same.
    [{ ...record.options, epochs: 7 }, false],
  ] as const) {
    writeFileSync(path, JSON.stringify({ ...record, options }));
    assert.is((await readFinished(sweep.out, trial!)) !== null, isDone, JSON.stringify(options));
  }
  const { dtype: _, ...incomplete } = record.options;
  writeFileSync(path, JSON.stringify({ ...record, options: incomplete }));
  await assertFails("invalid-field", ["options: unknown dtype"], () => readFinished(sweep.out, trial!));
});

test("an invalid value is reported before anything runs", async () => {
  const list = (arm: Record<string, unknown>) => () => listTrials({ base: {}, arms: [arm] }, 1, () => ({}));
  await assertFails("invalid-value", ["rank"], list({ mode: "lora", rank: [4, 0] }));
  await assertFails("unknown-option", ['"rnak"', "did you mean rank"], list({ rnak: [4] }));
  await assertFails("unknown-value", ["target", "attn"], list({ targets: [["q"], ["attn"]] }));
  await assertFails("invalid-lora-config", ["layers", "ascending"], list({ layers: [[1, 0]] }));
  await assertFails("invalid-sweep", ["no arms"], () => listTrials({ base: {}, arms: [] }, 1, () => ({})));
});

const model = tinyModel(join(folder, "model"));
const loading = tinyData(messages(24));

async function tinySweep(name: string) {
  const data = await loading;
  const spec = { base: { ...TINY_RUN, model }, arms: [{ mode: "lora", alpha: [2, 4] }, { mode: ["last_layer"] }] };
  return { out: join(folder, name), data, trials: await listTrials(spec, 2, () => ({})) };
}

let whole: Promise<unknown> | undefined;
/** All trials, trained for all tests. */
async function wholeSweep() {
  const sweep = await tinySweep("whole");
  whole ??= run(sweep);
  await whole;
  return sweep;
}

/** Runs trials, and stops after a step of a trial. Returns the events' types with the trials' names. */
async function run(
  sweep: { out: string; trials: readonly Trial[] },
  stop?: { trial: Trial; step: number },
  watch?: (seen: string) => void,
): Promise<string[]> {
  const data = await loading;
  const abort = new AbortController();
  const seen: string[] = [];
  const onEvent = (event: StudyEvent) => {
    if (event.type === "resumed") seen.push(`resumed at ${event.step}`);
    else if (event.type === "group") seen.push(`group of ${event.count}`);
    else if (event.type !== "step") seen.push(`${event.type} ${event.trial.name}`);
    else if (event.trial === stop?.trial && event.record.step === stop.step) abort.abort();
    watch?.(seen.at(-1)!);
  };
  const failed = await runTrials({
    ...sweep,
    device: await testDevice("wasm 1 thread"),
    dataOf: () => data,
    signal: abort.signal,
    views: runFiles,
    onEvent,
  });
  seen.push(`${failed} failed`);
  return seen;
}

test("a stopped sweep resumes without repeating trials; shards give the same results", async () => {
  const whole = await wholeSweep();
  assert.is(whole.trials.length, 6);
  const stopped = await tinySweep("stopped");
  const counts = (events: string[]) =>
    ["skip", "resumed at ", "done"].map((type) => events.filter((event) => event.startsWith(type)).length);
  // In the middle of the second, then of the fifth.
  assert.equal(counts(await run(stopped, { trial: stopped.trials[1]!, step: 4 })), [0, 0, 1]);
  assert.equal(counts(await run(stopped, { trial: stopped.trials[4]!, step: 3 })), [1, 1, 3]);
  assert.equal(counts(await run(stopped)), [4, 1, 2]);
  assert.equal(counts(await run(stopped)), [6, 0, 0]);

  const shards = [0, 1].map((i) => ({
    ...whole,
    out: join(folder, `shard-${i}`),
    trials: whole.trials.filter((_, j) => j % 2 === i),
  }));
  for (const { out, trials } of shards)
    for (const { name } of trials)
      cpSync(join(whole.out, "trials", name), join(out, "trials", name), { recursive: true });
  const merged = join(folder, "merged");
  const outs = shards.map(({ out }) => out);
  assert.equal([await collect(merged, outs), await collect(merged, outs)], [6, 0]);

  for (const trial of whole.trials) {
    const want = (await readFinished(whole.out, trial))!;
    for (const out of [stopped.out, merged]) {
      const got = (await readFinished(out, trial))!;
      // Everything except the time.
      assert.equal({ ...got, seconds: 0, created: 0 }, { ...want, seconds: 0, created: 0 });
      const adapter = (of: string) => readFileSync(join(of, "trials", trial.name, "adapter", "lowrank.json"), "utf8");
      assert.is(adapter(out), adapter(whole.out));
    }
  }
});

test("a trial that another process has begun meanwhile is left to it; one that was killed before is trained again", async () => {
  const sweep = await tinySweep("two");
  const trials = sweep.trials.slice(4);
  const [first, second] = trials.map(({ name }) => name) as [string, string];
  const record = (await readFinished(join(folder, "whole"), trials[1]!))!;
  // As a process writes it that is then killed, before a checkpoint.
  const begin = () => {
    const directory = join(sweep.out, "trials", second);
    mkdirSync(directory, { recursive: true });
    const begun = { ...record, state: "training", results: null, files: ["run.json"] };
    writeFileSync(join(directory, "run.json"), JSON.stringify(begun));
  };
  const seen = await run({ ...sweep, trials }, undefined, (event) => event === `trial ${first}` && begin());
  assert.ok(seen.includes(`elsewhere ${second}`) && seen.includes(`done ${first}`), seen.join());
  const next = await run({ ...sweep, trials });
  assert.ok(next.includes(`skip ${first}`) && next.includes(`done ${second}`), next.join());
});

test("how many parts a sweep had is known from their directories, of one division", async () => {
  const out = (name: string) => join(folder, "parts", name);
  await keepPart(out("a"), "1/3");
  await keepPart(out("b"), "3/3");
  await keepPart(out("other"), "1/2");
  assert.is(await partCount([out("a"), out("b"), out("none")]), 3);
  assert.is(await partCount([out("none")]), undefined);
  assert.is(await partCount([out("a"), out("other")]), undefined);
});

/** A column's cell in the first row of a table. */
function firstCell(blocks: readonly Block[], name: string, column: string): Cell {
  const { columns, rows } = blocks.find((block): block is Table => block.kind === "table" && block.name === name)!;
  return rows[0]![columns.findIndex(({ title }) => title === column)];
}

test("the report: tables, figures, comparisons, mistakes; in Markdown and HTML", async () => {
  const { out, data, trials } = await wholeSweep();
  const results = (await Promise.all(trials.map((trial) => readFinished(out, trial)))).filter((r) => r !== null);
  const markdown = await writeReport(out, results, data);
  for (const words of ["Every setting", "McNemar", "LoRA, rank 2, alpha 4", "head only", "ROC-AUC", "95 % intervals"])
    assert.ok(markdown.includes(words), `no "${words}" in the report`);
  for (const file of [
    "report.html",
    "metrics.csv",
    "metrics-lora.csv",
    "metrics-last_layer.csv",
    "figures/loss.svg",
    "figures/settings.csv",
  ])
    assert.ok(existsSync(join(out, file)), `no ${file}`);
  assert.match(markdown, /Methods in pairs.*\| LoRA, rank 2, alpha [24] \| head only \|/s);
  const lora = reportBlocks(
    results.filter(({ options }) => options.mode === "lora"),
    data,
  );
  assert.match(
    toMarkdown(lora),
    /with each other setting.*\| LoRA, rank 2, alpha [24] \| LoRA, rank 2, alpha [24] \|/s,
  );
  const html = readFileSync(join(out, "report.html"), "utf8");
  assert.is(html.split("<svg").length, html.split("</svg>").length);
  assert.not.match(html, /<script src|https?:\/\/(?!www\.w3\.org)/);
  const [columns, ...rows] = readFileSync(join(out, "metrics.csv"), "utf8").trim().split("\r\n");
  assert.is(
    columns,
    "rank,alpha,trainable_layers,lr,weight_decay,num_epochs,pre_train_acc,pre_val_acc,pre_test_acc,final_train_acc," +
      "final_val_acc,final_test_acc,train_loss_last,val_loss_last,examples_seen,minutes,final_train_macro_f1," +
      "final_val_macro_f1,final_test_macro_f1",
  );
  const begins = results.map(({ options: { mode, rank, alpha } }) =>
    mode === "lora" ? `${rank},${alpha},lora,0.01,0.1,1` : ",,last_layer,0.01,0.1,1",
  );
  assert.equal(rows.map((row) => row.split(",").slice(0, 6).join()).sort(), begins.sort());
});

test("the report says how far seeds alone move a setting, or that one seed cannot tell", async () => {
  const { out, data, trials } = await wholeSweep();
  const result = (await readFinished(out, trials.find(({ options }) => options.mode === "lora")!))!;
  const trialWith = (alpha: number, seed: number, accuracy: number): TrialRecord => {
    const { after } = result.results;
    const results = { ...result.results, after: { ...after, test: { ...after.test, accuracy } } };
    return {
      ...result,
      trial: { ...result.trial, key: `${alpha} ${seed}` },
      options: { ...result.options, alpha, seed },
      results,
    };
  };
  const show = (some: readonly TrialRecord[]) => toMarkdown(reportBlocks(some, data)).replaceAll("\u00a0", " ");
  // Standard deviations of .1 and .3 with one degree of freedom each; the limit is t(2) * sqrt(.05) * sqrt(2 / 2).
  const root = Math.SQRT1_2;
  const several = [
    ...[trialWith(2, 1, 0.5 - 0.1 * root), trialWith(2, 2, 0.5 + 0.1 * root)],
    ...[trialWith(4, 1, 0.7 - 0.3 * root), trialWith(4, 2, 0.7 + 0.3 * root)],
  ];
  const [whole, one, single] = [show(several), show(several.slice(0, 2)), show([several[0]!, several[2]!])];
  assert.match(whole, "by 22.4 %: the standard deviation within settings, pooled over 2 (2 degrees of freedom).");
  assert.match(
    whole,
    "are from 50.0 % to 70.0 %. Of two settings that are equal, seeds alone make the means differ by up to 96.2 %",
  );
  assert.match(one, "accuracy of 2 seeds is 50.0 % on average, 95 % interval 0.0 % to 100.0 % (Student's t).");
  assert.match(one, /Another seed moves it by 10\.0 points \(standard deviation\), \d+ other test rows by about/);
  assert.match(single, "Every setting was trained with one seed");
});

test("in short: settings compared with the best, seeds of a single setting, and where the best run is", async () => {
  const { out, trials } = await wholeSweep();
  const result = (await readFinished(out, trials.find(({ options }) => options.mode === "lora")!))!;
  const texts = Array.from({ length: 40 }, (_, i) => `${i % 2 ? "spam" : "ham"},message ${"x".repeat(i + 1)}`);
  const file = bytesReader("test.csv", new TextEncoder().encode(`label,text\n${texts.join("\n")}\n`));
  const data = await loadDataset({ train: file, val: file, test: file });
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  /** A trial of which so many rows are wrong. */
  const trialWith = (alpha: number, seed: number, loss: number, wrong: number): TrialRecord => {
    const one = predicting(
      result,
      data,
      truth.map((label, row) => (row < wrong ? 1 - label : label)),
    );
    const { after } = one.results;
    return {
      ...one,
      trial: { ...one.trial, name: `a${alpha}-s${seed}`, key: `${alpha} ${seed}` },
      options: { ...one.options, alpha, seed },
      results: { ...one.results, after: { ...after, val: { ...after.val, loss } } },
    };
  };
  const show = (some: readonly TrialRecord[]) =>
    renderBlocks(summaryBlocks("out", listOutcomes(toCells(some), judgedBy(data)), data), 1000).replaceAll(
      "\u00a0",
      " ",
    );
  const several = show([trialWith(2, 1, 0.3, 20), trialWith(4, 1, 0.1, 2), trialWith(8, 1, 0.2, 3)]);
  // The lowest validation loss comes first.
  assert.match(
    several,
    /alpha 4 .*lowest validation loss.*alpha 8 .*not distinguishable \(p = 1\.000\).*alpha 2 .*worse/s,
  );
  assert.match(
    several,
    "of the 2 others 1 is worse and 1 is not distinguishable: McNemar's exact test on the same 40 test",
  );
  assert.match(several, "corrected with Holm's method for 2 comparisons");
  assert.match(
    several,
    /Best run: .*alpha 4, seed 1, with a validation loss of 0\.1000; its test accuracy is 95\.0 %\./,
  );
  assert.match(several, "It is in out/trials/a4-s1.");
  const two = show([trialWith(2, 1, 0.3, 20), trialWith(4, 1, 0.1, 2)]);
  assert.match(two, /Compared with it, LoRA.*alpha 2 is worse \(p < 0\.001\): McNemar/);
  const seeds = show([trialWith(2, 1, 0.3, 2), trialWith(2, 2, 0.1, 6)]);
  assert.match(seeds, /seed 1 .*95\.0 % .*seed 2 .*85\.0 % .*accuracy of 2 seeds is 90\.0 % on average/s);
  assert.match(seeds, "It is in out/trials/a2-s2.");
  assert.not.match(seeds, /Compared|Holm/);
  const many = show(Array.from({ length: 12 }, (_, i) => trialWith(i + 1, 1, 0.1 + i / 100, i)));
  assert.match(many, "Settings: the 10 with the lowest validation loss of 12:");
  assert.match(many, "for 9 comparisons");
  assert.equal(summaryBlocks("out", [], data), []);
});

test("the best setting has the lowest mean validation loss, as the evaluation that a run keeps", async () => {
  const { out, data, trials } = await wholeSweep();
  const result = (await readFinished(out, trials.find(({ options }) => options.mode === "lora")!))!;
  const { after } = result.results;
  const variedTrial = (alpha: number, loss: number, accuracy: number): TrialRecord => ({
    ...result,
    options: { ...result.options, alpha },
    results: { ...result.results, after: { ...after, val: { ...after.val, loss, accuracy } } },
  });
  // As run.json has a loss that is not finite.
  const stored = null as unknown as number;
  for (const none of [Number.NaN, stored]) {
    const diverged = [
      variedTrial(8, none, 1),
      { ...variedTrial(8, 0.1, 1), options: { ...result.options, alpha: 8, seed: 2 } },
    ];
    const some = [variedTrial(2, 0.5, 1), variedTrial(4, 0.4, 0.5), ...diverged];
    assert.match(
      toMarkdown(reportBlocks(some, data)),
      /best setting, with the lowest validation loss, is LoRA, rank 2, alpha 4\./,
    );
    const best = (some: readonly TrialRecord[]) => bestTrial(listOutcomes(toCells(some), judgedBy(data)));
    assert.is(best(some)!.options.alpha, 4);
    assert.is(best([variedTrial(8, none, 1)]), undefined);
    assert.match(toMarkdown(reportBlocks([variedTrial(8, none, 1), variedTrial(4, none, 1)], data)), "Every setting");
  }
});

test("the report warns of near-duplicates in the test set, and has the accuracy without them", async () => {
  const { out, trials } = await wholeSweep();
  const result = (await readFinished(out, trials[0]!))!;
  const file = (name: string, rows: string[]) =>
    bytesReader(name, new TextEncoder().encode(`label,text\n${rows.join("\n")}\n`));
  const load = (...rows: string[]) =>
    loadDataset({
      train: file("train.csv", ["ham,See you at 9", "spam,Win 100 now!"]),
      val: file("val.csv", ["ham,see you at 10", "spam,free"]),
      test: file("test.csv", rows),
    });
  const leaking = await load("ham,see YOU at 7", "ham,quite new", "spam,FREE!", "spam,another");
  const blocks = reportBlocks([predicting(result, leaking, [0, 1, 1, 1])], leaking);
  assert.match(toMarkdown(blocks), /2 of the 4 test messages \(50\.0 %\).* 1 of the 2 validation messages/);
  assert.is(firstCell(blocks, "settings", "Test accuracy, no copies"), 0.5);

  const clean = await load("ham,quite new", "spam,another");
  assert.not.match(toMarkdown(reportBlocks([predicting(result, clean, [0, 1])], clean)), /leaks|no copies/);
});

test("published figures are shown only for the experiment's own rows, model and settings", async () => {
  const { out, data, trials } = await wholeSweep();
  const result = (await readFinished(out, trials[0]!))!;
  const [own] = await listTrials(presetFor("paper"), 1, () => ({}));
  const theirs: TrialRecord = { ...result, trial: { ...result.trial, model: "gpt2" }, options: own!.options };
  const padded = await tinyData(messages(24), { padding: "longest" });
  const rows: LoadedDataset = { ...padded, origin: { name: "sms", split: "experiment" }, split: "experiment" };
  const text = (of: Partial<TrialRecord>, on: Partial<LoadedDataset> = {}) =>
    toMarkdown(reportBlocks([{ ...theirs, ...of }], { ...rows, ...on }));
  assert.match(text({}), /Published figures are from GPT-2 124M on the SMS Spam Collection/);
  assert.match(text({}), /\| Published \|.*\| LoRA, rank 4, alpha 4 \|.*\| 95\.3 % \|/s);
  const others: [Partial<TrialRecord>, Partial<LoadedDataset>][] = [
    [{ trial: { ...result.trial, model: "gpt2-micro" } }, {}],
    [{ options: { ...own!.options, lr: 1e-3 } }, {}],
    [{ options: { ...own!.options, scaling: "alpha/r" } }, {}],
    [{}, { origin: { file: "sms.csv" } }],
    [{}, { split: "random" }],
    [{}, { stats: { ...rows.stats, copies: 3 } }],
    [{}, { train: data.train }],
  ];
  for (const [of, on] of others) assert.not.match(text(of, on), /published/i);
});

test("with an even number of seeds, a row that half of them classify correctly is excluded, and reported", async () => {
  const { out, data, trials } = await wholeSweep();
  const read: (TrialRecord | null)[] = await Promise.all(trials.map((trial) => readFinished(out, trial)));
  const [a, b] = read as [TrialRecord, TrialRecord];
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const wrong = truth.map((label) => 1 - label);
  // For the last setting, one seed classifies all rows correctly, the other none.
  const last = await Promise.all(trials.slice(4).map(async (trial) => (await readFinished(out, trial))!));
  const results = [a, b, predicting(last[0]!, data, truth), predicting(last[1]!, data, wrong)];
  const blocks = reportBlocks(results, data);
  assert.match(toMarkdown(blocks), /half of a setting's seeds answer correctly is undecided/);
  assert.is(firstCell(blocks, "comparisons", "Undecided"), data.test.size);
});

test("the memory of a run with features includes them and the plan that computes them", async () => {
  const { data, trials } = await wholeSweep();
  const { options, model: name } = trials.find(({ options }) => options.mode === "last_layer")!;
  const model = await loadModel(name);
  const device = await testDevice("wasm 1 thread");
  const result = await train({ device, model, data, ...options }).finally(() => model.close());
  assert.ok(result.features !== null && result.features.bytes > 0);
  const [top, lower] = [result.plan, result.features!.plan].map(({ memory }) => memoryTotals(memory).total);
  assert.is(peakMemory(result), top! + lower! + result.features!.bytes);
  assert.is(peakMemory({ ...result, features: null }), top);
});

test("a report on hundreds of classes and on long labels is bounded", async () => {
  const { out, trials } = await wholeSweep();
  const result = (await readFinished(out, trials[0]!))!;
  const names = Array.from({ length: 800 }, (_, i) => `class ${i} ${"x".repeat(i === 0 ? 10_000 : 1)}`);
  const file = (rows: number) =>
    bytesReader(
      "many.csv",
      new TextEncoder().encode(
        `text,label\n${Array.from({ length: rows }, (_, i) => `text ${i} ${"word ".repeat(200)},${names[i % 800]}`).join("\n")}\n`,
      ),
    );
  const data = await loadDataset({ file: file(2400) }, { balance: false });
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const said = truth.map((label) => (label + 1) % 800);
  const blocks = reportBlocks([predicting(result, data, said, (row) => row / said.length)], data);
  const [markdown, html] = [toMarkdown(blocks), toHtml("t", blocks)];
  assert.ok(markdown.length < 150_000, `${markdown.length} characters`);
  // With what its buttons save, which has all classes.
  assert.ok(html.length < 400_000, `${html.length} characters`);
  assert.match(markdown, /most frequent errors among 800 classes.*The first \d+ of 800 rows; confusion\.csv has all/s);
  assert.match(markdown, /Misclassified: 800 of 800 test messages, the 100 most confident/);

  // A class without test rows is not measured.
  const rows = Array.from({ length: 16 }, (_, i) => `text ${i},${i < 2 ? "news" : i % 2 ? "ham" : "spam"}\n`);
  const some = await loadDataset(
    { file: bytesReader("few.csv", new TextEncoder().encode(`text,label\n${rows.join("")}`)) },
    { split: "ordered" },
  );
  const predicted = Array.from({ length: some.test.size }, (_, row) => some.test.label(row));
  const found = predicting(result, some, predicted, () => 1);
  assert.match(
    toMarkdown(reportBlocks([found], some)),
    /\| ham \| \d \| (100\.0 % \(\S+\) \| ){3}1\.0000 \| 1\.0000 \|\n\| news \| 0 \| – \| – \| – \| – \| – \|/,
  );
});

test("names in paragraphs, headings and captions of a report are escaped, as in its tables", () => {
  const name = "1. *a* _b_ [x](y) `c` <img> $d$ &amp; e\u001b[2J\n# f";
  const AXIS = { title: "", show: String };
  const blocks: Block[] = [
    { kind: "heading", level: 1, text: name },
    { kind: "text", text: name },
    { kind: "text", text: "# no heading" },
    {
      kind: "figure",
      name: "f",
      caption: name,
      chart: { kind: "scatter", title: "f", x: AXIS, y: AXIS, points: [] },
    },
    { kind: "table", name: "t", caption: name, columns: [{ title: name, key: name }], rows: [[name]] },
  ];
  const escaped = "\\*a\\* \\_b\\_ \\[x\\](y) \\`c\\` \\<img\\> \\$d\\$ \\&amp; e\\\\u001b\\[2J # f";
  const markdown = toMarkdown(blocks);
  assert.equal(markdown.split("\n\n").slice(0, 4), [
    `# 1. ${escaped}`,
    `1\\. ${escaped}`,
    "\\# no heading",
    `![1. ${escaped}](figures/f.svg)`,
  ]);
  assert.match(markdown, `| 1. ${escaped} |\n| --- |\n| 1. ${escaped} |`);
  const html = toHtml(name, blocks).replaceAll(/<script.*?<\/script>/gs, "");
  assert.not.match(html, /<img>|&amp; e/);
  assert.not.ok(html.includes("\u001b"));
  assert.is(html.split("&lt;img>").length - 1, 9);
});
