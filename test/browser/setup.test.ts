/** The settings of the page: own examples, what a reload and a link keep, explanations, errors, large text. */
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../harness.ts";
import { messages } from "../tiny.ts";
import { freshPage, openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible, pickFile, set } from "./page.ts";

const READY = "#start:not([disabled])";
const GOOD = ["what a lovely day", "this is great", "I like it a lot", "well done indeed", "so happy"];
const BAD = ["what an awful day", "this is terrible", "I hate it", "badly done", "so sad"];

/** Whether something is wider than the page. */
const overflows = () => document.documentElement.scrollWidth > document.documentElement.clientWidth;

async function typeExamples(page: Page): Promise<void> {
  await page.check("input[name=source][value=examples]");
  await page.fill("#class-0", "good");
  await page.fill("#class-0-text", GOOD.join("\n"));
  await page.fill("#class-1", "good");
  await page.fill("#class-1-text", BAD.slice(0, 2).join("\n"));
  await page.locator("#examples >> text=Two classes are called good").waitFor();
  await page.fill("#class-1", "bad");
  await page.locator("#examples >> text=Write at least 4 examples of bad, one per line: it has 2.").waitFor();
  assert.ok(await page.isDisabled("#start"));
  await page.fill("#class-1-text", BAD.join("\n"));
}

test("examples typed for each class are data; they and the settings outlast a reload, and a link carries the settings", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector(READY);
  await typeExamples(page);
  await page.locator("#data-report >> text=10 messages: 6 to train, 2 to validate, 2 to test.").waitFor();
  await page.waitForSelector(READY);
  assert.is(await page.inputValue("#field-epochs"), "150", "few examples are seen more often");
  await set(page, { rank: 4, targets: "q,v", layers: "0-1" });
  // Enter in a field does not start a run.
  await page.press("#field-rank", "Enter");
  await page.reload();
  await page.waitForSelector(READY);
  assert.ok(await page.isHidden("#training"));
  assert.is(await page.inputValue("#class-0-text"), GOOD.join("\n"));
  assert.is(await page.inputValue("#field-rank"), "4");
  assert.is(await page.inputValue("#field-layers"), "0,1");
  assert.equal(
    await page
      .locator("#field-targets input:checked")
      .evaluateAll((all) => all.map((one) => (one as HTMLInputElement).value)),
    ["q", "v"],
  );
  // The figure's slider sets the rank, and keeps the focus.
  await page.focus("#how-rank");
  for (const [key, rank] of [
    ["ArrowRight", "8"],
    ["ArrowLeft", "4"],
  ] as const) {
    await page.press("#how-rank", key);
    assert.is(await page.inputValue("#field-rank"), rank);
    assert.is(await page.evaluate(() => document.activeElement!.id), "how-rank");
  }
  await page.click("#field-rank-why");
  assert.ok(await page.isVisible("text=The width of LoRA's matrices A and B."));
  await assertAccessible(page);

  await page.check("input[name=source][value=languages]");
  await page.locator("#data-report .bars >> text=Polish").waitFor();
  assert.is(await page.inputValue("#field-epochs"), "3");
  await page.waitForSelector(READY);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("#advanced summary");
  await page.click("#link");
  await page.waitForSelector("#link-done >> text=Copied.");
  const link = await page.evaluate(() => navigator.clipboard.readText());
  await page.click("#reset");
  assert.is(await page.inputValue("#field-rank"), "8");
  const other = await openPage(context, `${link}&nonsense=1`);
  await other.page.waitForSelector("#link-error >> text=nonsense");
  await other.page.waitForSelector(READY);
  assert.is(await other.page.inputValue("#field-rank"), "4");
  assert.ok(await other.page.isChecked("input[name=source][value=languages]"));
  assert.equal([...faults, ...other.faults], []);
  await context.close();
});

test("a selected file and its columns outlast a reload; a new error replaces the one before; large text fits", async () => {
  // With a service worker: the page must be there offline.
  const context = await openBrowser();
  const { page, faults } = await openPage(context, await webServer());
  await pickFile(
    page,
    messages(20)
      .replaceAll(/^(\w+),/gm, "$1,x,")
      .replace(/^\w+,x,\w+/, "a,b,c"),
    "columns.csv",
  );
  await page.selectOption("#text-column", "c");
  await page.selectOption("#label-column", "a");
  await page.locator("#data-report >> text=40 messages").waitFor();
  await page.waitForSelector(READY);
  await page.reload();
  await page.locator("#file-name >> text=Selected: columns.csv").waitFor();
  await page.locator("#data-report >> text=40 messages").waitFor();
  assert.is(await page.inputValue("#text-column"), "c");
  await set(page, { layers: "9" });
  await page.locator("#start-error >> text=The model has no such layer").waitFor();
  await pickFile(page, "label,text\nham,hello\n");
  await page.locator("#data-error .error").waitFor();
  assert.is(await page.textContent("#start-error"), "");

  await context.setOffline(true);
  await page.check("input[name=source][value=hub]");
  await page.fill("#dataset-name", "someone/else");
  await page.click("#dataset-open");
  await page.locator("#data-error >> text=the browser is offline").waitFor({ timeout: 4000 });
  for (const [width, size] of [
    [1280, "200%"],
    [360, "100%"],
  ] as const) {
    await page.setViewportSize({ width, height: 800 });
    await page.evaluate((size) => document.documentElement.style.setProperty("font-size", size), size);
    assert.not.ok(await page.evaluate(overflows), `${width} pixels, ${size}`);
  }
  assert.equal(
    faults.filter((line) => !/ERR_INTERNET_DISCONNECTED|^request: https:..huggingface/.test(line)),
    [],
  );
  await context.close();
});
