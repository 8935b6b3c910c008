/** The page in Chromium, from `npm run web`. */
import * as assert from "uvu/assert";
import { test } from "../harness.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";

test("the page trains on WASM, in threads", async () => {
  const url = await webServer();
  const { page, faults } = await openPage(await openBrowser(), url);
  await page.click("#start");
  await page.waitForFunction(() => /"done"/.test(document.querySelector("#log")!.textContent!));
  const log = (await page.textContent("#log"))!;
  assert.match(log, /CPU, \d+ threads/);
  assert.match(log, /"step":3/);
  assert.equal(faults, []);
});
