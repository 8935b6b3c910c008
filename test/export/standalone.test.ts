/** What is taken away of a trained model: code that runs, its README, and one HTML file that classifies on its own. */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { openWasm } from "../../src/backend/wasm.ts";
import { formatScore } from "../../src/core/format.ts";
import { markdownLine } from "../../src/core/quote.ts";
import { fineTune } from "../../src/entries/engine.ts";
import { modelCard } from "../../src/export/card.ts";
import { planStandalone } from "../../src/export/page.ts";
import { listUsages, pageQuestion, type Trained } from "../../src/export/usage.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { GPT2_VOCABULARY } from "../../src/io/tokenizer/vocabulary.ts";
import { openBrowser, openPage, plainServer } from "../browser/browser.ts";
import { assertAccessible } from "../browser/page.ts";
import { drawTensors, LM, modeMeta, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const TEXT = "You have won a prize, call now";
const TEMPLATE = readFileSync(packagePath("dist/standalone.html"), "utf8");

/** Its weights take more than one block of the page. */
const CONFIG = { ...TINY, n_embd: 64 };
// Matrices in f16 are those of the model, so that probabilities are the same to the bit; but for a token that no text
// has.
const model = tinyModel(
  join(folder, "base"),
  (tensors) => {
    for (const { shape, data } of tensors.values())
      if (shape.length > 1) data.set(data.map((value) => Math.round(64 * value) / 64));
    tensors.get("wte.weight")!.data[0] = 0.1;
  },
  CONFIG,
);
const meta = testMeta(
  {},
  { model: CONFIG, base_model: model, labels: ["ham <or> eggs", "spam"], settings: { dtype: "q4" } },
);
const adapter = join(folder, "adapter");
const small = [...drawTensors(meta)].map(
  ([name, { shape, data }]) => [name, { shape, data: data.map((value) => value / 8) }] as const,
);
const written = writeTrained();

async function writeTrained() {
  await using base = await openBaseModel(model);
  const tensors = new Map(small);
  await writeAdapter(adapter, { meta: { ...meta, base_fingerprint: await fingerprint(base) }, tensors });
}

const TRAINED: Trained = {
  meta,
  base: { name: "base", place: "folder" },
  frame: GPT2_VOCABULARY,
  example: "see you at lunch",
  obstacle: null,
};

type Page = Awaited<ReturnType<typeof openPage>>["page"];
type Text = string | readonly [string, string];
let opened: ReturnType<typeof openBrowser> | undefined;
const browser = () => (opened ??= openBrowser());

/** Logits have the same bits everywhere; versions of V8 differ in the last bit of exponentials in double precision. */
const rounded = (values: number[]) => values.map(Math.fround);

/** Writes the page of an adapter to a file, and opens it. */
async function openPageOf(directory: string, baseModel: BaseModel, texts: Parameters<typeof planStandalone>[1]) {
  const plan = await planStandalone(TEMPLATE, texts, await loadAdapter(directory, baseModel), baseModel);
  const file = `${directory}.html`;
  writeFileSync(file, "");
  for await (const piece of plan.write()) {
    assert.ok(piece.length < 5e6, "a piece is large");
    appendFileSync(file, piece);
  }
  assert.is(statSync(file).size, plan.bytes);
  return { file, ...(await openPage(await browser(), pathToFileURL(file).href)) };
}

/** The page shows the probability of each class as the library gives it. */
async function assertShown(page: Page, directory: string, baseModel: BaseModel, text: Text): Promise<void> {
  await using classifier = await Classifier.of(await loadAdapter(directory, baseModel), baseModel, await openWasm());
  const [found] = await classifier.classify([text]);
  const expected = rounded(Object.values(found!.probabilities));
  const read = () =>
    [...document.querySelectorAll("#verdict .bar rect:last-child")].map((one) => Number(one.getAttribute("width")));
  // It may still show the answer to the text before.
  const deadline = Date.now() + 20_000;
  let shown: number[] = [];
  while (JSON.stringify(shown) !== JSON.stringify(expected) && Date.now() < deadline)
    shown = rounded(await page.evaluate(read));
  assert.equal(shown, expected);
}

test("the page of one file, opened from the disk, classifies as the library does", async () => {
  await written;
  await using baseModel = await openBaseModel(model);
  const texts = { title: pageQuestion(meta), summary: "90.0 % correct.", examples: [TRAINED.example, TEXT] };
  const { file, page, faults } = await openPageOf(adapter, baseModel, texts);
  const blocks = readFileSync(file, "latin1").split('data-file="model/model.safetensors"').length - 1;
  assert.is(blocks, 3, "blocks of weights");
  assert.is(await page.title(), "Ham <or> eggs or spam?");
  assert.match((await page.textContent("footer"))!, "90.0 % correct.");
  await page.click(`#examples >> text=${TEXT}`);
  assert.is(await page.inputValue("#message"), TEXT);
  await assertShown(page, adapter, baseModel, TEXT);
  assert.is(await page.textContent("#status"), "");
  // A word is left out, here by the keyboard.
  await page.locator("#words input").nth(0).press("Space");
  await assertShown(page, adapter, baseModel, "have won a prize, call now");
  await assertAccessible(page);
  await page.fill("#message", "  ");
  await page.waitForFunction(() => document.querySelector("#verdict")!.childElementCount === 0);
  // The policy of the page allows no connections.
  assert.is(await page.evaluate(() => fetch("https://example.com").then(String, () => "refused")), "refused");
  assert.equal(
    faults.filter((fault) => !fault.includes("https://example.com")),
    [],
  );
});

testAll("the page of one file for pairs of texts has two fields", async () => {
  await using baseModel = await openBaseModel(model);
  const pairs = { columns: ["question", "answer"] };
  const all = { ...meta, settings: { ...meta.settings, pairs }, base_fingerprint: await fingerprint(baseModel) };
  const directory = join(folder, "pairs");
  await writeAdapter(directory, { meta: all, tensors: new Map(small) });
  const texts = { title: "Pairs", summary: "", examples: [["Is it?", "It is"]] as const };
  const { page, faults } = await openPageOf(directory, baseModel, texts);
  await page.click("#examples button");
  assert.is(await page.inputValue("#second"), "It is");
  await page.fill("#message", TEXT);
  await assertShown(page, directory, baseModel, [TEXT, "It is"]);
  await assertAccessible(page);
  await page.fill("#message", " ");
  await page.waitForFunction(() => document.querySelector("#verdict")!.childElementCount === 0);
  assert.equal(faults, []);
});

testAll("the page of one file for a probe on an encoder has its word counts", async () => {
  await using baseModel = await openBaseModel(packagePath("test/golden/gguf/bert-q8_0.gguf"));
  const directory = join(folder, "probe");
  const device = await openWasm();
  const data = await tinyData(messages(24), { model: baseModel });
  await fineTune({ device, model: baseModel, data, mode: "probe", save: directory });
  const texts = { title: "Probe", summary: "", examples: [TEXT] };
  const { page, faults } = await openPageOf(directory, baseModel, texts);
  for (const text of [TEXT, "see you at lunch"]) {
    await page.fill("#message", text);
    await page.fill("#message", text);
    await assertShown(page, directory, baseModel, text);
  }
  assert.equal(faults, []);
});

testAll("the page of one file for scores shows the score, and explains no words", async () => {
  await using baseModel = await openBaseModel(model);
  const scores = testMeta({}, { model: CONFIG, base_model: model, task: TASKS.regression, labels: ["score"] });
  const directory = join(folder, "scores");
  await writeAdapter(directory, { meta: scores, tensors: drawTensors(scores) });
  const texts = { title: pageQuestion(scores), summary: "", examples: [TEXT] };
  const { page, faults } = await openPageOf(directory, baseModel, texts);
  await page.click("#examples button");
  await page.locator("#verdict strong").waitFor();
  await using classifier = await Classifier.of(await loadAdapter(directory, baseModel), baseModel, await openWasm());
  const [found] = await classifier.score([TEXT]);
  assert.is(await page.textContent("#verdict strong"), formatScore(found!.score!));
  await page.waitForTimeout(1000);
  assert.is(await page.textContent("#words"), "");
  assert.equal(faults, []);
});

testAll("the page has the GGUF file of a Llama-type base as it is", async () => {
  const base = packagePath("test/golden/gguf/llama-q4_1.gguf");
  await using baseModel = await openBaseModel(base);
  const { config } = baseModel;
  const described = testMeta({}, { model: config, task: { ...meta.task, head_bias: false } });
  const directory = join(folder, "of-gguf");
  await writeAdapter(directory, {
    meta: { ...described, base_fingerprint: await fingerprint(baseModel) },
    tensors: drawTensors(described),
  });
  const { page, faults } = await openPageOf(directory, baseModel, { title: "Llama", summary: "", examples: [TEXT] });
  await page.fill("#message", TEXT);
  await assertShown(page, directory, baseModel, TEXT);
  assert.equal(faults, []);
});

test("a page that would be too large is refused before anything is written", async () => {
  await written;
  await using baseModel = await openBaseModel(model);
  const large = { ...baseModel, config: { ...CONFIG, n_embd: 2048 } };
  const loaded = await loadAdapter(adapter, baseModel);
  await assertFails("exceeds-limit", ["too large to open", "500.0 MB", "MB"], () =>
    planStandalone(TEMPLATE, { title: "", summary: "", examples: [TEXT] }, loaded, large),
  );
});

test("the code for Node runs, and gives the label", async () => {
  await written;
  writeFileSync(join(folder, "code.mjs"), listUsages(TRAINED)[1]!.code!);
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(packagePath("."), join(folder, "node_modules/lowrank"));
  const { stdout, stderr } = spawnSync(process.execPath, ["code.mjs"], { cwd: folder, encoding: "utf8" });
  assert.match(stdout, /label: '(ham <or> eggs|spam)'/, stderr + stdout);
});

testAll("the code for a page runs on a plain host, and gives the label", async () => {
  await written;
  writeFileSync(join(folder, "code.html"), listUsages(TRAINED)[0]!.code!);
  symlinkSync(packagePath("dist/web"), join(folder, "lowrank"));
  const { url } = await plainServer(folder);
  const { page, faults } = await openPage(await browser(), `${url}/code.html`);
  await page
    .locator("body")
    .filter({ hasText: /"label":"(ham <or> eggs|spam)"/ })
    .waitFor();
  // The folders are asked for files that they may have; there is no WebGPU.
  assert.equal(
    faults.filter((fault) => !/404 /.test(fault)),
    [],
  );
});

test("a card says what the model is, and has the code that the page shows", () => {
  const usages = listUsages(TRAINED, "lowrank-1", "lowrank-1/adapter");
  const model = {
    ...TRAINED,
    title: "LoRA, on base",
    licence: "mit",
    library: "peft",
    isAdapter: true,
    usages,
  } as const;
  const readme = modelCard(model);
  for (const text of [
    '---\nlibrary_name: "peft"\npipeline_tag: "text-classification"\nlicense: "mit"\n',
    "# LoRA, on base\n",
    "classifies messages as ham \\<or\\> eggs or spam.",
    "Its licence is mit",
    'PeftModel.from_pretrained(base, "lowrank-1/adapter")',
    "pad on the right.",
    'classify(["see you at lunch"])',
    'tokenizer(["see you at lunch"]',
  ])
    assert.ok(readme.includes(text), text);
  for (const { text, code } of usages)
    assert.ok(readme.includes(markdownLine(text)) && readme.includes(`\n${code}\n`), text);
});

test("the code names the base model where it is: in the package, on the hub, in a folder", () => {
  const python = (base: Trained["base"]) => listUsages({ ...TRAINED, base })[2]!;
  const micro = python({ name: "gpt2-micro", place: "package" });
  const [, path] = /from_pretrained\("([^"]+)"/.exec(micro.code!)!;
  assert.ok(existsSync(packagePath(path!.replace("node_modules/lowrank/", ""))), path);
  assert.match(
    python({ name: "e5-small-cut", place: "package" }).code!,
    'from_pretrained("node_modules/lowrank/data/models/e5-small-cut", gguf_file="e5-small-cut.gguf"',
  );
  assert.match(
    python({ name: "openai-community/gpt2", place: "hub" }).code!,
    'from_pretrained("openai-community/gpt2"',
  );
  const [page, node] = listUsages(TRAINED);
  assert.match(page!.code!, 'model: new URL("base", location.href).href');
  assert.match(node!.code!, 'model: "base"');
});

test("a model that PEFT cannot load has no code for it, but the reason; a language model writes", () => {
  const bias = testMeta({}, { ...modeMeta("bitfit"), model: CONFIG });
  const [, , peft] = listUsages({ ...TRAINED, meta: bias, obstacle: "biases (BitFit) is not one of its methods" });
  assert.is(peft!.code, null);
  assert.match(peft!.text, "PEFT cannot load this model: biases");
  const lm = { ...TRAINED, meta: testMeta({}, { ...LM, model: CONFIG }) };
  const writes = listUsages(lm)
    .map(({ text, code }) => `${text}\n${code}`)
    .join("\n");
  for (const text of ['generate(["Once upon a time"])', "load(", "model.eval().generate("])
    assert.ok(writes.includes(text), text);
  assert.not.match(writes, /Classifier|pad on/);
});
