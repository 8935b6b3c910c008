/** Base models of the visitor's: from a folder, a GGUF file, and a Llama, which answers chats. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { openDevice } from "../../src/backend/device.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { decodeGguf, encodeGguf } from "../helpers/gguf.ts";
import { test } from "../helpers/harness.ts";
import { tinyModel } from "../helpers/tiny.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  begin,
  dropFile,
  ENDLESS,
  holdCheckpoint,
  pickFile,
  SETTINGS,
  set,
  start,
  waitForState,
  waitForStep,
} from "./page.ts";

test("a model from a folder is stored in the browser, and can be deleted", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  const directory = tinyModel(join(temporaryFolder(), "tiny"));
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", directory);
  await page
    .locator("#model-report >> text=2 blocks, 2 heads, width 16, context 64 tokens")
    .waitFor({ state: "attached" });
  const release = await holdCheckpoint(page, 8);
  await begin(page, { ...SETTINGS, epochs: ENDLESS });
  await waitForStep(page, 1);
  await page.click("#model-forget");
  await page.locator("#model-error >> text=This model is in use by a run").waitFor();
  await page.click("#stop");
  await release();
  await waitForState(page, "stopped");
  await page.reload();
  await waitForState(page, "stopped");
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned");
  await page.selectOption("#model", "tiny");
  await page.click("#model-forget");
  // That of own messages again.
  await page.locator("#model-report >> text=12 blocks").waitFor({ state: "attached" });
  assert.is(await page.locator('#model option:text-is("tiny")').count(), 0);
  // A folder without weights.
  await page.selectOption("#model", "from-folder");
  const other = temporaryFolder();
  writeFileSync(join(other, "config.json"), "{}");
  await page.setInputFiles("#folder-files", other);
  await page.locator("#model-error >> text=These files are not a model").waitFor();
  assert.equal(faults, []);
  await context.close();
});

test("a GGUF file that is dropped is a model, stored in the browser under its name", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  const bytes = readFileSync(packagePath("test/golden/gguf/gpt2-q8_0.gguf"));
  const report = page.locator("#model-report >> text=2 blocks, 4 heads, width 32, context 64 tokens");
  await dropFile(page, "mine.gguf", bytes.subarray(0, -64));
  await page.locator("#model-error >> text=mine.gguf").waitFor();
  await dropFile(page, "mine.gguf", bytes);
  await report.waitFor({ state: "attached" });
  await page.setInputFiles("#gguf", { name: "chosen.gguf", mimeType: "", buffer: bytes.subarray(0, -64) });
  await page.locator("#model-error >> text=chosen.gguf").waitFor();
  await page.selectOption("#model", "mine.gguf");
  await report.waitFor({ state: "attached" });
  assert.is(await page.inputValue("#model"), "mine.gguf");
  await page.reload();
  await report.waitFor({ state: "attached" });
  assert.equal(faults, []);
  await context.close();
});

const PROMPT = "the quick";
const OPTIONS = { maxNewTokens: 8, temperature: 0 };

/** The tiny Llama of the fixtures, whose chats have roles. */
function chatModel(): Uint8Array<ArrayBuffer> {
  const parts = decodeGguf(readFileSync(packagePath("test/golden/gguf/llama-q4_1.gguf")));
  const template = parts.metadata.get("tokenizer.chat_template")!;
  template.value = "{% for one in messages %}{{ one.role }}: {{ one.content }}<|endoftext|>{% endfor %}";
  return encodeGguf(parts);
}

/** What Node answers to a message, and then to the same again. */
async function inNode(model: Uint8Array): Promise<string[]> {
  const path = join(temporaryFolder(), "tiny.gguf");
  writeFileSync(path, model);
  const device = await openDevice("wasm");
  const lm = await LanguageModel.load(path, { device });
  const asked = { role: "user", content: PROMPT };
  const [first] = await lm.complete([[asked]], OPTIONS);
  const [second] = await lm.complete([[asked, { role: "assistant", content: first!.text }, asked]], OPTIONS);
  lm.destroy();
  device.destroy();
  return [first!.text, second!.text];
}

/** Sends a message by Enter, and gives all answers of the chat. */
async function send(page: Page, message: string): Promise<string[]> {
  await page.fill("#prompt", message);
  await page.press("#prompt", "Enter");
  await page.locator("#write-status >> text=/^Done: /").waitFor();
  return page.locator("#written .prose").allTextContents();
}

test("a Llama in a GGUF file says what it is, is trained, classifies, and answers as a chat", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  // A model of the hub says what it weighs, and is not downloaded before a click.
  await page.click("#bases summary");
  await assertAccessible(page);
  await page.click("#bases >> text=smollm2-135m");
  assert.is(await page.inputValue("#hub-name"), "smollm2-135m");
  await page.locator("#train >> text=269 MB, which this browser keeps").waitFor();
  await set(page, { mode: "bitfit" });

  const model = chatModel();
  await dropFile(page, "tiny.gguf", model);
  await page.locator("#model-report >> text=Llama, ").waitFor();
  const shape = "2 blocks, 4 heads that share 2 of keys and values, width 32, context 64 tokens";
  await page.locator(`#model-report >> text=${shape}`).waitFor({ state: "attached" });
  // It has no biases.
  assert.is(await page.inputValue("#field-mode"), "lora");
  assert.is(await page.locator("#field-mode option[value=bitfit]").count(), 0);
  assert.not.match((await page.textContent("#compare"))!, "biases");
  assert.match((await page.textContent("#field-targets"))!, "MLP gate and upMLP down");

  await pickFile(page);
  await set(page, { ...SETTINGS, epochs: 1 });
  await start(page);
  await waitForState(page, "finished");
  await page.fill("#message", "you have won a prize, call now");
  await page.locator("#verdict >> text=/%/").first().waitFor();

  await page.click("text=Write text");
  await page.locator("#write-help >> text=tiny.gguf answers each message").waitFor();
  await page.click("#write-more summary");
  assert.is(await page.inputValue("#write-temperature"), "0.2");
  for (const [key, value] of Object.entries(OPTIONS)) await page.fill(`#write-${key}`, String(value));
  const expected = await inNode(model);
  await page.fill("#prompt", "one");
  await page.press("#prompt", "Shift+Enter");
  assert.is(await page.inputValue("#prompt"), "one\n");
  assert.equal(await send(page, PROMPT), expected.slice(0, 1));
  assert.is(await page.inputValue("#prompt"), "");
  assert.equal(await send(page, PROMPT), expected);
  await assertAccessible(page);
  await page.click("#chat-new");
  assert.is(await page.locator("#written .text").count(), 0);
  assert.is(await page.evaluate(() => document.activeElement!.id), "prompt");
  assert.equal(await send(page, PROMPT), expected.slice(0, 1));
  assert.equal(faults, []);
  await context.close();
});
