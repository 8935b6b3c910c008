/** The page's worker as it ships: runs that end before their end. Each resumes to the bits of one that was left alone. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { assertSameFiles, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { addTiny, openTiny, PageBrowser, type Tab, TINY_RUN } from "../../helpers/page-worker.ts";
import { messages, tinyModel } from "../../helpers/tiny.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
/** Twelve steps, with checkpoints at steps 4 and 8. */
const LONGER = { ...TINY_RUN, epochs: 3 };
const SECOND = /step-0*8\./;

async function straightRun() {
  const tab = await openTiny(new PageBrowser(), base);
  return tab.download((await tab.train(LONGER)).id, "adapter");
}
let straight: ReturnType<typeof straightRun> | undefined;

/** Resumes a run, which must end as a straight one; gives the step from which it resumed. */
async function resumeToEnd(tab: Tab, id: string): Promise<number> {
  const begun = tab.reaches(id, "training");
  const run = await tab.train("resume", id);
  assert.equal([run.state, run.error], ["finished", null]);
  straight ??= straightRun();
  assertSameFiles(await tab.download(id, "adapter"), await straight);
  return (await begun).record.step;
}

test("a worker that ends while it writes a checkpoint leaves an interrupted run, which resumes from the one before", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", /step-0*8\..*whole/);
  const id = await tab.call("start", LONGER);
  await held.reached;
  tab.end();
  assert.ok(browser.files.list().some((path) => path.endsWith(".crswap")));
  const next = await browser.open();
  const found = (await next.listed(id))!;
  assert.equal([found.state, found.usable], ["interrupted", true]);
  // It is tried as its last checkpoint has it.
  assert.ok("label" in (await next.call("classify", id, "see you at lunch")).adapter);
  // Its file is stored with it: nobody has selected one here.
  assert.is(await resumeToEnd(next, id), 4);
});

for (const [moment, work, path, state] of [
  ["before all is stored", "write", /adapter_model/, "interrupted"],
  ["when its record says that it is finished", "remove", /step-/, "finished"],
] as const)
  test(`a worker that ends while it saves what was learned, ${moment}, leaves a run that is ${state}`, async () => {
    const browser = new PageBrowser();
    const tab = await openTiny(browser, base);
    const held = tab.hold(work, path);
    const id = await tab.call("start", LONGER);
    await held.reached;
    tab.end();
    const next = await browser.open();
    const found = (await next.listed(id))!;
    assert.equal([found.state, found.usable], [state, true]);
    if (state === "interrupted") assert.is(await resumeToEnd(next, id), 8);
  });

test("a run waits while it is paused, stays stopped in another visit, and ends as a straight one", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const first = tab.hold("write", /step-0*4\./);
  const id = await tab.call("start", LONGER);
  await first.reached;
  const paused = tab.ended();
  await tab.call("pause");
  first.release();
  const { state, record, usable } = await paused;
  assert.equal([state, record.state, record.step, usable], ["paused", "stopped", 4, true]);
  assert.is((await tab.listed(id))!.state, "paused");

  const second = tab.hold("write", SECOND);
  const stopped = tab.ended();
  await tab.call("resume", id);
  await second.reached;
  await tab.call("stop");
  second.release();
  await stopped;
  assert.ok("adapter/adapter_config.json" in (await tab.download(id, "adapter")));
  tab.end();
  const next = await browser.open();
  assert.is((await next.listed(id))!.state, "stopped");

  // A browser that cannot read the checkpoints for a moment does not cost the run its progress.
  const mend = next.fail("read", /step-/, new DOMException("The file cannot be read", "NotReadableError"));
  const failed = await next.train("resume", id);
  assert.equal([failed.state, failed.error!.summary], ["failed", "The file cannot be read"]);
  mend();
  assert.is(await resumeToEnd(next, id), 8);
});

test("a run is watched while it trains, and finished early or after it was stopped: what it has learned is measured", async () => {
  const tab = await openTiny(new PageBrowser(), base);
  const held = tab.hold("write", /step-0*4\./);
  const id = await tab.call("start", LONGER);
  await held.reached;
  const watched = (await tab.call("watch", id))!;
  assert.equal([...new Set(watched.map(({ truth }) => truth))].sort(), ["ham", "spam"]);
  assert.ok(watched.every(({ answer }) => answer && "probabilities" in answer));
  const early = tab.ended();
  const ending = tab.reaches(id, "stopping");
  await tab.call("finish");
  await ending;
  held.release();
  const { state, record } = await early;
  assert.equal([state, record.state, record.step], ["finished", "finished", 4]);
  assert.ok(record.results && record.steps > 4);
  assert.is(await tab.call("watch", id), null);

  const again = tab.hold("write", /step-0*4\./);
  const other = await tab.call("start", LONGER);
  await again.reached;
  const stopped = tab.ended();
  await tab.call("stop");
  again.release();
  await stopped;
  const tested = tab.ended();
  await tab.call("resume", other, undefined, true);
  const { record: measured } = await tested;
  assert.equal([measured.state, measured.step], ["finished", 4]);
  assert.equal(measured.results!.after, record.results!.after);
});

test("checkpoints that are damaged are left, with a note, and the run begins again", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", /adapter_model/);
  const id = await tab.call("start", LONGER);
  await held.reached;
  tab.end();
  for (const path of browser.files.list().filter((path) => /step-.*s$/.test(path)))
    browser.files.overwrite(path, new Uint8Array(100));
  const next = await browser.open();
  const noted = next.next((event) => (event.type === "run" ? event.run.note : null) ?? undefined);
  assert.is(await resumeToEnd(next, id), 0);
  assert.match(await noted, "The checkpoints were damaged: the run started again from the beginning.");
});

const fullNote = (tab: Tab) =>
  tab.next((event) => (event.type === "run" && event.run.state === "training" && event.run.note) || undefined);

test("a run that the browser cannot store ends with its results, and resumes from its checkpoint when there is room", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", SECOND);
  const id = await tab.call("start", LONGER);
  await held.reached;
  browser.files.room = 1;
  const noted = fullNote(tab);
  const ended = tab.ended();
  held.release();
  assert.match(await noted, /^The browser's storage is full: the run continues in memory/);
  const { state, error, record } = await ended;
  assert.equal([state, record.state, record.results?.after.test.rows], ["finished", "finished", record.counts.rows[2]]);
  assert.match(error!.summary, "The browser's storage is full");
  assert.match(error!.hint!, "what it has learned is lost when this page is closed: download it, or delete others");
  straight ??= straightRun();
  assertSameFiles(await tab.download(id, "adapter"), await straight);
  // Another visit has what was stored.
  assert.is((await (await browser.open()).listed(id))!.state, "interrupted");
  browser.files.room = Infinity;
  assert.is(await resumeToEnd(tab, id), 8, "the checkpoint that was not stored");
  assert.is((await (await browser.open()).listed(id))!.state, "finished");
});

test("full storage refuses no run: it trains in memory, is tried there, and is stored when there is room", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  browser.files.room = 1;
  const ended = tab.ended();
  const noted = fullNote(tab);
  const id = await tab.call("start", LONGER);
  assert.match(await noted, "the run continues in memory, and is lost when this page is closed. Delete runs");
  const { error, state, usable } = await ended;
  assert.equal([state, usable, error!.name], ["finished", true, "QuotaExceededError"]);
  assert.is((await tab.listed(id))!.state, "finished");
  assert.ok("label" in (await tab.call("classify", id, "see you at lunch")).adapter);
  browser.files.room = Infinity;
  assert.is(await resumeToEnd(tab, id), 8);
  assert.is((await (await browser.open()).listed(id))!.state, "finished");
});

test("a run is not resumed with another model, or other data", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", SECOND);
  const id = await tab.call("start", LONGER);
  await held.reached;
  tab.end();
  const file = `runs/${id}/data/messages.csv`;
  assert.ok(browser.files.list().includes(file));
  browser.files.overwrite(file, new TextEncoder().encode(messages(23)));
  const next = await browser.open();
  const data = await next.refused("resume", id);
  assert.equal([data.code, data.summary], ["inputs-changed", "The data has changed since this run began"]);
  await next.call("forgetModel", "tiny");
  // Another one of the same name.
  await addTiny(
    next,
    tinyModel(join(temporaryFolder(), "tiny"), (tensors) => tensors.get("ln_f.bias")!.data.fill(1)),
  );
  const model = await next.refused("resume", id);
  assert.equal([model.code, model.where], ["inputs-changed", "tiny"]);
  assert.is((await next.listed(id))!.state, "interrupted");
});
