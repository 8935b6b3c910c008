import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { freshPage } from "./browser.ts";
import { assertAccessible, downloaded, pickFile, pickTinyModel, set, start, textTo, waitForState } from "./page.ts";

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

test("lines and tables are labelled at Try it: as one by one, with the column and the encoding that are chosen", async () => {
  const { page, faults, context } = await freshPage();
  await pickTinyModel(page);
  await pickFile(page);
  await set(page, { device: "wasm", epochs: 2, evalEvery: 4, lr: 5e-3 });
  await start(page);
  await waitForState(page, "finished");
  await page.click("text=Done: try it");
  assert.is(await page.evaluate(() => document.activeElement!.id), "message");
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

  // The same messages in a column with an unusual name.
  const table = ["id,what,note", ...LINES.map((line, i) => `${i},"${line}",later`)].join("\n");
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
  assert.ok(saved[1]!.startsWith(`0,"${LINES[0]}",later,${single[0]!.split(" ")[0]},0.`), saved[1]);
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
