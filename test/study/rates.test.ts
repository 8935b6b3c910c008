/** Sweeps that choose a learning rate: which trials run when, what is chosen, and what the report says. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ModelConfig } from "../../src/core/config.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { loadModel } from "../../src/io/hf.ts";
import { MODES, type Mode, takesSteps } from "../../src/methods/index.ts";
import { trainableCount } from "../../src/model/trainable.ts";
import { type Arm, listCells, runnableTrials, type Trial } from "../../src/study/grid.ts";
import { SWEEPS } from "../../src/study/presets.ts";
import { reportBlocks, reportStudy } from "../../src/study/report/report.ts";
import { runTrials } from "../../src/study/runner.ts";
import { costsIn, divide } from "../../src/study/shards.ts";
import {
  type FinishedCell,
  keepError,
  readFinished,
  readFinishedCells,
  type TrialRecord,
  trialDirectory,
} from "../../src/study/store.ts";
import { resolveOptions } from "../../src/train/options.ts";
import type { RunSettings } from "../../src/train/settings.ts";
import { runSpec } from "../../src/train/sizes.ts";
import { toMarkdown } from "../../src/views/markdown.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";
import { cellOf, predicting } from "../helpers/trials.ts";

const folder = temporaryFolder();
const RATES = [1e-3, 1e-2, 3e-2];

const sweepCells = (arms: Arm[], seeds: number, base = {}) => listCells({ base, arms }, seeds, () => ({}));
const trialRate = ({ options }: Pick<Trial, "options">) => options.lr;

test("the first seed is trained at every rate, the others at the chosen one", async () => {
  const chosen = { mode: "last_layer", lr: { choose: RATES } };
  const [cell, ...more] = await sweepCells([chosen], 3);
  assert.equal([more, runnableTrials([cell!]).map(trialRate)], [[], RATES]);
  const all = runnableTrials([cell!], () => 1).map(({ options }) => `${options.lr}:${options.seed}`);
  assert.is(all.join(" "), "0.001:1 0.01:1 0.03:1 0.01:2 0.01:3");
  // A trial that two cells share is run once.
  const both = await sweepCells([{ mode: "last_layer", lr: 1e-2 }, chosen], 3);
  const same = ({ rates }: (typeof both)[number]) => rates.findIndex(([first]) => trialRate(first!) === 1e-2);
  assert.equal([runnableTrials(both, () => 0).length, runnableTrials(both, same).length], [3 + 2 + 2, 3 + 2]);
});

test("shards share all trials between them, whichever rates are chosen", async () => {
  const arms = [
    { mode: ["last_layer", "all"], lr: 1e-2 },
    { mode: ["last_layer", "all"], lr: { choose: RATES } },
  ];
  const cells = await sweepCells(arms, 3);
  // Three seeds of two cells; two more rates of two cells, and two further seeds at one of those.
  const count = 6 + 4 + 4;
  const parts = divide(cells, count, () => 1);
  assert.is(new Set(parts.values()).size, count);
  assert.equal(
    divide(cells, count + 9, () => 1),
    parts,
  );
  for (const chosen of [0, 1, 2])
    for (const { key } of runnableTrials(cells, ({ rates }) => Math.min(chosen, rates.length - 1)))
      assert.ok(parts.has(key));
  const atOnce = runnableTrials(cells).map(({ key }) => parts.get(key)!);
  assert.is(new Set(atOnce).size, atOnce.length);
});

test("the costliest trials are given away first, each to the part with the least to do; equal ones in turns", async () => {
  const rates = [1, 2, 3, 4, 5, 6].map((i) => i / 1000);
  const shareTrials = async (count: number, costs: readonly number[]) => {
    const cells = await sweepCells([{ lr: rates }], 1);
    const parts = divide(cells, count, (trial) => costs[rates.indexOf(trialRate(trial))]!);
    return runnableTrials(cells).map(({ key }) => parts.get(key));
  };
  assert.equal(await shareTrials(2, [1, 1, 8, 1, 4, 1]), [2, 2, 1, 2, 2, 2]);
  assert.equal(await shareTrials(3, [7, 7, 7, 7, 7, 7]), [1, 2, 3, 1, 2, 3]);
});

test("estimated operations: of the steps with their backward pass, of features only once; 1 of what cannot start", async () => {
  const data = await tinyData(messages(24));
  const model = await loadModel(tinyModel(join(folder, "costs")));
  await model.close();
  const trialCost = costsIn(
    () => data,
    () => model,
  );
  const cost = async (arm: Arm) => trialCost((await sweepCells([arm], 1))[0]!.rates[0]![0]!);
  const epochs = 100;
  const [all, lora, head] = await Promise.all(
    ["all", "lora", "last_layer"].map((mode) => cost({ mode, epochs, rank: 1 })),
  );
  assert.ok(all! > lora! && lora! > 20 * head!, `${all} ${lora} ${head}`);
  const twice = await cost({ mode: "lora", rank: 1, epochs: 2 * epochs });
  assert.ok(Math.abs(twice / lora! - 2) < 0.01, `${twice}`);
  assert.ok((await cost({ mode: "last_layer", epochs: 2 * epochs })) < 2 * head!);
  assert.is(await cost({ mode: "lora", epochs, accumulate: 16 }), 1);
});

test("what cannot be chosen from is refused by name", async () => {
  const two = ["two or more different rates"];
  for (const [arms, code, words, seeds = 1] of [
    [[{ lr: { choose: [1e-3] } }], "invalid-sweep", two],
    [[{ lr: { choose: [1e-3, 1e-3] } }], "invalid-sweep", two],
    [[{ lr: { choose: 1e-3 } }], "invalid-sweep", two],
    [[{ lr: { chose: [1e-3, 1e-2] } }], "invalid-sweep", [...two, "chose"]],
    [[{ lr: { choose: [1e-3, 0] } }], "invalid-value", ["lr", "above 0"]],
    [
      [{ lr: { choose: [1e-3, 1e-2] } }, { mode: "all", lr: { choose: RATES } }],
      "invalid-sweep",
      ["more learning rates than others", "2 and 3"],
    ],
    [[{ rank: { choose: [4, 8] } }], "invalid-value", ["rank", "choose"]],
    [[{ lr: { choose: RATES } }], "exceeds-limit", ["at most 100000", "100002: 1 combinations"], 100_000],
  ] as [Arm[], ErrorCode, string[], number?][])
    await assertFails(code, words, () => sweepCells(arms, seeds));
});

test("the preset methods: each method has as many rates as any other", async () => {
  const arms = SWEEPS.methods!.arms as (model: ModelConfig, settings: RunSettings) => Arm[];
  const methods = await sweepCells(arms(TINY, {}), 2);
  assert.equal([...new Set(methods.map(({ rates }) => rates.length))], [5]);
});

test("methods: sizes have the number of trainable parameters nearest to LoRA's; virtual tokens at most an eighth of the context", () => {
  const methodArms = (config: ModelConfig, settings: RunSettings = {}) => {
    const arms = (SWEEPS.methods!.arms as (model: ModelConfig, settings: RunSettings) => Arm[])(config, settings);
    const { objective = "classification" } = settings;
    const data = { objective, labels: objective === "lm" ? [] : ["0", "1"] };
    return arms.map(({ lr: _, ...size }) => {
      const count = (other: object) =>
        trainableCount(runSpec({ config }, data, resolveOptions({ ...size, ...other }, objective)));
      return { mode: size.mode as Mode, size, count };
    });
  };
  const large = { ...TINY, n_layer: 12, n_head: 12, n_embd: 768, n_positions: 1024 };
  for (const settings of [{}, { objective: "lm" }] as const) {
    const methods = methodArms(large, settings);
    assert.equal(
      methods.map(({ mode }) => mode),
      MODES.filter((mode) => takesSteps(mode) && !("objective" in settings && mode === "last_layer")),
    );
    const target = methods[0]!.count({});
    for (const [name, mode] of [
      ["bottleneck", "adapter"],
      ["virtualTokens", "prefix"],
    ] as const) {
      const { size, count } = methods.find((method) => method.mode === mode)!;
      const value = (size as Record<string, number>)[name]!;
      const [less, same, more] = [-1, 0, 1].map((step) => Math.abs(count({ [name]: value + step }) - target));
      assert.ok(same! <= less! && same! <= more!, `${mode} ${value}: ${less} ${same} ${more}`);
    }
    assert.is(methods.find(({ mode }) => mode === "prompt")!.size.virtualTokens, 128);
  }
  const rank = methodArms(large, { rank: 1 }).find(({ mode }) => mode === "adapter")!;
  assert.ok((rank.size as { bottleneck: number }).bottleneck < 10);
  for (const { mode, size } of methodArms(TINY))
    if (mode === "prompt") assert.equal(size as object, { mode, virtualTokens: 8 });
});

/** Trains a tiny model at three rates, with two seeds. */
async function chosenSweep() {
  const out = join(folder, "sweep");
  const data = await tinyData(messages(12));
  const model = tinyModel(join(folder, "model"));
  const arms = [{ mode: "last_layer", lr: { choose: RATES } }];
  const cells = await sweepCells(arms, 2, { model, epochs: 1, batchSize: 4, classWeights: "none" });
  const device = await testDevice("wasm 1 thread");
  const run = (trials: readonly Trial[]) =>
    runTrials({
      ...{ out, trials, device, dataOf: () => data, signal: new AbortController().signal },
      onEvent: () => {},
    });
  return { out, data, cell: cells[0]!, run };
}

/** Changes a stored trial, so that the choice is known. */
function change(out: string, trial: Trial, to: (record: TrialRecord) => void): void {
  const path = join(trialDirectory(out, trial), "run.json");
  const record = JSON.parse(readFileSync(path, "utf8"));
  to(record);
  writeFileSync(path, JSON.stringify(record));
}

test("the rate is chosen on the validation set once every rate has ended; the report says which and why", async () => {
  const { out, data, cell, run } = await chosenSweep();
  const [low, middle, high] = runnableTrials([cell]) as [Trial, Trial, Trial];
  await run([low, middle]);
  const some = (await readFinishedCells(out, [cell]))[0]!;
  assert.equal([some.chosen, some.missing, some.trials], [undefined, [high], []]);
  assert.match(toMarkdown(reportBlocks([some], data)), /1 setting whose rates are not all trained yet are left out/);
  // A rate that fails is not chosen, and is not waited for.
  await keepError(out, high, new Error("the loss is not finite"));
  const validate = (trial: Trial, [accuracy, loss, onTest]: readonly [number, number, number]) =>
    change(out, trial, ({ results: { after } }) => {
      Object.assign(after.val, { accuracy, loss });
      after.test.accuracy = onTest;
    });
  // Neither the accuracy nor the test set matters.
  for (const [first, second, chosen] of [
    [[0.75, 2, 1], [0.5, 0.9, 0], 1],
    [[0.5, 1, 0], [0.75, 2, 1], 0],
  ] as const) {
    validate(low, first);
    validate(middle, second);
    assert.is((await readFinishedCells(out, [cell]))[0]!.chosen, chosen, `${first} ${second}`);
  }
  const isChosen = ({ chosen }: FinishedCell) => chosen;
  const before = (await readFinishedCells(out, [cell]))[0]!;
  const [later, ...more] = runnableTrials([before], isChosen).filter(({ options }) => options.seed === 2);
  assert.equal([trialRate(later!), more], [RATES[0], []]);
  await run([later!]);
  const cells: FinishedCell[] = await readFinishedCells(out, [cell]);
  assert.equal(cells[0]!.trials.map(trialRate), [RATES[0], RATES[0]]);
  const markdown = (await reportStudy(cells, data, out, { about: "About the arms." })).toMarkdown();
  for (const words of [
    "each of 1 setting was trained with seed 1 at each of 3 rates",
    "| head only | 1.0000 | 2.0000 |",
    "| failed | 0.001 |",
    "1 of 1 chosen rates are at an end of their range",
    "About the arms.",
    `(trials/${low.name}/report.html)`,
  ])
    assert.ok(markdown.includes(words), `no "${words}" in ${markdown}`);
  assert.ok(existsSync(join(trialDirectory(out, low), "predictions.csv")));
  const rates = readFileSync(join(out, "figures", "rates.csv"), "utf8");
  assert.match(rates, /^run,0.001,0.01,0.03,chosen\r\nhead only,1,2,failed,0.001\r\n$/);
});

/** A cell of a made-up trial that is right about so many rows of the test set, of two classes. */
function made(options: object, like: TrialRecord, right: number, data: LoadedDataset): FinishedCell {
  const predicted = Array.from({ length: data.test.size }, (_, row) => {
    const label = data.test.label(row);
    return row < right ? label : 1 - label;
  });
  return cellOf([{ ...predicting(like, data, predicted), options: { ...like.options, ...options } }]);
}

test("methods are compared in pairs, with Holm's correction; a whole grid of ranks and alphas has a map", async () => {
  const { out, cell } = await chosenSweep();
  const like = (await readFinished(out, cell.rates[0]![0]!))!;
  const data = await tinyData(messages(60));
  assert.is(data.test.size, 24);
  const show = (...cells: [options: object, right: number][]) =>
    toMarkdown(reportBlocks(cells.map(([options, right]) => made(options, like, right, data)), data)); // biome-ignore format: short
  const lora = { mode: "lora", rank: 4, alpha: 8 };
  const markdown = show([{ mode: "all" }, 24], [lora, 23], [{}, 17]);
  const grid = [2, 4].flatMap((rank) => [4, 8].map((alpha) => ({ mode: "lora", rank, alpha })));
  const cells = grid.map((options, i): [object, number] => [options, 12 + i]);
  for (const [shown, words] of [
    // 7 rows differ: 2 / 2^7 of three tests; 6 rows: 2 / 2^6 of two.
    [markdown, /\| full fine-tuning \| head only \| 29\.2 % \(\S+\) \| 7 \| 0 \| 0 \| 0\.016 \| 0\.047 \| better \|/],
    [
      markdown,
      /\| LoRA, rank 4, alpha 8 \| head only \| 25\.0 % \(\S+\) \| 6 \| 0 \| 0 \| 0\.031 \| 0\.063 \| not distinguishable \|/,
    ],
    [markdown, "1 of 3 pairs are distinguishable"],
    [
      show([lora, 20], [{ ...lora, lrRatio: 16 }, 18]),
      "| LoRA, rank 4, alpha 8, lrRatio 1 | LoRA, rank 4, alpha 8, lrRatio 16 |",
    ],
    [show(...cells), /## Rank and alpha\n.*\| 2 \| 50\.0 % \(\S+\) \| 54\.2 % \(\S+\) \|\n\| 4 \| 58\.3 %/s],
  ] as const)
    assert.match(shown, words);
  assert.not.match(show(...cells.slice(1)), "## Rank and alpha");
});
