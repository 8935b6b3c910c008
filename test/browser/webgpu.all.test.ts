/** The page on WebGPU, by Chromium's software driver: a run, and one whose device is lost. */
import type { Browser } from "playwright-core";
import * as assert from "uvu/assert";
import { test } from "../helpers/harness.ts";
import { freshPage } from "./browser.ts";
import {
  assertAccessible,
  assertFits,
  holdCheckpoint,
  openLearned,
  pickTinyModel,
  SETTINGS,
  see,
  set,
  start,
  trainOnFile,
  waitForState,
  waitForStep,
} from "./page.ts";

/** The software driver is slow, most of all in compiling: this mode needs few kernels, and is run on a tiny model. */
const LITTLE = { mode: "last_layer", device: "webgpu", lr: 0.05 };

test("a run on WebGPU from a file to its end; one whose device is lost resumes from the last checkpoint on the CPU", async () => {
  const { page, faults, context } = await freshPage(true);
  await pickTinyModel(page);
  const settings = { ...SETTINGS, ...LITTLE, epochs: 1 };
  const computesOn = "swiftshader \\(webgpu, software driver\\)";
  await trainOnFile(page, settings, { computesOn, steps: 7, evaluations: 3 });
  await openLearned(page);
  assert.match(
    (await page.textContent("#learned"))!,
    /head only every matrix of the blocks stays as it was.*The head began with zeros/,
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
  await see(page, "result");
  assert.match((await page.textContent("#figures"))!, /Step14 of 14.*CPU/);
  await context.close();
});

async function killGpuProcess(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  process.kill(processInfo.find(({ type }) => type === "GPU")!.id, "SIGKILL");
}
