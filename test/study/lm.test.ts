/** Sweeps of language models: trials on texts, and their report. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { MODES } from "../../src/methods/index.ts";
import { listCells, runnableTrials } from "../../src/study/grid.ts";
import { reportBlocks, reportStudy } from "../../src/study/report/report.ts";
import { runTrials } from "../../src/study/runner.ts";
import { type FinishedCell, readFinishedCells, type TrialRecord, trialDirectory } from "../../src/study/store.ts";
import { countRows } from "../../src/tasks/compare.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { toMarkdown } from "../../src/views/markdown.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { savedTables } from "../helpers/markup.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
function documents(count: number) {
  const lines = Array.from({ length: count }, (_, i) => JSON.stringify({ text: `the cat sat on mat ${i % 5}` }));
  return bytesReader("lines.jsonl", new TextEncoder().encode(lines.join("\n")));
}

test("the options of each mode's trials are those of a language model", async () => {
  const arms = [{ mode: MODES.filter((mode) => mode !== "last_layer"), rank: [4, 8] }];
  const cells = await listCells({ base: { objective: "lm" }, arms }, 1, () => ({}));
  assert.is(cells.length, MODES.length);
  for (const { options } of runnableTrials(cells)) assert.equal(resolveOptions(options, "lm"), options);
});

/** The cell with other losses on each document: `factor` times those that it has. */
function changed(cell: FinishedCell, options: object, factor: (document: number) => number): FinishedCell {
  const change = (trial: TrialRecord): TrialRecord => {
    const { test } = trial.results;
    const { loss: before = [], ...others } = test.rows;
    const loss = before.map((loss, i) => loss * factor(i));
    return {
      ...trial,
      options: { ...trial.options, ...options },
      results: { ...trial.results, test: { ...test, rows: { ...others, loss } } },
    };
  };
  return { ...cell, tried: cell.tried.map((one) => one && change(one)), trials: cell.trials.map(change) };
}

test("a sweep of language models reports perplexity with bootstrap intervals and paired comparisons", async () => {
  const data = await loadTexts({ train: documents(40), val: documents(10), test: documents(20) }, { maxLength: 16 });
  const base = { objective: "lm", model: tinyModel(join(folder, "model")), epochs: 1, rank: 2, alpha: 4 } as const;
  const arms = [{ mode: "lora", lr: { choose: [1e-3, 1e-2] } }];
  const [cell] = await listCells({ base: { ...base, classWeights: "none" }, arms }, 1, () => ({}));
  const out = join(folder, "sweep");
  // A vocabulary of 50,257 is slow on a software GPU.
  const device = await testDevice("wasm 1 thread");
  const signal = new AbortController().signal;
  const trials = runnableTrials([cell!]);
  const failed = await runTrials({
    out,
    trials,
    device,
    dataOf: () => data,
    signal,
    onEvent: () => {},
  });
  assert.is(failed, 0);
  const finished = (await readFinishedCells(out, [cell!]))[0]!;
  const [low, high] = finished.tried.map((trial) => trial!.results.after.val.loss) as [number, number];
  assert.is(finished.chosen, low < high ? 0 : 1);
  const { rows, details } = finished.trials[0]!.results.test;
  assert.equal([details, countRows(rows)], [{ of: "documents" }, 20]);
  const markdown = (await reportStudy([finished], data, out)).toMarkdown();
  for (const words of [
    "40 / 10 / 20 documents",
    "percentiles of the bootstrap: 1000 seeded samples of the 20 test documents",
    "the lowest validation loss",
    "| Bits per byte |",
    `(trials/${trials[0]!.name}/report.html)`,
  ])
    assert.ok(markdown.includes(words), `no "${words}" in ${markdown}`);
  assert.not.match(markdown, /accuracy|misclassified|leaks/);
  assert.match(readFileSync(join(out, "metrics-lora.csv"), "utf8"), /final_test_bpb/);
  const settings = readFileSync(join(out, "figures", "settings.csv"), "utf8");
  assert.match(
    settings,
    /,test perplexity,test perplexity_low,test perplexity_high,.*,bits per byte,bits per byte_low,/,
  );
  const page = readFileSync(join(trialDirectory(out, trials[0]!), "report.html"), "utf8");
  assert.is(savedTables(page).get("texts.csv")!.split("\r\n")[20]!.split(",")[0], "document 20");

  const better = changed(finished, { mode: "all" }, () => 0.9);
  const mixed = changed(finished, { mode: "last_block" }, (i) => (i % 2 === 0 ? 0.9 : 1.1));
  const compared = toMarkdown(reportBlocks([finished, better, mixed], data));
  assert.match(
    compared,
    /\| LoRA, rank 2, alpha 4 \| full fine-tuning \| \S+ \(\S+\) \| \\< 0\.001 \| \\< 0\.001 \| worse \|/,
  );
  assert.match(compared, /\| LoRA, rank 2, alpha 4 \| last block \|.* not distinguishable \|/);
});
