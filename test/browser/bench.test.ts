/** The page of measurements, /bench.html, on the CPU: a software driver takes too long. */
import * as assert from "uvu/assert";
import { testIf } from "../helpers/harness.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible } from "./page.ts";

const hasChromium = Boolean(process.env.CHROMIUM);

/** The parts of the copied JSON that are tested. */
interface Copied {
  lowrank: string;
  date: string;
  userAgent: string;
  devices: {
    device: { kind: string; name: string };
    yardsticks: { copy: number; multiplyAdd: number } | null;
    products: { name: string; gflops: { median: number; low: number; high: number } }[];
    attention: { gflops: { median: number } }[];
    latency: { dispatch: number; readback: number };
    step: { tokens: number; loss: number; tokensPerSecond: number; profile: { dispatches: number; kernels: object[] } };
  }[];
}

testIf(
  hasChromium,
  "no Chromium",
  "without WebGPU the page says so, measures the CPU, and copies the figures as JSON",
  async () => {
    const context = await openBrowser();
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const { page, faults } = await openPage(context, `${await webServer()}/bench.html`);
    await page.setViewportSize({ width: 360, height: 740 });
    await assertAccessible(page);
    assert.ok(await page.isDisabled("#copy"));
    await page.click("#run");
    await page.waitForSelector("#error >> text=No WebGPU adapter");
    await page.click("#copy:not([disabled])");
    await page.waitForSelector("#status >> text=Copied.");
    const text = await page.evaluate(() => navigator.clipboard.readText());
    const { lowrank, date, userAgent, devices }: Copied = JSON.parse(text);
    assert.match(lowrank, /^\d+\.\d+\.\d+$/);
    assert.ok(Math.abs(Date.now() - Date.parse(date)) < 600_000, date);
    assert.match(userAgent, /Chrom/);
    assert.is(devices.length, 1);
    const [{ device, yardsticks, products, attention, latency, step }] = devices as [Copied["devices"][0]];
    assert.match(device.name, /^CPU, \d+ threads/);
    assert.is(yardsticks, null);
    assert.ok(products.length > 2);
    for (const { name, gflops } of products) assert.ok(gflops.low > 0 && gflops.high >= gflops.low, name);
    assert.ok(attention.length === 3 && attention.every(({ gflops }) => gflops.median > 0));
    assert.ok(latency.readback > 0);
    assert.ok(step.tokensPerSecond > 0 && step.profile.kernels.length > 5);
    assert.match((await page.textContent("#device"))!, /CPU, \d+ threads/);
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    await assertAccessible(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width} px wide`);
    assert.equal(faults, []);
  },
);
