/** What the page gives for download, and takes again. Its bytes are those of test/web/worker/adapters.test.ts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { unzipSync, zipSync } from "fflate";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage, openPage } from "./browser.ts";
import {
  assertAccessible,
  atStep,
  begin,
  download,
  downloaded,
  dropFile,
  holdCheckpoint,
  pickFile,
  pickTinyModel,
  SETTINGS,
  see,
  set,
  start,
  textTo,
  waitForState,
} from "./page.ts";

test("what is downloaded of a run: a page of one file that judges as this one, forms for other programs, an adapter that can be opened", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await begin(page, SETTINGS);
  await waitForState(page, "finished");
  const predicted = async () => {
    await page.fill("#message", "see you at lunch, friend");
    return page.textContent("#verdict .learned");
  };
  const before = await predicted();

  // The page of one file, opened from the disk.
  await see(page, "take");
  await page.evaluate(() => {
    HTMLAnchorElement.prototype.click = function () {
      document.body.dataset.download = this.download;
      HTMLElement.prototype.click.call(this);
    };
  });
  await page.fill("#page-title", "Spam, or <not>?");
  const { content } = await downloaded(page, () => page.click("[data-take=page]"), textTo("</html>\n"));
  assert.is(await page.getAttribute("body", "data-download"), "messages-classifier.html");
  const alone = join(temporaryFolder(), "alone.html");
  writeFileSync(alone, content);
  const opened = await openPage(context, pathToFileURL(alone).href);
  assert.is(await opened.page.title(), "Spam, or <not>?");
  await opened.page.fill("#message", "see you at lunch, friend");
  const label = (await opened.page.textContent("#verdict .predicted"))!;
  assert.ok(before!.includes(label), `${label}, ${before} in the page`);
  assert.equal(opened.faults, []);

  // Each form has the size that is said before.
  await page.click("#forms > summary");
  const button = page.locator('[data-form="merged f16"]');
  const said = (await button.textContent())!;
  const zip = await downloaded(page, () => button.click(), unzipSync);
  const size = Object.values(zip.content).reduce((sum, { length }) => sum + length, 0);
  assert.ok(said.includes(`${(size / 1e6).toFixed(1)}\u00a0MB`), `${said}: ${size}`);
  const readme = Object.keys(zip.content).find((path) => path.endsWith("README.md"))!;
  assert.match(new TextDecoder().decode(zip.content[readme]), /## Training.*## Results/s);

  const { bytes } = await download(page, "tr[aria-current] >> text=Adapter");
  await page.setInputFiles("#adapter-files", {
    name: "a.zip",
    mimeType: "application/zip",
    buffer: bytes,
  });
  await waitForState(page, "loaded");
  assert.match((await page.textContent("#figures"))!, /^Trained parameters4,786Labelsham, spamBase modeltiny$/);
  assert.ok(await page.isHidden("#progress"));
  await see(page, "try");
  assert.is(await predicted(), before);
  assert.equal(faults, []);
  await context.close();
});

test("a run that is downloaded, and dropped on the page of another visit, is resumed with its file", async () => {
  const { page, faults, context } = await freshPage();
  await pickFile(page);
  const release = await holdCheckpoint(page, 8);
  await set(page, { ...SETTINGS, epochs: 4, evalEvery: 8 });
  await start(page);
  await page.waitForSelector("#training:not([data-state=finished])");
  await atStep(page, 2, "stop");
  await release();
  await waitForState(page, "stopped");
  const { files } = await download(page, "tr[aria-current] >> text=Files");
  assert.equal(faults, []);
  await context.close();

  const other = await freshPage();
  await other.page.waitForSelector("#start:not([disabled])");
  const withoutData = Object.entries(files).filter(([path]) => !path.includes("/data/"));
  await dropFile(other.page, "run.zip", zipSync(Object.fromEntries(withoutData), { level: 0 }));
  await waitForState(other.page, "stopped");
  await assertAccessible(other.page);
  await other.page.click("#resume");
  await other.page.locator("#runs-error >> text=/The data of this run is not stored here.*messages.csv/").waitFor();
  await pickFile(other.page, messages(39));
  await other.page.waitForSelector("#start:not([disabled])");
  await other.page.click("#resume");
  await other.page.locator("#runs-error >> text=The data has changed since this run began").waitFor();
  await pickFile(other.page);
  await other.page.waitForSelector("#start:not([disabled])");
  await other.page.click("#resume");
  await waitForState(other.page, "finished");
  assert.equal(other.faults, []);
  await other.context.close();
});
