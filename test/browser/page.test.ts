/**
 * The page's main way in Chromium, from `npm run web`: what only a browser can show of it. What its worker does is told
 * in test/web/worker; the rest of the page is in the files *.all.test.ts.
 */
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  atStep,
  holdCheckpoint,
  keepStates,
  openLearned,
  pageWorker,
  pickFile,
  recordedStates,
  SETTINGS,
  see,
  set,
  start,
  trainOnFile,
  waitForState,
} from "./page.ts";

/** What a run of LoRA on 16 test messages shows. */
async function lookAtWhatItLearned(page: Page): Promise<void> {
  await openLearned(page);
  // q, k, v, o, fc and proj of four blocks.
  assert.is(await page.locator("#learned .heatmap tbody .heat[title]").count(), 24);

  await see(page, "try");
  await page.locator("#words >> text=Which words count").waitFor();
  const sample = page.locator("#samples button >> nth=0");
  const text = await sample.textContent();
  await sample.click();
  await page.locator("#verdict .learned >> text=/Right: this is its true label|Wrong/").waitFor();
  await page.locator("#words .words >> text=please >> nth=0").waitFor();
  assert.is(await page.inputValue("#message"), text);
  // A word is left out by a key, and put back by a click on it: the message stays as it was typed.
  const answer = page.locator("#verdict .learned .bars");
  const before = await answer.textContent();
  const [word] = await page.locator("#words label").all();
  await word!.locator("input").press("Space");
  await page.locator("#words >> text=without the words that are crossed out").waitFor();
  await page.waitForFunction((old) => document.querySelector("#verdict .learned .bars")!.textContent !== old, before);
  assert.is(await page.locator("#verdict .learned >> text=/Right: this|Wrong/").count(), 0);
  await assertAccessible(page);
  await word!.click();
  await page.locator("#verdict .learned >> text=/Right: this is its true label|Wrong/").waitFor();
  assert.equal([await answer.textContent(), await page.inputValue("#message")], [before, text]);
  await page.fill("#message", " ");
  await page.waitForFunction(() => document.querySelector("#verdict")!.childElementCount === 0);
  assert.is(await page.locator("#words > *").count(), 0);
}

test("a run on the CPU from a file to its end: figures, curves, result, typed messages; a reload resumes one that is under way", async () => {
  const { page, faults, context } = await freshPage();
  await keepStates(page);
  await page.waitForSelector("#start:not([disabled])");
  // Before anything is trained: messages with their labels, and a model that answers.
  await page.click("#examples-to-try li:nth-child(6) button");
  await page.locator("#verdict >> text=/Right: this is its true label|Wrong/").waitFor();
  await assertAccessible(page);
  await page.fill("#message", "");
  // Evaluations: before the first step, every four steps, and at the end.
  await trainOnFile(page, SETTINGS, { computesOn: "CPU, \\d+ threads", steps: 14, evaluations: 5 });
  assert.is(await page.title(), "Finished – Lowrank");
  await lookAtWhatItLearned(page);
  await assertAccessible(page);
  await assertFits(page);

  // The tab is closed while the second checkpoint is written.
  await holdCheckpoint(page, 8);
  await start(page);
  await atStep(page, 5, "reload");
  await waitForState(page, "finished");
  const resumed = (await recordedStates(page)).find(({ state }) => state === "training");
  assert.equal(resumed, { state: "training", step: 4 });
  assert.is(await page.locator("#runs tbody tr").count(), 2);
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
  await fault.locator("text=/No column is recognized/").waitFor();
  // An invalid field does not hide the statistics of the file.
  await set(page, { rank: 0 });
  await pickFile(page, `${messages(40)}spam\nham,too,many\n`);
  await page.waitForSelector("#data-report >> text=rows: 80 read");
  assert.ok(await page.isDisabled("#start"));
  await set(page, { rank: 8 });
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await fault.textContent(), "");
  const notes = page.locator("#data-notes");
  assert.match((await notes.textContent())!, /2 invalid rows: The row has the wrong.*messages\.csv:82/);

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
  assert.match((await notes.textContent())!, "2 invalid rows");
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
