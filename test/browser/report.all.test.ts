/** The page of a run as a file in Chromium. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { heading, makeTable } from "../../src/document/blocks.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { blockFiles } from "../../src/views/files.ts";
import { toHtml } from "../../src/views/html.tsx";
import { reportBlocks } from "../../src/views/run-report.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { openBrowser, openPage } from "./browser.ts";
import { assertAccessible } from "./page.ts";

test("a run's report is one file, which fits narrow and wide screens, is accessible in light and dark, and saves its tables and charts", async () => {
  const folder = temporaryFolder();
  const save = join(folder, "run");
  await using model = await openBaseModel(tinyModel(join(folder, "model")));
  const device = await testDevice("wasm 1 thread");
  const data = await tinyData(messages(60));
  const run = await fineTune({ device, model, data, epochs: 1, rank: 2, save });
  const context = await openBrowser();
  const { page, faults } = await openPage(context, pathToFileURL(join(save, "report.html")).href);
  const text = (await page.locator("main").textContent())!;
  for (const words of ["A model that classifies messages as ham or spam", "npx lowrank classify --run . "])
    assert.ok(text.includes(words), words);
  const openAll = () =>
    page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
  await openAll();
  for (const width of [400, 1200])
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      assert.is(await page.evaluate(() => document.documentElement.scrollWidth), width);
      await assertAccessible(page);
    }
  assert.is(await page.locator("script[src], link, img").count(), 0);
  // Each button saves a file, by the keyboard, too.
  const files = new Map(blockFiles(reportBlocks(run.record, run, data)));
  const buttons = page.getByRole("button", { name: /^Save / });
  assert.ok((await buttons.count()) >= files.size);
  for (const [i, [path, content]] of [...files].entries()) {
    // Chromium drops the eleventh file of a page that is saved within seconds.
    if (i > 0 && i % 10 === 0) {
      await page.reload();
      await openAll();
    }
    const name = path.replace("figures/", "");
    const downloading = page.waitForEvent("download");
    await page
      .getByRole("button", { name: `Save ${name}`, exact: true })
      .last()
      .focus();
    await page.keyboard.press("Enter");
    const download = await downloading;
    assert.is(download.suggestedFilename(), name);
    // XML has two ways to write an element without content.
    const saved = readFileSync(await download.path(), "utf8").replaceAll(/<(\w+)([^<>]*)\/>/g, "<$1$2></$1>");
    assert.is(saved.trimEnd(), content.trimEnd(), name);
  }
  assert.equal(faults, []);
  const plain = await context.browser()!.newContext({ javaScriptEnabled: false });
  const without = await openPage(plain, pathToFileURL(join(save, "report.html")).href);
  assert.is(await without.page.getByRole("button").count(), 0);
});

test("in a report labels are corrected: the rows that were changed are saved", async () => {
  const folder = temporaryFolder();
  const choices = ["ham", 'spam, "bulk"', "drop"];
  const rows = ["hello", "win, now", "see you"].entries();
  const table = makeTable(
    "suspects",
    "To review",
    [
      { title: "Row", key: "row", value: ([row]) => row + 1 },
      { title: "Label", key: "correct label", value: () => ({ value: "ham", choices }) },
      { title: "Message", key: "text", value: ([, text]) => text },
    ],
    [...rows],
  );
  const file = join(folder, "report.html");
  writeFileSync(file, toHtml("Report", [heading("Report", 1), table]));
  const { page, faults } = await openPage(await openBrowser(), pathToFileURL(file).href);
  const button = page.getByRole("button", { name: "Save corrections.csv" });
  assert.ok(await button.isDisabled());
  await page.getByLabel("Label").nth(1).selectOption('spam, "bulk"');
  await page.getByLabel("Label").nth(2).selectOption("drop");
  const downloading = page.waitForEvent("download");
  await button.click();
  const saved = readFileSync(await (await downloading).path(), "utf8");
  assert.equal(saved.split("\r\n"), [
    "correct label,row,text",
    '"spam, ""bulk""",2,"win, now"',
    '"drop",3,see you',
    "",
  ]);
  await assertAccessible(page);
  assert.equal(faults, []);
});
