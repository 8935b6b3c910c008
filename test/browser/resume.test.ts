/** Runs of the page that end before their end: each goes on to the adapter of one that was left alone. */
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { unzipSync } from "fflate";
import * as assert from "uvu/assert";
import { openDevice } from "../../src/backend/device.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { assertSameFiles, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { tinyModel } from "../helpers/tiny.ts";
import { freshPage, openPage } from "./browser.ts";
import {
  atStep,
  begin,
  download,
  downloadAdapter,
  downloaded,
  endWorker,
  holdCheckpoint,
  keepStates,
  pageWorker,
  pickTinyModel,
  recordedStates,
  SETTINGS,
  stepsTaken,
  textTo,
  waitForState,
  waitForStep,
} from "./page.ts";

/** Settings of a run that is long enough to be interrupted, and short enough to wait for. */
const LONGER = { ...SETTINGS, epochs: 4, evalEvery: 8 };

const folder = temporaryFolder();
const base = tinyModel(join(folder, "tiny"));

/** A page with a tiny model, whose runs take half of the time of gpt2-micro's. */
async function tinyPage() {
  const opened = await freshPage();
  await pickTinyModel(opened.page, base);
  return opened;
}

let straight: ReturnType<typeof runStraight> | undefined;

async function runStraight() {
  const opened = await tinyPage();
  await begin(opened.page, LONGER);
  await waitForState(opened.page, "finished");
  return { ...opened, ...(await download(opened.page, "tr[aria-current] >> text=Adapter")) };
}

/** An uninterrupted run with the longer settings, and its downloaded adapter. */
function straightRun() {
  straight ??= runStraight();
  return straight;
}

async function straightAdapter(): Promise<Record<string, Uint8Array>> {
  return (await straightRun()).files;
}

test("a reloaded run resumes from its last checkpoint and ends with the adapter of a straight run", async () => {
  const { page, faults, context } = await tinyPage();
  await keepStates(page);
  // The tab is closed while the second checkpoint is written.
  await holdCheckpoint(page, 16);
  await begin(page, LONGER);
  await atStep(page, 9, "reload");
  await waitForState(page, "finished");
  const resumed = (await recordedStates(page)).find(({ state }) => state === "training");
  assert.equal(resumed, { state: "training", step: 8 });
  assertSameFiles(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("a run waits while it is paused, has an adapter when it is stopped, also after a reload, and ends as a straight one", async () => {
  const { page, faults, context } = await tinyPage();
  let release = await holdCheckpoint(page, 8);
  await begin(page, LONGER);
  await atStep(page, 2, "pause");
  await release();
  await waitForState(page, "paused");
  const waits = async () => {
    const steps = await stepsTaken(page);
    await page.waitForTimeout(300);
    assert.is(await stepsTaken(page), steps);
  };
  await waits();

  release = await holdCheckpoint(page, 16);
  await page.click("#resume");
  await atStep(page, 9, "stop");
  await release();
  await waitForState(page, "stopped");
  assert.ok(Object.keys(await downloadAdapter(page)).includes("adapter/adapter_config.json"));

  const steps = await stepsTaken(page);
  await page.reload();
  await waitForState(page, "stopped");
  assert.ok(await page.isHidden("#pause"));
  assert.ok(Object.keys(await downloadAdapter(page)).includes("adapter/adapter_config.json"));
  // Nothing keeps another run from starting.
  await page.waitForSelector("#start:not([disabled])");
  // An automatic resume would have taken less time.
  await waits();
  assert.is(await stepsTaken(page), steps);
  // A browser that cannot read the checkpoints for a moment does not cost the run its progress.
  const worker = await pageWorker(page);
  await worker.evaluate(() => {
    const { getFile } = FileSystemFileHandle.prototype;
    const readable = () => {
      FileSystemFileHandle.prototype.getFile = getFile;
    };
    FileSystemFileHandle.prototype.getFile = async function () {
      if (this.name.startsWith("step-")) throw new DOMException("The file cannot be read", "NotReadableError");
      return getFile.call(this);
    };
    Object.assign(self, { readable });
  });
  await page.click("#resume");
  await page.locator("#run-error >> text=The file cannot be read").waitFor();
  await worker.evaluate(() => (self as unknown as { readable(): void }).readable());
  await holdCheckpoint(page, "end");
  await page.click("#run-error >> text=Resume from the last checkpoint");
  await page.waitForSelector("#training:not([data-state=failed])");
  await endWorker(page);
  await page.locator("#run-error >> text=The page's worker has ended").waitFor();
  await waitForState(page, "interrupted");
  assert.match((await page.textContent("#status"))!, /^Interrupted\. Resume it from the last checkpoint\./);
  await page.waitForSelector("#start:not([disabled])");
  await page.click("#run-error >> text=Resume from the last checkpoint");
  await waitForState(page, "finished");
  assert.is(await page.textContent("#run-error"), "");
  assertSameFiles(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("a run that the browser cannot store fails, and resumes from its last checkpoint when there is room", async () => {
  const { page, faults, context } = await tinyPage();
  await begin(page, LONGER);
  const release = await holdCheckpoint(page, 16);
  await waitForStep(page, 9);
  const session = await context.newCDPSession(page);
  const { origin } = new URL(page.url());
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1 });
  await release();
  await page.locator("#run-error >> text=The browser's storage is full").waitFor();
  await page.waitForSelector("#training[data-state=failed]");
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  await page.click("#run-error button");
  await page.waitForSelector("#training[data-state=finished]");
  assertSameFiles(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("an adapter gives the same predictions in the page, in Node, and loaded into the page again", async () => {
  const { page, faults, context, bytes, files } = await straightRun();
  const predicted = async () => {
    await page.fill("#message", "see you at lunch, friend");
    return page.textContent("#verdict .learned");
  };
  const before = await predicted();

  const directory = temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(directory, basename(name)), bytes);
  const device = await openDevice("wasm");
  const classifier = await Classifier.load(directory, { device, model: base });
  const [inNode] = await classifier.classify(["see you at lunch, friend"]);
  classifier.destroy();
  device.destroy();
  assert.ok(
    before!.includes(`${inNode!.label} ${(100 * inNode!.probability!).toFixed(1)}\u00a0%`),
    `${before} in the page`,
  );

  // The page of one file, opened from the disk.
  const { content } = await downloaded(page, () => page.click("[data-take=page]"), textTo("</html>\n"));
  const alone = join(directory, "alone.html");
  writeFileSync(alone, content);
  const opened = await openPage(context, pathToFileURL(alone).href);
  await opened.page.fill("#message", "see you at lunch, friend");
  const label = (await opened.page.textContent("#verdict .predicted"))!;
  assert.ok(before!.includes(label), `${label}, ${before} in the page`);
  assert.equal(opened.faults, []);

  // The forms for other programs, each of the size that is said before.
  await page.click("#forms > summary");
  for (const [form, names] of [
    ["hub", ["README.md", "adapter_config.json", "adapter_model.safetensors", "lowrank.json", "lowrank.safetensors"]],
    ["merged f16", ["README.md", "config.json", "model.safetensors"]],
  ] as const) {
    const button = page.locator(`[data-form="${form}"]`);
    const said = (await button.textContent())!;
    const zip = await downloaded(page, () => button.click(), unzipSync);
    const found = new Map(Object.entries(zip.content).map(([path, bytes]) => [basename(path), bytes]));
    for (const name of names) assert.ok(found.has(name), `${form}: ${[...found.keys()]}`);
    const bytes = [...found.values()].reduce((sum, { length }) => sum + length, 0);
    assert.ok(said.includes(`${(bytes / 1e6).toFixed(bytes < 1e5 ? 2 : 1)}\u00a0MB`), `${said}: ${bytes}`);
    assert.match(new TextDecoder().decode(found.get("README.md")), /## Training.*## Results/s);
  }

  await page.setInputFiles("#adapter-files", {
    name: "a.zip",
    mimeType: "application/zip",
    buffer: bytes,
  });
  await waitForState(page, "loaded");
  assert.match((await page.textContent("#figures"))!, /^Trained parameters4,786Classesham, spamBase modeltiny$/);
  assert.ok(await page.isHidden("#progress"));
  assert.is(await predicted(), before);
  // The README of a loaded adapter does not tell of its training.
  const readme = "adapter/README.md";
  assertSameFiles({ ...(await downloadAdapter(page)), [readme]: files[readme]! }, files);
  assert.equal(faults, []);
  await context.close();
});
