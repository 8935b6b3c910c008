/** The page's worker as it ships, in two tabs of one browser. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { openTiny, PageBrowser, TINY_RUN } from "../../helpers/page-worker.ts";
import { tinyModel } from "../../helpers/tiny.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));

/** Two tabs, of which one trains and is held as it writes its first checkpoint, or the one of a later step. */
async function trainInOne(step = 4) {
  const browser = new PageBrowser();
  const [tab, other] = [await openTiny(browser, base), await openTiny(browser, base)];
  const held = tab.hold("write", new RegExp(`step-0*${step}\\.`));
  const id = await tab.call("start", { ...TINY_RUN, epochs: step / 2 });
  await held.reached;
  assert.is((await other.listed(id))!.state, "elsewhere");
  return { browser, tab, other, held, id };
}

test("while one tab trains, the other lists its run as elsewhere, tries its last checkpoint and starts none; afterwards it does", async () => {
  const { browser, tab, other, held, id } = await trainInOne(8);
  assert.ok("label" in (await other.call("classify", id, "see you at lunch")).adapter);
  const refused = await other.refused("start", TINY_RUN);
  assert.match(refused.summary, "Another tab of this page is training");
  assert.equal(
    (await other.call("runs")).map((run) => run.id),
    [id],
    "what is refused is stored",
  );
  held.release();
  await browser.locks.of({}).request("lowrank-training", () => {});
  assert.is((await other.listed(id))!.state, "finished");
  const run = await other.train(TINY_RUN);
  assert.is(run.state, "finished");
  assert.equal(
    (await tab.call("runs")).map((one) => one.id),
    [run.id, id],
    "the newest is first",
  );
});

test("a tab that ends leaves its run to the others at once; what one deletes is gone for all", async () => {
  const { browser, tab, other, id } = await trainInOne();
  const free = other.next((event) => event.type === "runs" || undefined);
  tab.end();
  await free;
  assert.is((await other.listed(id))!.state, "interrupted");
  const third = await browser.open();
  const told = third.next((event) => event.type === "runs" || undefined);
  await other.call("forget", id);
  await told;
  assert.equal(await third.call("runs"), []);
});

test("a record that another tab replaces at the moment is read again", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const { id } = await tab.train(TINY_RUN);
  const replaced = new DOMException("it is being replaced", "NotReadableError");
  tab.fail("read", /run\.json/, replaced, 4);
  assert.is((await tab.listed(id))!.state, "finished");
  tab.fail("read", /run\.json/, replaced, 5);
  assert.is(await tab.listed(id), undefined);
});
