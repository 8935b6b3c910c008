/** A study on paper: hundreds of trials whose results are made up. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as assert from "uvu/assert";
import { writeDirectory } from "#platform";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { TEMPORARY } from "../../src/platform/paths.ts";
import { newRecord, RECORD, type RunRecord } from "../../src/record/record.ts";
import { type Cell, listCells } from "../../src/study/grid.ts";
import { reportBlocks } from "../../src/study/report/report.ts";
import {
  collect,
  type FinishedCell,
  isFinished,
  readFinishedCells,
  type TrialRecord,
  trialDirectory,
} from "../../src/study/store.ts";
import type { Results } from "../../src/tasks/task.ts";
import { tableToCsv } from "../../src/views/csv.ts";
import { blockFiles } from "../../src/views/files.ts";
import { toMarkdown } from "../../src/views/markdown.ts";
import { metricsTable } from "../../src/views/run-tables.ts";
import { measureClasses } from "../helpers/answers.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { modelAnd } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";
import { cellOf } from "../helpers/trials.ts";

const COUNT = 300;
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
/** The place of a trial when all are ordered by their validation loss. */
const placeOf = (i: number) => (i * 7) % COUNT;

const materials = modelAnd(() => tinyData(messages(60)));

async function stubStudy(): Promise<{ data: LoadedDataset; cells: Cell[]; records: (RunRecord & TrialRecord)[] }> {
  const { model, data } = await materials();
  const arm = { mode: "lora", rank: upTo(10), alpha: upTo(30) };
  const cells = await listCells({ base: { model: "tiny" }, arms: [arm] }, 1, () => ({}));
  const first = cells[0]!.rates[0]![0]!;
  const record = await newRecord({ model, data }, { model: "tiny" }, first.options);
  const truth = Array.from({ length: data.test.size }, (_, row) => data.test.label(row));
  const predictions = truth.map((label, row) => {
    return { row, label, probability: 0.9, probabilities: Float64Array.from([0.1, 0.9]) };
  });
  const evaluation = { rows: truth.length, loss: 1, accuracy: 1, macroF1: 1 };
  const splits = { train: evaluation, val: evaluation, test: evaluation };
  const test = measureClasses(data, predictions);
  const results = { before: splits, after: splits, parts: [], decision: null, test };
  return { data, cells, records: cells.map(({ rates }, i) => stubRecord(record, rates[0]![0]!, i, results)) };
}

function stubRecord(record: RunRecord, trial: Cell["rates"][0][0], i: number, results: Results) {
  const { name, key, model, options } = trial;
  const { after, test } = results;
  const { truth = [] } = test.rows;
  // The later its place the more rows are wrong.
  const wrong = Math.floor((placeOf(i) * truth.length) / COUNT);
  const predicted = truth.map((label, row) => (row < wrong ? 1 - label : label));
  const loss = 1 + placeOf(i) / COUNT;
  const made: RunRecord = {
    ...{ ...record, trial: { name, key, model }, options, state: "finished", seconds: i, trainable: 1000 + i },
    device: { kind: "wasm", name: "CPU", software: false },
    evaluations: [
      { step: 1, epoch: 1, examples: 4, lr: 1, train: { loss, accuracy: 1, norm: 1 }, val: { ...after.val!, loss } },
    ],
    results: {
      ...results,
      after: { ...after, val: { ...after.val!, loss }, test: { ...after.test, accuracy: 1 - wrong / truth.length } },
      test: { ...test, rows: { truth, predicted } },
    },
  };
  if (!isFinished(made)) throw new Error("not finished");
  return made;
}

test("of hundreds of settings people see the best ones, and the files have all", async () => {
  const { data, cells, records } = await stubStudy();
  const finished = cells.map((cell, i): FinishedCell => ({ ...cellOf([records[i]!]), ...cell }));
  const blocks = reportBlocks(finished, data, { hasFiles: true });
  const markdown = toMarkdown(blocks);
  const best = `LoRA, rank 1, alpha 1`;
  assert.match(markdown, new RegExp(`sd .*\\n\\|[ |-]*\\n\\| ${best} `), "the lowest loss is first");
  assert.match(markdown, "It is compared with the 100 next best settings with McNemar's exact test");
  assert.match(markdown, "60 of 300 settings: those with the lowest validation loss, and the best of each method");
  assert.not.match(markdown, "## Rank and alpha", "30 alphas are too many for a map");
  const files = new Map(blockFiles(blocks));
  const lines = (name: string) => files.get(`figures/${name}.csv`)!.trim().split("\r\n").length - 1;
  assert.equal(["settings", "comparisons", "runs"].map(lines), [COUNT, 100, COUNT]);
  assert.is(files.get("figures/size.svg")!.split('class="mark"').length - 1, 60);
  const { name } = records[0]!.trial;
  assert.match(markdown, `[report.html](trials/${name}/report.html)`);
});

/** Writes the first of the cells' trials as run directories of a study. */
async function writeTrials(out: string, cells: readonly Cell[], records: readonly RunRecord[]): Promise<void> {
  for (const [i, { rates }] of cells.entries()) {
    const files = new Map([[RECORD, JSON.stringify({ ...records[i], files: {} })]]);
    await writeDirectory(trialDirectory(out, rates[0]![0]!), files);
  }
}

test("collecting copies what is finished and whole, and removes what a killed process has left", async () => {
  const { cells, records } = await stubStudy();
  const [from, out] = [temporaryFolder(), temporaryFolder()];
  const some = cells.slice(0, 12);
  const states = records.map((record, i): RunRecord => (i === 3 ? { ...record, state: "training" } : record));
  await writeTrials(from, some, states);
  const [first, second] = some.map(({ rates }) => trialDirectory(from, rates[0]![0]!)) as [string, string];
  writeFileSync(join(second, RECORD), "{");
  const left = join(out, "trials", `.${basename(first)}.0123abcd${TEMPORARY}`);
  mkdirSync(left, { recursive: true });
  assert.is(await collect(out, [from]), 10);
  assert.equal(readdirSync(join(out, "trials")).length, 10);
  assert.is(await collect(out, [from]), 0);
});

test("a trial is read once, and what is compared of it is kept", async () => {
  const { cells, records } = await stubStudy();
  const out = temporaryFolder();
  const some = cells.slice(0, 3);
  await writeTrials(out, some, records);
  const known = new Map<string, TrialRecord>();
  const read = await readFinishedCells(out, some, known);
  for (const [i, { trials }] of read.entries()) {
    const [kept, { results, options }] = [trials[0]!, records[i]!];
    const { rows, compared } = kept.results.test;
    assert.equal([kept.options, rows, compared], [options, results.test.rows, results.test.compared]);
    assert.is(tableToCsv(metricsTable([kept])), tableToCsv(metricsTable([records[i]!])));
    assert.not.ok("curve" in kept || "mistakes" in kept.results.test || "classes" in kept.results.test.details);
  }
  rmSync(join(out, "trials"), { recursive: true });
  assert.equal(await readFinishedCells(out, some, known), read);
  assert.equal(
    (await readFinishedCells(out, some)).map(({ trials }) => trials.length),
    [0, 0, 0],
  );
});
