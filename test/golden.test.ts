/** The golden fixtures made by PyTorch: logits, loss, every gradient, AdamW steps and a training curve, in all modes. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { SafetensorsFile } from "../src/io/safetensors.ts";
import { passes, runGolden } from "../src/train/golden.ts";
import { DEVICE_NAMES, testDevice } from "./device.ts";
import { test } from "./harness.ts";

const folder = packagePath("test/golden");
const files = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));

test("all 13 fixtures are here", () => {
  if (files.length !== 13) throw new Error(`${files.length} fixture files`);
});

for (const [name, device] of files.flatMap((file) => DEVICE_NAMES.map((device) => [file, device] as const)))
  test(`${name} on ${device}`, async () => {
    const reader = await openFile(join(folder, name));
    try {
      const { comparisons } = await runGolden(await SafetensorsFile.open(reader), await testDevice(device));
      if (comparisons.length < 3) throw new Error(`only ${comparisons.length} values compared`);
      const bad = comparisons.filter((comparison) => !passes(comparison));
      if (bad.length > 0)
        throw new Error(bad.map((c) => `${c.name}: ${c.measure} ${c.error}, tolerance ${c.tolerance}`).join("\n"));
    } finally {
      await reader.close();
    }
  });

test("a value passes up to its tolerance, which NaN never is", () => {
  const verdict = (error: number) => passes({ name: "", kind: "", measure: "absolute", error, tolerance: 0.5 });
  assert.equal([0, 0.5, 0.500001, Number.NaN, Infinity].map(verdict), [true, true, false, false, false]);
});
