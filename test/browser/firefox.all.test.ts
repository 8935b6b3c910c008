/** Firefox: the page's main path. */
import * as assert from "uvu/assert";
import { testIf } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { openFreshPage } from "./browser.ts";
import { FIREFOX, openFirefox } from "./firefox.ts";
import { pickFile, set, start, waitForState } from "./page.ts";

const NAME = "in Firefox: a run of the page on the CPU to its end, and a typed message";

testIf(FIREFOX !== "", "no Firefox: `npm run driver` installs it, or names it", NAME, async () => {
  const context = await openFirefox();
  const { page, faults } = await openFreshPage(context);
  await page.waitForSelector("#start:not([disabled])");
  assert.ok(await page.evaluate(() => crossOriginIsolated), "memory cannot be shared");
  await pickFile(page, messages(20));
  await page.waitForSelector("text=rows: 40 read");
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
