/** The page in Chromium, from `npm run web`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";
import { freshPage, openPage, webServer } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  atStep,
  begin,
  dropFile,
  ENDLESS,
  holdCheckpoint,
  pageWorker,
  pickFile,
  pickTinyModel,
  SETTINGS,
  set,
  start,
  waitForState,
  waitForStep,
} from "./page.ts";

/** The software driver is slow, most of all in compiling: this mode needs few kernels, and is run on a tiny model. */
const LITTLE = { mode: "last_layer", device: "webgpu", lr: 0.05 };

/** Trains on a file, and looks at figures, curves, result and a typed message. */
async function trainOnFile(
  page: Page,
  settings: Record<string, string | number>,
  { computesOn, steps, evaluations }: { computesOn: string; steps: number; evaluations: number },
): Promise<void> {
  await pickFile(page, messages(20, ["ham", "spam", "ham", "ham"]));
  await page.waitForSelector("text=rows: 80 read");
  await page.waitForSelector("text=loss weighted by class");
  await set(page, settings);
  await start(page);
  await waitForState(page, "finished");
  assert.match(
    (await page.textContent("#status"))!,
    /^Finished in [^.]+\. \d+ of 16 test messages correct: too few to tell\.$/,
  );
  assert.match((await page.textContent("#figures"))!, new RegExp(`Step${steps} of ${steps}.*${computesOn}`));
  assert.is(await page.locator("#curve-table tbody tr").count(), evaluations);
  assert.is(await page.locator("#outcome .confusion tbody tr").count(), 2);
  assert.match(
    (await page.textContent("#outcome"))!,
    /Macro F1 before.*This run against it.*TF-IDF, logistic regression \(C \d+\)\d.*\(p [=<] [\d.]+\).*Precision, recall and F1 of each.*The test set has only 16 rows: the accuracy of /,
  );
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
  assert.is(await page.locator("#verdict .base").count(), 1);
}

test("a run on the CPU from a file to its end: figures, curves, result, typed messages", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  await assertAccessible(page);
  // Evaluations: before the first step, every four steps, and at the end.
  await trainOnFile(page, SETTINGS, { computesOn: "CPU, \\d+ threads", steps: 14, evaluations: 5 });
  await lookAtWhatItLearned(page);
  await assertAccessible(page);
  await assertFits(page);
  assert.equal(faults, []);
  await context.close();
});

test("a run on WebGPU from a file to its end; one whose device is lost resumes from the last checkpoint on the CPU", async () => {
  const { page, faults, context } = await freshPage(true);
  await pickTinyModel(page);
  const settings = { ...SETTINGS, ...LITTLE, epochs: 1 };
  const computesOn = "swiftshader \\(webgpu, software driver\\)";
  await trainOnFile(page, settings, { computesOn, steps: 7, evaluations: 3 });
  await openLearned(page);
  assert.match(
    (await page.textContent("#learned"))!,
    /head only every matrix of the blocks stays as it was.*moved the head by [\d.]+\s%/,
  );
  await assertAccessible(page);
  await assertFits(page);
  assert.equal(faults, []);

  const release = await holdCheckpoint(page, 8);
  await set(page, { epochs: 2 });
  await start(page);
  await waitForState(page, "training");
  await waitForStep(page, 5);
  await killGpuProcess(context.browser()!);
  await release();
  await page.locator("#run-error >> text=The device was lost").waitFor();
  await page.click("text=Resume on the CPU");
  await page.waitForSelector("#training[data-state=finished]");
  assert.match((await page.textContent("#figures"))!, /Step14 of 14.*CPU/);
  await context.close();
});

async function openLearned(page: Page): Promise<void> {
  await page.click("#learned:not([hidden]) summary");
  await page.waitForSelector("#learned-body");
}

/** What a run of LoRA on 16 test messages shows, also after a reload. */
async function lookAtWhatItLearned(page: Page): Promise<void> {
  await openLearned(page);
  // q, k, v, o, fc and proj of four blocks; a click chooses another matrix.
  assert.is(await page.locator("#learned .heat[data-matrix]").count(), 24);
  await page.locator("#learned .heatmap tr:nth-child(2) td >> nth=3 >> .heat").click();
  assert.is(await page.locator("#matrix option:checked").textContent(), "Block 1, o");
  assert.match((await page.textContent("#learned"))!, /Uses \d of rank 8: .* holds? 90\s% of the sum/);
  assert.is(await page.locator("#learned .singular rect").count(), 8);

  await page.locator("#words >> text=leave one out").waitFor();
  const sample = page.locator("#samples button >> nth=0");
  const text = await sample.textContent();
  await sample.click();
  await page.locator("#verdict .learned >> text=/Right: this is its true label|Wrong/").waitFor();
  await page.locator("#words .words >> text=please >> nth=0").waitFor();
  assert.is(await page.inputValue("#message"), text);
  await page.fill("#message", " ");
  await page.waitForFunction(() => document.querySelector("#verdict")!.childElementCount === 0);
  assert.is(await page.locator("#words > *").count(), 0);
}

test("training continues from an adapter, through a reload, even if the original is deleted", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await page.waitForSelector("#start:not([disabled])");
  assert.ok(await page.isHidden("#beginning"), "there is no adapter to start from");
  // The adapter is that of the last evaluation, whose loss is shown last.
  await begin(page, { ...SETTINGS, rank: 4, keep: "last" });
  await waitForState(page, "finished");
  const shownLoss = (row: string) => page.locator(`#curve-table tbody tr:${row} td:nth-child(4)`).textContent();
  const reached = await shownLoss("last-child");
  await page.selectOption("#beginning", { index: 1 });
  assert.ok(await page.isHidden("#field-rank"), "the adapter determines it");
  await pickFile(page, messages(20, ["ham", "spam", "news"]));
  await page.locator("#start-error >> text=The classes of the adapter and the data differ").waitFor();
  await pickFile(page);
  await set(page, { epochs: ENDLESS });
  await holdCheckpoint(page, 12);
  await start(page);
  await waitForState(page, "training");
  await waitForStep(page, 1);
  assert.is(await shownLoss("first-child"), reached);
  page.once("dialog", (dialog) => dialog.accept());
  await page.locator("#runs tbody tr:last-child >> text=Delete").click();
  await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 1);
  await atStep(page, 9, "reload");
  await waitForState(page, "training");
  await atStep(page, 17, "stop");
  await waitForState(page, "stopped");
  assert.is(await shownLoss("first-child"), reached);
  assert.match((await page.textContent("#runs tbody"))!, "from LoRA, rank 4, alpha 16");
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("an invalid file is reported with its line, next to the input; a valid file clears the error", async () => {
  const { page, faults, context } = await freshPage();
  await pickFile(page, 'label,text\nham,hello\nspam,"open\n');
  const fault = page.locator("#data-error");
  await fault.locator("text=messages.csv:3").waitFor();
  assert.ok(await page.isDisabled("#start"));
  await assertAccessible(page);
  await pickFile(page, "a,b,c\nfirst,1,x\nsecond,2,y\n", "unclear.csv");
  await fault.locator("text=The text and label columns were not recognised").waitFor();
  // An invalid field does not hide the statistics of the file.
  await set(page, { rank: 0 });
  await pickFile(page, `${messages(40)}spam\nham,too,many\n`);
  await page.waitForSelector("#data-report >> text=rows: 80 read");
  assert.ok(await page.isDisabled("#start"));
  await set(page, { rank: 8 });
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await fault.textContent(), "");
  assert.match(
    (await page.textContent("#data-report"))!,
    /2 invalid rows were skipped.*messages\.csv:82: The row has the wrong/,
  );

  // The page's worker fails: another one reads the same file.
  const worker = await pageWorker(page);
  await worker.evaluate(() => {
    setTimeout(() => {
      throw new Error("a mistake");
    });
  });
  const again = page.locator("#start-error button");
  await page.locator("#start-error >> text=/The page's worker has failed.*a mistake/").waitFor();
  await again.click();
  await page.waitForSelector("#start-error:empty", { state: "attached" });
  await page.waitForSelector("#start:not([disabled])");
  assert.match((await page.textContent("#data-report"))!, "2 invalid rows were skipped");
  await page.evaluate(() => {
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function () {
      Worker.prototype.postMessage = postMessage;
      this.dispatchEvent(new MessageEvent("messageerror"));
    };
  });
  await set(page, { rank: 4 });
  await page.locator("#start-error >> text=the page could not read its message").waitFor();
  await again.click();
  await page.waitForSelector("#start:not([disabled])");
  // The browser may report the error before the worker is gone.
  assert.equal(
    faults.filter((fault) => !fault.endsWith("a mistake")),
    [],
  );
  await context.close();
});

test("a browser without a writable file system is reported", async () => {
  const { page, faults, context } = await freshPage();
  await page.addInitScript(() => Reflect.deleteProperty(FileSystemFileHandle.prototype, "createWritable"));
  await page.reload();
  await page.locator("main >> text=This browser does not let the page store files").waitFor();
  assert.is(await page.locator("#start").count(), 0);
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("two tabs: while one trains, the other reports it; it can start afterwards", async () => {
  const { page, context } = await freshPage();
  const other = await openPage(context, await webServer());
  // The page has filled in the last visit's settings.
  await other.page.waitForSelector("#start:not([disabled])");
  await pickFile(other.page);
  await set(other.page, SETTINGS);
  const release = await holdCheckpoint(page, 8);
  await begin(page, { ...SETTINGS, epochs: ENDLESS });
  await waitForStep(page, 1);
  await start(other.page);
  await other.page.waitForSelector("#start-error >> text=Another tab of this page is training");
  await page.click("#stop");
  await release();
  await waitForState(page, "stopped");
  await start(other.page);
  await waitForState(other.page, "finished");
  assert.equal(other.faults, []);
  await context.close();
});

test("a model from a folder is stored in the browser, and can be deleted", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  const directory = tinyModel(join(temporaryFolder(), "tiny"));
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", directory);
  await page
    .locator("#model-report >> text=2 blocks, 2 heads, width 16, context 64 tokens")
    .waitFor({ state: "attached" });
  const release = await holdCheckpoint(page, 8);
  await begin(page, { ...SETTINGS, epochs: ENDLESS });
  await waitForStep(page, 1);
  await page.click("#model-forget");
  await page.locator("#model-error >> text=This model is in use by a run").waitFor();
  await page.click("#stop");
  await release();
  await waitForState(page, "stopped");
  await page.reload();
  await waitForState(page, "stopped");
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned");
  await page.selectOption("#model", "tiny");
  await page.click("#model-forget");
  // That of own messages again.
  await page.locator("#model-report >> text=6 blocks").waitFor({ state: "attached" });
  assert.is(await page.locator('#model option:text-is("tiny")').count(), 0);
  // A folder without weights.
  await page.selectOption("#model", "from-folder");
  const other = temporaryFolder();
  writeFileSync(join(other, "config.json"), "{}");
  await page.setInputFiles("#folder-files", other);
  await page.locator("#model-error >> text=These files are not a model").waitFor();
  assert.equal(faults, []);
  await context.close();
});

test("a GGUF file that is dropped is a model, stored in the browser under its name", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  const bytes = readFileSync(packagePath("test/golden/gguf/gpt2-q8_0.gguf"));
  const report = page.locator("#model-report >> text=2 blocks, 4 heads, width 32, context 64 tokens");
  await dropFile(page, "mine.gguf", bytes.subarray(0, -64));
  await page.locator("#model-error >> text=mine.gguf").waitFor();
  await dropFile(page, "mine.gguf", bytes);
  await report.waitFor({ state: "attached" });
  assert.is(await page.inputValue("#model"), "mine.gguf");
  await page.reload();
  await report.waitFor({ state: "attached" });
  assert.equal(faults, []);
  await context.close();
});

/** Waits until the page shows below its button that it trains fewer parameters; returns their number. */
async function trainsFewer(page: Page, than: number): Promise<number> {
  const shown = await page.waitForFunction((most) => {
    const [, number] = /Trains ([\d,]+) parameters/.exec(document.querySelector("#start-help")!.textContent!) ?? [];
    const count = Number(number?.replaceAll(",", ""));
    return count < most && count;
  }, than);
  return (await shown.jsonValue()) as number;
}

test("a run that does not fit is refused with the numbers, and with a setting that fits", async () => {
  const { page, faults, context } = await freshPage();
  // gpt2-micro has four blocks: adapters in one of them, and in one that does not exist.
  await page.waitForSelector("#start:not([disabled])");
  const all = await trainsFewer(page, Infinity);
  await set(page, { layers: "3" });
  await trainsFewer(page, all / 3);
  await page.waitForSelector("#start:not([disabled])");
  await set(page, { layers: "4" });
  await page.locator("#start-error >> text=The model has no such layer").waitFor();
  await set(page, { layers: "x" });
  await page.locator("#field-layers-error >> text=counted from 0").waitFor();
  await set(page, { layers: "" });
  await set(page, { mode: "all", batchSize: 2200, device: "wasm" });
  await page.click("#start-error >> text=Set the batch size to 1100");
  assert.is(await page.inputValue("#field-batchSize"), "1100");
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await page.textContent("#start-error"), "");
  assert.equal(faults, []);
  await context.close();
});

test("a learning rate that diverges ends the run, with the reason and a smaller rate", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await begin(page, { ...SETTINGS, lr: 1e9, headInit: "uniform" });
  await page.click("#run-error >> text=Set the learning rate to 0.001");
  assert.is(await page.inputValue("#field-lr"), "0.001");
  assert.ok(await page.isHidden("#resume"));
  await page.fill("#message", "see you at lunch");
  await page.locator("#verdict >> text=probabilities are not finite").waitFor();
  await page.reload();
  await page.locator("#run-error >> text=Set the learning rate to 0.001").waitFor();
  // A rate that ends with finite numbers, and has learned nothing.
  await set(page, { lr: 5, epochs: 1 });
  await start(page);
  // The run before it has failed.
  await page.waitForSelector("#training[data-state=finished]");
  await page.click("#run-error >> text=Set the learning rate to 0.001");
  assert.equal(faults, []);
  await context.close();
});

async function killGpuProcess(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  process.kill(processInfo.find(({ type }) => type === "GPU")!.id, "SIGKILL");
}
