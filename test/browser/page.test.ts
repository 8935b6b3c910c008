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
  await page.waitForSelector("text=80 messages: 56 to train, 8 to validate, 16 to test.");
  await page.waitForSelector("text=The classes are unequal: their loss is weighted by class.");
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

/** How far each matrix moved, and how its adapter uses the rank. */
async function lookAtTheMatrices(page: Page): Promise<void> {
  // q, k, v, o, fc and proj of four blocks; the head is chosen from the list alone.
  const cells = await page.locator("#learned .heat[data-matrix]").evaluateAll((all) =>
    all.map((cell) => {
      const [norm, of] = /change ([\d.e-]+), size before ([\d.e-]+)/
        .exec((cell as HTMLElement).title)!
        .slice(1)
        .map(Number);
      const row = cell.closest("tr")!;
      const part = row.closest("table")!.rows[0]!.cells[(cell.parentElement as HTMLTableCellElement).cellIndex]!;
      const name = `Block ${row.cells[0]!.textContent}, ${part.textContent}`;
      const shade = Number(/heat(\d)/.exec(cell.className)![1]);
      return { name, norm: norm!, share: norm! / of!, shown: Number(cell.textContent), shade };
    }),
  );
  assert.is(cells.length, 24);
  const most = Math.max(...cells.map(({ share }) => share));
  for (const { name, share, shown, shade } of cells) {
    // The title has three digits.
    assert.ok(Math.abs(shown - 100 * share) < 0.006 + 0.06 * share * 100, `${name}: ${shown}, not ${100 * share}`);
    assert.ok(
      [0.98, 1.02].some((about) => shade === Math.ceil((8 * share * about) / most)) || share === most,
      `${name}: ${shade}`,
    );
  }
  const shownMost = Number((await page.textContent("#learned .scale"))!.match(/([\d.]+)\s%$/)![1]);
  assert.ok(Math.abs(shownMost - 100 * most) < 0.06 * 100 * most, `${shownMost}`);
  assert.match(
    (await page.textContent("#learned"))!,
    /ΔW = s·B·A, s = alpha\/r.*Outside the blocks, training moved the head by/,
  );

  // The matrix that moved most is shown first; a click chooses another one.
  const chosen = () => page.locator("#matrix option:checked").textContent();
  assert.is(await chosen(), cells.find(({ share }) => share === most)!.name);
  await page.locator("#learned .heatmap tr:nth-child(2) td >> nth=3 >> .heat").click();
  const one = cells.find(({ name }) => name === "Block 1, o")!;
  assert.is(await chosen(), one.name);
  // The Frobenius norm is the root of the sum of the squares of the singular values.
  const values = (await page.getAttribute("#learned .singular", "aria-label"))!.match(/[\d.e-]+(?=,|$)/g)!.map(Number);
  assert.is(values.length, 8);
  assert.ok(Math.abs(Math.hypot(...values) / one.norm - 1) < 0.02, `${values} ${one.norm}`);
  const [, used] = /Uses (\d) of rank 8: .* holds? 90\s% of the sum/.exec((await page.textContent("#learned"))!)!;
  const bars = await page
    .locator("#learned .singular rect")
    .evaluateAll((all) =>
      all.map((bar) => ({ isUsed: bar.classList.contains("used"), height: Number(bar.getAttribute("height")) })),
    );
  assert.equal(
    bars.map(({ isUsed }) => isUsed),
    values.map((_, i) => i < Number(used)),
  );
  assert.ok(
    bars.every(({ height }, i) => Math.abs(height - values[i]! / values[0]!) < 0.01),
    JSON.stringify(bars),
  );
  // What is drawn again elsewhere leaves the choice.
  await page.click("#runs >> text=Pin");
  await page.locator("#runs [aria-pressed=true]").waitFor();
  assert.is(await chosen(), one.name);
}

/** What a run of LoRA on 16 test messages shows, also after a reload. */
async function lookAtWhatItLearned(page: Page): Promise<void> {
  await openLearned(page);
  await lookAtTheMatrices(page);

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
  const remove = async () => {
    await page.locator("#runs tbody tr:last-child >> text=Delete").click();
    await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 1);
  };
  await remove();
  assert.is(await page.evaluate(() => document.activeElement!.textContent), "Undo");
  await page.click("#runs-undo >> text=Undo");
  await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 2);
  assert.is(await page.evaluate(() => document.activeElement!.id), "runs-title");
  await remove();
  const stored = await page.textContent("#storage");
  await page.click("#runs-undo >> text=Free its space now");
  await page.waitForFunction((before) => document.querySelector("#storage")!.textContent !== before, stored);
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
  await page.waitForSelector("#data-report >> text=80 messages: 56 to train");
  assert.ok(await page.isDisabled("#start"));
  await set(page, { rank: 8 });
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await fault.textContent(), "");
  assert.match((await page.textContent("#data-report"))!, /2 invalid rows were skippedLine 82: The row has the wrong/);

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
  // A folder of that name with a damaged model, and one with another model.
  const weights = readFileSync(join(directory, "model.safetensors"));
  writeFileSync(join(directory, "model.safetensors"), weights.subarray(0, -4));
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", directory);
  await page.locator("#model-error >> text=model.safetensors").waitFor();
  await page.selectOption("#model", "tiny");
  await page.locator("#model-report >> text=2 blocks, 2 heads").waitFor({ state: "attached" });
  // An option whose text is its value has no attribute for it.
  const option = (name: string) => page.locator(`#model option:text-is("${name}")`).count();
  const addFolder = async () => {
    await page.selectOption("#model", "from-folder");
    await page.setInputFiles("#folder-files", directory);
    await page.waitForSelector("#start:not([disabled])");
  };
  writeFileSync(join(directory, "model.safetensors"), weights);
  await addFolder();
  assert.is(await option("tiny 2"), 0);
  tinyModel(directory, (tensors) => tensors.get("h.1.attn.c_attn.weight")!.data.fill(0.01, 0, 1));
  await addFolder();
  assert.is(await option("tiny 2"), 1);
  await page.selectOption("#model", "tiny");
  await page.click("#model-forget");
  // That of own messages again.
  await page.locator("#model-report >> text=6 blocks").waitFor({ state: "attached" });
  assert.is(await option("tiny"), 0);
  await addFolder();
  await page.click("#resume");
  await page.locator("#runs-error >> text=The model has changed since this run began").waitFor();
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
  // Another one of that name.
  await dropFile(page, "mine.gguf", readFileSync(packagePath("test/golden/gguf/gpt2-f16.gguf")));
  await page.waitForFunction(() => document.querySelector<HTMLSelectElement>("#model")!.value === "mine 2.gguf");
  await report.waitFor({ state: "attached" });
  await page.click("#model-forget");
  await page.locator("#model-report >> text=4 blocks").waitFor({ state: "attached" });
  assert.is(await page.locator('#model option:text-is("mine 2.gguf")').count(), 0);
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
