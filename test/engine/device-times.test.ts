/** What devices have measured of their kernels is kept beside their times; a run has the same bits by every choice. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { requestGPU } from "#platform";
import type { DeviceInfo } from "../../src/backend/backend.ts";
import { openWebGPU } from "../../src/backend/webgpu.ts";
import { keepTimes, keptChoices, keptTimes } from "../../src/engine/device-times.ts";
import { loadModel } from "../../src/io/hf.ts";
import { train } from "../../src/train/trainer.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { setEnvironment } from "../helpers/http.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const cache = temporaryFolder();
setEnvironment({ LOWRANK_CACHE: cache });
const FILE = join(cache, "device-times.json");

const directory = tinyModel(join(temporaryFolder(), "model"));

const CARD: DeviceInfo = { kind: "webgpu", name: "a card", adapter: "a card, driver 1", software: false };

test("choices are kept for an adapter with its driver and for this version, beside times", async () => {
  await keepTimes("work", { device: 1, cpu: 2 });
  await keptChoices(CARD).write({ "linear 64 x 768 x 768 f32": "direct" });
  assert.equal(await keptChoices({ ...CARD }).read(), { "linear 64 x 768 x 768 f32": "direct" });
  for (const adapter of ["a card, driver 2", "another card, driver 1"])
    assert.equal(await keptChoices({ ...CARD, adapter }).read(), {});
  assert.equal(await keptTimes("work"), { device: 1, cpu: 2 });

  const whole = readFileSync(FILE, "utf8");
  const [key] = (JSON.parse(whole) as [string][]).at(-1)!;
  const [version, ...rest] = JSON.parse(key) as string[];
  writeFileSync(FILE, whole.replace(JSON.stringify(key), JSON.stringify(JSON.stringify([`${version}.1`, ...rest]))));
  assert.equal(await keptChoices(CARD).read(), {}, "of another version");
  for (const damaged of [`[[${JSON.stringify(key)}, 1]]`, whole.slice(0, -9)]) {
    writeFileSync(FILE, damaged);
    assert.equal(await keptChoices(CARD).read(), {}, damaged);
  }
});

/** The losses of a short run. */
async function losses(device: Awaited<ReturnType<typeof testDevice>>): Promise<number[]> {
  const model = await loadModel(directory);
  try {
    const found: number[] = [];
    const onEvent = (event: { type: string; loss?: number }) => void (event.type === "step" && found.push(event.loss!));
    await train({ device, model, data: await tinyData(messages(20)), rank: 4, epochs: 1, onEvent });
    return found;
  } finally {
    await model.close();
  }
}

test("a device that measures keeps what it finds; a run has the same bits whatever was chosen", async () => {
  const expected = await losses(await testDevice("webgpu"));
  assert.ok(expected.length > 1);
  for (const name of ["wide", "middle", "direct"])
    assert.equal(await losses(await testDevice(`webgpu ${name}`)), expected, name);
  const device = await openWebGPU(await requestGPU(), { measures: true });
  assert.equal(await losses(device), expected);
  const found = await keptChoices(device.info).read();
  assert.ok(Object.keys(found).length > 0);
  device.destroy();
});
