/** Reports as files in Chromium: a run's, and the long tables of a study's. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { type Cell, heading, makeTable } from "../../src/document/blocks.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { toHtml } from "../../src/views/html.tsx";
import { runFiles } from "../../src/views/run-files.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { openBrowser, openPage } from "./browser.ts";
import { assertAccessible } from "./page.ts";

const COUNT = 150;
const percent = (share: number) => `${Math.round(100 * share)}\u00a0%`;

interface Row {
  name: string;
  loss: Cell;
  share: number;
}

/** The share of the i-th row is the larger the later it is; the loss of some was not measured. */
const ROWS = Array.from({ length: COUNT }, (_, i): Row => {
  return { name: `rank ${i}, alpha ${i % 3}`, loss: i % 50 === 7 ? "failed" : 1000 - i, share: i / COUNT };
});

function report(): string {
  const table = makeTable<Row>(
    "settings",
    "Settings",
    [
      { title: "Run", key: "run", value: ({ name }) => name },
      { title: "Loss", key: "loss", value: ({ loss }) => loss },
      {
        ...{ title: "Share", key: "share", interval: true, format: percent },
        value: ({ share }) => ({ value: share, low: share / 2, high: 1 }),
      },
      { title: "File", key: "file", value: ({ name }) => ({ text: "a.csv", href: `trials/${name}/a.csv` }) },
    ],
    ROWS,
  );
  return toHtml("Report", [
    heading("Report", 1),
    table,
    { ...table, name: "few", caption: "Few", rows: table.rows.slice(0, 30) },
  ]);
}

test("a long table is sorted by a column, filtered by words and turned, with the keyboard", async () => {
  const path = join(temporaryFolder(), "report.html");
  writeFileSync(path, report());
  const context = await openBrowser();
  const { page, faults } = await openPage(context, pathToFileURL(path).href);
  await assertAccessible(page);
  const [settings, few] = [page.locator(".long").first(), page.locator(".long").last()];
  const status = () => settings.getByRole("status").textContent();
  const names = async () => (await settings.locator("tbody th").allTextContents()).map((name) => name.split(",")[0]);
  const ends = async () => [(await names())[0], (await names()).at(-1)];
  const press = async (name: string) => {
    await settings.getByRole("button", { name, exact: true }).focus();
    await page.keyboard.press("Enter");
  };
  assert.equal([await status(), ...(await ends())], ["Rows 1 to 100 of 150", "rank 0", "rank 99"]);
  assert.is(await few.getByRole("status").textContent(), "Rows 1 to 30 of 30");
  assert.is(await settings.getByRole("button", { name: "Previous rows" }).isDisabled(), true);

  await press("Next rows");
  assert.equal([await status(), ...(await ends())], ["Rows 101 to 150 of 150", "rank 100", "rank 149"]);
  await press("Share");
  await press("Share");
  assert.equal([await status(), ...(await ends())], ["Rows 1 to 100 of 150", "rank 149", "rank 50"]);
  assert.is(await settings.locator("thead th >> nth=2").getAttribute("aria-sort"), "descending");
  const cells = settings.locator("tbody tr").first().locator("td");
  assert.equal(await cells.allTextContents(), ["851", "99\u00a0%50–100", "a.csv"]);
  assert.is(await cells.last().locator("a").getAttribute("href"), "trials/rank%20149,%20alpha%202/a.csv");
  // What was not measured is last, whichever way.
  for (const first of ["rank 149", "rank 0"]) {
    await press("Loss");
    assert.is((await names())[0], first);
    await press("Next rows");
    assert.equal((await names()).slice(-3), ["rank 7", "rank 57", "rank 107"]);
  }
  await press("Run");
  assert.equal((await names()).slice(0, 3), ["rank 0", "rank 1", "rank 2"]);

  await settings.getByLabel("Filter").fill("RANK 14 alpha 1");
  assert.is(await status(), "Rows 1 to 3 of 3 with these words, of 150");
  assert.equal(await names(), ["rank 142", "rank 145", "rank 148"]);
  await settings.getByLabel("Filter").fill("nothing");
  assert.is(await status(), "No row of 0 with these words, of 150");
  await settings.getByLabel("Filter").fill("");
  assert.is(await status(), "Rows 1 to 100 of 150");
  await assertAccessible(page);
  assert.equal(faults, []);
});

test("without scripts a report shows the first rows, and says where all are", async () => {
  const path = join(temporaryFolder(), "report.html");
  writeFileSync(path, report());
  const context = await (await openBrowser()).browser()!.newContext({ javaScriptEnabled: false });
  const { page } = await openPage(context, pathToFileURL(path).href);
  assert.equal(await page.locator(".long p.rows").allTextContents(), [
    "The first 100 of 150 rows; the file has all.",
    "",
  ]);
  assert.is(await page.locator("tbody tr").count(), 130);
  assert.is(await page.locator("button, input").count(), 0);
});

test("a run's report is one file, which fits narrow and wide screens and is accessible in light and dark", async () => {
  const folder = temporaryFolder();
  const save = join(folder, "run");
  await using model = await openBaseModel(tinyModel(join(folder, "model")));
  const device = await testDevice("wasm 1 thread");
  await fineTune({ device, model, data: await tinyData(messages(60)), epochs: 1, rank: 2, save }, runFiles);
  const context = await openBrowser();
  const { page, faults } = await openPage(context, pathToFileURL(join(save, "report.html")).href);
  const text = (await page.locator("main").textContent())!;
  for (const words of ["A model that classifies messages as ham or spam", "npx lowrank classify --run . "])
    assert.ok(text.includes(words), words);
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  for (const width of [400, 1200])
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      assert.is(await page.evaluate(() => document.documentElement.scrollWidth), width);
      await assertAccessible(page);
    }
  assert.is(await page.locator("script, link, img").count(), 0);
  assert.equal(faults, []);
});
