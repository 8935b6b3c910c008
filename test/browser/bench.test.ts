import * as assert from "uvu/assert";
import type { DoctorReport } from "../../src/bench/doctor.ts";
import { testIf } from "../helpers/harness.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible, downloaded, textTo } from "./page.ts";

const hasChromium = Boolean(process.env.CHROMIUM);

testIf(
  hasChromium,
  "no Chromium",
  "without WebGPU the page says so, measures the CPU as doctor does, and gives the report as JSON",
  async () => {
    const context = await openBrowser();
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { page, faults } = await openPage(context, `${await webServer()}/bench.html`);
    await page.setViewportSize({ width: 360, height: 740 });
    await assertAccessible(page);
    assert.ok(await page.isDisabled("#copy"));
    // As much as there is time for.
    await page.fill("#seconds", "20");
    await page.click("#run");
    await page.waitForSelector("#error >> text=No WebGPU adapter");
    const offered = () => page.click("#download:not([disabled])");
    const { content: text } = await downloaded(page, offered, textTo("]"));
    await page.click("#copy");
    await page.waitForSelector("#status >> text=Copied.");
    assert.is(await page.evaluate(() => navigator.clipboard.readText()), text);
    const [report, ...others]: DoctorReport[] = JSON.parse(text);
    const { kind, lowrank, date, machine, device, steps, failures, state, leftOut, seconds } = report!;
    assert.equal([kind, others, failures], ["lowrank-doctor", [], []]);
    assert.match(lowrank, /^\d+\.\d+\.\d+$/);
    assert.ok(Math.abs(Date.now() - Date.parse(date)) < 600_000, date);
    assert.match(String(machine.userAgent), /Chrom/);
    assert.match(device.name, /^CPU, \d+ threads/);
    assert.ok(steps.length > 0 && steps[0]!.step.loss > 0);
    assert.ok(seconds >= 20 || state === "finished");
    assert.not.ok(
      leftOut.some((what) => what.includes("shaders")),
      "the CPU has none",
    );
    const shown = (await page.textContent(".results"))!;
    assert.match(shown, "gpt2-micro");
    assert.match(shown, /CPU, \d+ threads/);
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    await assertAccessible(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width} px wide`);
    assert.equal(faults, []);
  },
);
