/** The page in Chromium, from `npm run web`. */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import * as assert from "uvu/assert";
import { openDevice } from "../../src/backend/device.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";
import { freshPage, openPage, webServer } from "./browser.ts";
import {
  assertAccessible,
  atStep,
  download,
  endWorker,
  holdCheckpoint,
  keepStates,
  pageWorker,
  pickFile,
  recordedStates,
  set,
  start,
  stepsTaken,
  waitForState,
} from "./page.ts";

const SETTINGS = { device: "wasm", epochs: 2, evalEvery: 4, lr: 5e-3 };

/** The software driver is slow, most of all in compiling: this mode needs few kernels. */
const LITTLE = { mode: "last_layer", device: "webgpu", lr: 0.05 };

/** Trains on a file, and looks at figures, curves, result and a typed message. */
async function trainOnFile(
  page: Page,
  settings: Record<string, string | number>,
  { computesOn, steps, evaluations }: { computesOn: string; steps: number; evaluations: number },
): Promise<void> {
  await pickFile(page, messages(20, ["ham", "spam", "ham", "ham"]));
  await page.waitForSelector("text=80 messages: 56 to train, 8 to validate, 16 to test.");
  await page.waitForSelector("text=The classes are unequal: their loss is weighted by class.");
  await set(page, settings);
  await start(page);
  await waitForState(page, "finished");
  assert.match(
    (await page.textContent("#status"))!,
    /^Finished in [^.]+\. \d+ of 16 test messages correct: too few to tell\.$/,
  );
  assert.match((await page.textContent("#figures"))!, new RegExp(`Step${steps} of ${steps}.*${computesOn}`));
  assert.is(await page.locator("#curve-table tbody tr").count(), evaluations);
  assert.is(await page.locator("#outcome .confusion tbody tr").count(), 2);
  assert.match(
    (await page.textContent("#outcome"))!,
    /Macro F1 before.*This run against it.*bag of words\d.*\(p [=<] [\d.]+\).*Precision, recall and F1 of each.*The test set has only 16 rows: the accuracy of /,
  );
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
  assert.is(await page.locator("#verdict .base").count(), 1);
}

test("a run on the CPU from a file to its end: figures, curves, result, typed messages", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  await assertAccessible(page);
  // Evaluations: before the first step, every four steps, and at the end.
  await trainOnFile(page, SETTINGS, { computesOn: "CPU, \\d+ threads", steps: 14, evaluations: 5 });
  await lookAtWhatItLearned(page);
  await assertAccessible(page);
  await assertFits(page);
  assert.equal(faults, []);
  await context.close();
});

test("a run on WebGPU from a file to its end; one whose device is lost resumes from the last checkpoint on the CPU", async () => {
  const { page, faults, context } = await freshPage(true);
  const settings = { ...SETTINGS, ...LITTLE, epochs: 1 };
  const computesOn = "swiftshader \\(webgpu, software driver\\)";
  await trainOnFile(page, settings, { computesOn, steps: 7, evaluations: 3 });
  await openLearned(page);
  assert.match(
    (await page.textContent("#learned"))!,
    /head only every matrix of the blocks stays as it was.*moved the head by [\d.]+\s%/,
  );
  await assertAccessible(page);
  await assertFits(page);
  assert.equal(faults, []);

  const release = await holdCheckpoint(page, 8);
  await set(page, { epochs: 2 });
  await start(page);
  await waitForState(page, "training");
  await waitForStep(page, 5);
  await killGpuProcess(context.browser()!);
  await release();
  await page.locator("#run-error >> text=The device was lost").waitFor();
  await page.click("text=Resume on the CPU");
  await page.waitForSelector("#training[data-state=finished]");
  assert.match((await page.textContent("#figures"))!, /Step14 of 14.*CPU/);
  await context.close();
});

/** Throws if a part is wider than its card, or a card than the page, on wide and narrow screens. Tables may scroll. */
async function assertFits(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    const wide = await page.evaluate(() => {
      const { clientWidth } = document.documentElement;
      const parts = [...document.querySelectorAll<HTMLElement>("main .card, main .card > *, main .scroll")];
      const limit = (part: HTMLElement) =>
        part.parentElement!.closest(".card")?.getBoundingClientRect().right ?? clientWidth;
      const over = parts.filter((part) => part.getBoundingClientRect().right > limit(part) + 1);
      return [document.documentElement.scrollWidth, ...over.map(({ outerHTML }) => outerHTML.slice(0, 80))];
    });
    assert.equal(wide, [width]);
  }
}

async function openLearned(page: Page): Promise<void> {
  await page.click("#learned:not([hidden]) summary");
  await page.waitForSelector("#learned-body");
}

/** How far each matrix moved, and how its adapter uses the rank. */
async function lookAtTheMatrices(page: Page): Promise<void> {
  // q, k, v, o, fc and proj of four blocks; the head is chosen from the list alone.
  const cells = await page.locator("#learned .heat[data-matrix]").evaluateAll((all) =>
    all.map((cell) => {
      const [norm, of] = /change ([\d.e-]+), size before ([\d.e-]+)/
        .exec((cell as HTMLElement).title)!
        .slice(1)
        .map(Number);
      const row = cell.closest("tr")!;
      const part = row.closest("table")!.rows[0]!.cells[(cell.parentElement as HTMLTableCellElement).cellIndex]!;
      const name = `Block ${row.cells[0]!.textContent}, ${part.textContent}`;
      const shade = Number(/heat(\d)/.exec(cell.className)![1]);
      return { name, norm: norm!, share: norm! / of!, shown: Number(cell.textContent), shade };
    }),
  );
  assert.is(cells.length, 24);
  const most = Math.max(...cells.map(({ share }) => share));
  for (const { name, share, shown, shade } of cells) {
    // The title has three digits.
    assert.ok(Math.abs(shown - 100 * share) < 0.006 + 0.06 * share * 100, `${name}: ${shown}, not ${100 * share}`);
    assert.ok(
      [0.98, 1.02].some((about) => shade === Math.ceil((8 * share * about) / most)) || share === most,
      `${name}: ${shade}`,
    );
  }
  const shownMost = Number((await page.textContent("#learned .scale"))!.match(/([\d.]+)\s%$/)![1]);
  assert.ok(Math.abs(shownMost - 100 * most) < 0.06 * 100 * most, `${shownMost}`);
  assert.match(
    (await page.textContent("#learned"))!,
    /ΔW = s·B·A, s = alpha\/r.*Outside the blocks, training moved the head by/,
  );

  // The matrix that moved most is shown first; a click chooses another one.
  const chosen = () => page.locator("#matrix option:checked").textContent();
  assert.is(await chosen(), cells.find(({ share }) => share === most)!.name);
  await page.locator("#learned .heatmap tr:nth-child(2) td >> nth=3 >> .heat").click();
  const one = cells.find(({ name }) => name === "Block 1, o")!;
  assert.is(await chosen(), one.name);
  // The Frobenius norm is the root of the sum of the squares of the singular values.
  const values = (await page.getAttribute("#learned .singular", "aria-label"))!.match(/[\d.e-]+(?=,|$)/g)!.map(Number);
  assert.is(values.length, 8);
  assert.ok(Math.abs(Math.hypot(...values) / one.norm - 1) < 0.02, `${values} ${one.norm}`);
  const [, used] = /Uses (\d) of rank 8: .* holds? 90\s% of the sum/.exec((await page.textContent("#learned"))!)!;
  const bars = await page
    .locator("#learned .singular rect")
    .evaluateAll((all) =>
      all.map((bar) => ({ isUsed: bar.classList.contains("used"), height: Number(bar.getAttribute("height")) })),
    );
  assert.equal(
    bars.map(({ isUsed }) => isUsed),
    values.map((_, i) => i < Number(used)),
  );
  assert.ok(
    bars.every(({ height }, i) => Math.abs(height - values[i]! / values[0]!) < 0.01),
    JSON.stringify(bars),
  );
  // What is drawn again elsewhere leaves the choice.
  await page.click("#runs >> text=Pin");
  await page.locator("#runs [aria-pressed=true]").waitFor();
  assert.is(await chosen(), one.name);
}

/** What a run of LoRA on 16 test messages shows, also after a reload. */
async function lookAtWhatItLearned(page: Page): Promise<void> {
  await openLearned(page);
  await lookAtTheMatrices(page);

  const whole = await page.textContent("#learned output");
  assert.match(whole!, /^1\.0: [\d.]+\s% of 16 test messages correct, as trained$/);
  const at = async (scale: string) => {
    await page.fill("#scale", scale);
    return page.locator("#learned output >> text=/correct/").textContent();
  };
  const half = await at("0.5");
  assert.match(half!, /^0\.5: [\d.]+\s% of 16 test messages correct$/);
  assert.match((await page.getAttribute("#learned .plot", "aria-label"))!, /0\.0: [^,]+, 0\.5: [^,]+, 1\.0: [^,]+\.$/);
  assert.is(await at("1"), whole);

  await page.locator("#words >> text=leave one out").waitFor();
  const sample = page.locator("#samples button >> nth=0");
  const text = await sample.textContent();
  await sample.click();
  await page.locator("#verdict .learned >> text=/Right: this is its true label|Wrong/").waitFor();
  await page.locator("#words .words >> text=please >> nth=0").waitFor();
  assert.is(await page.inputValue("#message"), text);
  await page.fill("#message", " ");
  await page.waitForFunction(() => document.querySelector("#verdict")!.childElementCount === 0);
  assert.is(await page.locator("#words > *").count(), 0);

  // The file is no longer stored.
  await page.reload();
  await openLearned(page);
  assert.is(await page.textContent("#learned output"), whole);
  assert.is(await at("0.5"), half);
}

/** Settings of a run that is long enough to be interrupted, and short enough to wait for. */
const LONGER = { ...SETTINGS, epochs: 4, evalEvery: 8 };
/** Epochs of a run that a test stops, and holds meanwhile: its threads would take the time of what is tested. */
const ENDLESS = 1000;

/** The files of the selected run's adapter. */
async function downloadAdapter(page: Page): Promise<Record<string, Uint8Array>> {
  return (await download(page, "tr[aria-current] >> text=Adapter")).files;
}

let straight: ReturnType<typeof runStraight> | undefined;

async function runStraight() {
  const opened = await freshPage();
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

async function begin(page: Page, settings: Record<string, string | number>): Promise<void> {
  await pickFile(page);
  await set(page, settings);
  await start(page);
}

async function waitForStep(page: Page, step: number): Promise<void> {
  await page.waitForFunction((n) => document.querySelector<HTMLProgressElement>("#progress")!.value >= n, step);
}

test("a reloaded run resumes from its last checkpoint and ends with the adapter of a straight run", async () => {
  const { page, faults, context } = await freshPage();
  await keepStates(page);
  // The tab is closed while the second checkpoint is written.
  await holdCheckpoint(page, 16);
  await begin(page, LONGER);
  await atStep(page, 9, "reload");
  await waitForState(page, "finished");
  const resumed = (await recordedStates(page)).find(({ state }) => state === "training");
  assert.equal(resumed, { state: "training", step: 8 });
  assert.equal(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("a reloaded run waits until its previous worker has released the lock, and resumes", async () => {
  const { page, context } = await freshPage();
  const other = await openPage(context, `${await webServer()}/icon.svg`);
  await keepStates(page);
  // As soon as the run holds the lock, this request is the next in line for it, and gets it when the page is closed.
  await other.page.evaluate(async () => {
    const look = async () => {
      const { held } = await navigator.locks.query();
      if (!held!.some(({ name }) => name === "lowrank-training")) return setTimeout(look, 5);
      return navigator.locks.request("lowrank-training", () => new Promise((end) => Object.assign(window, { end })));
    };
    void look();
  });
  await holdCheckpoint(page, 24);
  await begin(page, LONGER);
  await atStep(page, 17, "reload");
  await waitForState(page, "elsewhere");
  await other.page.evaluate(() => (window as unknown as { end: () => void }).end());
  await waitForState(page, "finished");
  assert.equal(await downloadAdapter(page), await straightAdapter());
  await context.close();
});

test("a run waits while it is paused, has an adapter when it is stopped, stays paused after a reload, and ends as a straight one", async () => {
  const { page, faults, context } = await freshPage();
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

  release = await holdCheckpoint(page, 24);
  await page.click("#resume");
  await atStep(page, 17, "pause");
  await release();
  await waitForState(page, "paused");
  const steps = await stepsTaken(page);
  await page.reload();
  await waitForState(page, "paused");
  assert.ok(await page.isHidden("#pause"));
  assert.ok(Object.keys(await downloadAdapter(page)).includes("adapter/adapter_config.json"));
  // Nothing keeps another run from starting.
  await page.waitForSelector("#start:not([disabled])");
  // An automatic resume would have taken less time.
  await waits();
  await waitForState(page, "paused");
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
  assert.equal(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("a run with an incomplete first checkpoint starts from the beginning", async () => {
  const { page, context } = await freshPage();
  const release = await holdCheckpoint(page, 8);
  await begin(page, LONGER);
  await atStep(page, 2, "pause");
  await release();
  await waitForState(page, "paused");
  await page.evaluate(async () => {
    const runs = await (await navigator.storage.getDirectory()).getDirectoryHandle("runs");
    for await (const id of runs.keys()) {
      const states = await (await runs.getDirectoryHandle(id)).getDirectoryHandle("checkpoint");
      for await (const name of states.keys()) await (await (await states.getFileHandle(name)).createWritable()).close();
    }
  });
  await page.reload();
  await waitForState(page, "paused");
  const releaseAgain = await holdCheckpoint(page, 8);
  await page.click("#resume");
  await page.locator("#run-error >> text=The checkpoints were damaged: the run started again").waitFor();
  await releaseAgain();
  await waitForState(page, "finished");
  assert.equal(await downloadAdapter(page), await straightAdapter());
  await context.close();
});

test("a run that the browser cannot store stays in memory: it classifies and can be downloaded", async () => {
  const { page, faults, context } = await freshPage();
  const release = await holdCheckpoint(page, 8);
  await begin(page, LONGER);
  await waitForStep(page, 1);
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(page.url()).origin, quotaSize: 1 });
  await release();
  await waitForState(page, "finished");
  assert.match((await page.textContent("#run-error"))!, "The browser's storage is full: this run is in memory only");
  await page.fill("#message", "you have won a prize, call now");
  await page.waitForSelector("#verdict .learned >> text=spam");
  assert.equal(await downloadAdapter(page), await straightAdapter());
  assert.equal(faults, []);
  await context.close();
});

test("an adapter gives the same predictions in the page, in Node, and loaded into the page again", async () => {
  const { page, faults, context, path, files } = await straightRun();
  const predicted = async () => {
    await page.fill("#message", "see you at lunch, friend");
    return page.textContent("#verdict .learned");
  };
  const before = await predicted();

  const directory = temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(directory, basename(name)), bytes);
  const device = await openDevice("wasm");
  const classifier = await Classifier.load(directory, { device });
  const [inNode] = await classifier.classify(["see you at lunch, friend"]);
  classifier.destroy();
  device.destroy();
  assert.ok(
    before!.includes(`${inNode!.label} ${(100 * inNode!.probability).toFixed(1)}\u00a0%`),
    `${before} in the page`,
  );

  // The page of one file, opened from the disk.
  const [event] = await Promise.all([page.waitForEvent("download"), page.click("[data-take=page]")]);
  const alone = join(directory, "alone.html");
  await event.saveAs(alone);
  const opened = await openPage(context, pathToFileURL(alone).href);
  await opened.page.fill("#message", "see you at lunch, friend");
  const label = (await opened.page.textContent("#verdict .predicted"))!;
  assert.ok(before!.includes(label), `${label}, ${before} in the page`);
  assert.equal(opened.faults, []);

  await page.setInputFiles("#adapter-files", {
    name: "a.zip",
    mimeType: "application/zip",
    buffer: readFileSync(path),
  });
  await waitForState(page, "loaded");
  assert.match((await page.textContent("#figures"))!, /^Trained parameters75,026Classesham, spamBase modelgpt2-micro$/);
  assert.ok(await page.isHidden("#progress"));
  assert.is(await predicted(), before);
  // The README of a loaded adapter does not tell of its training.
  const readme = "adapter/README.md";
  assert.equal({ ...(await downloadAdapter(page)), [readme]: files[readme] }, files);
  assert.equal(faults, []);
  await context.close();
});

test("training continues from an adapter, through a reload, even if the original is deleted", async () => {
  const { page, faults, context } = await freshPage();
  await page.waitForSelector("#start:not([disabled])");
  assert.ok(await page.isHidden("#beginning"), "there is no adapter to start from");
  // The adapter is that of the last evaluation, whose loss is shown last.
  await begin(page, { ...SETTINGS, rank: 4, keep: "last" });
  await waitForState(page, "finished");
  const shownLoss = (row: string) => page.locator(`#curve-table tbody tr:${row} td:nth-child(4)`).textContent();
  const reached = await shownLoss("last-child");
  await page.selectOption("#beginning", { index: 1 });
  assert.ok(await page.isHidden("#field-rank"), "the adapter determines it");
  await pickFile(page, messages(20, ["ham", "spam", "news"]));
  await page.locator("#start-error >> text=The classes of the adapter and the data differ").waitFor();
  await pickFile(page);
  await set(page, { epochs: ENDLESS });
  await holdCheckpoint(page, 12);
  await start(page);
  await waitForState(page, "training");
  await waitForStep(page, 1);
  assert.is(await shownLoss("first-child"), reached);
  const remove = async () => {
    await page.locator("#runs tbody tr:last-child >> text=Delete").click();
    await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 1);
  };
  await remove();
  assert.is(await page.evaluate(() => document.activeElement!.textContent), "Undo");
  await page.click("#runs-undo >> text=Undo");
  await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 2);
  assert.is(await page.evaluate(() => document.activeElement!.id), "runs-title");
  await remove();
  const stored = await page.textContent("#storage");
  await page.click("#runs-undo >> text=Free its space now");
  await page.waitForFunction((before) => document.querySelector("#storage")!.textContent !== before, stored);
  await atStep(page, 9, "reload");
  await waitForState(page, "training");
  await atStep(page, 17, "stop");
  await waitForState(page, "stopped");
  assert.is(await shownLoss("first-child"), reached);
  assert.match((await page.textContent("#runs tbody"))!, "from LoRA, rank 4, alpha 16");
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("an invalid file is reported with its line, next to the input; a valid file clears the error", async () => {
  const { page, faults, context } = await freshPage();
  await pickFile(page, 'label,text\nham,hello\nspam,"open\n');
  const fault = page.locator("#data-error");
  await fault.locator("text=messages.csv:3").waitFor();
  assert.ok(await page.isDisabled("#start"));
  await assertAccessible(page);
  await pickFile(page, "a,b,c\nfirst,1,x\nsecond,2,y\n", "unclear.csv");
  await fault.locator("text=The text and label columns were not recognised").waitFor();
  // An invalid field does not hide the statistics of the file.
  await set(page, { rank: 0 });
  await pickFile(page, `${messages(40)}spam\nham,too,many\n`);
  await page.waitForSelector("#data-report >> text=80 messages: 56 to train");
  assert.ok(await page.isDisabled("#start"));
  await set(page, { rank: 8 });
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await fault.textContent(), "");
  assert.match((await page.textContent("#data-report"))!, /2 invalid rows were skippedLine 82: The row has the wrong/);

  // The page's worker fails: another one reads the same file.
  const worker = await pageWorker(page);
  await worker.evaluate(() => {
    setTimeout(() => {
      throw new Error("a mistake");
    });
  });
  const again = page.locator("#start-error button");
  await page.locator("#start-error >> text=/The page's worker has failed.*a mistake/").waitFor();
  await again.click();
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await page.textContent("#start-error"), "");
  assert.match((await page.textContent("#data-report"))!, "2 invalid rows were skipped");
  await page.evaluate(() => {
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function () {
      Worker.prototype.postMessage = postMessage;
      this.dispatchEvent(new MessageEvent("messageerror"));
    };
  });
  await set(page, { rank: 4 });
  await page.locator("#start-error >> text=the page could not read its message").waitFor();
  await again.click();
  await page.waitForSelector("#start:not([disabled])");
  // The browser may report the error before the worker is gone.
  assert.equal(
    faults.filter((fault) => !fault.endsWith("a mistake")),
    [],
  );
  await context.close();
});

test("a browser without a writable file system is reported", async () => {
  const { page, faults, context } = await freshPage();
  await page.addInitScript(() => Reflect.deleteProperty(FileSystemFileHandle.prototype, "createWritable"));
  await page.reload();
  await page.locator("main >> text=This browser does not let the page store files").waitFor();
  assert.is(await page.locator("#start").count(), 0);
  await assertAccessible(page);
  assert.equal(faults, []);
  await context.close();
});

test("two tabs: while one trains, the other reports it; it can start afterwards", async () => {
  const { page, context } = await freshPage();
  const other = await openPage(context, await webServer());
  // The page has filled in the last visit's settings.
  await other.page.waitForSelector("#start:not([disabled])");
  await pickFile(other.page);
  await set(other.page, SETTINGS);
  const release = await holdCheckpoint(page, 8);
  await begin(page, { ...SETTINGS, epochs: ENDLESS });
  await waitForStep(page, 1);
  await start(other.page);
  await other.page.waitForSelector("#start-error >> text=Another tab of this page is training");
  await page.click("#stop");
  await release();
  await waitForState(page, "stopped");
  await start(other.page);
  await waitForState(other.page, "finished");
  assert.equal(other.faults, []);
  await context.close();
});

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
  // A folder of that name with a damaged model, and one with another model.
  const weights = readFileSync(join(directory, "model.safetensors"));
  writeFileSync(join(directory, "model.safetensors"), weights.subarray(0, -4));
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", directory);
  await page.locator("#model-error >> text=model.safetensors").waitFor();
  await page.selectOption("#model", "tiny");
  await page.locator("#model-report >> text=2 blocks, 2 heads").waitFor({ state: "attached" });
  // An option whose text is its value has no attribute for it.
  const option = (name: string) => page.locator(`#model option:text-is("${name}")`).count();
  const addFolder = async () => {
    await page.selectOption("#model", "from-folder");
    await page.setInputFiles("#folder-files", directory);
    await page.waitForSelector("#start:not([disabled])");
  };
  writeFileSync(join(directory, "model.safetensors"), weights);
  await addFolder();
  assert.is(await option("tiny 2"), 0);
  tinyModel(directory, (tensors) => tensors.get("h.1.attn.c_attn.weight")!.data.fill(0.01, 0, 1));
  await addFolder();
  assert.is(await option("tiny 2"), 1);
  await page.selectOption("#model", "tiny");
  await page.click("#model-forget");
  await page.locator("#model-report >> text=4 blocks").waitFor({ state: "attached" });
  assert.is(await option("tiny"), 0);
  await addFolder();
  await page.click("#resume");
  await page.locator("#runs-error >> text=The model has changed since this run began").waitFor();
  // A folder without weights.
  await page.selectOption("#model", "from-folder");
  const other = temporaryFolder();
  writeFileSync(join(other, "config.json"), "{}");
  await page.setInputFiles("#folder-files", other);
  await page.locator("#model-error >> text=These files are not a GPT-2 model").waitFor();
  assert.equal(faults, []);
  await context.close();
});

/** The number of trained parameters that the page shows below its button. */
const trainedValues = () =>
  Number(
    /Trains ([\d,]+) parameters/.exec(document.querySelector("#start-help")!.textContent!)![1]!.replaceAll(",", ""),
  );

test("a run that does not fit is refused with the numbers, and with a setting that fits", async () => {
  const { page, faults, context } = await freshPage();
  // gpt2-micro has four blocks: adapters in one of them, and in one that does not exist.
  const trainable = () => page.evaluate(trainedValues);
  await page.waitForSelector("#start:not([disabled])");
  const all = await trainable();
  await set(page, { layers: "3" });
  await page.waitForSelector("#start[disabled]");
  await page.waitForSelector("#start:not([disabled])");
  assert.ok((await trainable()) < all / 3);
  await set(page, { layers: "4" });
  await page.locator("#start-error >> text=The model has no such layer").waitFor();
  await set(page, { layers: "x" });
  await page.locator("#field-layers-error >> text=counted from 0").waitFor();
  await set(page, { layers: "" });
  await set(page, { mode: "all", batchSize: 2200, device: "wasm" });
  await page.click("#start-error >> text=Set the batch size to 1100");
  assert.is(await page.inputValue("#field-batchSize"), "1100");
  await page.waitForSelector("#start:not([disabled])");
  assert.is(await page.textContent("#start-error"), "");
  assert.equal(faults, []);
  await context.close();
});

test("a learning rate that diverges ends the run, with the reason and a smaller rate", async () => {
  const { page, faults, context } = await freshPage();
  await begin(page, { ...SETTINGS, lr: 1e9 });
  await page.click("#run-error >> text=Set the learning rate to 0.001");
  assert.is(await page.inputValue("#field-lr"), "0.001");
  assert.ok(await page.isHidden("#resume"));
  await page.fill("#message", "see you at lunch");
  await page.locator("#verdict >> text=probabilities are not finite").waitFor();
  await page.reload();
  await page.locator("#run-error >> text=Set the learning rate to 0.001").waitFor();
  // A rate that ends with finite numbers, and has learned nothing.
  await set(page, { lr: 5, epochs: 1 });
  await start(page);
  // The run before it has failed.
  await page.waitForSelector("#training[data-state=finished]");
  await page.click("#run-error >> text=Set the learning rate to 0.001");
  assert.equal(faults, []);
  await context.close();
});

/** The states of the runs in the list. */
function listedStates(page: Page): Promise<string[]> {
  return page.locator("#runs tbody tr:not(.group) td:nth-child(3)").allTextContents();
}

async function waitForListed(page: Page, states: readonly string[]): Promise<void> {
  await page.waitForFunction((wanted) => {
    const cells = document.querySelectorAll("#runs tbody tr:not(.group) td:nth-child(3)");
    return [...cells].map(({ textContent }) => textContent).join() === wanted.join();
  }, states);
}

test("a comparison of methods continues after a stop and a reload; its runs have names, pins and a CSV file", async () => {
  const { page, faults, context } = await freshPage();
  await page.selectOption("#model", "from-folder");
  await page.setInputFiles("#folder-files", tinyModel(join(temporaryFolder(), "tiny")));
  await page.locator("#model-report >> text=2 blocks, 2 heads").waitFor({ state: "attached" });
  await pickFile(page);
  await set(page, { device: "wasm", epochs: 3, evalEvery: 8 });
  const release = await holdCheckpoint(page, 8);
  await page.click("#compare-start:not([disabled])");
  await page.locator("#compare-table tbody tr:first-child >> text=/training, [1-9]\\d?\\s%/").waitFor();
  const states = await listedStates(page);
  const atOnce = states.filter((state) => state === "training").length;
  // Each has at least a thread.
  const threads = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.ok(threads > 1 ? atOnce > 1 : atOnce === 1, `${atOnce} on ${threads} threads`);
  const status = await page.textContent("#compare-status");
  if (threads > 1) assert.match(status!, /^Training 1.* and \d of 7 at the same time: LoRA rank 1.* and .*/);
  await atStep(page, 1, "stop");
  await release();
  const expectedStates = (state: string) => [...Array(atOnce).fill(state), ...Array(7 - atOnce).fill("waiting")];
  await waitForListed(page, expectedStates("stopped"));
  assert.is(await page.locator("#training-title").textContent(), "messages.csv: LoRA, rank 1, alpha 2");
  await holdCheckpoint(page, 16);
  await page.click("#compare-continue");
  await waitForListed(page, expectedStates("training"));
  await atStep(page, 9, "reload");
  await page.waitForFunction(
    () =>
      document.querySelectorAll("#compare-table tbody td:nth-child(5)").length === 7 &&
      [...document.querySelectorAll("#compare-table tbody td:nth-child(5)")].every(
        ({ textContent }) => textContent !== "–",
      ),
  );
  assert.equal(await listedStates(page), Array(7).fill("finished"));
  const { files } = await download(page, "#runs tbody tr:nth-child(2) >> text=Adapter");
  assert.match(
    (await page.textContent("#compare-table"))!,
    /1 LoRA rank 1.*4 full fine-tuning.*6 head only34.*7 biases only/,
  );
  assert.match(
    (await page.textContent("#compare-words"))!,
    /has the lowest validation loss.*16 test messages.*What LoRA buys/,
  );
  assert.is(await page.locator("#compare .mark").count(), 7);
  await page.selectOption("#compare-axis", "file");
  await page.locator("#compare .scatter >> text=adapter file").waitFor();
  const last = page.locator("#runs tbody tr:last-child");
  await last.locator("text=Rename").click();
  await page.keyboard.type("small one");
  await page.keyboard.press("Enter");
  await page.click("#runs tr:has-text('small one') >> text=Pin");
  await page.locator("#runs tbody tr:first-child >> text=small one").waitFor();
  // Leaving the field takes the name as well, Escape does not.
  const first = page.locator("#runs tbody tr:first-child");
  await first.locator("text=Rename").click();
  await page.keyboard.type("smallest");
  await page.focus("#runs-export");
  await first.locator("text=smallest").waitFor();
  assert.is(await page.evaluate(() => document.activeElement!.id), "runs-export");
  await first.locator("text=Rename").click();
  await page.keyboard.type("nothing");
  await page.keyboard.press("Escape");
  await first.locator("th button >> text=/^smallest$/").waitFor();
  const [event] = await Promise.all([page.waitForEvent("download"), page.click("#runs-export")]);
  assert.match(
    readFileSync(await event.path(), "utf8"),
    /\r\nsmallest,biases only \(BitFit\),messages.csv,tiny,finished,/,
  );
  // Curves of two runs, and the values under the pointer.
  await page.check("#runs tbody tr:nth-child(4) input");
  await page.click("#curve-table summary");
  await page.check("#curve-table label input");
  await page.hover("#loss .plot svg");
  await page.locator("#accuracy .legend >> text=nearest to").waitFor();
  assert.match((await page.textContent("#loss .legend"))!, /LoRA, rank 4.*0\.\d{4}/);
  await assertAccessible(page);
  await assertFits(page);
  // A run on other data in the same chart.
  await page.setViewportSize({ width: 1280, height: 800 });
  await pickFile(page, messages(20), "other.csv");
  await start(page);
  await page.locator("#runs tr[aria-current] >> text=other.csv").waitFor();
  await waitForState(page, "finished");
  await page.check("#runs tbody tr:first-child input");
  await page.locator("#loss .legend >> text=other.csv:").waitFor();
  assert.match(
    (await page.textContent("#loss .legend"))!,
    /messages.csv:.*Values on different data are not comparable/,
  );
  // Alone the first one gives the same adapter.
  await pickFile(page);
  await set(page, { rank: 1, alpha: 2, lr: 3e-3 });
  await start(page);
  await page.locator("#runs tr[aria-current] >> text=messages.csv").waitFor();
  await waitForState(page, "finished");
  assert.equal(await downloadAdapter(page), files);
  assert.equal(faults, []);
  await context.close();
});

async function killGpuProcess(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  process.kill(processInfo.find(({ type }) => type === "GPU")!.id, "SIGKILL");
}
