/** The page's worker as it ships: it learns texts, writes as Node does, and labels lines. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openWasm } from "../../../src/backend/wasm.ts";
import type { GenerateOptions, Prompt } from "../../../src/infer/text/generation.ts";
import { LanguageModel } from "../../../src/infer/text/language-model.ts";
import type { WriteRequest } from "../../../src/web/protocol.ts";
import { drawTensors, testMeta, writeAdapter } from "../../helpers/adapters.ts";
import { temporaryFolder } from "../../helpers/border.ts";
import { afterAll, test } from "../../helpers/harness.ts";
import { TASKS } from "../../helpers/models.ts";
import { openTiny, PageBrowser, pickedFile, type Tab, TINY_RUN } from "../../helpers/page-worker.ts";
import { TINY, tinyModel } from "../../helpers/tiny.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "tiny"));
const device = openWasm({ threads: 1 });
afterAll(async () => (await device).destroy());

/** The texts that Node generates. */
async function inNode(prompts: readonly string[], options: GenerateOptions, adapter?: string): Promise<string[]> {
  const own = adapter === undefined ? {} : { model: base };
  const lm = await LanguageModel.load(adapter ?? base, { device: await device, dtype: "int16", ...own });
  const done = await lm.complete(prompts, options);
  lm.destroy();
  return done.map(({ text }) => text);
}

/** What the worker writes to the end. */
async function write(tab: Tab, prompts: Prompt[], options: GenerateOptions, adapter: string | null = null) {
  const wanted = prompts.map((prompt) => ({ prompt, isAdapted: adapter !== null }));
  return writeAll(tab, wanted, options, adapter);
}

async function writeAll(
  tab: Tab,
  prompts: WriteRequest["prompts"],
  options: WriteRequest["options"],
  adapter: string | null,
) {
  const before = tab.events.length;
  const report = await tab.call("write", { model: "tiny", adapter, device: "wasm", prompts, options });
  const texts = prompts.map(() => "");
  const chunks = tab.events.slice(before).flatMap((event) => (event.type === "written" ? event.chunk : []));
  for (const { prompt, text } of chunks) texts[prompt] += text;
  return { ...report, texts, chunks };
}

test("texts are Node's, in chunks, of the base model and of an adapter that is loaded; beyond the context it says so", async () => {
  const tab = await openTiny(new PageBrowser(), base);
  const prompts = ["Once upon a time", "The old man said"];
  const sampled = { temperature: 1.1, topK: 40, topP: 0.9, repetitionPenalty: 1.3, seed: 5 };
  const options = { maxNewTokens: 12, stop: ["the", "\n"], ...sampled };
  const written = await write(tab, prompts, options);
  assert.equal(written.texts, await inNode(prompts, options));
  assert.is(written.stopped, false);

  const lora = { r: 2, lora_alpha: 40, target_modules: ["q" as const, "proj" as const] };
  const meta = testMeta(lora, { base_model: base, model: TINY, task: TASKS.lm, labels: [], settings: {} });
  await writeAdapter(join(folder, "tales"), { meta, tensors: drawTensors(meta, 5) });
  const files = ["adapter_config.json", "adapter_model.safetensors"].map((name) =>
    pickedFile(name, readFileSync(join(folder, "tales", name)) as BlobPart),
  );
  const id = await tab.call("load", files, "tiny", { writes: true });
  const greedy = { maxNewTokens: 70, temperature: 0 };
  const one = prompts.slice(0, 1);
  const plain = await write(tab, one, greedy);
  assert.equal(plain.texts, await inNode(one, greedy));
  assert.ok(plain.chunks.some(({ forgotten }) => forgotten! > 30));
  const adapted = await write(tab, one, greedy, id);
  assert.equal(adapted.texts, await inNode(one, greedy, join(folder, "tales")));
  assert.not.equal(adapted.texts, plain.texts);
  assert.equal((await write(tab, one, greedy)).texts, plain.texts);
  const both = [false, true].map((isAdapted) => ({ prompt: prompts[0]!, isAdapted }));
  const written2 = await writeAll(tab, both, greedy, id);
  assert.equal(written2.texts, [...plain.texts, ...adapted.texts]);
});

test("writing and labelling end when they are stopped, and can begin again", async () => {
  const tab = await openTiny(new PageBrowser(), base);
  const { id } = await tab.train({ ...TINY_RUN, epochs: 1 });
  const begun = tab.next((event) => event.type === "written" || undefined);
  const writing = write(tab, ["Once"], { maxNewTokens: 100_000, temperature: 0 });
  await begun;
  await tab.call("stopWriting");
  const { stopped, chunks } = await writing;
  assert.is(stopped, true);
  assert.ok(chunks.length > 0);
  assert.is((await write(tab, ["Once"], { maxNewTokens: 2 })).stopped, false);

  const lines = ["you have won a prize, call now", "see you at lunch", ""];
  const single: string[] = [];
  for (const line of lines.slice(0, 2)) {
    const { adapter } = await tab.call("classify", id, line);
    if ("label" in adapter) single.push(`${adapter.label} ${adapter.probability!.toFixed(6)}`);
  }
  const { preview, rows, columns, file } = await tab.call("label", id, lines.join("\n"), {});
  assert.equal([rows, columns], [2, []]);
  assert.equal(
    preview.map(({ label, probability }) => `${label} ${probability!.toFixed(6)}`),
    single,
  );
  assert.match(await file.text(), /^text,predicted,probability\r\n"you have won/);

  const many = pickedFile("long.txt", `text\n${"see you at lunch\n".repeat(40_000)}`);
  const labelled = tab.next((event) => event.type === "labelled" || undefined);
  const labelling = tab.refused("label", id, many, {});
  await labelled;
  await tab.call("stopLabelling");
  assert.is((await labelling).name, "AbortError");
});

test("a text trains a language model: perplexity falls, and its run writes and is trained on", async () => {
  const tab = await openTiny(new PageBrowser(), base);
  const lines = Array.from({ length: 30 }, (_, i) => `Roses are red, violets are blue, poem ${i} is for you.`);
  await tab.call("pick", [pickedFile("pasted.txt", lines.join("\n"))]);
  const settings = { ...TINY_RUN, objective: "lm", data: ["pasted.txt"], mode: "all", lr: 0.02, epochs: 2 } as const;
  const { id, state, record } = await tab.train(settings);
  assert.is(state, "finished");
  const { before, after } = record.results!;
  assert.ok(after.test.loss < before!.test.loss - Math.log(2), `${before!.test.loss} and ${after.test.loss}`);
  const { page, usages } = await tab.call("take", id);
  assert.is(page, null, "it classifies nothing");
  assert.ok(usages.length > 0);
  const options = { maxNewTokens: 8, temperature: 0 };
  assert.not.equal(
    (await write(tab, ["Roses are"], options, id)).texts,
    (await write(tab, ["Roses are"], options)).texts,
  );
  const { steps } = await tab.call("estimate", { ...settings, data: ["pasted.txt"], adapter: id });
  assert.is(steps, record.steps);
});
