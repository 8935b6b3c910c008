/** Runs in the page: how they begin, end, fail and resume, in one tab and in two; a comparison of methods. */
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage, openPage, webServer } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  atStep,
  begin,
  ENDLESS,
  endWorker,
  holdCheckpoint,
  pickFile,
  pickTinyModel,
  SETTINGS,
  see,
  set,
  start,
  waitForState,
  waitForStep,
} from "./page.ts";

/** Settings of a run that is long enough to be interrupted, and short enough to wait for. */
const LONGER = { ...SETTINGS, epochs: 4, evalEvery: 8 };

test("training continues from an adapter that is chosen: it decides on fields and classes", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await page.waitForSelector("#start:not([disabled])");
  assert.ok(await page.isHidden("#beginning"), "there is no adapter to start from");
  // The adapter is that of the last evaluation, whose loss is shown last.
  await begin(page, { ...SETTINGS, rank: 4, keep: "last" });
  await waitForState(page, "finished");
  await see(page, "result");
  const shownLoss = (row: string) => page.locator(`#curve-table tbody tr:${row} td:nth-child(4)`).textContent();
  const reached = await shownLoss("last-child");
  await page.selectOption("#beginning", { index: 1 });
  assert.ok(await page.isHidden("#field-rank"), "the adapter determines it");
  await pickFile(page, messages(20, ["ham", "spam", "news"]));
  await page.locator("#start-error >> text=The classes of the adapter and the data differ").waitFor();
  await pickFile(page);
  await start(page);
  await page.locator("#runs tr[aria-current] >> text=from LoRA, rank 4, alpha 16").waitFor();
  await waitForState(page, "finished");
  assert.is(await shownLoss("first-child"), reached);
  page.once("dialog", (dialog) => dialog.accept());
  // By the keyboard: the result that is shown now may move the button under the pointer.
  await page.locator("#runs tbody tr:last-child >> text=Delete").press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 1);
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("a run that is paused and stopped stays so after a reload; one whose worker ends is interrupted, and resumes", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  let release = await holdCheckpoint(page, 8);
  await begin(page, LONGER);
  await atStep(page, 2, "pause");
  await release();
  await waitForState(page, "paused");
  release = await holdCheckpoint(page, 16);
  await page.click("#resume");
  await atStep(page, 9, "stop");
  await release();
  await waitForState(page, "stopped");
  await page.reload();
  await waitForState(page, "stopped");
  assert.ok(await page.isHidden("#pause"));
  // Nothing keeps another run from starting.
  await page.waitForSelector("#start:not([disabled])");
  await holdCheckpoint(page, "end");
  await page.click("#resume");
  await page.waitForSelector("#training:not([data-state=stopped])");
  await endWorker(page);
  await page.locator("#run-error >> text=The page's worker has ended").waitFor();
  await waitForState(page, "interrupted");
  assert.match((await page.textContent("#status"))!, /^Interrupted\. Resume it from the last checkpoint\./);
  await page.waitForSelector("#start:not([disabled])");
  await page.click("#run-error >> text=Resume from the last checkpoint");
  await waitForState(page, "finished");
  assert.is(await page.textContent("#run-error"), "");
  assert.equal(faults, []);
  await context.close();
});

test("a run that the browser cannot store ends, and resumes from its last checkpoint when there is room", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await begin(page, LONGER);
  const release = await holdCheckpoint(page, 16);
  await waitForStep(page, 9);
  const session = await context.newCDPSession(page);
  const { origin } = new URL(page.url());
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1 });
  await release();
  await page.waitForSelector("#training[data-state=finished]");
  await page.locator("#run-error >> text=it has learned is lost when this page is closed").waitFor();
  await page.waitForSelector("#answer");
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  await page.click("#run-error button");
  await page.waitForSelector("#training[data-state=finished] #run-error:empty", { state: "attached" });
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
  await page.click("#start-error >> text=Set “Batch size: 1100”");
  assert.is(await page.inputValue("#field-batchSize"), "1100");
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await page.textContent("#start-error"), "");
  assert.equal(faults, []);
  await context.close();
});

test("a learning rate that diverges ends the run, with the reason and a smaller rate", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await begin(page, { ...SETTINGS, lr: 1e30 });
  await page.click("#run-error >> text=Set “Learning rate: 0.001”");
  assert.is(await page.inputValue("#field-lr"), "0.001");
  assert.ok(await page.isHidden("#resume"));
  await page.fill("#message", "see you at lunch");
  await page.locator("#verdict >> text=probabilities are not finite").waitFor();
  await page.reload();
  await page.locator("#run-error >> text=Set “Learning rate: 0.001”").waitFor();
  // A rate that ends with finite numbers, and has learned nothing.
  await set(page, { lr: 5, epochs: 1 });
  await start(page);
  // The run before it has failed.
  await page.waitForSelector("#training[data-state=finished]");
  await page.click("#run-error >> text=Set “Learning rate: 0.001”");
  assert.equal(faults, []);
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

/** The states of the runs in the list. */
function listedStates(page: Page): Promise<string[]> {
  return page.locator("#runs tbody tr:not(.group) td:nth-child(3)").allTextContents();
}

/** Waits until runs with this state, `least` or more, are followed by waiting ones alone; returns how many they are. */
async function waitForListed(page: Page, state: string, least: number): Promise<number> {
  const found = await page.waitForFunction(
    ({ state, least }) => {
      const cells = [...document.querySelectorAll("#runs tbody tr:not(.group) td:nth-child(3)")];
      const states = cells.map(({ textContent }) => textContent);
      const count = states.filter((one) => one === state).length;
      const isInOrder = states.every((one, i) => one === (i < count ? state : "waiting"));
      return isInOrder && count >= least ? count : 0;
    },
    { state, least },
  );
  return found.jsonValue();
}

test("a comparison of methods continues after a stop and a reload", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page);
  await set(page, { device: "wasm", epochs: 3, evalEvery: 8 });
  const release = await holdCheckpoint(page, 8);
  await page.click("#compare-start:not([disabled])");
  await page.locator("#compare-result tbody tr:first-child >> text=/training, [1-9]\\d?\\s%/").waitFor();
  // Each has at least a thread. They begin one after the other.
  const threads = await page.evaluate(() => navigator.hardwareConcurrency);
  await waitForListed(page, "training", Math.min(threads, 2));
  const status = await page.textContent("#compare-status");
  if (threads > 1) assert.match(status!, /^Training 1.* and \d of 7 at the same time: LoRA rank 1.* and .*/);
  await atStep(page, 1, "stop");
  await release();
  const atOnce = await waitForListed(page, "stopped", Math.min(threads, 2));
  assert.is(await page.locator("#training-title").textContent(), "messages.csv: LoRA, rank 1, alpha 2");
  await holdCheckpoint(page, 16);
  await page.click("#compare-continue");
  await waitForListed(page, "training", atOnce);
  await atStep(page, 9, "reload");
  await page.waitForFunction(
    () =>
      document.querySelectorAll("#compare-result tbody td:nth-child(5)").length === 7 &&
      [...document.querySelectorAll("#compare-result tbody td:nth-child(5)")].every(
        ({ textContent }) => textContent !== "–",
      ),
  );
  assert.equal(await listedStates(page), Array(7).fill("finished"));
  assert.match(
    (await page.textContent("#compare-result table"))!,
    /1 LoRA, rank 1, alpha 2.*4 full fine-tuning.*6 head only34.*7 biases only/,
  );
  assert.match((await page.textContent("#compare-result"))!, /has the lowest validation loss.*16 test rows/);
  assert.is(await page.locator("#compare .mark").count(), 7);
  // Curves of two runs, and the values under the pointer.
  await page.check("#runs tbody tr:nth-child(3) input");
  await see(page, "result");
  await page.check("#curve-table label input");
  await page.hover("#loss .plot svg");
  await page.locator("#accuracy .legend >> text=nearest to").waitFor();
  assert.match((await page.textContent("#loss .legend"))!, /LoRA, rank 4.*0\.\d{4}/);
  await assertAccessible(page);
  await assertFits(page);
  assert.equal(faults, []);
  await context.close();
});
