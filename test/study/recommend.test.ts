/** What a study recommends: the sentence, and the command that trains the same by hand. */
import { Command } from "commander";
import * as assert from "uvu/assert";
import { addSettings, parseFlags } from "../../src/commands/flags.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { trainOptions } from "../../src/run/settings.ts";
import { candidateArms, candidateBases } from "../../src/study/candidates.ts";
import { expandArms, listCells, type Trial } from "../../src/study/grid.ts";
import { candidateCells, listCandidates } from "../../src/study/halving.ts";
import { trainArguments } from "../../src/study/report/recommend.ts";
import { reportBlocks } from "../../src/study/report/report.ts";
import { runTrials } from "../../src/study/runner.ts";
import { readFinished, type TrialRecord } from "../../src/study/store.ts";
import type { Results } from "../../src/tasks/task.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import type { Known } from "../../src/train/options.ts";
import type { RunSettings } from "../../src/train/settings.ts";
import { toMarkdown } from "../../src/views/markdown.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";
import { cellOf, predicting } from "../helpers/trials.ts";

const folder = temporaryFolder();
const loading = tinyData(messages(60));
const SMALL_LLAMA: Known = { rows: 200, parameters: 7e6, model_type: "llama", n_layer: 6 };
const SMALL: Known = { rows: 20_000, parameters: 7e6, n_layer: 4 };

/** The words after `train`, and the options that train makes of them. */
async function byHand(base: RunSettings, known: Known, given: RunSettings) {
  const wanted = trainOptions({ ...base, ...given }, known);
  const words = trainArguments(base, known, await loading, "m", wanted);
  const program = addSettings(new Command()).argument("[file]").parse(words, { from: "user" });
  assert.equal(trainOptions(parseFlags(program), known), wanted, words.join(" "));
  return words.join(" ");
}

test("the command has what is not the default, and train makes the same options of it", async () => {
  assert.is(await byHand({ data: "my.csv" }, SMALL, {}), "my.csv --model m");
  assert.is(
    await byHand({ data: "my.csv" }, SMALL, { lr: 3e-3, rank: 1, alpha: 2 }),
    "my.csv --model m --rank 1 --alpha 2 --lr 0.003",
  );
  assert.is(
    await byHand({ dataset: "spam" }, SMALL, { mode: "bitfit", seed: 3 }),
    "--dataset spam --model m --mode bitfit --seed 3",
  );
  assert.is(
    await byHand({ data: "my.csv", labelColumn: "kind" }, SMALL, {
      epochs: 1,
      targets: ["q", "v"],
      layers: [0, 2],
      dora: true,
    }),
    "my.csv --label-column kind --model m --targets q,v --layers 0,2 --dora --epochs 1",
  );
  // What depends on the model and the number of rows.
  assert.is(await byHand({ data: "my.csv" }, SMALL_LLAMA, {}), "my.csv --model m");
  assert.match(
    await byHand({ data: "my.csv" }, SMALL_LLAMA, { layers: null, headBias: true }),
    "--layers all --set headBias=true",
  );
  // What has no flag.
  const published = { scaling: "alpha", init: "paper", headInit: "uniform", padding: "longest" } as const;
  assert.match(
    await byHand(published, SMALL, published),
    /--set padding=longest.* --set scaling=alpha --set init=paper/,
  );
});

test("names of files are quoted where a shell needs it, and one that looks like a flag is given as one", async () => {
  const data = await loading;
  const words = (file: string) => trainArguments({ data: file }, SMALL, data, "m", trainOptions({}, SMALL)).join(" ");
  assert.is(words("my data.csv"), '"my data.csv" --model m');
  assert.is(words("-x.csv"), "--data -x.csv --model m");
});

test("the built-in list: bundled bases and methods at several rates, without what flags decide", async () => {
  const bases = candidateBases({}).map((name) => ({ name, config: TINY }));
  assert.equal(
    bases.map(({ name }) => name),
    ["e5-small-cut", "gpt2-micro"],
  );
  assert.equal([candidateBases({ objective: "lm" }), candidateBases({ model: "x" })], [["gpt2-micro"], ["x"]]);
  const count = async (given: RunSettings) =>
    (await listCells({ base: given, arms: candidateArms(bases, given) }, 1, () => ({}))).length;
  const all = await count({});
  assert.ok(all >= 24 && all <= 64, `${all}`);
  assert.is(await count({ lr: 1e-3 }), all / 3);
  assert.is(await count({ mode: "bitfit" }), 2 * 3);
  assert.is(await count({ mode: "lora", rank: 8, alpha: 8, lr: 1e-3 }), 2);
  for (const arm of candidateArms(bases, { objective: "lm" })) assert.is.not(arm.mode, "last_layer");
  assert.is([...expandArms({ base: {}, arms: candidateArms(bases, {}) })][0]!.model, "e5-small-cut");
});

let trained: Promise<{ like: TrialRecord; data: LoadedDataset }> | undefined;
const trainOnce = () => {
  trained ??= trainOne();
  return trained;
};

async function trainOne() {
  const data = await loading;
  const base = { model: tinyModel(`${folder}/model`), epochs: 1, batchSize: 4, classWeights: "none" } as const;
  const [cell] = await listCells({ base, arms: [{ mode: "last_layer" }] }, 1, () => ({}));
  const device = await testDevice("wasm 1 thread");
  const signal = new AbortController().signal;
  const trials = cell!.rates.flat();
  await runTrials({ out: folder, trials, device, dataOf: () => data, signal, onEvent: () => {} });
  return { like: (await readFinished(folder, trials[0]!))!, data };
}

/** A cell that is right about so many of the 24 test rows, with this validation loss. */
async function made(options: object, right: number, loss: number) {
  const { like, data } = await trainOnce();
  const answers = (set: LoadedDataset["test"]) =>
    Array.from({ length: set.size }, (_, row) => (row < right ? set.label(row) : 1 - set.label(row)));
  const one = predicting(like, data, answers(data.test));
  const { columns } = TRAINING[data.objective];
  const val = columns(data.val, answers(data.val), 2);
  const [own] = one.results.test.compared;
  const [, ...baselines] = like.results.test.compared;
  const compared: Results["test"]["compared"] = [own, ...baselines];
  const results = {
    ...one.results,
    val,
    test: { ...one.results.test, compared },
    after: { ...one.results.after, val: { ...one.results.after.val, loss } },
  };
  const trial = { ...like.trial, key: JSON.stringify(options) };
  return { ...one, trial, results, options: { ...like.options, ...options } };
}

test("the setting with the lowest validation loss is recommended, against the best baseline and the next setting", async () => {
  const { data } = await trainOnce();
  const report = async (...some: Promise<TrialRecord>[]) =>
    toMarkdown(
      reportBlocks(
        (await Promise.all(some)).map((one) => cellOf([one])),
        data,
        { base: { data: "my.csv" } },
      ),
    );
  const [best, next, worse] = [
    made({ lr: 1e-2 }, 20, 0.2),
    made({ mode: "all", lr: 1e-3 }, 23, 0.3),
    made({ mode: "bitfit" }, 10, 0.4),
  ];
  const text = (await report(worse, next, best)).replaceAll("\u00a0", " ");
  assert.match(
    text,
    /Recommended: head only, rate 0\.01, which has the lowest validation loss of 3 settings\. Its test accuracy is 83\.3 %, 95 % interval 64\.1 % to 93\.3 %: \S.* "[^"]+" \(\d+\.\d %, p [=<] \d\.\d+\) and (not distinguishable from )?the next best setting, full fine-tuning \(95\.8 %, p = 0\.250\)\.$/m,
  );
  assert.match(text, /```sh\nnpx lowrank train my\.csv --model \S+ --mode last_layer .*```/s);
  // A probe takes seconds: another setting has to be distinguishably better on the validation rows, of which the test
  // rows have no part.
  const probe = made(trainOptions({ mode: "probe" }), 19, 0.5);
  const probed = (await report(best, probe)).replaceAll("\u00a0", " ");
  assert.match(
    probed,
    /Recommended: linear probe, which takes seconds: on 12 validation rows the other one is not distinguishably better\. .* the setting with the lowest validation loss, head only/,
  );
  assert.match(probed, /```sh\nnpx lowrank train my\.csv --model \S+ --mode probe/);
  const behind = await report(best, made(trainOptions({ mode: "probe" }), 1, 0.5));
  assert.match(behind, "Recommended: head only");
  const alone = await report(best);
  assert.match(alone, "Recommended: head only, rate 0.01. Its test accuracy is");
  assert.not.match(alone, /next best|this comparison alone/);
});

test("the steps of halving: how many settings each rung trained; methods are compared after their longest runs", async () => {
  const { like, data } = await trainOnce();
  const spec = { base: { model: like.trial.model, epochs: 3 }, arms: [{ mode: ["last_layer", "all", "bitfit"] }] };
  const candidates = await listCandidates(
    spec,
    1,
    () => ({}),
    ({ options }) => options.epochs,
  );
  const as = async ({ name, key, model, options }: Trial, right: number, loss: number) => ({
    ...(await made(options, right, loss)),
    ...{ trial: { name, key, model }, seconds: 2 },
  });
  const [[head], [full]] = candidates.map(({ rungs }) => rungs.map(([trial]) => trial!)) as [Trial[], Trial[]];
  const onward = candidates[1]!.rungs[1]![0]!;
  const cells = candidateCells(candidates).map(({ rates }) => ({
    rates,
    chosen: 0,
    missing: [],
    tried: [null],
    trials: [] as TrialRecord[],
  }));
  for (const [trial, right, loss] of [
    [head!, 20, 0.5],
    [full!, 22, 0.4],
    [onward, 23, 0.2],
  ] as const) {
    const cell = cells.find(({ rates }) => rates[0]![0]!.key === trial.key)!;
    const record = await as(trial, right, loss);
    Object.assign(cell, { trials: [record], tried: [record] });
  }
  const text = toMarkdown(reportBlocks(cells, data, { candidates })).replaceAll("\u00a0", " ");
  assert.match(text, /of 3 settings each is first.* There was time for 2 settings, then 1 setting\./);
  assert.match(
    text,
    /Recommended: full fine-tuning, 3 epochs, rate 5e-4, which has the lowest validation loss of 2 settings/,
  );
  assert.match(text, "the next best setting, head only, 1 epoch");
  assert.match(text, "| head only, 1 epoch | full fine-tuning, 3 epochs |");
});
