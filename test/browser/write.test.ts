/** Text generation in the page: the same texts as in Node, streaming, stopping, long texts, valid and invalid adapters. */
import { truncateSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";
import { openDevice } from "../../src/backend/device.ts";
import type { TaskConfig } from "../../src/config.ts";
import type { GenerateOptions } from "../../src/infer/generation.ts";
import { LanguageModel } from "../../src/infer/language-model.ts";
import { metaOf, tensorsOf, writeAdapter } from "../adapters.ts";
import { temporaryFolder } from "../border.ts";
import { test } from "../harness.ts";
import { TINY, tinyModel } from "../tiny.ts";
import { freshPage } from "./browser.ts";
import { assertAccessible } from "./page.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "tiny"));

/** The prompts with the texts that Node generates. */
async function inNode(model: string, prompts: readonly string[], options: GenerateOptions, adapter?: string) {
  const device = await openDevice("wasm");
  const lm = await LanguageModel.load(model, { device, ...(adapter === undefined ? {} : { adapter }) });
  const done = await lm.complete(prompts, options);
  lm.destroy();
  device.destroy();
  return done.map(({ text }, i) => prompts[i] + text);
}

/** Sets the fields of the panel, by the API's names. */
async function setWriting(page: Page, values: GenerateOptions): Promise<void> {
  if (!(await page.isVisible("#write-fields"))) await page.click("#write-form summary");
  for (const [key, value] of Object.entries(values)) await page.fill(`#write-${key}`, String(value));
}

/** Generates to the end, and returns the prompts with their texts. */
async function write(page: Page): Promise<string[]> {
  await page.click("#write-start:not([disabled])");
  await page.locator("#write-status >> text=/^Done: /").waitFor();
  return page.locator("#written .prose").allTextContents();
}

async function openTiny(page: Page): Promise<void> {
  await page.waitForSelector("#start:not([disabled])");
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", base);
  await page.locator("#model-report >> text=width 16").waitFor();
}

test("greedy and sampled texts are Node's and are streamed; the live region announces only the start and the end", async () => {
  const { page, faults, context } = await freshPage();
  const prompts = ["Once upon a time", "The old man said"];
  await page.fill("#prompt", `${prompts.join("\n")}\n`);
  await page.check("#prompt-lines");
  await setWriting(page, { maxNewTokens: 12, temperature: 0 });
  assert.ok(await page.isHidden("#write-topP"), "greedy decoding has no top-p");
  await page.evaluate(() => {
    const seen = Object.assign(window, { announced: [] as string[], pieces: 0 });
    const status = document.querySelector("#write-status")!;
    new MutationObserver(() => seen.announced.push(status.textContent!)).observe(status, { childList: true });
    const added = (records: MutationRecord[]) => {
      seen.pieces += records.filter(({ target }) => (target as Element).className === "prose").length;
    };
    new MutationObserver(added).observe(document.querySelector("#written")!, { childList: true, subtree: true });
  });
  assert.equal(await write(page), await inNode("gpt2-micro", prompts, { maxNewTokens: 12 }));
  const { announced, pieces } = await page.evaluate(() => {
    const { announced, pieces } = window as unknown as { announced: string[]; pieces: number };
    return { announced, pieces };
  });
  assert.equal(announced, ["Generating …", "Done: 24 tokens."]);
  assert.ok(pieces > 12, `${pieces} pieces`);
  assert.match((await page.textContent("#write-figures"))!, /^Tokens24Tokens per second\d+\.\d$/);
  const sampled = { temperature: 1.1, topK: 40, topP: 0.9, repetitionPenalty: 1.3, seed: 5 };
  await setWriting(page, sampled);
  await page.fill("#stop-strings", "the\n\\n");
  const options = { maxNewTokens: 12, stop: ["the", "\n"], ...sampled };
  assert.equal(await write(page), await inNode("gpt2-micro", prompts, options));
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("after a stop the text stays, and the panel can generate again", async () => {
  const { page, faults, context } = await freshPage();
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
  await page.waitForTimeout(200);
  assert.is(await page.textContent(".prose"), text, "it did not stop");
  await setWriting(page, { maxNewTokens: 2 });
  assert.ok((await write(page))[0]!.startsWith("Once upon a time"));
  await setWriting(page, { temperature: 1, topP: 0 });
  assert.match((await page.textContent("#write-topP-error"))!, "Enter a number above 0, at most 1.");
  assert.ok(await page.isDisabled("#write-start"));
  assert.equal(faults, []);
  await context.close();
});

const TASKS: Record<"lm" | "classification", TaskConfig> = {
  lm: { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false },
  classification: { objective: "classification", num_labels: 2, pooling: "last-token", head_bias: false },
};

/** PEFT's two files of an adapter with random values. */
async function adapterFiles(name: string, task: TaskConfig): Promise<string[]> {
  const labels = task.num_labels === 0 ? [] : ["ham", "spam"];
  const lora = { r: 2, lora_alpha: 40, target_modules: ["q" as const, "proj" as const] };
  const meta = metaOf(lora, { base_model: base, model: TINY, task, labels, settings: {} });
  await writeAdapter(join(folder, name), { meta, tensors: tensorsOf(meta, name.length) });
  return ["adapter_config.json", "adapter_model.safetensors"].map((file) => join(folder, name, file));
}

test("text beyond the context is reported; an adapter generates its own text, and other files are refused", async () => {
  const { page, faults, context } = await freshPage();
  await openTiny(page);
  await page.fill("#prompt", "The quick brown fox");
  const options = { maxNewTokens: 70, temperature: 0 };
  await setWriting(page, options);
  const prompts = ["The quick brown fox"];
  const plain = await inNode(base, prompts, options);
  assert.equal(await write(page), plain);
  assert.match((await page.textContent("#written small"))!, /the oldest 3\d tokens were dropped/);
  assert.match((await page.textContent("#write-status"))!, "Done: 70 tokens. The oldest tokens were dropped.");

  const fault = page.locator("#write-error");
  await page.setInputFiles("#writer-files", await adapterFiles("labels", TASKS.classification));
  await fault.locator("text=This adapter classifies messages and cannot generate text").waitFor();
  const damaged = await adapterFiles("damaged", TASKS.lm);
  truncateSync(damaged[1]!, 500);
  await page.setInputFiles("#writer-files", damaged);
  await fault.locator("text=adapter_model.safetensors").waitFor();
  await assertAccessible(page);
  assert.is(await page.locator("#writer option").count(), 1, "a refused adapter is not stored");

  await page.setInputFiles("#writer-files", await adapterFiles("tales", TASKS.lm));
  await page.waitForSelector("#writer option:checked >> text=LoRA, rank 2, alpha 40", { state: "attached" });
  assert.is(await fault.textContent(), "");
  const adapted = await inNode(base, prompts, options, join(folder, "tales"));
  assert.not.equal(adapted, plain);
  assert.equal(await write(page), adapted);
  // The adapter is stored and does not classify, and the base model is unchanged.
  await page.reload();
  await page.waitForSelector("#start:not([disabled])");
  await page.locator("#try-help >> text=This is a language-model adapter").waitFor();
  await page.selectOption("#model", "tiny");
  await page.locator("#model-report >> text=width 16").waitFor();
  await page.fill("#prompt", "The quick brown fox");
  await setWriting(page, options);
  await page.selectOption("#writer", { index: 1 });
  assert.equal(await write(page), adapted);
  await page.selectOption("#writer", { index: 0 });
  assert.equal(await write(page), plain);
  assert.equal(faults, []);
  await context.close();
});
