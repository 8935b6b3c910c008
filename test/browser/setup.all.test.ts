/** The settings of the page: own examples, what a reload and a link keep, explanations, errors, large text. */
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage, openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible, pickFile, set } from "./page.ts";

const READY = "#start:not([disabled])";
const GOOD = ["what a lovely day", "this is great", "I like it a lot", "well done indeed", "so happy"];
const BAD = ["what an awful day", "this is terrible", "I hate it", "badly done", "so sad"];

/** Whether something is wider than the page. */
const overflows = () => document.documentElement.scrollWidth > document.documentElement.clientWidth;

async function typeExamples(page: Page): Promise<void> {
  // Chosen, it does not follow the data.
  await page.selectOption("#model", "gpt2-micro");
  await page.check("input[name=source][value=examples]");
  const typed = (label: string, texts: readonly string[]) => texts.map((text) => `${label}: ${text}\n`).join("");
  await page.fill("#examples", typed("good", GOOD));
  await page.locator("#messages >> text=Write examples of two labels or more").waitFor();
  await page.fill("#examples", typed("good", GOOD) + typed("bad", BAD.slice(0, 2)));
  await page.locator("#messages >> text=Write at least 4 examples of “bad”: it has 2.").waitFor();
  assert.ok(await page.isDisabled("#start"));
  await page.fill("#examples", typed("good", GOOD) + typed("bad", BAD));
}

/** The figure of "How it works" for gpt2-micro, which has a width of 128, with rank 4 and alpha 16. */
async function lookAtHowItWorks(page: Page): Promise<void> {
  const figure = page.locator("#how figure");
  await set(page, { targets: "q,k,v,o,fc,proj,head", layers: "" });
  await page.locator("#how >> text=37,642").waitFor();
  assert.match(
    (await figure.textContent())!,
    /^W128 × 128, frozen\+ 4 ×B128 × 4×A4 × 128Rank: 4All7\.30 M parameters.*0\.52\s% of the parameters are trained/,
  );
  await set(page, { mode: "all" });
  await figure.locator("text=100.00 % of the parameters are trained").waitFor();
  assert.ok(await page.isHidden("#how .equation"));
  await set(page, { mode: "lora", targets: "q,v", layers: "0-1" });
}

test("examples typed for each class are data; they and the settings outlast a reload, and a link carries the settings", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector(READY);
  await typeExamples(page);
  await page.locator("#data-report >> text=rows: 10 read").waitFor();
  await page.waitForSelector(READY);
  assert.is(await page.inputValue("#field-epochs"), "150", "few examples are seen more often");
  await set(page, { rank: 4, targets: "q,v", layers: "0-1" });
  // Enter in a field does not start a run.
  await page.press("#field-rank", "Enter");
  await page.reload();
  await page.waitForSelector(READY);
  assert.ok(await page.isHidden("#training"));
  assert.match(await page.inputValue("#examples"), GOOD[0]!);
  assert.is(await page.inputValue("#field-rank"), "4");
  assert.is(await page.inputValue("#field-layers"), "0,1");
  assert.equal(
    await page
      .locator("#field-targets input:checked")
      .evaluateAll((all) => all.map((one) => (one as HTMLInputElement).value)),
    ["q", "v"],
  );
  // The figure's slider sets the rank, and keeps the focus.
  await page.click("#how summary");
  await page.focus("#how-rank");
  for (const [key, rank] of [
    ["ArrowRight", "8"],
    ["ArrowLeft", "4"],
  ] as const) {
    await page.press("#how-rank", key);
    assert.is(await page.inputValue("#field-rank"), rank);
    assert.is(await page.evaluate(() => document.activeElement!.id), "how-rank");
  }
  await lookAtHowItWorks(page);
  await page.click("#field-rank-why");
  assert.ok(await page.isVisible("text=The width of LoRA's matrices A and B."));
  await assertAccessible(page);

  // Other data have other epochs, also while they are typed.
  await page.focus("#field-epochs");
  await page.$eval("input[name=source][value=languages]", (element) => (element as HTMLElement).click());
  await page.locator("#data-report >> text=Polish 900").waitFor();
  assert.is(await page.inputValue("#field-epochs"), "3");
  await page.keyboard.type("20");
  assert.is(await page.inputValue("#field-epochs"), "20");
  await page.fill("#field-epochs", "3");
  await page.waitForSelector(READY);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("#link");
  await page.waitForSelector("#link-done >> text=Copied.");
  const link = await page.evaluate(() => navigator.clipboard.readText());
  await page.click("#reset");
  assert.is(await page.inputValue("#field-rank"), "8");
  assert.equal(Object.fromEntries(new URLSearchParams(new URL(link).hash.slice(1))), {
    ...{ dataset: "languages", model: "gpt2-micro", rank: "4", targets: "q,v", layers: "0,1" },
  });
  // What a link names is not downloaded by itself.
  const other = await openPage(context, `${link.replace("languages", "a%2Fb")}&nonsense=1`);
  await other.page.locator("#link-error dd >> text=/^nonsense=1$/").waitFor();
  assert.is(await other.page.inputValue("#dataset-name"), "a/b");
  assert.is(await other.page.inputValue("#field-rank"), "4");
  assert.is(await other.page.inputValue("#field-layers"), "0,1");
  assert.is(new URL(other.page.url()).hash, "");
  // A link is used once: a reload keeps what is changed afterwards.
  await other.page.check("input[name=source][value=languages]");
  await set(other.page, { rank: 16 });
  await other.page.reload();
  await other.page.waitForSelector(READY);
  assert.is(await other.page.inputValue("#field-rank"), "16");
  assert.is(await other.page.inputValue("#field-layers"), "0,1");
  assert.is(await other.page.textContent("#link-error"), "");
  assert.ok(await other.page.isChecked("input[name=source][value=languages]"));
  assert.equal([...faults, ...other.faults], []);
  await context.close();
});

test("a selected file and its columns outlast a reload; a new error replaces the one before; large text fits", async () => {
  // With a service worker: the page must be there offline.
  const context = await openBrowser();
  const { page, faults } = await openPage(context, await webServer());
  const rows = messages(20)
    .replaceAll(/^(\w+),/gm, "$1,é,")
    .replace(/^\w+,é,\w+/, "a,b,c");
  await pickFile(page, Buffer.from(rows, "latin1"), "columns.csv");
  // Not UTF-8: it is read in the likely encoding; another can be chosen.
  await page.locator("#data-notes >> text=It is read as Windows-1252 (Western). columns.csv:2").waitFor();
  await page.click("#data-notes button >> text=Another encoding");
  assert.is(await page.evaluate(() => document.activeElement!.id), "encoding");
  assert.is(await page.inputValue("#encoding"), "windows-1252");
  assert.equal(await Promise.all([0, 1, 2].map((i) => page.inputValue(`#column-${i}`))), ["label", "unused", "text"]);
  await page.locator("#data-report >> text=rows: 40 read").waitFor();
  // A click on a heading, and what follows from the other.
  await page.selectOption("#column-1", "label");
  await page.locator("#data-error .error").waitFor();
  await page.selectOption("#column-0", "label");
  await page.locator("#data-report >> text=rows: 40 read").waitFor();
  await page.waitForSelector(READY);
  await page.reload();
  await page.locator("#file-name >> text=Selected: columns.csv").waitFor();
  await page.locator("#data-report >> text=rows: 40 read").waitFor();
  assert.is(await page.inputValue("#column-0"), "label");
  assert.is(await page.inputValue("#encoding"), "windows-1252");
  await set(page, { layers: "9" });
  await page.locator("#start-error >> text=The model has no such layer").waitFor();
  await pickFile(page, "label,text\nham,hello\n");
  await page.locator("#data-error .error").waitFor();
  assert.is(await page.textContent("#start-error"), "");

  // What is loaded on demand comes from the service worker.
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await context.setOffline(true);
  await page.check("input[name=source][value=hub]");
  await page.fill("#dataset-name", "someone/else");
  let requests = 0;
  context.on("request", (request) => {
    if (request.url().includes("someone/else")) requests++;
  });
  await page.click("#dataset-open");
  await page.locator("#data-error >> text=the browser is offline").waitFor();
  assert.is(requests, 1, "it was tried again");
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

test("labels that look wrong are reviewed by keys; the corrections are read, and can be undone", async () => {
  const { page, faults, context } = await freshPage();
  const rows = messages(30).trimEnd().split("\n");
  for (const i of [5, 12]) rows[i] = rows[i]!.replace(/^\w+/, (label) => (label === "ham" ? "spam" : "ham"));
  await pickFile(page, `${rows.join("\n")}\n`);
  await page.waitForSelector(READY);
  await page.click("#review-begin");
  await page.locator("#review >> text=/1 of \\d rows/").waitFor();
  await assertAccessible(page);
  await page.keyboard.press("r");
  await page.keyboard.press("b");
  await page.keyboard.press("w");
  await page.keyboard.press("w");
  await page.click("#review >> text=Use 2 corrections");
  await page.locator("#data-notes >> text=2 rows are corrected").waitFor();
  await page.locator("#data-report >> text=corrections: 2 labels changed").waitFor();
  await page.waitForSelector(READY);
  await page.reload();
  await page.locator("#data-report >> text=corrections: 2 labels changed").waitFor();
  await page.click("#data-notes button >> text=Undo");
  await page.waitForFunction(() => !/corrections/.test(document.querySelector("#data-report")!.textContent!));
  await page.waitForSelector(READY);
  assert.equal(faults, []);
  await context.close();
});
