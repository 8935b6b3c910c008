/** The page's worker as it ships: a comparison of methods, which a stop and the end of a worker interrupt. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { assertSameFiles, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { openTiny, PageBrowser, pickedFile, type Tab, TINY_RUN } from "../../helpers/page-worker.ts";
import { messages, tinyModel } from "../../helpers/tiny.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
const SETTINGS = { ...TINY_RUN, lr: 3e-3 };

/** The states of the runs in the order of the comparison. */
const statesIn = async (tab: Tab) => (await tab.call("runs")).map(({ state }) => state).reverse();

/** Waits until no tab trains. */
const untilIdle = (browser: PageBrowser) => browser.locks.of({}).request("lowrank-training", () => {});

test("a comparison resumes after a stop and after its worker has ended; alone the first run gives the same adapter", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", /step-0*4\./);
  const first = await tab.call("compare", SETTINGS);
  await held.reached;
  // One at a time on one thread.
  assert.equal(await statesIn(tab), ["training", ...Array(6).fill("waiting")]);
  await tab.call("stop");
  held.release();
  await untilIdle(browser);
  assert.equal(await statesIn(tab), ["stopped", ...Array(6).fill("waiting")]);
  // One that is deleted before its turn has come does not begin.
  const [last] = await tab.call("runs");
  await tab.call("forget", last!.id);

  const again = tab.hold("write", /adapter_model/);
  await tab.call("resume", first);
  await again.reached;
  tab.end();
  const next = await browser.open();
  assert.equal(await statesIn(next), ["interrupted", ...Array(5).fill("waiting")]);
  await next.call("resume", first);
  await untilIdle(browser);
  const runs = (await next.call("runs")).reverse();
  assert.equal(
    runs.map(({ state, comparison }) => [state, comparison]),
    Array(6).fill(["finished", runs[0]!.comparison]),
  );
  assert.equal(
    runs.map(({ record }) => record.options.mode),
    ["lora", "lora", "lora", "all", "last_block", "last_layer"],
  );
  const { rank, alpha, lr } = runs[0]!.record.options;
  await next.call("pick", [pickedFile("messages.csv", messages(24))]);
  const alone = await next.train({ ...SETTINGS, rank, alpha, lr });
  assertSameFiles(await next.download(alone.id, "adapter"), await next.download(first, "adapter"));
});

test("a stop as soon as a comparison, or a run that resumes, has begun ends it", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const first = await tab.call("compare", SETTINGS);
  for (let i = 0; i < 2; i++) {
    await tab.call("stop");
    await untilIdle(browser);
    assert.equal(await statesIn(tab), ["stopped", ...Array(6).fill("waiting")]);
    await tab.call("resume", first);
  }
  tab.end();
});

test("a comparison that is finished early tests what trains, and begins nothing more; seeds of a run are on its data", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", /step-0*4\./);
  await tab.call("compare", SETTINGS);
  await held.reached;
  await tab.call("finish");
  held.release();
  await untilIdle(browser);
  assert.equal(await statesIn(tab), ["finished", ...Array(6).fill("stopped")]);
  const run = await tab.train({ ...SETTINGS, epochs: 1, seed: 7 });
  await tab.call("addSeeds", run.id);
  await untilIdle(browser);
  const runs = await tab.call("runs");
  const { comparison } = runs.find(({ id }) => id === run.id)!;
  const seeds = runs.filter((one) => one.comparison === comparison).reverse();
  assert.equal(
    seeds.map(({ state, record: { options, counts } }) => [state, options.seed, counts.sha256]),
    [7, 8, 9, 10, 11].map((seed) => ["finished", seed, run.record.counts.sha256]),
  );
  assert.is(new Set(seeds.map(({ record }) => record.results!.after.test.loss)).size, 5);
});

test("a comparison of language models has the methods that train one", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const text = Array.from({ length: 60 }, (_, i) => `Roses are red, poem ${i} is for you.`).join("\n");
  await tab.call("pick", [pickedFile("poems.txt", text)]);
  const first = await tab.call("compare", { ...SETTINGS, objective: "lm", data: ["poems.txt"] });
  tab.end();
  const runs = (await (await browser.open()).call("runs")).reverse();
  assert.equal(
    runs.map(({ record }) => record.options.mode),
    ["lora", "lora", "lora", "all", "last_block", "bitfit"],
  );
  assert.is(runs[0]!.id, first);
});
