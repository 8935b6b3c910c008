import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { assertSameFiles } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  atStep,
  download,
  downloadAdapter,
  holdCheckpoint,
  pickFile,
  pickTinyModel,
  set,
  start,
  waitForState,
} from "./page.ts";

/** The states of the runs in the list. */
function listedStates(page: Page): Promise<string[]> {
  return page.locator("#runs tbody tr:not(.group) td:nth-child(3)").allTextContents();
}

async function waitForListed(page: Page, states: readonly string[]): Promise<void> {
  await page.waitForFunction((wanted) => {
    const cells = document.querySelectorAll("#runs tbody tr:not(.group) td:nth-child(3)");
    return [...cells].map(({ textContent }) => textContent).join() === wanted.join();
  }, states);
}

test("a comparison of methods continues after a stop and a reload", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page);
  await set(page, { device: "wasm", epochs: 3, evalEvery: 8 });
  const release = await holdCheckpoint(page, 8);
  await page.click("#compare-start:not([disabled])");
  await page.locator("#compare-table tbody tr:first-child >> text=/training, [1-9]\\d?\\s%/").waitFor();
  const states = await listedStates(page);
  const atOnce = states.filter((state) => state === "training").length;
  // Each has at least a thread.
  const threads = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.ok(threads > 1 ? atOnce > 1 : atOnce === 1, `${atOnce} on ${threads} threads`);
  const status = await page.textContent("#compare-status");
  if (threads > 1) assert.match(status!, /^Training 1.* and \d of 7 at the same time: LoRA rank 1.* and .*/);
  await atStep(page, 1, "stop");
  await release();
  const expectedStates = (state: string) => [...Array(atOnce).fill(state), ...Array(7 - atOnce).fill("waiting")];
  await waitForListed(page, expectedStates("stopped"));
  assert.is(await page.locator("#training-title").textContent(), "messages.csv: LoRA, rank 1, alpha 2");
  await holdCheckpoint(page, 16);
  await page.click("#compare-continue");
  await waitForListed(page, expectedStates("training"));
  await atStep(page, 9, "reload");
  await page.waitForFunction(
    () =>
      document.querySelectorAll("#compare-table tbody td:nth-child(5)").length === 7 &&
      [...document.querySelectorAll("#compare-table tbody td:nth-child(5)")].every(
        ({ textContent }) => textContent !== "–",
      ),
  );
  assert.equal(await listedStates(page), Array(7).fill("finished"));
  const { files } = await download(page, "#runs tbody tr:nth-child(2) >> text=Adapter");
  assert.match(
    (await page.textContent("#compare-table"))!,
    /1 LoRA rank 1.*4 full fine-tuning.*6 head only34.*7 biases only/,
  );
  assert.match((await page.textContent("#compare-words"))!, /has the lowest validation loss.*16 test messages/);
  assert.is(await page.locator("#compare .mark").count(), 7);
  // Curves of two runs, and the values under the pointer.
  await page.check("#runs tbody tr:nth-child(3) input");
  await page.click("#curve-table summary");
  await page.check("#curve-table label input");
  await page.hover("#loss .plot svg");
  await page.locator("#accuracy .legend >> text=nearest to").waitFor();
  assert.match((await page.textContent("#loss .legend"))!, /LoRA, rank 4.*0\.\d{4}/);
  await assertAccessible(page);
  await assertFits(page);
  // Alone the first one gives the same adapter.
  await pickFile(page);
  await set(page, { rank: 1, alpha: 2, lr: 3e-3 });
  await start(page);
  await page.locator("#runs tr[aria-current] >> text=LoRA, rank 1,").waitFor();
  await waitForState(page, "finished");
  assertSameFiles(await downloadAdapter(page), files);
  assert.equal(faults, []);
  await context.close();
});
