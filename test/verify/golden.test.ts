/** The golden fixtures from PyTorch: logits, loss, every gradient, AdamW steps and a training curve, in all modes. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { type EncodableTensor, encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { assertFails } from "../helpers/border.ts";
import { BOTH, CPU, testDevice, testOnDevices } from "../helpers/device.ts";
import { passes, runGolden } from "../helpers/golden.ts";
import { test } from "../helpers/harness.ts";

const folder = packagePath("test/golden");
const files = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));

test("there are 46 fixtures", () => {
  if (files.length !== 46) throw new Error(`${files.length} fixture files`);
});

/** On WebGPU `npm test` has these: the kinds of kernels that models have together. */
const ON_WEBGPU = /^(01|10|20|27)_/;

for (const name of files)
  testOnDevices(
    name,
    async () => {
      const reader = await openFile(join(folder, name));
      try {
        const { comparisons } = await runGolden(await SafetensorsFile.open(reader), await testDevice());
        if (comparisons.length < 3) throw new Error(`only ${comparisons.length} values compared`);
        const bad = comparisons.filter((comparison) => !passes(comparison));
        if (bad.length > 0)
          throw new Error(bad.map((c) => `${c.name}: ${c.measure} ${c.error}, tolerance ${c.tolerance}`).join("\n"));
      } finally {
        await reader.close();
      }
    },
    BOTH,
    ON_WEBGPU.test(name) ? BOTH : [CPU],
  );

test("an error passes up to its tolerance; NaN never passes", () => {
  const verdict = (error: number) => passes({ name: "", kind: "", measure: "absolute", error, tolerance: 0.5 });
  assert.equal([0, 0.5, 0.500001, Number.NaN, Infinity].map(verdict), [true, true, false, false, false]);
});

test("a missing expectation of a fixture is reported by name", async () => {
  for (const name of files.slice(0, 2)) {
    const golden = await SafetensorsFile.open(await openFile(join(folder, name)));
    const tensors: EncodableTensor[] = [];
    for (const key of golden.names) {
      const { dtype, shape } = golden.info(key);
      if (dtype === "I32") tensors.push({ name: key, shape, dtype, data: await golden.readI32(key) });
      else tensors.push({ name: key, shape, dtype: "F32", data: await golden.readF32(key) });
    }
    const expected = golden.names.filter((key) => key.startsWith("expect."));
    assert.ok(expected.length > 1, name);
    for (const key of expected) {
      const bytes = encodeSafetensors(
        tensors.filter((tensor) => tensor.name !== key),
        golden.metadata,
      );
      const damaged = await SafetensorsFile.open(bytesReader("damaged.safetensors", bytes));
      await assertFails("no-such-tensor", [key], async () => runGolden(damaged, await testDevice()));
    }
    await golden.close();
  }
});
