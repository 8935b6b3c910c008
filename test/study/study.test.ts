/** Studies of the API: each run has the bits of `fineTune` alone, in memory and in a directory, and is settled by itself. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { loadDataset } from "../../src/entries/data.ts";
import {
  Classifier,
  crossValidate,
  fineTune,
  RunFailed,
  type RunRecord,
  type StudyArguments,
  type StudyEvent,
  type StudyResult,
  study,
  type TrainedRun,
} from "../../src/entries/engine.ts";
import { readRecord } from "../../src/run/directory.ts";
import type { ChosenDecision } from "../../src/tasks/task.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";
import { messages, spelled, tinyData } from "../helpers/tiny.ts";

type Runs = StudyArguments["runs"];

const folder = temporaryFolder();
/** 4 steps an epoch, evaluated after every second one. */
const SETTINGS = { batchSize: 8, epochs: 2, lr: 1e-2, evalEvery: 2, headInit: "uniform" } as const;
const RANKS: Runs = [2, 3].map((rank) => ({ ...SETTINGS, rank, alpha: 2 * rank }));
const HEAD: Runs[number] = { ...SETTINGS, mode: "last_layer" };

const base = modelAnd(() => tinyData(messages(24), { split: "random" }));

/** The CPU of two threads, on which each run has one. */
const common = async () => ({ device: await testDevice("wasm 2 threads"), ...(await base()) });

/** The runs; throws the reason of one that failed. */
function fulfilled({ runs }: Pick<StudyResult, "runs">): TrainedRun[] {
  return runs.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/** What a run has learned and measured, with the files of its tensors. */
async function learned({ record, save }: TrainedRun, name: string): Promise<Record<string, unknown>> {
  const directory = join(folder, name);
  if (!existsSync(directory)) await save(directory);
  const { evaluations, results, curve, keptStep, base, counts }: RunRecord = record;
  // The classes have as many rows each: with weights the run is the same.
  const { classWeights: _, ...options } = record.options;
  const names = [
    ...readdirSync(join(directory, "adapter"))
      .sort()
      .map((name) => `adapter/${name}`),
    "predictions.csv",
  ];
  const files = names.map((name) => [name, readFileSync(join(directory, name), "base64")]);
  return { evaluations, results, curve, options, keptStep, base, counts, files };
}

/** That of a run by itself. */
const alone = new Map<string, Promise<Record<string, unknown>>>();
function learnedAlone(run: Runs[number]): Promise<Record<string, unknown>> {
  const key = JSON.stringify(run);
  const train = async () => learned(await fineTune({ ...(await common()), ...run }), `alone ${alone.size}`);
  if (!alone.has(key)) alone.set(key, train());
  return alone.get(key)!;
}

test("in memory each run has the bits of fineTune; one twice is trained once; the best is that of the report", async () => {
  const runs = [RANKS[0]!, HEAD, RANKS[1]!, HEAD];
  const seen: string[] = [];
  const onEvent = (event: StudyEvent) => {
    assertPlain(event);
    seen.push(event.type);
  };
  const all = await study({ ...(await common()), runs, onEvent });
  const got = fulfilled(all);
  for (const [i, run] of runs.entries())
    assert.equal(await learned(got[i]!, `in memory ${i}`), await learnedAlone(run), `run ${i}`);
  assert.is(seen.filter((type) => type === "done").length, 3);
  const losses = got.map(({ record }) => record.results!.after.val!.loss);
  assert.is(all.best, got[losses.indexOf(Math.min(...losses))]);
  assert.match(all.report!.toMarkdown(), /^# .*\n[\s\S]*\| LoRA, rank 3, alpha 6 \|/);
  assert.match(all.report!.toHtml(), /^<!doctype html>[\s\S]*<svg/);
  for (const text of [all.report!.toMarkdown(), all.report!.toHtml()])
    assert.not.match(text, /figures\/|trials\//, "there are no files to lead to");
  assert.ok(all.report!.blocks.length > 10);
});

test("seeds of one setting are one row of the report; the best is of the setting with the lowest mean", async () => {
  // As many settings as ranks times alphas, which are no grid of them.
  const runs = RANKS.flatMap((run) => [{ ...run, headBias: false }, ...[3, 4].map((seed) => ({ ...run, seed }))]);
  const { runs: ended, report, best } = await study({ ...(await common()), runs });
  const table = report!.blocks.find((block) => block.kind === "table" && block.name === "settings");
  assert.equal(table?.kind === "table" && table.rows.map((row) => row[2]), [1, 2, 1, 2]);
  const [a, b, c, d, e, f] = fulfilled({ runs: ended }).map(
    ({ record }) => record.results!.after.val!.loss,
  ) as number[];
  const settings = [[a!], [b!, c!], [d!], [e!, f!]];
  const mean = (losses: readonly number[]) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  const lowest = settings.toSorted((one, other) => mean(one) - mean(other))[0]!;
  assert.is(best!.record.results!.after.val!.loss, Math.min(...lowest));
});

test("in a directory: stopped again and again, resumed by the same call, and not repeated", async () => {
  const save = join(folder, "study");
  const runs = [...RANKS, HEAD];
  const seen: string[][] = [];
  /** Stops at a step of the second run; undefined: runs to the end. */
  const runTo = async (step?: number) => {
    const abort = new AbortController();
    const types: string[] = [];
    seen.push(types);
    const onEvent = (event: StudyEvent) => {
      assertPlain(event);
      types.push(event.type);
      if (event.type === "step" && event.trial.options.rank === 3 && event.record.step === step) abort.abort("enough");
    };
    return study({ ...(await common()), runs, save, signal: abort.signal, onEvent });
  };
  for (const step of [3, 6]) {
    const { runs: ended } = await runTo(step);
    assert.equal(ended[1], { status: "rejected", reason: "enough" });
  }
  const first = fulfilled(await runTo());
  const { runs: again, best } = await runTo();
  assert.ok(seen[1]!.includes("resumed") && seen[2]!.includes("resumed"));
  assert.equal(seen[3], ["skip", "skip", "skip"]);
  for (const [i, run] of fulfilled({ runs: again }).entries()) {
    assert.equal(run.record.results, first[i]!.record.results);
    assert.equal(await learned(run, `from the directory ${i}`), await learnedAlone(runs[i]!), `run ${i}`);
    const directory = join(save, "trials", run.record.trial!.name);
    assert.equal(await readRecord(directory), run.record);
  }
  assert.match(readFileSync(join(save, "report.html"), "utf8"), best!.record.trial!.name);
  const classifier = await Classifier.load(join(folder, "from the directory 0"), { device: (await common()).device });
  assert.is((await classifier.classify("you have won a prize, call now, code 7"))[0]!.label, "spam");
  classifier.destroy();
  await assertFails("output-exists", () => again[0]!.status === "fulfilled" && again[0]!.value.save(save));
});

test("of runs that another process has begun those that it has ended are there, the others are rejected", async () => {
  const [from, save] = ["study", "shared"].map((name) => join(folder, name)) as [string, string];
  const names = readdirSync(join(from, "trials"));
  const find = (start: string) => names.find((name) => name.startsWith(start))!;
  const onEvent = ({ type }: StudyEvent) => {
    if (type !== "plan") return;
    for (const name of [find("lora-r3"), find("last_layer")])
      cpSync(join(from, "trials", name), join(save, "trials", name), { recursive: true });
    const path = join(save, "trials", find("lora-r3"), "run.json");
    writeFileSync(path, readFileSync(path, "utf8").replace(/^ "state": "finished"/m, ' "state": "training"'));
  };
  const materials = { ...(await common()), device: await testDevice("wasm 1 thread") };
  const [first, second, third] = (await study({ ...materials, runs: [...RANKS, HEAD], save, onEvent })).runs;
  assert.is((second as PromiseRejectedResult).reason.code, "used-by-another-process");
  const found = fulfilled({ runs: [first!, third!] }).map(({ record }) => record.trial!.name);
  assert.equal(found, [find("lora-r2"), find("last_layer")]);
});

test("in memory an abort leaves what has ended", async () => {
  const abort = new AbortController();
  const onEvent = (event: StudyEvent) => event.type === "done" && abort.abort("enough");
  const runs = [...RANKS, HEAD];
  const { runs: ended, best, report } = await study({ ...(await common()), runs, signal: abort.signal, onEvent });
  const first = ended.findIndex(({ status }) => status === "fulfilled");
  assert.equal(
    await learned(fulfilled({ runs: [ended[first]!] })[0]!, "before the abort"),
    await learnedAlone(runs[first]!),
  );
  assert.equal(ended[2], { status: "rejected", reason: "enough" });
  assert.ok(best && report);
});

test("a directory of other data, or of something else, is refused", async () => {
  const [save, other] = [join(folder, "study"), join(folder, "not a study")];
  const { device, model, data } = await common();
  const runs = [HEAD];
  const more = await tinyData(messages(28), { split: "random" });
  await assertFails("inputs-changed", ["other data"], () => study({ device, model, data: more, runs, save }));
  mkdirSync(other);
  writeFileSync(join(other, "mine.txt"), "mine");
  await assertFails("output-exists", ["mine.txt"], () => study({ device, model, data, runs, save: other }));
});

test("one that diverges is rejected with what it had learned, and the others are as alone", async () => {
  const runs = [RANKS[0]!, { ...RANKS[1], lr: 1e30 }, HEAD];
  const [first, second, third] = (await study({ ...(await common()), runs, onEvent: assertPlain })).runs;
  const { reason } = second as PromiseRejectedResult;
  assert.instance(reason, RunFailed);
  assert.ok(reason.contents.tensors.size > 0);
  for (const [i, run] of fulfilled({ runs: [first!, third!] }).entries())
    assert.equal(await learned(run, `beside ${i}`), await learnedAlone(i === 0 ? RANKS[0]! : HEAD));
  const { best, report } = await study({ ...(await common()), runs: [runs[1]!] });
  assert.equal([best, report], [undefined, undefined]);
});

test("what a listener throws ends the study", async () => {
  for (const type of ["plan", "step"] as const) {
    let steps = 0;
    const onEvent = (event: StudyEvent) => {
      if (event.type === "step") steps++;
      if (event.type === type) throw new Error("full");
    };
    const error = await study({ ...(await common()), runs: [...RANKS, HEAD], onEvent }).catch((reason) => reason);
    assert.is(error.message, "full");
    assert.ok(steps < 16, `${steps} steps`);
  }
});

test("what is wrong with a run rejects the call before anything begins, with its place", async () => {
  const all = await common();
  const begun: unknown[] = [];
  const device: Backend = Object.create(all.device, {
    prepare: { value: (plan: unknown) => begun.push(plan) },
  });
  const save = join(folder, "refused");
  const refused = (runs: object[], code: ErrorCode, ...words: string[]) =>
    assertFails(code, words, () => study({ ...all, device, save, runs: runs as Runs }));
  const wrong: [object, ErrorCode, ...words: string[]][] = [
    [{ epoch: 1 }, "unknown-option", "epoch", "did you mean epochs?"],
    [{ rank: 0 }, "invalid-value"],
    [{ mode: "last_layer", rank: 4 }, "option-without-effect", "rank"],
    [{ mode: "all", dora: true }, "option-without-effect", "dora"],
    [{ dora: "yes" }, "invalid-argument", "dora", "true or false"],
    [{ dtype: "auto" }, "invalid-value", "dtype auto"],
    [{ device: all.device }, "unknown-option", "device"],
    [{ onEvent: () => {} }, "unknown-option", "onEvent"],
  ];
  for (const [run, code, ...words] of wrong) await refused([...RANKS, run], code, "runs[2]: ", ...words);
  await refused([], "invalid-argument", "runs: an empty array", "one or more objects");
  await refused([Promise.resolve({})], "invalid-argument", "runs: ", "is an await missing?");
  await assertFails("unknown-option", ["mean runs?"], () => study({ ...all, device, run: RANKS } as never));
  assert.equal([begun, existsSync(save)], [[], false]);
});

test("folds answer each row in memory as in a directory, which is resumed; the last run has learned from all", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => [
    { text: `see you at lunch, friend ${spelled(i)}`, label: i === 7 ? "spam" : "ham" },
    { text: `you have won a prize ${spelled(i)}, call now`, label: "spam" },
  ]).flat();
  const data = await loadDataset({ rows }, { fractions: [1, 0, 0], labels: ["ham", "spam"] });
  const args = { ...(await common()), data, folds: 2, ...SETTINGS, rank: 2, calibrate: true, threshold: "f1" };
  const { estimate, answers, review, runs, final, report, results } = await crossValidate(args);
  assert.equal(
    answers.map(({ row, text, truth }) => [row, text, truth]),
    rows.map(({ text, label }, i) => [i, text, label]),
  );
  const right = answers.filter(({ truth, predicted }) => truth === predicted).length / 40;
  assert.equal([estimate!.measure, estimate!.value, results.after.test.rows], ["Accuracy", right, 40]);
  assert.ok(estimate!.low < right && right < estimate!.high);
  for (const { predicted, probabilities } of answers)
    assert.ok(String(predicted) in probabilities! && probabilities!.ham! + probabilities!.spam! > 0.999);
  assert.equal([review![0]!.row, review![0]!.label, review![0]!.suggested], [14, "spam", "ham"]);
  assert.equal(
    runs.map(({ record }) => [record.data.fold, record.counts.rows[2]]),
    [1, 2].map((fold) => [fold, 20]),
  );
  assert.equal([final!.record.counts.rows, final!.record.results], [[40, 0, 0], results]);
  assert.match(report.toMarkdown(), "All 40 rows were tested");
  // What the run on all rows cannot choose is the mean of what the folds have chosen.
  const [one, other] = runs.map(({ record }) => record.results!.decision!) as [ChosenDecision, ChosenDecision];
  const { decision } = final!.record.results!;
  assert.is(decision!.threshold, (one.threshold! + other.threshold!) / 2);
  assert.ok(Math.abs(decision!.temperature! ** 2 - one.temperature! * other.temperature!) < 1e-9);
  assert.match(report.toMarkdown(), /\(f1 on the folds' validation sets, on average: /);
  await final!.save(join(folder, "all"));
  const { settings } = JSON.parse(readFileSync(join(folder, "all", "adapter", "lowrank.json"), "utf8"));
  assert.equal([settings.threshold, settings.temperature], [decision!.threshold, decision!.temperature]);
  assert.equal((await readRecord(join(folder, "all"))).results!.decision, decision);

  // Two rows are of one customer each, the last ones of nobody.
  const grouped = rows.map((row, i) => ({ ...row, customer: i < 36 ? i >> 1 : undefined }));
  const ofGroups = await loadDataset({ rows: grouped }, { fractions: [1, 0, 0], groupColumn: "customer" });
  assert.equal(ofGroups.groups, [...grouped.map(({ customer }) => customer?.toString())]);

  const save = join(folder, "folds");
  const abort = new AbortController();
  const stop = ({ type }: StudyEvent) => type === "done" && abort.abort("enough");
  const slow = { ...args, device: await testDevice("wasm 1 thread"), save };
  assert.is(await crossValidate({ ...slow, signal: abort.signal, onEvent: stop }).catch((reason) => reason), "enough");
  const seen: string[] = [];
  const again = await crossValidate({ ...slow, final: false, onEvent: ({ type }) => void seen.push(type) });
  assert.equal([again.answers, again.review, again.final, seen[0]], [answers, review, null, "skip"]);
  assert.ok(existsSync(join(save, "out-of-fold.csv")) && existsSync(join(save, "review.csv")));

  const refused = (more: object, code: ErrorCode, ...words: string[]) =>
    assertFails(code, words, () => crossValidate({ ...args, ...more } as never));
  await refused({ data: (await common()).data }, "already-split", "fractions 1, 0, 0");
  await refused({ folds: 40 }, "too-few-rows", "folds 19");
  await refused({ fold: 3 }, "unknown-option", "did you mean folds?");
  await refused({ rank: 0 }, "invalid-value");
});
