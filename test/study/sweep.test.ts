/** Sweeps: the list of trials, resuming, shards, and the report. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { CONFIGS } from "../../src/bench/shapes.ts";
import type { ModelConfig } from "../../src/core/config.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import type { Block, Cell, Table } from "../../src/document/blocks.ts";
import { loadModel } from "../../src/io/hf.ts";
import { memoryTotals } from "../../src/plan/memory.ts";
import { PRESETS } from "../../src/run/settings.ts";
import { describeTrial, listCells, runnableTrials, type SweepSpec, type Trial } from "../../src/study/grid.ts";
import { bestTrial, listOutcomes } from "../../src/study/outcome.ts";
import { SWEEPS } from "../../src/study/presets.ts";
import * as report from "../../src/study/report/report.ts";
import { summaryBlocks } from "../../src/study/report/summary.ts";
import { runTrials, type StudyEvent } from "../../src/study/runner.ts";
import { collect, type FinishedCell, readFinished, type TrialRecord } from "../../src/study/store.ts";
import { peakMemory } from "../../src/train/plan-event.ts";
import { toHtml } from "../../src/views/html.tsx";
import { toMarkdown } from "../../src/views/markdown.ts";
import { judgedBy } from "../../src/views/measures.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";
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
const writeReport = async (out: string, trials: readonly TrialRecord[], data: LoadedDataset) =>
  (await report.reportStudy(toCells(trials), data, out)).toMarkdown();

const TINY_RUN = { epochs: 1, batchSize: 4, rank: 2, alpha: 4, lr: 1e-2 };

test("presets: the published program's settings, its 19 distinct trials, and the quickstart's", async () => {
  const published = { scaling: "alpha", init: "paper", pooling: "last", padding: "longest", epochs: 20, lr: 5e-5 };
  const rows = { dataset: "sms", balance: true, classWeights: "none", headInit: "uniform" };
  const paper = { ...published, schedule: "constant", warmup: 0, keep: "last", model: "gpt2", ...rows };
  assert.equal(PRESETS, { quickstart: { model: "e5-small-cut", dataset: "spam", trainRows: 100 }, paper });
  assert.equal(SWEEPS.paper!.base, paper);
  const trials = await listTrials(presetFor("paper"), 1, () => ({}));
  assert.equal([trials.length, new Set(trials.map(({ name }) => name)).size], [19, 19]);
  assert.is(trials.filter(({ options }) => options.mode === "lora").length, 16);
  const { options } = trials[0]!;
  assert.equal([options.scaling, options.init, options.pooling, options.lr], ["alpha", "paper", "last", 5e-5]);
  for (const name of Object.keys(SWEEPS))
    assert.ok((await listTrials(presetFor(name), 2, () => ({}))).length % 2 === 0, name);
});

/** The trials of one arm. */
const listArm = (arm: Record<string, unknown>, seeds = 1, data: object = {}) =>
  listTrials({ base: {}, arms: [arm] }, seeds, () => data);

test("targets and layers: a list is one value, a list of lists is several; settings without effect are none", async () => {
  for (const [arm, expected] of [
    [{ layers: [0, 1, 4] }, [", in blocks 0-1,4"]],
    [{ layers: [[3], null] }, [", in block 3", ""]],
    [{ targets: ["q", "v"], layers: [[0], [1]] }, [", on q v, in block 0", ", on q v, in block 1"]],
  ] as const)
    assert.equal(
      (await listArm(arm)).map((trial) => describeTrial(trial).slice(22)),
      expected,
    );
  const head = { mode: ["last_layer"], rank: [4, 8], alpha: [8, 16] };
  for (const [arm, seeds, count] of [
    [{ mode: "all", layers: [[3], null] }, 1, 1],
    [head, 1, 1],
    [head, 3, 3],
  ] as const)
    assert.is((await listArm(arm, seeds)).length, count);
});

test("seeds that are given as settings are seeds of one setting", async () => {
  const cells = await listCells({ base: {}, arms: [{ rank: [2, 4], seed: [1, 3, 2] }] }, 2, () => ({}));
  const seeds = cells.map(({ rates }) =>
    rates
      .flat()
      .map(({ options: { rank, seed } }) => `${rank}:${seed}`)
      .join(" "),
  );
  assert.equal(seeds, ["2:1 2:2 2:3 2:4", "4:1 4:2 4:3 4:4"]);
});

test("a key depends on the data and on every option that changes the result", async () => {
  const key = async (options: object, data = { name: "a" }) =>
    (await listArm({ model: "m", ...options }, 1, data))[0]!.key;
  assert.is(await key({ mode: "lora", rank: 8 }), await key({}), "the defaults");
  assert.is(await key({ recompute: "on" }), await key({}), "the same bits");
  const keys = await Promise.all([{}, { rank: 4 }, { keep: "last" }, { seed: 2 }].map((options) => key(options)));
  assert.is(new Set([...keys, await key({}, { name: "b" })]).size, 5);
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
  for (const [arm, code, words] of [
    [{ mode: "lora", rank: [4, 0] }, "invalid-value", ["rank"]],
    [{ rnak: [4] }, "unknown-option", ['"rnak"', "did you mean rank"]],
    [{ targets: [["q"], ["attn"]] }, "unknown-value", ["target", "attn"]],
    [{ layers: [[1, 0]] }, "invalid-lora-config", ["layers", "ascending"]],
  ] as [Record<string, unknown>, ErrorCode, string[]][])
    await assertFails(code, words, () => listArm(arm));
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

/** A trial that was trained, of this mode. */
async function trained(mode: string): Promise<TrialRecord> {
  const { out, trials } = await wholeSweep();
  return (await readFinished(out, trials.find(({ options }) => options.mode === mode)!))!;
}

/** A trial with another alpha and seed, and other figures of the validation or the test set. */
function varied(like: TrialRecord, alpha: number, seed: number, figures: { val?: object; test?: object }): TrialRecord {
  const { after } = like.results;
  const [val, test] = [
    { ...after.val, ...figures.val },
    { ...after.test, ...figures.test },
  ];
  return {
    ...like,
    trial: { ...like.trial, name: `a${alpha}-s${seed}`, key: `${alpha} ${seed}` },
    options: { ...like.options, alpha, seed },
    results: { ...like.results, after: { ...after, val, test } },
  };
}

const spaced = (text: string) => text.replaceAll("\u00a0", " ");
const markdownOf = (trials: readonly TrialRecord[], data: LoadedDataset) =>
  spaced(toMarkdown(reportBlocks(trials, data)));
/** Rows of a label and a text. */
const rowsFile = (name: string, rows: readonly string[]) =>
  bytesReader(name, new TextEncoder().encode(`label,text\n${rows.join("\n")}\n`));
const labelsOf = ({ test }: LoadedDataset) => Array.from(test.positions(), (row) => test.label(row));

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

  const outs = [0, 1].map((i) => join(folder, `shard-${i}`));
  for (const [j, { name }] of whole.trials.entries())
    cpSync(join(whole.out, "trials", name), join(outs[j % 2]!, "trials", name), { recursive: true });
  const merged = join(folder, "merged");
  assert.equal([await collect(merged, outs), await collect(merged, outs)], [6, 0]);
  for (const trial of whole.trials) {
    const stored = async (out: string) => {
      const { files, ...record } = (await readFinished(out, trial))!;
      // Everything except the time, which the report tells, too.
      return {
        ...{ ...record, seconds: 0, created: 0, files: { ...files, "report.html": "" } },
        adapter: readFileSync(join(out, "trials", trial.name, "adapter", "lowrank.json"), "utf8"),
      };
    };
    for (const out of [stopped.out, merged]) assert.equal(await stored(out), await stored(whole.out));
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
    const begun = { ...record, state: "training", results: null, files: {} };
    writeFileSync(join(directory, "run.json"), JSON.stringify(begun));
  };
  const seen = await run({ ...sweep, trials }, undefined, (event) => event === `trial ${first}` && begin());
  assert.ok(seen.includes(`elsewhere ${second}`) && seen.includes(`done ${first}`), seen.join());
  const next = await run({ ...sweep, trials });
  assert.ok(next.includes(`skip ${first}`) && next.includes(`done ${second}`), next.join());
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
  for (const file of ["metrics-lora.csv", "metrics-last_layer.csv", "figures/loss.svg", "figures/settings.csv"])
    assert.ok(existsSync(join(out, file)), `no ${file}`);
  assert.match(markdown, /Methods in pairs.*\| LoRA, rank 2, alpha [24] \| head only \|/s);
  const lora = results.filter(({ options }) => options.mode === "lora");
  assert.match(
    markdownOf(lora, data),
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
  const { data } = await wholeSweep();
  const like = await trained("lora");
  // Standard deviations of .1 and .3 with one degree of freedom each; the limit is t(2) * sqrt(.05) * sqrt(2 / 2).
  const root = Math.SQRT1_2;
  const several = [
    ...[
      varied(like, 2, 1, { test: { accuracy: 0.5 - 0.1 * root } }),
      varied(like, 2, 2, { test: { accuracy: 0.5 + 0.1 * root } }),
    ],
    ...[
      varied(like, 4, 1, { test: { accuracy: 0.7 - 0.3 * root } }),
      varied(like, 4, 2, { test: { accuracy: 0.7 + 0.3 * root } }),
    ],
  ];
  for (const [trials, words] of [
    [several, "by 22.4 %: the standard deviation within settings, pooled over 2 (2 degrees of freedom)."],
    [
      several,
      "are from 50.0 % to 70.0 %. Of two settings that are equal, seeds alone make the means differ by up to 96.2 %",
    ],
    [several.slice(0, 2), "accuracy of 2 seeds is 50.0 % on average, 95 % interval 0.0 % to 100.0 % (Student's t)."],
    [several.slice(0, 2), /Another seed moves it by 10\.0 points \(standard deviation\), \d+ other test rows by about/],
    [[several[0]!, several[2]!], "Every setting was trained with one seed"],
  ] as const)
    assert.match(markdownOf(trials, data), words);
});

test("in short: settings compared with the best, seeds of a single setting, and where the best run is", async () => {
  const like = await trained("lora");
  const texts = Array.from({ length: 40 }, (_, i) => `${i % 2 ? "spam" : "ham"},message ${"x".repeat(i + 1)}`);
  const file = rowsFile("test.csv", texts);
  const data = await loadDataset({ train: file, val: file, test: file });
  /** A trial of which so many rows are wrong. */
  const trialWith = (alpha: number, seed: number, loss: number, wrong: number) => {
    const said = labelsOf(data).map((label, row) => (row < wrong ? 1 - label : label));
    return varied(predicting(like, data, said), alpha, seed, { val: { loss } });
  };
  const show = (...some: TrialRecord[]) =>
    spaced(renderBlocks(summaryBlocks("out", listOutcomes(toCells(some), judgedBy(data)), data), 1000));
  const [a, b, c] = [trialWith(2, 1, 0.3, 20), trialWith(4, 1, 0.1, 2), trialWith(8, 1, 0.2, 3)];
  const seeds = show(trialWith(2, 1, 0.3, 2), trialWith(2, 2, 0.1, 6));
  const many = show(...Array.from({ length: 12 }, (_, i) => trialWith(i + 1, 1, 0.1 + i / 100, i)));
  for (const [shown, words] of [
    // The lowest validation loss comes first.
    [show(a, b, c), /alpha 4 .*lowest validation loss.*alpha 8 .*not distinguishable \(p = 1\.000\).*alpha 2 .*worse/s],
    [
      show(a, b, c),
      "of the 2 others 1 is worse and 1 is not distinguishable: McNemar's exact test on the same 40 test",
    ],
    [show(a, b, c), "corrected with Holm's method for 2 comparisons"],
    [show(a, b, c), /Best run: .*alpha 4, seed 1, with a validation loss of 0\.1000; its test accuracy is 95\.0 %\./],
    [show(a, b, c), "It is in out/trials/a4-s1."],
    [show(a, b), /Compared with it, LoRA.*alpha 2 is worse \(p < 0\.001\): McNemar/],
    [seeds, /seed 1 .*95\.0 % .*seed 2 .*85\.0 % .*accuracy of 2 seeds is 90\.0 % on average/s],
    [seeds, "It is in out/trials/a2-s2."],
    [many, "Settings: the 10 with the lowest validation loss of 12:"],
    [many, "for 9 comparisons"],
  ] as const)
    assert.match(shown, words);
  assert.not.match(seeds, /Compared|Holm/);
  assert.equal(summaryBlocks("out", [], data), []);
});

test("a setting's name begins with what it differs in, and has no blocks that all of its method have", async () => {
  const { data } = await wholeSweep();
  const like = varied(await trained("lora"), 4, 1, {});
  const named = (...some: [options: Partial<TrialRecord["options"]>, model: string][]) => {
    const trials = some.map(([options, model], i) => ({
      ...{ ...like, options: { ...like.options, layers: [1], ...options } },
      trial: { ...like.trial, key: `${i}`, model },
    }));
    return listOutcomes(toCells(trials), judgedBy(data)).map(({ label }) => label);
  };
  const [a, b] = ["a", "b"];
  assert.equal(named([{ lr: 1e-3 }, a], [{ lr: 1e-2 }, a]), [
    "LoRA, rank 2, alpha 4, rate 0.001",
    "LoRA, rank 2, alpha 4, rate 0.01",
  ]);
  assert.equal(named([{ epochs: 1 }, a], [{ epochs: 3, layers: [2] }, b]), [
    "LoRA, rank 2, alpha 4, 1 epoch, a",
    "LoRA, rank 2, alpha 4, 3 epochs, b",
  ]);
  assert.equal(named([{}, a], [{ layers: [0] }, a]), [
    "LoRA, rank 2, alpha 4, in block 1",
    "LoRA, rank 2, alpha 4, in block 0",
  ]);
});

test("the best setting has the lowest mean validation loss, as the evaluation that a run keeps", async () => {
  const { data } = await wholeSweep();
  const like = await trained("lora");
  const trial = (alpha: number, loss: number, accuracy: number, seed = 1) =>
    varied(like, alpha, seed, { val: { loss, accuracy } });
  const best = (some: readonly TrialRecord[]) => bestTrial(listOutcomes(toCells(some), judgedBy(data)));
  // As run.json has a loss that is not finite.
  for (const none of [Number.NaN, null as unknown as number]) {
    const some = [trial(2, 0.5, 1), trial(4, 0.4, 0.5), trial(8, none, 1), trial(8, 0.1, 1, 2)];
    assert.match(markdownOf(some, data), "best setting, with the lowest validation loss, is LoRA, rank 2, alpha 4.");
    assert.is(best(some)!.options.alpha, 4);
    assert.is(best([trial(8, none, 1)]), undefined);
    assert.match(markdownOf([trial(8, none, 1), trial(4, none, 1)], data), "Every setting");
  }
});

test("the report warns of near-duplicates in the test set, and has the accuracy without them", async () => {
  const like = await trained("lora");
  const load = (...rows: string[]) =>
    loadDataset({
      train: rowsFile("train.csv", ["ham,See you at 9", "spam,Win 100 now!"]),
      val: rowsFile("val.csv", ["ham,see you at 10", "spam,free"]),
      test: rowsFile("test.csv", rows),
    });
  const leaking = await load("ham,see YOU at 7", "ham,quite new", "spam,FREE!", "spam,another");
  const blocks = reportBlocks([predicting(like, leaking, [0, 1, 1, 1])], leaking);
  assert.match(
    toMarkdown(blocks),
    /leaks: 3 of 8 rows are near-duplicates of 2 texts: 1 validation and 2 test rows have one/,
  );
  assert.is(firstCell(blocks, "settings", "Test accuracy, no copies"), 0.5);
  const clean = await load("ham,quite new", "spam,another");
  assert.not.match(markdownOf([predicting(like, clean, [0, 1])], clean), /leaks|no copies/);
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
  const { data } = await wholeSweep();
  const [lora, head] = [await trained("lora"), await trained("last_layer")];
  const truth = labelsOf(data);
  const wrong = truth.map((label) => 1 - label);
  // For the last setting, one seed classifies all rows correctly, the other none.
  const seed = (like: TrialRecord, seed: number) => ({ ...like, options: { ...like.options, seed } });
  const last = [predicting(seed(head, 1), data, truth), predicting(seed(head, 2), data, wrong)];
  const blocks = reportBlocks([seed(lora, 1), seed(lora, 2), ...last], data);
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
  const like = await trained("lora");
  const names = Array.from({ length: 800 }, (_, i) => `class ${i} ${"x".repeat(i === 0 ? 10_000 : 1)}`);
  const rows = Array.from({ length: 2400 }, (_, i) => `${names[i % 800]},text ${i} ${"word ".repeat(200)}`);
  const data = await loadDataset({ file: rowsFile("many.csv", rows) }, { balance: false });
  const said = labelsOf(data).map((label) => (label + 1) % 800);
  const blocks = reportBlocks([predicting(like, data, said, (row) => row / said.length)], data);
  const [markdown, html] = [toMarkdown(blocks), toHtml("t", blocks)];
  assert.ok(markdown.length < 150_000, `${markdown.length} characters`);
  // With what its buttons save, which has all classes.
  assert.ok(html.length < 400_000, `${html.length} characters`);
  assert.match(markdown, /most frequent errors among 800 classes.*The first \d+ of 800 rows; confusion\.csv has all/s);
  assert.match(markdown, /Misclassified: 800 of 800 test messages, the 100 most confident/);

  // A class without test rows is not measured.
  const few = Array.from({ length: 16 }, (_, i) => `${i < 2 ? "news" : i % 2 ? "ham" : "spam"},text ${i}`);
  const some = await loadDataset({ file: rowsFile("few.csv", few) }, { split: "ordered" });
  const found = predicting(like, some, labelsOf(some), () => 1);
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
    ...[name, "# no heading"].map((text): Block => ({ kind: "text", text })),
    { kind: "figure", name: "f", caption: name, chart: { kind: "scatter", title: "f", x: AXIS, y: AXIS, points: [] } },
    { kind: "table", name: "t", caption: name, columns: [{ title: name, key: name }], rows: [[name]] },
  ];
  const escaped = "\\*a\\* \\_b\\_ \\[x\\](y) \\`c\\` \\<img\\> \\$d\\$ \\&amp; e\\\\u001b\\[2J # f";
  const markdown = toMarkdown(blocks);
  const begin = [`# 1. ${escaped}`, `1\\. ${escaped}`, "\\# no heading", `![1. ${escaped}](figures/f.svg)`];
  assert.equal(markdown.split("\n\n").slice(0, 4), begin);
  assert.match(markdown, `| 1. ${escaped} |\n| --- |\n| 1. ${escaped} |`);
  const html = toHtml(name, blocks).replaceAll(/<script.*?<\/script>/gs, "");
  assert.not.match(html, /<img>|&amp; e/);
  assert.not.ok(html.includes("\u001b"));
  assert.is(html.split("&lt;img>").length - 1, 9);
});
