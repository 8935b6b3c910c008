/** The page's worker as it ships: base models that a visitor stores in the browser. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { addTiny, openTiny, PageBrowser, pickedFile, TINY_RUN } from "../../helpers/page-worker.ts";
import { tinyModel } from "../../helpers/tiny.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
const other = tinyModel(join(temporaryFolder(), "tiny"), (tensors) => void tensors.get("ln_f.bias")!.data.fill(1));
const keptModels = async (browser: PageBrowser) =>
  (await (await browser.open()).call("models")).flatMap(({ name, kept }) => (kept ? name : []));

test("a folder is stored under its name, another model under the next one, the same one once; it can be forgotten", async () => {
  const browser = new PageBrowser();
  const tab = await browser.open();
  assert.is(await addTiny(tab, base), "tiny");
  const stored = tab.events.flatMap((event) => (event.type === "busy" ? (event.share ?? []) : []));
  assert.ok(stored.length > 0 && stored.every((share, i) => share >= (stored[i - 1] ?? 0) && share < 1));
  assert.equal(tab.events.at(-1), { type: "idle" });
  assert.is(await addTiny(tab, other), "tiny 2");
  assert.is(await addTiny(tab, base), "tiny");
  const { config, hasChat, values } = await tab.call("openModel", "tiny 2");
  assert.equal([config.n_layer, config.n_embd, hasChat], [2, 16, false]);
  assert.ok(values > 50257 * 16);
  assert.equal(await keptModels(browser), ["tiny", "tiny 2"]);
  await tab.call("forgetModel", "tiny");
  assert.equal(await keptModels(browser), ["tiny 2"]);
  assert.ok(await tab.refused("openModel", "tiny"));
  assert.equal(
    browser.files.list().filter((path) => /^(picked|models\/tiny\/)/.test(path)),
    [],
  );
});

test("files that are no model are refused, and of one that does not fit into the browser nothing is left", async () => {
  const browser = new PageBrowser();
  const tab = await browser.open();
  const config = pickedFile("tiny/config.json", "{}");
  const { code, found } = await tab.refused("addModel", [config, pickedFile("tiny/readme.md", "# A model")]);
  assert.equal([code, found], ["not-a-model", "config.json, readme.md"]);
  browser.files.room = 1e6;
  const full = await addTiny(tab, base).catch(({ report }) => report);
  assert.is(full.summary, "The browser's storage is full");
  browser.files.room = Infinity;
  assert.equal(await keptModels(browser), []);
  assert.equal(
    browser.files.list().filter((path) => path.startsWith("models/")),
    [],
  );
  // One that is not whole, because the tab ended while it was stored, is replaced.
  const held = tab.hold("write", /model\.safetensors \(whole/);
  void addTiny(tab, base);
  await held.reached;
  tab.end();
  assert.is(await addTiny(await browser.open(), base), "tiny");
});

test("a GGUF file is a model of its own name; a damaged one is refused", async () => {
  const browser = new PageBrowser();
  const tab = await browser.open();
  const bytes = readFileSync(packagePath("test/golden/gguf/gpt2-q8_0.gguf"));
  const damaged = await tab.refused("addModel", [pickedFile("mine.gguf", bytes.subarray(0, -64) as BlobPart)]);
  assert.is(damaged.where, "mine.gguf");
  assert.equal(await keptModels(browser), []);
  assert.is(await tab.call("addModel", [pickedFile("mine.gguf", bytes as BlobPart)]), "mine.gguf");
  const { config } = await (await browser.open()).call("openModel", "mine.gguf");
  assert.equal([config.n_layer, config.n_head, config.n_embd, config.n_positions], [2, 4, 32, 64]);
});

test("a run classifies in a later visit with its stored model; without that it says so", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const { id } = await tab.train({ ...TINY_RUN, epochs: 1 });
  const verdict = await tab.call("classify", id, "see you at lunch");
  const next = await browser.open();
  assert.equal(await next.call("classify", id, "see you at lunch"), verdict);
  await next.call("forgetModel", "tiny");
  assert.ok(await next.refused("classify", id, "see you at lunch"));
  // Its files can be downloaded all the same, without a model card.
  const names = Object.keys(await next.download(id, "adapter"));
  assert.equal(names.sort(), [
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/lowrank.json",
    "adapter/lowrank.safetensors",
  ]);
});

for (const [dataset, text, label] of [
  ["spam", "Win cash now, text WIN to 80080", "spam"],
  ["languages", "Wo ist der nächste Bahnhof, bitte?", "German"],
] as const)
  test(`the model that comes with the page answers before anything is trained, and is no run: ${dataset}`, async () => {
    const tab = await new PageBrowser().open();
    const { samples } = await tab.call("readData", { dataset, model: "gpt2-micro", device: "wasm" });
    assert.is(samples.length, 6);
    assert.ok(new Set(samples.map(({ label }) => label)).size > 1);
    const { id, state, usable } = await tab.call("example", dataset);
    assert.equal([state, usable], ["loaded", true]);
    const { adapter } = await tab.call("classify", id, text);
    assert.is("label" in adapter && adapter.label, label);
    assert.equal(await tab.call("runs"), []);
  });
