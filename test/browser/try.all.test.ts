/** "Try it" in the page: lines and tables that are labelled, scores, several labels, pairs of texts. */
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { messages } from "../helpers/tiny.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  downloaded,
  pickFile,
  pickTinyModel,
  SETTINGS,
  see,
  set,
  start,
  textTo,
  waitForState,
} from "./page.ts";

const LINES = ["you have won a prize, call now", "see you at lunch, friend", "call now"];

const file = (name: string, content: string | Buffer) => ({
  name,
  mimeType: "text/plain",
  buffer: Buffer.from(content as Buffer),
});

/** Label and probability of each row in the preview. */
async function labelled(page: Page): Promise<string[]> {
  const rows = await page.locator("#labelled tbody tr").all();
  const cells = await Promise.all(rows.map((row) => row.locator("th, td").allTextContents()));
  return cells.map(([label, probability]) => `${label} ${probability}`);
}

test("a label of 140 letters makes nothing wider than the page; one that is written from right to left keeps its percentage", async () => {
  const { page, faults, context } = await freshPage();
  const [long, arabic] = ["label_".repeat(24), "شكوى العميل"];
  await pickTinyModel(page);
  await pickFile(page, messages(20, [long, arabic]));
  await set(page, { ...SETTINGS, epochs: 1 });
  await start(page);
  await waitForState(page, "finished");
  await page.fill("#message", "you have won a prize, call now");
  const predicted = page.locator("#verdict .learned .predicted bdi");
  await predicted.waitFor();
  assert.match(`${long} ${arabic}`, (await predicted.getAttribute("title"))!);
  await page.locator("#samples bdi >> nth=0").waitFor();
  await page.locator("#words .scale").waitFor();
  await assertFits(page);
  assert.equal(faults, []);
  await context.close();
});

test("lines and tables are labelled at Try it: as one by one, with the column and the encoding that are chosen", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page);
  await set(page, { device: "wasm", epochs: 2, evalEvery: 4, lr: 5e-3 });
  await start(page);
  await waitForState(page, "finished");
  // On a phone the bar at the bottom leads there.
  await page.setViewportSize({ width: 390, height: 844 });
  await page.click("#next >> text=Try it");
  assert.is(await page.evaluate(() => document.activeElement!.id), "message");
  await assertAccessible(page);
  await page.setViewportSize({ width: 1280, height: 720 });
  const single: string[] = [];
  for (const line of LINES) {
    await page.fill("#message", line);
    await page.locator("#verdict .learned .predicted").waitFor();
    // The words come after the verdict of the same text.
    await page.locator("#words .words", { hasText: line }).waitFor();
    single.push((await page.textContent("#verdict .learned .predicted"))!);
  }
  assert.is(await page.locator("#label-lines").count(), 0, "one line is one message");
  await page.fill("#message", `${LINES[0]}\n\n${LINES[1]}\n${LINES[2]}\n`);
  await page.click("text=Label each of 3 lines");
  const status = page.locator("#label-status");
  await status.locator("text=Done: 3 rows labelled.").waitFor();
  assert.equal(await labelled(page), single);
  // The same messages in one of two columns of texts.
  const table = ["id,what,note", ...LINES.map((line, i) => `${i},"${line}","${line} later"`)].join("\n");
  await page.setInputFiles("#label-file", file("tickets.csv", table));
  await page.locator("#label-error >> text=No column is recognized as the text").waitFor();
  await assertAccessible(page);
  await page.selectOption("#table-column", "what");
  await page.locator("#labelled >> text=tickets-labelled.csv").waitFor();
  assert.is(await page.textContent("#label-error"), "");
  assert.equal(await labelled(page), single);
  await page.evaluate(() => {
    HTMLAnchorElement.prototype.click = function () {
      document.title = this.download;
      HTMLElement.prototype.click.call(this);
    };
  });
  const { content } = await downloaded(page, () => page.click("text=Save as CSV"), textTo(""));
  assert.is(await page.title(), "tickets-labelled.csv");
  const saved = content.split("\n");
  assert.is(saved[0], "id,what,note,predicted,probability");
  assert.ok(saved[1]!.startsWith(`0,"${LINES[0]}","${LINES[0]} later",${single[0]!.split(" ")[0]},0.`), saved[1]);
  await assertAccessible(page);

  await page.setInputFiles("#label-file", file("latin.csv", Buffer.from("text\nSeñor Müller isst Käse\n", "latin1")));
  await page.click("#label-error button");
  await page.locator("#labelled >> text=Señor Müller").waitFor();

  // What is dropped here is not the data to train on.
  const dropped = await page.evaluateHandle(() => {
    const files = new DataTransfer();
    files.items.add(new File(["text\nsee you\n"], "dropped.csv"));
    return files;
  });
  await page.dispatchEvent("#try", "drop", { dataTransfer: dropped });
  await page.locator("#labelled >> text=dropped-labelled.csv").waitFor();
  assert.match((await page.textContent("#file-name"))!, "messages.csv");

  await page.setInputFiles("#label-file", file("long.txt", `text\n${"see you at lunch, friend\n".repeat(100_000)}`));
  await page.click("#label-stop");
  await status.locator("text=Stopped.").waitFor();
  assert.equal(faults, []);
  await context.close();
});

const labelled60 = (label: (i: number) => string) =>
  `label,text\n${Array.from({ length: 60 }, (_, i) => `${label(i)},"message ${i}${" please".repeat(i % 4)}"`).join("\n")}\n`;

const SENTENCES = ["Ann B-PER\nLee I-PER\nsleeps O\n", "it O\nrains O\nin O\nRome B-LOC\n", "we O\nmet O\nAnn B-PER\n"];

for (const { objective, content, read = "text=rows: 60 read", status, outcome, verdict, truth } of [
  {
    objective: "regression",
    content: labelled60((i) => String((i % 4) + 0.5)),
    status: /^RMSE [\d.]+ on \d+ test messages.* Always guessing the mean, [\d.]+: /,
    outcome: /always the mean, [12]/,
    verdict: /Fine-tuned model-?[\d.]+/,
    truth: /Its true score is [\d.]+\./,
  },
  {
    objective: "multi-label",
    content: labelled60((i) => ["red|blue", "red", "", "blue"][i % 4]!),
    status: /^Micro F1 \d/,
    outcome: /Exact match.*a logistic regression a label/,
    verdict: /Fine-tuned model.*(red|blue|no label).*\d/,
    truth: /Right: it has exactly these\.|Wrong: it has (red|blue|no label)/,
  },
  {
    objective: "tokens",
    content: Array.from({ length: 60 }, (_, i) => SENTENCES[i % 3]).join("\n"),
    read: "text=Words by tag",
    status: /^Entity F1 [\d.]+\s% on \d+ test sentences.* The most frequent tag of each word: /,
    outcome: /the most frequent tag of each word.*Types of the test set, with 95 % intervals/,
    verdict: /Fine-tuned model.*(PER|LOC|no entity)/,
    truth: /Right: it has exactly these\.|Wrong: it has (PER|LOC): \w/,
  },
])
  test(`${objective}: a file, a run, its results, a typed message`, async () => {
    const { page, faults, context } = await freshPage();
    await pickTinyModel(page);
    await pickFile(page, content);
    await page.selectOption("#labels-are", objective);
    await page.waitForSelector(read);
    await set(page, SETTINGS);
    assert.is(await page.locator("#field-classWeights").count(), 0);
    await start(page);
    await waitForState(page, "finished");
    assert.match((await page.textContent("#status"))!, status);
    await see(page, "result");
    assert.match((await page.textContent("#outcome"))!, outcome);
    await see(page, "try");
    await page.fill("#message", "message please please");
    await page.waitForSelector("#verdict .learned strong");
    assert.match((await page.textContent("#verdict"))!, verdict);
    await page.click("#samples button");
    await page.locator("#verdict .learned >> text=/true score|: it has/").waitFor();
    assert.match((await page.textContent("#verdict"))!, truth);
    await assertAccessible(page);
    assert.equal(faults, []);
    await context.close();
  });

const rows = Array.from({ length: 40 }, (_, i) => [`Is it ${i}?`, `It is ${i % 7}`, i % 2 ? "yes" : "no"]);
const csv = (names: string[]) => [names, ...rows].map((row) => row.join(",")).join("\n");

test("two columns are taken as pairs, and the run is tried with two texts", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page, csv(["frage", "antwort", "label"]));
  await page.selectOption("#column-0", "text");
  await page.selectOption("#column-1", "second");
  await page.locator("#data-report >> text=columns frage and antwort").waitFor({ state: "attached" });
  assert.equal(await Promise.all([0, 1, 2].map((i) => page.inputValue(`#column-${i}`))), ["text", "second", "label"]);
  await pickFile(page, csv(["question", "answer", "label"]));
  await page.locator("#columns >> text=question").waitFor();
  assert.is(await page.inputValue("#column-1"), "second");
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
