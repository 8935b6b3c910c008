/** Language models in the page: a run on a pasted text; generation as in Node, streaming, stopping, adapters. */
import { truncateSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { openDevice } from "../../src/backend/device.ts";
import type { GenerateOptions } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import type { TaskConfig } from "../../src/tasks/index.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";
import { freshPage } from "./browser.ts";
import { assertAccessible, see, set, start, waitForState } from "./page.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "tiny"));

/** The prompts with the texts that Node generates. */
async function inNode(model: string, prompts: readonly string[], options: GenerateOptions, adapter?: string) {
  const device = await openDevice("wasm");
  const lm = await LanguageModel.load(adapter ?? model, { device, ...(adapter === undefined ? {} : { model }) });
  const done = await lm.complete(prompts, options);
  lm.destroy();
  device.destroy();
  return done.map(({ text }, i) => prompts[i] + text);
}

/** Sets the fields of the panel, by the API's names. */
async function setWriting(page: Page, values: GenerateOptions): Promise<void> {
  if (!(await page.isVisible("#write-fields"))) await page.click("#write-more summary");
  for (const [key, value] of Object.entries(values)) await page.fill(`#write-${key}`, String(value));
}

/** A page whose visitor wants GPT-2 to write. */
async function writersPage() {
  const opened = await freshPage();
  await opened.page.click("text=Write text");
  await opened.page.waitForSelector("#write-start:not([disabled])");
  return opened;
}

/** Generates to the end, and returns the prompts with their texts: the base model's, then the adapter's. */
async function write(page: Page): Promise<string[]> {
  await page.click("#write-start:not([disabled])");
  await page.locator("#write-status >> text=/^Done: /").waitFor();
  return page.locator("#written .prose").allTextContents();
}

async function openTiny(page: Page): Promise<void> {
  await page.waitForSelector("#start:not([disabled])");
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", base);
  await page.locator("#model-report >> text=width 16").waitFor({ state: "attached" });
}

test("texts are Node's and are streamed; the live region announces only the start and the end", async () => {
  const { page, faults, context } = await writersPage();
  const prompts = ["Once upon a time", "The old man said"];
  await page.fill("#prompt", `${prompts.join("\n")}\n`);
  await setWriting(page, { maxNewTokens: 12, temperature: 1.1, topK: 40, topP: 0.9, repetitionPenalty: 1.3, seed: 5 });
  await page.fill("#stop-strings", "the\n\\n");
  await page.check("#prompt-lines");
  await page.evaluate(() => {
    const seen = Object.assign(window, { announced: [] as string[] });
    const status = document.querySelector("#write-status")!;
    const texts = { subtree: true, childList: true, characterData: true };
    new MutationObserver(() => seen.announced.push(status.textContent!)).observe(status, texts);
  });
  const sampled = { temperature: 1.1, topK: 40, topP: 0.9, repetitionPenalty: 1.3, seed: 5 };
  const options = { maxNewTokens: 12, stop: ["the", "\n"], ...sampled };
  assert.equal(await write(page), await inNode("gpt2-micro", prompts, options));
  const announced = await page.evaluate(() => (window as unknown as { announced: string[] }).announced);
  assert.match(announced.join(" "), /^Writing … Done: \d+ tokens, \d+ per second\.$/);
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("after a stop the text stays, and the panel can generate again", async () => {
  const { page, faults, context } = await writersPage();
  await page.fill("#prompt", "Once upon a time");
  // Greedy decoding repeats itself and does not end.
  await setWriting(page, { maxNewTokens: 100_000, temperature: 0 });
  await page.focus("#write-start:not([disabled])");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => (document.querySelector(".prose")?.textContent?.length ?? 0) > 60);
  assert.is(await page.evaluate(() => document.activeElement!.id), "write-stop");
  await page.keyboard.press("Enter");
  await page.locator("#write-status >> text=/^Stopped: /").waitFor();
  assert.is(await page.evaluate(() => document.activeElement!.id), "write-start");
  const text = await page.textContent(".prose");
  assert.ok(text!.length > 60);
  await setWriting(page, { maxNewTokens: 2 });
  assert.ok((await write(page))[0]!.startsWith("Once upon a time"));
  await setWriting(page, { temperature: 1, topP: 0 });
  assert.match((await page.textContent("#write-topP-error"))!, "Enter a number above 0, at most 1.");
  assert.ok(await page.isDisabled("#write-start"));
  assert.equal(faults, []);
  await context.close();
});

/** PEFT's two files of an adapter with random values. */
async function adapterFiles(name: string, task: TaskConfig): Promise<string[]> {
  const labels = task.num_labels === 0 ? [] : ["ham", "spam"];
  const lora = { r: 2, lora_alpha: 40, target_modules: ["q" as const, "proj" as const] };
  const meta = testMeta(lora, { base_model: base, model: TINY, task, labels, settings: {} });
  await writeAdapter(join(folder, name), { meta, tensors: drawTensors(meta, name.length) });
  return ["adapter_config.json", "adapter_model.safetensors"].map((file) => join(folder, name, file));
}

test("text beyond the context is reported; an adapter generates its own text, and other files are refused", async () => {
  const { page, faults, context } = await writersPage();
  await openTiny(page);
  await page.fill("#prompt", "The quick brown fox");
  const options = { maxNewTokens: 70, temperature: 0 };
  await setWriting(page, options);
  const prompts = ["The quick brown fox"];
  const plain = await inNode(base, prompts, options);
  assert.equal(await write(page), plain);
  assert.match((await page.textContent("#written small"))!, /the oldest 3\d tokens were dropped/);
  const fault = page.locator("#write-error");
  await page.setInputFiles("#writer-files", await adapterFiles("labels", TASKS.classification));
  await fault.locator("text=This adapter classifies messages and cannot generate text").waitFor();
  const damaged = await adapterFiles("damaged", TASKS.lm);
  truncateSync(damaged[1]!, 500);
  await page.setInputFiles("#writer-files", damaged);
  await fault.locator("text=adapter_model.safetensors").waitFor();
  await assertAccessible(page);
  assert.is(await page.locator("#runs tbody tr").count(), 0, "a refused adapter is not stored");

  await page.setInputFiles("#writer-files", await adapterFiles("tales", TASKS.lm));
  await page.locator("#write-help >> text=with the adapter (LoRA, rank 2, alpha 40)").waitFor();
  assert.is(await fault.textContent(), "");
  const adapted = await inNode(base, prompts, options, join(folder, "tales"));
  assert.not.equal(adapted, plain);
  assert.equal(await write(page), [...plain, ...adapted]);
  await assertAccessible(page);
  // The adapter is stored, with the prompt and what is to be learned.
  await page.reload();
  await page.locator("#write-help >> text=with the adapter").waitFor();
  assert.ok(await page.isHidden("#try"), "it does not classify");
  await setWriting(page, options);
  assert.equal(await write(page), [...plain, ...adapted]);
  assert.equal(faults, []);
  await context.close();
});

/** The perplexity on the validation set, of each evaluation. */
async function perplexities(page: Page): Promise<number[]> {
  const cells = await page.locator("#curve-table tbody tr td:nth-last-child(2)").allTextContents();
  return cells.map((text) => Number(text.replaceAll(",", "")));
}

test("a pasted text trains a language model: perplexity falls, and the text outlasts a reload", async () => {
  const { page, faults, context } = await writersPage();
  await openTiny(page);
  await page.click("text=Own text");
  assert.ok(await page.isDisabled("#start"), "there is no text yet");
  const lines = Array.from({ length: 60 }, (_, i) => `Roses are red, violets are blue, poem ${i} is for you.`);
  await page.fill("#pasted", lines.join("\n"));
  await page.locator("#data-report >> text=blocks of at most").waitFor();
  assert.is(await page.textContent("#data-error"), "");
  await set(page, { device: "wasm", epochs: 2, evalEvery: 4, lr: 0.05 });
  await start(page);
  await waitForState(page, "finished");
  assert.match(
    (await page.textContent("#status"))!,
    /The perplexity on the test set was [\d,.]+ before and is [\d,.]+ now\.$/,
  );
  await see(page, "result");
  const measured = await perplexities(page);
  assert.ok(measured.length > 4 && measured.at(-1)! < 0.5 * measured[0]!, measured.join(" "));
  assert.match((await page.textContent("#outcome"))!, /Perplexity before.*before training/);
  assert.is(await page.locator("#outcome-body table").count(), 2, "nothing of a classifier");
  assert.ok(await page.isHidden("#try"));
  await see(page, "write");
  await page.fill("#prompt", "Roses are");
  await setWriting(page, { maxNewTokens: 8, temperature: 0 });
  const [plain, adapted] = await write(page);
  assert.not.equal(adapted, plain);
  await assertAccessible(page);

  await page.reload();
  await waitForState(page, "finished");
  assert.equal(await page.inputValue("#pasted"), lines.join("\n"));
  // The adapter of a run can be trained on.
  await set(page, {});
  await page.selectOption("#model", "tiny");
  await page.waitForSelector("#beginning:not([hidden])");
  assert.is(await page.locator("#beginning option").count(), 2);
  assert.equal(faults, []);
  await context.close();
});
