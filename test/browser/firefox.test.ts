/** The page in Firefox: its main path. */
import * as assert from "uvu/assert";
import { testIf } from "../harness.ts";
import { messages } from "../tiny.ts";
import { pageOf } from "./browser.ts";
import { FIREFOX, openFirefox } from "./firefox.ts";
import { pickFile, set, start, waitForState } from "./page.ts";

const NAME = "the page in Firefox: a run on the CPU to its end, and a typed message";

testIf(FIREFOX !== "", "no Firefox: `npm run driver` installs it, or names it", NAME, async () => {
  const { page, faults } = await pageOf(await openFirefox());
  await page.waitForSelector("#start:not([disabled])");
  assert.ok(await page.evaluate(() => crossOriginIsolated), "memory cannot be shared");
  await pickFile(page, messages(20));
  await page.waitForSelector("text=40 messages: 28 to train");
  const numbers = { epochs: 2, evalEvery: 4, lr: 5e-3 };
  // Over BiDi, Playwright adds to a number where it should replace it.
  await set(page, { device: "wasm", ...Object.fromEntries(Object.keys(numbers).map((name) => [name, ""])) });
  await set(page, numbers);
  await start(page);
  await waitForState(page, "finished");
  assert.match((await page.textContent("#figures"))!, /CPU, \d+ threads/);
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
  assert.equal(faults, []);
});
