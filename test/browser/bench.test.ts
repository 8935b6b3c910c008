/** The page of measurements, /bench.html. With a software driver it measures small products, and a step with two messages. */
import * as assert from "uvu/assert";
import { testIf } from "../harness.ts";
import { openBrowser, openPage, webServer } from "./browser.ts";
import { assertAccessible } from "./page.ts";

const hasChromium = Boolean(process.env.CHROMIUM);

/** The parts of the copied JSON that are tested. */
interface Copied {
  lowrank: string;
  date: string;
  userAgent: string;
  adapter: { architecture: string };
  errors: string[];
  devices: {
    device: { kind: string; name: string };
    yardsticks: { copy: number; multiplyAdd: number } | null;
    products: { name: string; gflops: { median: number; low: number; high: number } }[];
    step: { tokens: number; loss: number; tokensPerSecond: number; profile: { dispatches: number; kernels: object[] } };
  }[];
}

testIf(hasChromium, "no Chromium", "the page measures WebGPU and the CPU, and copies the figures as JSON", async () => {
  const context = await openBrowser({ webgpu: true });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const { page, faults } = await openPage(context, `${await webServer()}/bench.html`);
  await page.setViewportSize({ width: 360, height: 740 });
  await assertAccessible(page);
  assert.ok(await page.isDisabled("#copy"));
  await page.click("#run");
  await page.click("#copy:not([disabled])");
  await page.waitForSelector("#status >> text=Copied.");
  const text = await page.evaluate(() => navigator.clipboard.readText());
  const { lowrank, date, userAgent, adapter, errors, devices }: Copied = JSON.parse(text);
  assert.match(lowrank, /^\d+\.\d+\.\d+$/);
  assert.ok(Math.abs(Date.now() - Date.parse(date)) < 600_000, date);
  assert.match(userAgent, /Chrom/);
  assert.match(adapter.architecture, /swiftshader/);
  assert.equal(errors, []);
  assert.equal(
    devices.map(({ device }) => device.kind),
    ["webgpu", "wasm"],
  );
  const [webgpu, cpu] = devices as [Copied["devices"][0], Copied["devices"][0]];
  assert.match(webgpu.device.name, /swiftshader/);
  assert.match(cpu.device.name, /^CPU, \d+ threads/);
  assert.ok(webgpu.yardsticks!.copy > 0 && webgpu.yardsticks!.multiplyAdd > 0);
  assert.is(cpu.yardsticks, null);
  for (const { products, step } of devices) {
    assert.ok(products.length > 2);
    for (const { name, gflops } of products) assert.ok(gflops.low > 0 && gflops.high >= gflops.low, name);
    assert.is(step.tokens, 36);
    assert.ok(step.tokensPerSecond > 0);
    assert.ok(step.profile.kernels.length > 5);
  }
  assert.ok(Math.abs(webgpu.step.loss - cpu.step.loss) < 1e-4, `${webgpu.step.loss} and ${cpu.step.loss}`);
  assert.match((await page.textContent("#device"))!, webgpu.device.name);
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  await assertAccessible(page);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `${width} px wide`);
  assert.equal(faults, []);
});

testIf(hasChromium, "no Chromium", "without WebGPU the page says so, and measures the CPU", async () => {
  const { page } = await openPage(await openBrowser(), `${await webServer()}/bench.html`);
  await page.click("#run");
  await page.waitForSelector("#error >> text=No WebGPU adapter");
  await page.waitForSelector("#step >> text=Tokens/s");
  assert.match((await page.textContent("#device"))!, /CPU, \d+ threads/);
});
