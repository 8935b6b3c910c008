/** Pairs of texts in the page: their columns, a run, two fields to try it, the words of both, a table. */
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { freshPage } from "./browser.ts";
import { assertAccessible, pickFile, pickTinyModel, SETTINGS, set, start, waitForState } from "./page.ts";

const rows = Array.from({ length: 40 }, (_, i) => [`Is it ${i}?`, `It is ${i % 7}`, i % 2 ? "yes" : "no"]);
const csv = (names: string[]) => [names, ...rows].map((row) => row.join(",")).join("\n");

test("two columns are taken as pairs, and the run is tried with two texts", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page, csv(["frage", "antwort", "label"]));
  await page.selectOption("#text-column", "frage");
  await page.selectOption("#second-column", "antwort");
  await page.selectOption("#label-column", "label");
  await page.waitForSelector("text=rows: 40 read");
  await page.click("text=Look at the messages");
  assert.match((await page.textContent("#data-report .messages thead"))!, /Labelfrageantwort/);
  await pickFile(page, csv(["question", "answer", "label"]));
  await page.locator("#data-report .messages thead >> text=answer").waitFor({ state: "attached" });
  assert.is(await page.inputValue("#second-column"), "answer");
  await set(page, { ...SETTINGS, epochs: 1 });
  await start(page);
  await waitForState(page, "finished");

  await page.fill("#message", "Is it 3?");
  assert.is(await page.locator("#verdict .learned").count(), 0, "one text is no pair");
  await page.fill("#second", "It is 3");
  await page.waitForSelector("#verdict .learned");
  await page.waitForSelector("#words .prose >> nth=1");
  assert.equal(await page.locator("#words .prose").allTextContents(), ["Is it 3?", "It is 3"]);
  await assertAccessible(page);
  const table = { name: "more.csv", mimeType: "text/plain", buffer: Buffer.from(csv(["x", "y", "z"])) };
  await page.setInputFiles("#label-file", table);
  await page.waitForSelector("#label-error >> text=two columns are needed");
  await page.selectOption("#table-column", "x,y");
  await page.waitForSelector("#label-status >> text=Done: 40 rows labelled.");
  assert.match((await page.textContent("#labelled thead"))!, /questionanswer/);
  assert.equal(faults, []);
  await context.close();
});
