/** The page in Chromium, from `npm run web`. */
import type { BrowserContext } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../harness.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible, pickFile, set, start, waitForState } from "./page.ts";

const SETTINGS = { device: "wasm", epochs: 2, evalEvery: 4, lr: 5e-3 };

let shared: Promise<BrowserContext> | undefined;

/** A page of its own storage, in one browser for all. */
async function freshPage() {
  shared ??= openBrowser();
  const context = await (await shared).browser()!.newContext();
  return { context, ...(await openPage(context, await webServer())) };
}

test("a run on WASM from a file to its end: figures, curves, result, words that are typed", async () => {
  const { page, faults } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  await assertAccessible(page);
  await pickFile(page);
  await page.waitForSelector("text=80 messages, 80 used: 56 to train, 8 to validate, 16 to test.");
  await set(page, SETTINGS);
  await start(page);
  await waitForState(page, "finished");
  assert.match((await page.textContent("#status"))!, /Finished in \d+ s: \d+\.\d % of 16 test messages right\./);
  assert.match((await page.textContent("#figures"))!, /Step14 of 14.*CPU, \d+ threads/);
  // Before the first step, at steps 4, 8 and 12, and at the end.
  assert.is(await page.locator("#curve-table tbody tr").count(), 5);
  assert.is(await page.locator("#outcome .confusion tbody tr").count(), 2);
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
  assert.is(await page.locator("#verdict .base").count(), 1);
  await assertAccessible(page);
  assert.equal(faults, []);
});
